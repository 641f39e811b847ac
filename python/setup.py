"""Build the extension for pip: the library's C files are compiled in, so that the wheel needs no libshmgate beside it.
Run by build_backend.py in a folder that has the library's sources in shm/, as an sdist does; `python setup.py` in the
repository finds them beside it."""

import re
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

BINDING = ("guard", "limit", "message", "module", "peek", "reader", "reader_tasks", "segment", "writer")


IN_REPOSITORY = not Path("shm").is_dir()
SHM = "../shm" if IN_REPOSITORY else "shm"


def library_sources():
    """The library's C files: those that its own build names."""
    build = Path(SHM, "CMakeLists.txt").read_text(encoding="utf-8")
    listed = re.search(r"add_library\(shm_objects OBJECT([^)]*)\)", build)
    return [f"{SHM}/{name}" for name in listed[1].split()]


class WholeSdist(sdist):
    """An sdist with the library's sources in it."""

    def run(self):
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        import build_backend

        folder = Path(self.dist_dir or "dist")
        folder.mkdir(exist_ok=True)
        print(folder / build_backend.build_sdist(str(folder)))


# A free-threaded Python has no stable ABI.
stable = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "shmgate._shmgate",
            sources=[f"src/{name}.c" for name in BINDING] + library_sources(),
            include_dirs=[SHM],
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-fvisibility=hidden", "-O3"],
            py_limited_api=stable,
        )
    ],
    cmdclass={"sdist": WholeSdist} if IN_REPOSITORY else {},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if stable else {},
)
