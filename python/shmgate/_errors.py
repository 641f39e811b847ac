"""The exceptions of shmgate: one for each error of the library that a caller can tell apart.

All derive from `Error`, which is an OSError: `errno` is the C library's error number, `strerror` its one line of text
that says what to do.
"""

import builtins


class Error(OSError):
    """Something went wrong in shared memory; the base of all the others."""


class NotFoundError(Error, builtins.FileNotFoundError):
    """No such channel in the segment (ENOENT): add it to gateway.ini, or check the spelling."""


class DirectionError(Error):
    """A subscribe channel was opened for writing (EBADF): only the gateway writes those."""


class TooLargeError(Error):
    """The payload is above max_payload, or the buffer is too small for the message (EMSGSIZE)."""


class FullError(Error, builtins.BlockingIOError):
    """The ring is full and the channel has overflow = reject (EAGAIN): try again later."""


class BusyError(Error):
    """All lanes of the channel have a living writer, or a gateway serves the segment (EBUSY)."""


class TimeoutError(Error, builtins.TimeoutError):  # noqa: A001 - it is one
    """No segment, or no message, in time (ETIMEDOUT)."""


class CancelledError(Error):
    """A Reader's cancel() ended the wait (ECANCELED). A task that is cancelled gets asyncio.CancelledError."""


class PermissionError(Error, builtins.PermissionError):  # noqa: A001 - it is one
    """Not in the segment's group (EACCES), or the handle was opened before fork() (EPERM)."""


class IncompatibleError(Error):
    """The segment is damaged or was made by an incompatible version (EPROTO)."""


class StaleError(Error):
    """The message of a Peek was overwritten while it was looked at (ESTALE): discard what was seen."""
