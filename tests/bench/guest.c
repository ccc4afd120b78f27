/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the guests of scripts/bench. As /init: a line a millisecond, for the peers, whose
 * guest is saved while it runs. Otherwise: the one useful line, and with an argument a rest after
 * it that nothing ends.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void tick(void)
{
    (void)puts("tick");
    usleep(1000);
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    while (strcmp(argv[0], "/init") == 0)
        tick();
    (void)puts("useful");
    while (argc > 1)
        pause();
    return 0;
}
