/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into a real program: writes down every call that changes a disk below one folder, and
 * every answer over HTTP, in the order in which they were made.
 *
 *     RECORDED_FOLDER=/data RECORDER_LOG=/elsewhere/log LD_PRELOAD=./recorder.so program
 *
 * A record is a letter, two lengths, two numbers and two strings (tests/crash/recording.py reads
 * it). One lock is held around a call and its record, so the order is the true one; an answer is
 * written down before it is sent. Files are told apart by their inode, since descriptors are
 * duplicated and names change. The index that SQLite maps into memory (-shm) is left out: it never
 * outlives a power cut. A call that would change a file in a way that is not recorded is written
 * down as '?', which makes the reader refuse the log.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) \
    ({ static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name); next; })
/* Offsets have 64 bits in both. */
#define SAME(name) __attribute__((alias(#name)))

enum { MOST_ANSWER = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_length;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *wanted = getenv("RECORDED_FOLDER"), *path = getenv("RECORDER_LOG");
    if (!wanted || !path || !realpath(wanted, folder))
        return;
    folder_length = strlen(folder);
    int fd = NEXT(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
        close(fd);
    }
    if (log_fd < 0)
        abort();
}

/* --- what is recorded --- */

static void record(char what, const void *a, size_t a_length, const void *b, size_t b_length,
                   uint64_t x, uint64_t y)
{
    struct __attribute__((packed)) {
        char what;
        uint32_t a, b;
        uint64_t x, y;
    } head = {what, (uint32_t)a_length, (uint32_t)b_length, x, y};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)a, a_length}, {(void *)b, b_length}};
    ssize_t length = (ssize_t)(sizeof head + a_length + b_length);
    if (NEXT(writev)(log_fd, parts, 3) != length)
        abort(); /* a log with a hole would prove nothing */
}

static void record_paths(char what, const char *a, const char *b, uint64_t x, uint64_t y)
{
    record(what, a, strlen(a), b, strlen(b), x, y);
}

static int is_ours(const char *path)
{
    size_t length = strlen(path);
    return log_fd >= 0 && !strncmp(path, folder, folder_length)
        && (path[folder_length] == '/' || !path[folder_length])
        && !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static int path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int is_our_fd(int fd)
{
    char path[PATH_MAX];
    int saved = errno, ours = log_fd >= 0 && path_of(fd, path) && is_ours(path);
    errno = saved;
    return ours;
}

/* The name itself, without following it; "" where its directory is not there. */
static void absolute(int directory, const char *path, char out[PATH_MAX])
{
    char given[PATH_MAX] = "", parent[PATH_MAX];
    if (path[0] != '/') {
        if (directory != AT_FDCWD)
            path_of(directory, given);
        else if (!getcwd(given, sizeof given))
            given[0] = 0;
    }
    size_t length = strlen(given);
    snprintf(given + length, sizeof given - length, "%s%s", path[0] == '/' ? "" : "/", path);
    while ((length = strlen(given)) > 1 && given[length - 1] == '/')
        given[length - 1] = 0;
    char *name = strrchr(given, '/');
    *name++ = 0;
    out[0] = 0;
    if (realpath(given[0] ? given : "/", parent)
        && snprintf(out, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX)
        out[0] = 0;
}

static int is_our_path(int directory, const char *path, char out[PATH_MAX])
{
    int saved = errno;
    out[0] = 0;
    if (log_fd >= 0)
        absolute(directory, path, out);
    errno = saved;
    return is_ours(out);
}

static uint64_t inode_of(int fd, uint64_t *mode)
{
    struct stat found = {0};
    fstat(fd, &found);
    if (mode)
        *mode = found.st_mode & 07777;
    return found.st_ino;
}

#define HELD(result, ...) \
    do { \
        pthread_mutex_lock(&lock); \
        result; \
        int saved = errno; \
        __VA_ARGS__; \
        pthread_mutex_unlock(&lock); \
        errno = saved; \
    } while (0)

/* --- files --- */

static int open_it(int directory, const char *path, int flags, mode_t mode)
{
    char where[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !is_our_path(directory, path, where))
        return NEXT(openat)(directory, path, flags, mode);
    int fd = -1, existed = 0;
    HELD((existed = !faccessat(directory, path, F_OK, 0),
          fd = NEXT(openat)(directory, path, flags, mode)),
         if (fd >= 0) {
             uint64_t found, inode = inode_of(fd, &found);
             char opened[PATH_MAX];
             path_of(fd, opened);
             if (!existed)
                 record_paths('c', opened, "", inode, found);
             else if (flags & O_TRUNC)
                 record_paths('t', "", "", inode, 0);
         });
    return fd;
}

#define MODE_OF(flags) \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags) & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) SAME(open);

int openat(int directory, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_it(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) SAME(openat);
int __open64_2(const char *path, int flags) { return open_it(AT_FDCWD, path, flags, 0); }

static void written(int fd, const void *data, ssize_t taken, off_t at)
{
    if (taken > 0)
        record('w', data, (size_t)taken, "", 0, inode_of(fd, NULL), (uint64_t)at);
}

static void answered(int fd, const void *data, size_t length)
{
    static const char begins[] = "HTTP/1.";
    struct stat found;
    if (log_fd < 0 || length < sizeof begins || memcmp(data, begins, sizeof begins - 1))
        return;
    int saved = errno;
    if (!fstat(fd, &found) && S_ISSOCK(found.st_mode)) {
        pthread_mutex_lock(&lock);
        record('a', data, length < MOST_ANSWER ? length : MOST_ANSWER, "", 0, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t length)
{
    ssize_t taken;
    answered(fd, data, length);
    if (!is_our_fd(fd))
        return NEXT(write)(fd, data, length);
    HELD(taken = NEXT(write)(fd, data, length),
         written(fd, data, taken, lseek(fd, 0, SEEK_CUR) - taken));
    return taken;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (count > 0)
        answered(fd, parts[0].iov_base, parts[0].iov_len);
    if (is_our_fd(fd))
        HELD((void)0, record_paths('?', "writev", "", 0, 0));
    return NEXT(writev)(fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    answered(fd, data, length);
    return NEXT(send)(fd, data, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (message->msg_iovlen)
        answered(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return NEXT(sendmsg)(fd, message, flags);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
    ssize_t taken;
    if (!is_our_fd(fd))
        return NEXT(pwrite)(fd, data, length, at);
    HELD(taken = NEXT(pwrite)(fd, data, length, at), written(fd, data, taken, at));
    return taken;
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) SAME(pwrite);

int ftruncate(int fd, off_t size)
{
    int failed;
    if (!is_our_fd(fd))
        return NEXT(ftruncate)(fd, size);
    HELD(failed = NEXT(ftruncate)(fd, size),
         if (!failed) record_paths('t', "", "", inode_of(fd, NULL), (uint64_t)size));
    return failed;
}
int ftruncate64(int fd, off64_t size) SAME(ftruncate);

#define SYNCED(name) \
    int name(int fd) \
    { \
        int failed; \
        if (!is_our_fd(fd)) \
            return NEXT(name)(fd); \
        HELD(failed = NEXT(name)(fd), \
             if (!failed) record_paths('f', "", "", inode_of(fd, NULL), 0)); \
        return failed; \
    }

SYNCED(fsync)
SYNCED(fdatasync)

/* --- names --- */

static int rename_it(int a, const char *from, int b, const char *to)
{
    char source[PATH_MAX], target[PATH_MAX];
    int ours = is_our_path(a, from, source), failed;
    if (!is_our_path(b, to, target) && !ours)
        return NEXT(renameat)(a, from, b, to);
    HELD(failed = NEXT(renameat)(a, from, b, to),
         if (!failed) record_paths('r', source, target, 0, 0));
    return failed;
}

int rename(const char *from, const char *to) { return rename_it(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char *from, int b, const char *to) { return rename_it(a, from, b, to); }

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    char source[PATH_MAX], target[PATH_MAX];
    int failed;
    is_our_path(a, from, source);
    if (!is_our_path(b, to, target))
        return NEXT(linkat)(a, from, b, to, flags);
    HELD(failed = NEXT(linkat)(a, from, b, to, flags),
         if (!failed) record_paths('l', source, target, 0, 0));
    return failed;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *text, int directory, const char *path)
{
    char where[PATH_MAX];
    int failed;
    if (!is_our_path(directory, path, where))
        return NEXT(symlinkat)(text, directory, path);
    HELD(failed = NEXT(symlinkat)(text, directory, path),
         if (!failed) record_paths('s', text, where, 0, 0));
    return failed;
}
int symlink(const char *text, const char *path) { return symlinkat(text, AT_FDCWD, path); }

int unlinkat(int directory, const char *path, int flags)
{
    char where[PATH_MAX];
    int failed;
    if (!is_our_path(directory, path, where))
        return NEXT(unlinkat)(directory, path, flags);
    HELD(failed = NEXT(unlinkat)(directory, path, flags),
         if (!failed) record_paths(flags & AT_REMOVEDIR ? 'D' : 'u', where, "", 0, 0));
    return failed;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode)
{
    char where[PATH_MAX];
    int failed;
    if (!is_our_path(directory, path, where))
        return NEXT(mkdirat)(directory, path, mode);
    HELD(failed = NEXT(mkdirat)(directory, path, mode),
         if (!failed) {
             struct stat made = {0};
             stat(where, &made);
             record_paths('d', where, "", made.st_ino, made.st_mode & 07777);
         });
    return failed;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* --- what is not recorded, and must not happen unseen --- */
static void unseen(int fd, const char *what)
{
    if (is_our_fd(fd))
        HELD((void)0, record_paths('?', what, "", 0, 0));
}

#define REFUSED(type, name, fd, parameters, arguments) \
    type name parameters \
    { \
        unseen(fd, #name); \
        return NEXT(name) arguments; \
    }

REFUSED(int, fallocate, fd, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
REFUSED(int, posix_fallocate, fd, (int fd, off_t at, off_t size), (fd, at, size))
REFUSED(ssize_t, sendfile, to, (int to, int from, off_t *at, size_t size), (to, from, at, size))
REFUSED(ssize_t, pwritev, fd, (int fd, const struct iovec *parts, int count, off_t at),
        (fd, parts, count, at))
REFUSED(ssize_t, copy_file_range, to,
        (int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags),
        (from, from_at, to, to_at, size, flags))
int posix_fallocate64(int fd, off64_t at, off64_t size) SAME(posix_fallocate);
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) SAME(sendfile);

int truncate(const char *path, off_t size)
{
    char where[PATH_MAX];
    if (is_our_path(AT_FDCWD, path, where))
        HELD((void)0, record_paths('?', "truncate", "", 0, 0));
    return NEXT(truncate)(path, size);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at)
{
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED))
        unseen(fd, "mmap");
    return NEXT(mmap)(address, length, protection, flags, fd, at);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at) SAME(mmap);
