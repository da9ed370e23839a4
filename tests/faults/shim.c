// SPDX-FileCopyrightText: 2026 secops.defender contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// For LD_PRELOAD: from a program's n-th call of one kind on, below one folder, the system says no.
// FAULT_CALL: write, fsync or rename. FAULT_BELOW: the folder. FAULT_FROM: n, from 1. FAULT_COUNT: how often, 0 for ever.
// FAULT_ERRNO: what it says.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int calls;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

// Whether this call of a file (or of a folder with a name in it) is one that fails.
static int fails(const char *call, int file) {
    const char *kind = getenv("FAULT_CALL"), *below = getenv("FAULT_BELOW");
    if (!kind || !below || strcmp(kind, call) != 0)
        return 0;
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0)
        return 0;
    path[length] = 0;
    size_t size = strlen(below);
    if (strncmp(path, below, size) != 0 || (path[size] != 0 && path[size] != '/'))
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
    if (fails("write", file))
        return -1;
    return THE_SYSTEMS("write", ssize_t(*)(int, const void *, size_t))(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (fails("write", file))
        return -1;
    return THE_SYSTEMS("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(file, data, size, at);
}

int fsync(int file) {
    if (fails("fsync", file))
        return -1;
    return THE_SYSTEMS("fsync", int (*)(int))(file);
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    if (fails("rename", new_folder))
        return -1;
    return THE_SYSTEMS("renameat", int (*)(int, const char *, int, const char *))(old_folder, old, new_folder, new);
}
