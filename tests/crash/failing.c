/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into a test: lets one system call about one file fail, which SQLite makes by itself.
 *
 *     failing_arm("state.db", 7, ENOSPC, 0)   the call number 7 from now does nothing and fails
 *     failing_arm("state.db", 7, EIO, 1)      it takes effect, and is said to have failed
 *     failing_only("open")                    of functions with this in their name; "" for all again
 *     failing_ever(1)                         all calls from that number on fail, as with a quota
 *     failing_hold(1)                         calls are not counted, and none fails, until 0
 *     failing_calls()                         how many calls there were since
 *     failing_last()                          the function that failed, "" if none did
 *
 * A file is any whose path has the given part, so SQLite's log and its index are meant too. Locks
 * fail as taken ones do not: with the given error. Reads fail whole; a short one at the end of a
 * file is no error to SQLite.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) \
    ({ static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name); next; })
#define SAME(name) __attribute__((alias(#name)))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char wanted[PATH_MAX], only[32];
static const char *failed = "";
static long count, at = -1;
static int error, takes_effect, held, ever;

void failing_arm(const char *part, long number, int with, int after)
{
    pthread_mutex_lock(&lock);
    snprintf(wanted, sizeof wanted, "%s", part);
    count = 0, at = number, error = with, takes_effect = after, failed = "", held = 0;
    pthread_mutex_unlock(&lock);
}

void failing_only(const char *name) { snprintf(only, sizeof only, "%s", name); }
void failing_ever(int all) { ever = all; }
void failing_hold(int hold) { held = hold; }
long failing_calls(void) { return count; }
const char *failing_last(void) { return failed; }

/* Whether this call, about this path, is to fail. */
static int fails(const char *path, const char *name)
{
    int now = 0;
    if (held || !wanted[0] || !path || !strstr(path, wanted) || (only[0] && !strstr(name, only)))
        return 0;
    pthread_mutex_lock(&lock);
    now = at >= 0 && (ever ? count >= at : count == at);
    count++;
    if (now)
        failed = name;
    pthread_mutex_unlock(&lock);
    return now;
}

static int fails_fd(int fd, const char *name)
{
    char link[64], path[PATH_MAX];
    int saved = errno;
    if (held || !wanted[0] || fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return fails(path, name);
}

/* The call, or its failure. What is opened and then said to have failed is closed again. */
#define FAILING(type, name, is_meant, parameters, arguments, bad, undo) \
    type name parameters \
    { \
        if (!(is_meant)) \
            return NEXT(name) arguments; \
        if (takes_effect) { \
            type result = NEXT(name) arguments; \
            (void)result; \
            undo; \
        } \
        errno = error; \
        return bad; \
    }
#define OF_FD(type, name, parameters, arguments) \
    FAILING(type, name, fails_fd(fd, #name), parameters, arguments, -1, (void)0)
#define OF_PATH(type, name, parameters, arguments) \
    FAILING(type, name, fails(path, #name), parameters, arguments, -1, (void)0)

OF_FD(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
OF_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
OF_FD(ssize_t, pread, (int fd, void *data, size_t size, off_t from), (fd, data, size, from))
OF_FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t to), (fd, data, size, to))
OF_FD(int, ftruncate, (int fd, off_t size), (fd, size))
OF_FD(int, fsync, (int fd), (fd))
OF_FD(int, fdatasync, (int fd), (fd))
OF_FD(int, fstat, (int fd, struct stat *found), (fd, found))
OF_PATH(int, unlink, (const char *path), (path))
OF_PATH(int, access, (const char *path, int how), (path, how))
OF_PATH(int, stat, (const char *path, struct stat *found), (path, found))
FAILING(void *, mmap, fails_fd(fd, "mmap"),
        (void *where, size_t size, int protection, int flags, int fd, off_t from),
        (where, size, protection, flags, fd, from), MAP_FAILED,
        if (result != MAP_FAILED) munmap(result, size))

ssize_t pread64(int fd, void *data, size_t size, off64_t from) SAME(pread);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t to) SAME(pwrite);
int ftruncate64(int fd, off64_t size) SAME(ftruncate);
int fstat64(int fd, struct stat64 *found) SAME(fstat);
int stat64(const char *path, struct stat64 *found) SAME(stat);
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t from) SAME(mmap);

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!fails(path, "open"))
        return NEXT(open)(path, flags, mode);
    if (takes_effect) {
        int fd = NEXT(open)(path, flags, mode);
        if (fd >= 0)
            close(fd);
    }
    errno = error;
    return -1;
}
int open64(const char *path, int flags, ...) SAME(open);

int fcntl(int fd, int what, ...)
{
    va_list rest;
    va_start(rest, what);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (what != F_SETLK || !fails_fd(fd, "fcntl"))
        return NEXT(fcntl)(fd, what, argument);
    /* A lock that is released is released: the kernel has no error for that. */
    if (((struct flock *)argument)->l_type == F_UNLCK)
        return NEXT(fcntl)(fd, what, argument);
    if (takes_effect)
        NEXT(fcntl)(fd, what, argument);
    errno = error;
    return -1;
}
int fcntl64(int fd, int what, ...) SAME(fcntl);
