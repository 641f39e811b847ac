"""Build the extension for pip: the library's C files are compiled in, so that the wheel needs no libshmgate beside it.
Run by build_backend.py in a folder that has the library's sources in shm/."""

import re
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

BINDING = ("guard", "limit", "message", "module", "peek", "reader", "reader_tasks", "segment", "writer")


def library_sources():
    """The library's C files: those that its own build names."""
    listed = re.search(
        r"add_library\(shm_objects OBJECT([^)]*)\)", Path("shm/CMakeLists.txt").read_text(encoding="utf-8")
    )
    return [f"shm/{name}" for name in listed[1].split()]


# A free-threaded Python has no stable ABI.
stable = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "shmgate._shmgate",
            sources=[f"src/{name}.c" for name in BINDING] + library_sources(),
            include_dirs=["shm"],
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-fvisibility=hidden", "-O3"],
            py_limited_api=stable,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if stable else {},
)
