/* Writes down what a process does to the files of one folder, and makes some of it fail.
 *
 * LD_PRELOAD=power_cut.so DISK_FOLDER=/folder DISK_LOG=/log PROGRAM
 *
 * Every write, truncation, creation, deletion and sync under DISK_FOLDER is carried out and appended to DISK_LOG, in the
 * order in which it happened; tests/ledger/power_cut.py reads it. DISK_FAIL_SYNC=A-B makes the A-th to the B-th sync
 * fail with EIO, DISK_ROOM=N makes writes fail with ENOSPC once N bytes were written. Only plain files below the folder
 * count; SQLite's shared memory (-shm) is mapped, never synced and rebuilt after a crash, so it is left out.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FD_MAX 1024
#define NAME_MAX_LENGTH 128

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char names[FD_MAX][NAME_MAX_LENGTH]; /* name below the folder by descriptor; "." is the folder itself */
static char folder[512];
static size_t folder_length;
static int log_fd = -1;
static long syncs, fail_from, fail_to;
static long long room = -1;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void start(void)
{
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *where = getenv("DISK_FOLDER"), *to = getenv("DISK_LOG");
    const char *fail = getenv("DISK_FAIL_SYNC"), *space = getenv("DISK_ROOM");
    if (where == NULL || to == NULL)
        return;
    snprintf(folder, sizeof folder, "%s", where);
    folder_length = strlen(folder);
    if (fail != NULL)
        sscanf(fail, "%ld-%ld", &fail_from, &fail_to);
    if (space != NULL)
        room = atoll(space);
    log_fd = real_open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name of a path below the folder, "." for the folder, NULL for anything else. */
static const char *inside(const char *path)
{
    if (log_fd < 0 || path == NULL || strncmp(path, folder, folder_length) != 0)
        return NULL;
    if (path[folder_length] == '\0')
        return ".";
    if (path[folder_length] != '/')
        return NULL;
    const char *name = path + folder_length + 1;
    size_t length = strlen(name);
    if (length == 0)
        return ".";
    if (length >= NAME_MAX_LENGTH || strstr(name, "-shm") != NULL || strstr(name, ".lock") != NULL)
        return NULL;
    return name;
}

static const char *name_of(int fd)
{
    return log_fd >= 0 && fd >= 0 && fd < FD_MAX && names[fd][0] ? names[fd] : NULL;
}

static void note(char what, const char *name, long long at, size_t length, const void *data)
{
    char head[256];
    int size = snprintf(head, sizeof head, "%c %s %lld %zu\n", what, name, at, length);
    if (real_write(log_fd, head, size) != size || (length && real_write(log_fd, data, length) != (ssize_t)length))
        abort(); /* a log with a hole would prove nothing */
}

static int opened(const char *path, int flags, mode_t mode)
{
    const char *name = inside(path);
    if (name == NULL)
        return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int existed = stat(path, &before) == 0;
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < FD_MAX) {
        snprintf(names[fd], NAME_MAX_LENGTH, "%s", name);
        if (!existed)
            note('C', name, 0, 0, NULL);
        else if (flags & O_TRUNC)
            note('T', name, 0, 0, NULL);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int close(int fd)
{
    if (name_of(fd))
        names[fd][0] = '\0';
    return real_close(fd);
}

static int without_room(size_t length)
{
    if (room < 0)
        return 0;
    if ((long long)length > room) {
        errno = ENOSPC;
        return 1;
    }
    room -= length;
    return 0;
}

ssize_t write(int fd, const void *data, size_t length)
{
    const char *name = name_of(fd);
    if (name == NULL)
        return real_write(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = without_room(length) ? -1 : real_write(fd, data, length);
    if (done > 0)
        note('W', name, (long long)lseek(fd, 0, SEEK_CUR) - done, done, data);
    pthread_mutex_unlock(&lock);
    return done;
}

static ssize_t written_at(int fd, const void *data, size_t length, off_t at)
{
    const char *name = name_of(fd);
    if (name == NULL)
        return real_pwrite(fd, data, length, at);
    pthread_mutex_lock(&lock);
    ssize_t done = without_room(length) ? -1 : real_pwrite(fd, data, length, at);
    if (done > 0)
        note('W', name, at, done, data);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return written_at(fd, data, length, at); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return written_at(fd, data, length, at); }

static int truncated(int fd, off_t size)
{
    const char *name = name_of(fd);
    if (name == NULL)
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int done = real_ftruncate(fd, size);
    if (done == 0)
        note('T', name, size, 0, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off_t size) { return truncated(fd, size); }

/* What was written before the sync began is safe when it ends well: both moments are noted. */
static int synced(int fd, int (*real)(int))
{
    const char *name = name_of(fd);
    if (name == NULL)
        return real(fd);
    pthread_mutex_lock(&lock);
    long number = ++syncs;
    int fails = fail_from && number >= fail_from && number <= fail_to;
    note('B', name, number, 0, NULL);
    pthread_mutex_unlock(&lock);
    int done = fails ? -1 : real(fd);
    pthread_mutex_lock(&lock);
    note(done == 0 ? 'S' : 'F', name, number, 0, NULL);
    pthread_mutex_unlock(&lock);
    if (fails)
        errno = EIO;
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int unlink(const char *path)
{
    const char *name = inside(path);
    if (name == NULL)
        return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = real_unlink(path);
    if (done == 0)
        note('U', name, 0, 0, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}
