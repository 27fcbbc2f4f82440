/* A disk that fails for as long as a file says so.
 *
 * LD_PRELOAD=faulty_disk.so FAULTY_DISK=/switch PROGRAM
 *
 * While the file named by FAULTY_DISK begins with "sync", every fsync and fdatasync fails with EIO; with "full", every
 * write to a plain file fails with ENOSPC, the program's own log included; with "gone", every read, write and sync of
 * a plain file at an offset (as databases do) fails with EIO. Without the file, or with anything else, nothing fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first letter of the switch; the kernel is asked directly, so that nothing here calls itself. */
static char mode(void) {
    const char *path = getenv("FAULTY_DISK");
    char letter = 0;
    int saved = errno, file;
    if (path && (file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)) >= 0) {
        if (syscall(SYS_read, file, &letter, 1) != 1)
            letter = 0;
        syscall(SYS_close, file);
    }
    errno = saved;
    return letter;
}

static int plain(int file) {
    struct stat about;
    return fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}

static int fails(int file, char one, char other, int error) {
    char now = mode();
    if (now && (now == one || now == other) && plain(file)) {
        errno = error;
        return 1;
    }
    return 0;
}

int fsync(int file) { return fails(file, 's', 'g', EIO) ? -1 : (int)syscall(SYS_fsync, file); }
int fdatasync(int file) { return fails(file, 's', 'g', EIO) ? -1 : (int)syscall(SYS_fdatasync, file); }

ssize_t write(int file, const void *data, size_t size) {
    return fails(file, 'f', 0, ENOSPC) ? -1 : syscall(SYS_write, file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
    if (fails(file, 'f', 0, ENOSPC) || fails(file, 'g', 0, EIO))
        return -1;
    return syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }

ssize_t pread64(int file, void *data, size_t size, off_t at) {
    return fails(file, 'g', 0, EIO) ? -1 : syscall(SYS_pread64, file, data, size, at);
}

ssize_t pread(int file, void *data, size_t size, off_t at) { return pread64(file, data, size, at); }
