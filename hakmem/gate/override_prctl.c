/* prctl, which a process that sandboxes itself calls first. Whatever filter follows, HAKMEM opens no file behind it: one that
 * kills would take that for an attack (hakmem/limits). */
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/base.h"
#include "hakmem/limits/limits.h"

enum { ARGUMENTS = 4 };

HAK_EXPORT int prctl(int option, ...);

/* As libc's: all four are read, however many there are. */
int prctl(int option, ...) {
  unsigned long arguments[ARGUMENTS];
  va_list list;
  va_start(list, option);
  for (int i = 0; i < ARGUMENTS; i++) arguments[i] = va_arg(list, unsigned long);
  va_end(list);
  if (option == PR_SET_NO_NEW_PRIVS || option == PR_SET_SECCOMP) hak_limits_close();
  return (int)syscall(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3]);
}
