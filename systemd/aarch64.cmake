# aarch64.cmake: build for 64-bit ARM on a Debian of another architecture, with libraries beside its own (dpkg
# --add-architecture arm64).
#
#   cmake -S . -B build/arm64 -DCMAKE_TOOLCHAIN_FILE=systemd/aarch64.cmake && cmake --build build/arm64
#   (cd build/arm64 && dpkg-architecture -a arm64 -c cpack -G DEB)
#
# dpkg-architecture tells dpkg-shlibdeps, which finds out what packages the libraries are in, that foreign ones are
# meant.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# As a native build has it there: the place of libraries that may stand beside those of other architectures.
set(CMAKE_INSTALL_LIBDIR lib/aarch64-linux-gnu CACHE PATH "Where libraries go")
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
# Not what pkg-config knows of this machine's own libraries.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
