# packages.cmake: what "cpack -G DEB" makes of the build: shmgate, libshmgate1, libshmgate-dev and python3-shmgate.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME shmgate)
set(CPACK_PACKAGE_VENDOR shmgate)
set(CPACK_PACKAGE_CONTACT "The shmgate developers <shmgate@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL daemon library development)
if(SHMGATE_PYTHON AND NOT SHMGATE_SANITIZE)
  list(APPEND CPACK_COMPONENTS_ALL python)
endif()
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_COMPONENT_DAEMON_DESCRIPTION "gateway between shared memory and MQTT
 A daemon that publishes what local processes write into POSIX shared memory to
 MQTT topics, and hands MQTT messages to them. With the tool shmgate.")
set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME shmgate)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS "libshmgate1 (= ${PROJECT_VERSION}), systemd")
set(CPACK_DEBIAN_DAEMON_PACKAGE_RECOMMENDS "mosquitto-clients")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "mosquitto")
set(scripts ${PROJECT_SOURCE_DIR}/systemd/debian)
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA
    "${scripts}/conffiles;${scripts}/postinst;${scripts}/prerm;${scripts}/postrm")

set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "gateway between shared memory and MQTT: library
 What a C program needs to write into and read from a gateway's channels.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libshmgate1)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/systemd/debian/triggers")

set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "gateway between shared memory and MQTT: development files
 Header, pkg-config file and CMake package of libshmgate.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libshmgate-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libshmgate1 (= ${PROJECT_VERSION})")

set(CPACK_COMPONENT_PYTHON_DESCRIPTION "gateway between shared memory and MQTT: Python package
 Write into and read from a gateway's channels in Python.")
set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-shmgate)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= 3.11), libshmgate1 (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS "python3-paho-mqtt")
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/systemd/debian/python/prerm")
# dpkg-shlibdeps finds our own library, which is in no package yet, here.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})

set(completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES gateway/tool/shmgate.bash DESTINATION ${completions} RENAME shmgate COMPONENT daemon)
install(FILES gateway/shmgated.bash DESTINATION ${completions} RENAME shmgated COMPONENT daemon)
install(FILES systemd/shmgated.service systemd/shmgated@.service DESTINATION lib/systemd/system COMPONENT daemon)
install(PROGRAMS systemd/check-reload DESTINATION lib/shmgate COMPONENT daemon)
# No tmpfiles.d: systemd makes the folders in /var/lib and /run at each start of a service, with their owner
# (StateDirectory=, RuntimeDirectory=); the segment in /dev/shm is made by the gateway, with the group and mode that
# gateway.ini says; and nothing must be there before there is a gateway.
install(FILES systemd/shmgate.sysusers DESTINATION lib/sysusers.d RENAME shmgate.conf COMPONENT daemon)
install(FILES conf/gateway.ini DESTINATION /etc/shmgate COMPONENT daemon
  PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
# For files that drop in; it stays empty.
install(DIRECTORY DESTINATION /etc/shmgate/gateway.d COMPONENT daemon)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/shmgate COMPONENT daemon)
include(systemd/manual.cmake)
include(CPack)
