/* SPDX-License-Identifier: Apache-2.0 */
/* Reports itself on the control port as init-oci would, and a status of 7. */
#include "guest.h"

    .global _start
_start:
    print CONTROL, "hello init-oci test\n"
    print CONTROL, "workload-pre-exec\n"
    print CONTROL, "workload-exec\n"
    print CONSOLE, "output\n"
    print CONTROL, "workload-exit status=7\n"
1:  jmp 1b
