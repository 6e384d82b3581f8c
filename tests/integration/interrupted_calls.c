// SPDX-License-Identifier: Apache-2.0
/* A library for LD_PRELOAD that counts what a process does to the files beneath one folder, and
   does something to one of these calls: it kills the process, lets the call fail, or keeps it
   waiting.

   CALLS_FOLDER  absolute path; calls on the folder itself and on what is beneath it are counted
   CALLS_LIST    a file to which every counted call is appended: "<number> <time> <name> <path>"
   CALLS_KEEP    a folder in which every file that was renamed within CALLS_FOLDER gets a second
                 name, "<nanoseconds since 1970> <name>", before the rename returns
   CALLS_READS   if set, an open that only reads is counted too
   CALLS_AT      number of the call that something is done to, from 1
   CALLS_ACTION  kill        the process is killed instead of the call
                 kill_after  the call is made, then the process is killed
                 cut_short   of a write the first half is made, then the process is killed
                 half        a write makes its first half only and says so
                 fail        the call is not made and fails with errno CALLS_ERRNO
                 fail_on     this call and all that follow fail so (a disk stays full)
                 stop        the process is stopped (SIGSTOP) before the call
                 slow        this and every later fsync and futimens takes CALLS_SECONDS longer

   Counted is what changes a file system: open that creates or truncates, write, pwrite, ftruncate,
   fsync, fdatasync, rename, link, unlink, mkdir, futimens, and the close of a descriptor that was
   open for writing, since network file systems report failures there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Declares `next`: the definition that the function `name` here stands in front of. */
#define NEXT(name)                        \
    static __typeof__(&name) next = NULL; \
    if (!next) *(void**)(&next) = dlsym(RTLD_NEXT, #name)

enum fate { GO_ON, FAIL, HALF, HALF_THEN_DIE, DIE_AFTER };

static atomic_long calls;

static bool beneath_folder(const char* path) {
    const char* folder = getenv("CALLS_FOLDER");
    if (!folder) return false;
    char whole[2 * PATH_MAX];
    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX)) return false;
        const size_t length = strlen(whole);
        snprintf(whole + length, sizeof whole - length, "/%s", path);
        path = whole;
    }
    const size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Path of an open file, or an empty one. */
static const char* path_of(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return path;
}

static void note(long number, const char* name, const char* path) {
    const char* list = getenv("CALLS_LIST");
    if (!list) return;
    char line[PATH_MAX + 64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int length = snprintf(line, sizeof line, "%ld %ld.%09ld %s %s\n", number,
                                (long)now.tv_sec, now.tv_nsec, name, path);
    /* By system calls, or these calls would be counted too. */
    const long file =
        syscall(SYS_openat, AT_FDCWD, list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return;
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call and says what becomes of it; errno is what it was, unless the call fails. */
static enum fate fate_of(const char* name, const char* path) {
    if (!beneath_folder(path)) return GO_ON;
    const int before = errno;
    const long number = atomic_fetch_add(&calls, 1) + 1;
    note(number, name, path);
    const char* at = getenv("CALLS_AT");
    const char* action = getenv("CALLS_ACTION");
    enum fate fate = GO_ON;
    errno = before;
    if (!at || !action || number < atol(at)) return GO_ON;
    if (strcmp(action, "slow") == 0) {
        if (strcmp(name, "fsync") == 0 || strcmp(name, "futimens") == 0) {
            usleep((useconds_t)(1e6 * atof(getenv("CALLS_SECONDS"))));
        }
    } else if (strcmp(action, "fail_on") == 0) {
        fate = FAIL;
    } else if (number > atol(at)) {
        return GO_ON;
    } else if (strcmp(action, "kill") == 0) {
        die();
    } else if (strcmp(action, "kill_after") == 0) {
        fate = DIE_AFTER;
    } else if (strcmp(action, "cut_short") == 0) {
        fate = HALF_THEN_DIE;
    } else if (strcmp(action, "half") == 0) {
        fate = HALF;
    } else if (strcmp(action, "fail") == 0) {
        fate = FAIL;
    } else if (strcmp(action, "stop") == 0) {
        syscall(SYS_kill, getpid(), SIGSTOP);
    }
    errno = fate == FAIL ? atoi(getenv("CALLS_ERRNO")) : before;
    return fate;
}

static enum fate fate_of_descriptor(const char* name, int descriptor) {
    const int before = errno;
    char path[PATH_MAX];
    path_of(descriptor, path);
    errno = before;
    return path[0] == '/' ? fate_of(name, path) : GO_ON;
}

/* Of a call that can only be made in full: returns unless it may be made ... */
#define UNLESS_FAILED(decision)        \
    const enum fate fate = (decision); \
    if (fate == FAIL) return -1

/* ... and after it was made. */
static void die_if(enum fate fate) {
    if (fate == HALF_THEN_DIE || fate == DIE_AFTER) die();
}

static size_t share(enum fate fate, size_t count) {
    return (fate == HALF || fate == HALF_THEN_DIE) && count > 1 ? count / 2 : count;
}

static enum fate fate_of_open(const char* path, int flags) {
    const bool counted = (flags & (O_CREAT | O_TRUNC)) || getenv("CALLS_READS");
    return counted ? fate_of("open", path) : GO_ON;
}

#define OPEN_FUNCTION(name)                                                    \
    int name(const char* path, int flags, ...) {                               \
        NEXT(name);                                                            \
        va_list arguments;                                                     \
        va_start(arguments, flags);                                            \
        const mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                                     \
        UNLESS_FAILED(fate_of_open(path, flags));                              \
        const int file = next(path, flags, mode);                              \
        die_if(fate);                                                          \
        return file;                                                           \
    }
OPEN_FUNCTION(open)
OPEN_FUNCTION(open64)

ssize_t write(int file, const void* bytes, size_t count) {
    NEXT(write);
    UNLESS_FAILED(fate_of_descriptor("write", file));
    const ssize_t written = next(file, bytes, share(fate, count));
    die_if(fate);
    return written;
}

#define PWRITE_FUNCTION(name, offset_type)                                        \
    ssize_t name(int file, const void* bytes, size_t count, offset_type offset) { \
        NEXT(name);                                                               \
        UNLESS_FAILED(fate_of_descriptor("write", file));                         \
        const ssize_t written = next(file, bytes, share(fate, count), offset);    \
        die_if(fate);                                                             \
        return written;                                                           \
    }
PWRITE_FUNCTION(pwrite, off_t)
PWRITE_FUNCTION(pwrite64, off64_t)

/* The other functions all return 0 or -1. */
#define FUNCTION(name, parameters, decision, ...) \
    int name parameters {                         \
        NEXT(name);                               \
        UNLESS_FAILED(decision);                  \
        const int result = next(__VA_ARGS__);     \
        die_if(fate);                             \
        return result;                            \
    }
FUNCTION(ftruncate, (int file, off_t length), fate_of_descriptor("ftruncate", file), file, length)
FUNCTION(ftruncate64, (int file, off64_t length), fate_of_descriptor("ftruncate", file), file,
         length)
FUNCTION(fsync, (int file), fate_of_descriptor("fsync", file), file)
FUNCTION(fdatasync, (int file), fate_of_descriptor("fsync", file), file)
FUNCTION(link, (const char* from, const char* to), fate_of("link", to), from, to)
FUNCTION(unlink, (const char* path), fate_of("unlink", path), path)
FUNCTION(remove, (const char* path), fate_of("unlink", path), path)
FUNCTION(mkdir, (const char* path, mode_t mode), fate_of("mkdir", path), path, mode)
FUNCTION(futimens, (int file, const struct timespec times[2]), fate_of_descriptor("futimens", file),
         file, times)

static void keep(const char* path) {
    const char* folder = getenv("CALLS_KEEP");
    if (!folder || !beneath_folder(path)) return;
    const int before = errno;
    const char* slash = strrchr(path, '/');
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char kept[PATH_MAX];
    snprintf(kept, sizeof kept, "%s/%ld%09ld %s", folder, (long)now.tv_sec, now.tv_nsec,
             slash ? slash + 1 : path);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0);
    errno = before;
}

int rename(const char* from, const char* to) {
    NEXT(rename);
    UNLESS_FAILED(fate_of("rename", to));
    const int result = next(from, to);
    if (result == 0) keep(to);
    die_if(fate);
    return result;
}

int close(int file) {
    NEXT(close);
    const int before = errno;
    const int flags = fcntl(file, F_GETFL);
    errno = before;
    const bool written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    const enum fate fate = written ? fate_of_descriptor("close", file) : GO_ON;
    const int failure = errno;
    const int result = next(file); /* a close that fails has closed all the same */
    die_if(fate);
    if (fate != FAIL) return result;
    errno = failure;
    return -1;
}
