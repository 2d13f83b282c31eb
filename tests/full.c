/* Preloaded into a process under test: from the FULL_AT-th write to a file below FULL_UNDER on, the disk is full
   (ENOSPC). With FULL_LOG the number of such writes is written there at exit. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static int full(int fd) {
  const char *under = getenv("FULL_UNDER"), *at = getenv("FULL_AT");
  char link[64], path[4096];
  struct stat s;
  if (!under || fstat(fd, &s) || !S_ISREG(s.st_mode)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  if (strncmp(path, under, strlen(under))) return 0;
  long mine = __sync_add_and_fetch(&calls, 1);
  if (!at || mine < atol(at)) return 0;
  errno = ENOSPC;
  return 1;
}

__attribute__((destructor)) static void tell(void) {
  const char *log = getenv("FULL_LOG");
  if (!log) return;
  FILE *out = fopen(log, "w");
  if (out) { fprintf(out, "%ld", calls); fclose(out); }
}

#define NEXT(type, name) static type (*next)() ; if (!next) next = (type (*)())dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *b, size_t n) { NEXT(ssize_t, write); return full(fd) ? -1 : next(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { NEXT(ssize_t, pwrite); return full(fd) ? -1 : next(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { NEXT(ssize_t, pwrite64); return full(fd) ? -1 : next(fd, b, n, o); }
ssize_t writev(int fd, const struct iovec *v, int n) { NEXT(ssize_t, writev); return full(fd) ? -1 : next(fd, v, n); }
int fallocate(int fd, int m, off_t o, off_t n) { NEXT(int, fallocate); return full(fd) ? -1 : next(fd, m, o, n); }
int posix_fallocate(int fd, off_t o, off_t n) { NEXT(int, posix_fallocate); return full(fd) ? ENOSPC : next(fd, o, n); }
