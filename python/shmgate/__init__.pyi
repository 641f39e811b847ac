from shmgate._errors import (
    BusyError as BusyError,
    CancelledError as CancelledError,
    DirectionError as DirectionError,
    Error as Error,
    FullError as FullError,
    IncompatibleError as IncompatibleError,
    NotFoundError as NotFoundError,
    PermissionError as PermissionError,
    StaleError as StaleError,
    TimeoutError as TimeoutError,
    TooLargeError as TooLargeError,
)
from shmgate._shmgate import (
    Message as Message,
    Peek as Peek,
    Reader as Reader,
    Segment as Segment,
    Writer as Writer,
    attach as attach,
    remove as remove,
)
