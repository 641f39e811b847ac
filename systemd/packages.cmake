# packages.cmake: what "cpack -G DEB" makes of the build: shmgate, libshmgateN, libshmgate-dev and python3-shmgate.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME shmgate)
set(CPACK_PACKAGE_VENDOR shmgate)
set(SHMGATE_MAINTAINER "The shmgate authors <shmgate@example.org>" CACHE STRING
  "Name and address in the packages: whoever hands them out, names themselves")
set(CPACK_PACKAGE_CONTACT ${SHMGATE_MAINTAINER})
# What CPack itself would say; anything else it would put before the summary of each package.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${CMAKE_PROJECT_NAME} built using CMake")
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
# The library's package is named after the version of its interface; shlibs tells what programs that are linked with it
# have to depend on.
get_target_property(shmgate_interface shmgate SOVERSION)
set(shmgate_library_package libshmgate${shmgate_interface})
set(debian ${PROJECT_BINARY_DIR}/debian)
file(WRITE ${debian}/shlibs "libshmgate ${shmgate_interface} ${shmgate_library_package} (>= ${PROJECT_VERSION})\n")

set(what "What programs of this machine write into a channel in shared memory appears
on a topic of an MQTT broker, and what arrives on a topic can be read from a
channel, without a program ever waiting for the network.")
set(CPACK_DEBIAN_DAEMON_DESCRIPTION "gateway between shared memory and MQTT
${what}

This package has the daemon, its service and the command shmgate.")
set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME shmgate)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS "${shmgate_library_package} (= ${PROJECT_VERSION}), systemd")
set(CPACK_DEBIAN_DAEMON_PACKAGE_RECOMMENDS "mosquitto-clients")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "mosquitto")
set(scripts ${PROJECT_SOURCE_DIR}/systemd/debian)
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA
    "${scripts}/conffiles;${scripts}/postinst;${scripts}/prerm;${scripts}/postrm")

set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "gateway between shared memory and MQTT: library
${what}

This package has the library that programs are linked with.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${shmgate_library_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/systemd/debian/triggers;${debian}/shlibs")

set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "gateway between shared memory and MQTT: development files
${what}

This package has the header, the static library, and what pkg-config and CMake
need to find them.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libshmgate-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${shmgate_library_package} (= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_PYTHON_DESCRIPTION "gateway between shared memory and MQTT: Python package
${what}

This package is for programs in Python.")
set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-shmgate)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= 3.11), ${shmgate_library_package} (= ${PROJECT_VERSION})")
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
# As Debian's policy asks of each package (12.5, 12.7). What has changed for users is the same for all and lies with the
# daemon.
configure_file(systemd/debian/changelog.in debian/changelog @ONLY)
configure_file(systemd/debian/library-overrides.in debian/library-overrides @ONLY)
foreach(name changelog CHANGELOG.md)
  set(source ${PROJECT_SOURCE_DIR}/${name})
  if(name STREQUAL changelog)
    set(source ${debian}/${name})
  endif()
  add_custom_command(OUTPUT ${debian}/${name}.gz COMMAND gzip -9nc ${source} > ${debian}/${name}.gz
    DEPENDS ${source} VERBATIM)
  list(APPEND shmgate_changelogs ${debian}/${name}.gz)
endforeach()
add_custom_target(changelogs ALL DEPENDS ${shmgate_changelogs})
foreach(pair daemon=shmgate library=${shmgate_library_package} development=libshmgate-dev python=python3-shmgate)
  string(REGEX MATCH "^[a-z]+" component ${pair})
  string(REGEX REPLACE "^[a-z]+=" "" package ${pair})
  install(FILES systemd/debian/copyright ${debian}/changelog.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endforeach()
install(FILES ${debian}/library-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
  RENAME ${shmgate_library_package} COMPONENT library)
install(FILES README.md ${debian}/CHANGELOG.md.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/shmgate
  COMPONENT daemon)
include(systemd/manual.cmake)
include(CPack)
