# longrope_sanitize(TARGET SANITIZERS): compile and link options of an interface library, for what links it.
function(longrope_sanitize target sanitizers)
    target_compile_options(${target} INTERFACE
        -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer
        -Wno-maybe-uninitialized)  # GCC 12 sees these in instrumented code, <regex> and std::optional among it
    target_link_options(${target} INTERFACE -fsanitize=${sanitizers})
endfunction()

# longrope::sanitizers: those of LONGROPE_SANITIZE, empty without it.
add_library(longrope_sanitizers INTERFACE)
add_library(longrope::sanitizers ALIAS longrope_sanitizers)
if(LONGROPE_SANITIZE)
    longrope_sanitize(longrope_sanitizers ${LONGROPE_SANITIZE})
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/reports)  # the test presets have them written there
endif()
