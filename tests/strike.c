/* Preloaded into a process under test: at the STRIKE_AT-th fsync, fdatasync or rename, before it happens, the
   process is killed. With STRIKE_LOG the number of such calls is written there at exit instead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long calls;

static void count(void) {
  const char *at = getenv("STRIKE_AT");
  calls++;
  if (at && atol(at) == calls) kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void tell(void) {
  const char *log = getenv("STRIKE_LOG");
  if (!log) return;
  FILE *out = fopen(log, "w");
  if (out) { fprintf(out, "%ld", calls); fclose(out); }
}

#define NEXT(type, name) static type (*next)() ; if (!next) next = (type (*)())dlsym(RTLD_NEXT, #name)

int fsync(int fd) { NEXT(int, fsync); count(); return next(fd); }
int fdatasync(int fd) { NEXT(int, fdatasync); count(); return next(fd); }
int rename(const char *a, const char *b) { NEXT(int, rename); count(); return next(a, b); }
int renameat(int x, const char *a, int y, const char *b) { NEXT(int, renameat); count(); return next(x, a, y, b); }
int renameat2(int x, const char *a, int y, const char *b, unsigned f) { NEXT(int, renameat2); count(); return next(x, a, y, b, f); }
