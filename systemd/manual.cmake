# manual.cmake: where the manual pages are installed, compressed as Debian's policy asks (gzip -9n: the same bytes in
# every build).
set(manual_folder ${PROJECT_BINARY_DIR}/man)
file(MAKE_DIRECTORY ${manual_folder})
set(manual_compressed)

# Install a page, whose section is its suffix.
function(shmgate_manual component page)
  get_filename_component(name ${page} NAME)
  get_filename_component(section ${page} LAST_EXT)
  string(SUBSTRING ${section} 1 -1 section)
  set(compressed ${manual_folder}/${name}.gz)
  add_custom_command(OUTPUT ${compressed} COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/${page} > ${compressed}
    DEPENDS ${PROJECT_SOURCE_DIR}/${page} VERBATIM)
  install(FILES ${compressed} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
  set(manual_compressed ${manual_compressed} ${compressed} PARENT_SCOPE)
endfunction()

shmgate_manual(daemon gateway/man/shmgated.8)
shmgate_manual(daemon gateway/man/gateway.ini.5)
shmgate_manual(daemon gateway/man/shmgate.1)
shmgate_manual(daemon gateway/man/shmgate.7)
shmgate_manual(daemon gateway/man/shmgate-containers.7)
shmgate_manual(daemon gateway/man/shmgate-guarantees.7)
shmgate_manual(daemon gateway/man/shmgate-realtime.7)
shmgate_manual(daemon gateway/man/shmgate-security.7)
shmgate_manual(daemon gateway/man/shmgate-sizing.7)
shmgate_manual(daemon gateway/man/shmgate-troubleshooting.7)
shmgate_manual(development shm/man/shared_memory.3)
add_custom_target(manual ALL DEPENDS ${manual_compressed})

# "man shared_memory_write" finds the page of all functions: a link for each name that its NAME section has.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/shm/man/shared_memory.3)
file(STRINGS shm/man/shared_memory.3 manual_names REGEX "^\\.Nm shared_memory_")
foreach(line ${manual_names})
  string(REGEX REPLACE "^\\.Nm ([a-z_]+).*" "\\1" name "${line}")
  file(CREATE_LINK shared_memory.3.gz ${manual_folder}/${name}.3.gz SYMBOLIC)
  install(FILES ${manual_folder}/${name}.3.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
endforeach()
