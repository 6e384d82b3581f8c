# longrope::sanitizers: compile and link options of LONGROPE_SANITIZE, empty without it.
add_library(longrope_sanitizers INTERFACE)
add_library(longrope::sanitizers ALIAS longrope_sanitizers)
if(LONGROPE_SANITIZE)
    target_compile_options(longrope_sanitizers INTERFACE
        -fsanitize=${LONGROPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
        -Wno-maybe-uninitialized)  # GCC 12 sees these in instrumented code, <regex> and std::optional among it
    target_link_options(longrope_sanitizers INTERFACE -fsanitize=${LONGROPE_SANITIZE})
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/reports)  # the test presets have them written there
endif()
