"""Build the extension for pip: the library's C files are compiled in, so that the wheel needs no libshmgate beside
it."""

from setuptools import Extension, setup

BINDING = ("module", "peek", "reader", "segment", "writer")
LIBRARY = (
    "attachment",
    "counters",
    "counters_json",
    "layout",
    "nearest",
    "platform_linux",
    "reason",
    "reader",
    "ring",
    "segment",
    "segment_list",
    "segment_serve",
    "shared_memory",
    "suggest",
    "writer",
)

setup(
    ext_modules=[
        Extension(
            "shmgate._shmgate",
            sources=[f"src/{name}.c" for name in BINDING] + [f"../shm/{name}.c" for name in LIBRARY],
            include_dirs=["../shm"],
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-fvisibility=hidden"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
