# What `make install` puts where, and what other builds find there.

install(TARGETS lucid_shared EXPORT LucidTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/liblucid.a ${PROJECT_BINARY_DIR}/lucid.o
    DESTINATION ${CMAKE_INSTALL_LIBDIR}
)
file(GLOB public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.h)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(LUCID_TOOLS)
    install(TARGETS lucid_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES ${PROJECT_SOURCE_DIR}/completions/lucid.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME lucid
    )
    install(FILES ${PROJECT_SOURCE_DIR}/completions/lucid.zsh
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _lucid
    )
endif()

foreach(section IN ITEMS 1 3 7)
    file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# CMake: find_package(Lucid), then Lucid::lucid, Lucid::static or Lucid::object.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Lucid)
configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/cmake/LucidConfig.cmake.in
    ${PROJECT_BINARY_DIR}/LucidConfig.cmake
    INSTALL_DESTINATION ${package_folder}
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR
)
# A 0.x minor release may change what programs see.
write_basic_package_version_file(
    ${PROJECT_BINARY_DIR}/LucidConfigVersion.cmake
    COMPATIBILITY SameMinorVersion
)
install(EXPORT LucidTargets NAMESPACE Lucid:: DESTINATION ${package_folder})
install(
    FILES ${PROJECT_BINARY_DIR}/LucidConfig.cmake ${PROJECT_BINARY_DIR}/LucidConfigVersion.cmake
    DESTINATION ${package_folder}
)

# pkg-config: the prefix is told relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH prefix_from_pkgconfig
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX}
)
configure_file(${PROJECT_SOURCE_DIR}/cmake/lucid.pc.in ${PROJECT_BINARY_DIR}/lucid.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lucid.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
