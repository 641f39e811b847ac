# What find_package(shmgate) reads: the static library needs threads.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/shmgate-targets.cmake)
