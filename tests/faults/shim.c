// SPDX-FileCopyrightText: 2026 secops.defender contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// For LD_PRELOAD: from a program's n-th call of one kind on, below one folder, the system says no.
// FAULT_CALL: write, fsync, rename, open, mkdir, unlink or flock. FAULT_BELOW: the folder. FAULT_FROM: n, from 1. FAULT_COUNT: how often, 0 for ever.
// FAULT_ERRNO: what it says.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int calls;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int is_below(const char *path) {
    const char *below = getenv("FAULT_BELOW");
    size_t size = below ? strlen(below) : 0;
    return size && strncmp(path, below, size) == 0 && (path[size] == 0 || path[size] == '/');
}

static int is_file_below(int file) {
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

// Whether this call of a file, or of a name (in a folder, unless it is a whole path), is one that fails.
static int fails(const char *call, int file, const char *name) {
    const char *kind = getenv("FAULT_CALL");
    if (!kind || strcmp(kind, call) != 0 || !(name && *name == '/' ? is_below(name) : is_file_below(file)))
        return 0;
    long from = number("FAULT_FROM"), count = number("FAULT_COUNT");
    long now = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (now < from || (count && now >= from + count))
        return 0;
    errno = (int)number("FAULT_ERRNO");
    return 1;
}

#define THE_SYSTEMS(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int file, const void *data, size_t size) {
    if (fails("write", file, NULL))
        return -1;
    return THE_SYSTEMS("write", ssize_t(*)(int, const void *, size_t))(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (fails("write", file, NULL))
        return -1;
    return THE_SYSTEMS("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(file, data, size, at);
}

int fsync(int file) {
    if (fails("fsync", file, NULL))
        return -1;
    return THE_SYSTEMS("fsync", int (*)(int))(file);
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    if (fails("rename", new_folder, new))
        return -1;
    return THE_SYSTEMS("renameat", int (*)(int, const char *, int, const char *))(old_folder, old, new_folder, new);
}

int openat64(int folder, const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (fails("open", folder, name))
        return -1;
    return THE_SYSTEMS("openat64", int (*)(int, const char *, int, mode_t))(folder, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (fails("open", AT_FDCWD, name))
        return -1;
    return THE_SYSTEMS("open64", int (*)(const char *, int, mode_t))(name, flags, mode);
}

int mkdirat(int folder, const char *name, mode_t mode) {
    if (fails("mkdir", folder, name))
        return -1;
    return THE_SYSTEMS("mkdirat", int (*)(int, const char *, mode_t))(folder, name, mode);
}

int mkdir(const char *name, mode_t mode) {
    if (fails("mkdir", AT_FDCWD, name))
        return -1;
    return THE_SYSTEMS("mkdir", int (*)(const char *, mode_t))(name, mode);
}

int unlinkat(int folder, const char *name, int flags) {
    if (fails("unlink", folder, name))
        return -1;
    return THE_SYSTEMS("unlinkat", int (*)(int, const char *, int))(folder, name, flags);
}

int flock(int file, int operation) {
    if (fails("flock", file, NULL))
        return -1;
    return THE_SYSTEMS("flock", int (*)(int, int))(file, operation);
}
