# longrope::warnings: what every target of ours compiles with. Headers resolve from the repository's root.
add_library(longrope_warnings INTERFACE)
add_library(longrope::warnings ALIAS longrope_warnings)
target_compile_options(longrope_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
    -Woverloaded-virtual -Wold-style-cast -Wcast-align -Wunused
    -Wno-missing-field-initializers  # members left out have their defaults
    $<$<BOOL:${LONGROPE_WARNINGS_AS_ERRORS}>:-Werror>)

# longrope_add_room(<name> SOURCES ... [PUBLIC ...] [PRIVATE ...]): a static library per room that
# sees only what it names.
function(longrope_add_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(longrope_${name} STATIC ${ROOM_SOURCES})
    add_library(longrope::${name} ALIAS longrope_${name})
    target_include_directories(longrope_${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(longrope_${name}
        PUBLIC ${ROOM_PUBLIC}
        PRIVATE longrope::warnings longrope::sanitizers ${ROOM_PRIVATE})
endfunction()
