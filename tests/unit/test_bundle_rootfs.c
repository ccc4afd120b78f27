/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive cache and thaw-image. These tests run build/thaw-image, which `make` builds next to
 * the test program, and cpio(1).
 */
#include "tests/unit/test_bundle_support.h"

#include "vmm/base/cleanup.h"
#include "vmm/bundle/rootfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static struct bundle_directory directory; /* rootfs/ to pack; cache/ for the cache */
static struct bundle bundle;
static char root[128];

static void path_of(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", directory.path, name);
}

static void begin(void)
{
    bundle_directory_make(&directory);
    snprintf(root, sizeof(root), "%s/rootfs", directory.path);
    bundle = (struct bundle){.root = root};
    bundle_directory_write(&directory, "rootfs/file", "hello\n", 6);
    char cache[PATH_MAX];
    path_of("cache", cache);
    cr_assert_eq(setenv("XDG_CACHE_HOME", cache, 1), 0);
}

static void end(void)
{
    bundle_directory_remove(&directory);
}

TestSuite(bundle_rootfs, .init = begin, .fini = end);

/* Runs a shell command in the test's directory; its exit status, or 128 and the signal. */
__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
    char command[4096];
    int n = snprintf(command, sizeof(command), "cd %s && { ", directory.path);
    va_list args;
    va_start(args, format);
    n += vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
    va_end(args);
    snprintf(command + n, sizeof(command) - (size_t)n, "; }");
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Only root makes device nodes and gives files away; anybody else is told what was not tried. */
static bool is_root(void)
{
    if (geteuid() == 0)
        return true;
    cr_log_warn("not root: device nodes and owners are not tried");
    return false;
}

/* As rootfs_archive() finds it. */
static const char *thaw_image(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);
    cr_assert_gt(length, 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/'), "/thaw-image");
    cr_assert_eq(access(path, X_OK), 0, "%s is missing: run `make` first", path);
    return path;
}

static void key_of(char key[ROOTFS_KEY_SIZE])
{
    struct thaw_error err = {0};
    uint64_t newest_ns;
    cr_assert_eq(rootfs_key(&bundle, key, &newest_ns, &err), 0, "%s", err.message);
    cr_assert_eq(strlen(key), ROOTFS_KEY_SIZE - 1);
}

static void expect_new_key(const char *what, int status)
{
    static char before[ROOTFS_KEY_SIZE];
    char after[ROOTFS_KEY_SIZE];
    cr_assert_eq(status, 0, "%s", what);
    key_of(after);
    cr_expect_str_neq(after, before, "%s", what);
    memcpy(before, after, sizeof(before));
}

Test(bundle_rootfs, the_key_stays_while_nothing_changes_and_reading_changes_nothing)
{
    char one[ROOTFS_KEY_SIZE], two[ROOTFS_KEY_SIZE];
    key_of(one);
    cr_assert_eq(shell("cat rootfs/file >/dev/null"), 0);
    key_of(two);
    cr_assert_str_eq(one, two);
}

Test(bundle_rootfs, any_change_of_the_tree_gives_another_key)
{
    expect_new_key("as it is", 0);
    expect_new_key("contents of the same size",
                   shell("sleep 0.02; printf 'HELLO\\n' >rootfs/file"));
    expect_new_key("contents of the same size and time",
                   shell("cp -p rootfs/file ref; sleep 0.02; printf 'JELLO\\n' >rootfs/file; "
                         "touch -r ref rootfs/file"));
    expect_new_key("size", shell("printf more >>rootfs/file"));
    expect_new_key("mode", shell("chmod 4755 rootfs/file"));
    expect_new_key("time", shell("touch -d 2001-01-01 rootfs/file"));
    expect_new_key("new file", shell("touch rootfs/new"));
    expect_new_key("name", shell("mv rootfs/new rootfs/newer"));
    expect_new_key("symbolic link", shell("ln -s a rootfs/link"));
    expect_new_key("its target", shell("ln -sfn b rootfs/link"));
    expect_new_key("hard link", shell("ln rootfs/file rootfs/other"));
    expect_new_key("copy for a link",
                   shell("cp -p rootfs/file rootfs/t && mv rootfs/t rootfs/other"));
    if (is_root()) {
        expect_new_key("owner", shell("chown 5:6 rootfs/file"));
        expect_new_key("device", shell("mknod rootfs/null c 1 3"));
        expect_new_key("its number", shell("rm rootfs/null && mknod rootfs/null c 1 5"));
    }
    expect_new_key("deep down", shell("mkdir -p rootfs/a/b/c && touch rootfs/a/b/c/d"));
    expect_new_key("removal", shell("rm rootfs/a/b/c/d"));

    struct bundle_pack pack = {.source = root, .name = "binds/0"};
    bundle.packs = &pack;
    bundle.pack_count = 1;
    expect_new_key("another tree", 0);
    strcpy(pack.name, "binds/1");
    expect_new_key("its name", 0);
}

Test(bundle_rootfs, a_tree_that_cannot_be_walked_is_named)
{
    char missing[PATH_MAX], key[ROOTFS_KEY_SIZE];
    path_of("missing", missing);
    bundle.root = missing;
    struct thaw_error err = {0};
    uint64_t newest_ns;
    cr_assert_eq(rootfs_key(&bundle, key, &newest_ns, &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_IMAGE);
    cr_assert(strstr(err.message, "/missing: No such file or directory"), "%s", err.message);
}

Test(bundle_rootfs, directories_that_go_too_deep_are_an_error_and_links_in_circles_are_not)
{
    cr_assert_eq(shell("ln -s .. rootfs/up && ln -s up rootfs/round"), 0);
    char key[ROOTFS_KEY_SIZE];
    key_of(key);
    cr_assert_eq(shell("cd rootfs; i=0; while [ $i -lt 300 ]; do mkdir d && cd d; i=$((i+1)); "
                       "done"),
                 0);
    struct thaw_error err = {0};
    uint64_t newest_ns;
    cr_assert_eq(rootfs_key(&bundle, key, &newest_ns, &err), -ELOOP);
}

static void make_everything(void)
{
    cr_assert_eq(shell("cd rootfs && mkdir -p bin empty etc/deep && echo data >bin/tool && "
                       "chmod 4751 bin/tool && ln bin/tool bin/again && "
                       "ln bin/tool etc/deep/third && ln -s ../nowhere etc/link && "
                       "mkfifo -m 620 etc/fifo && "
                       "touch -d 2001-02-03 bin/tool && chmod 1777 empty && "
                       "printf x >\"$(printf 'odd \\377\\nname')\" && "
                       "head -c 300000 /dev/urandom >big"),
                 0);
    if (is_root())
        cr_assert_eq(shell("cd rootfs/etc && mknod null c 1 3 && mknod disk b 254 7 && "
                           "chown 12:34 ../bin/tool && chmod 4751 ../bin/tool"),
                     0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/rootfs/etc/socket", directory.path);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* Mode, owner, links, size, time, target and name of everything; of a symbolic link not the time,
 * which cpio does not put back. */
#define LISTING                                                                                    \
    "find . ! -type s ! -type d \\( -type l -printf '%%M %%U:%%G %%l %%p\\0' -o "                  \
    "-printf '%%M %%U:%%G %%n %%s %%T@ %%p\\0' \\) | sort -z"

Test(bundle_rootfs, what_is_packed_unpacks_to_the_same_tree)
{
    make_everything();
    cr_assert_eq(
        shell("%s pack --output o.cpio rootfs=rootfs binds/0=rootfs/etc binds/1=rootfs/etc/fifo "
              "binds/2=rootfs/bin/tool",
              thaw_image()),
        0);
    cr_assert_eq(shell("mkdir out && cd out && cpio -idm --quiet <../o.cpio"), 0);
    cr_assert_eq(shell("(cd rootfs && " LISTING ") | sed -z 's/\\.[0-9]* / /' >a && "
                       "(cd out/rootfs && " LISTING ") | sed -z 's/\\.[0-9]* / /' >b && cmp a b"),
                 0);
    cr_assert_eq(shell("diff -r --no-dereference -x fifo -x null -x disk -x socket "
                       "rootfs out/rootfs"),
                 0);
    cr_assert_eq(shell("test -p out/rootfs/etc/fifo -a ! -e out/rootfs/etc/socket"), 0);
    if (is_root())
        cr_assert_eq(shell("test $(stat -c %%t:%%T out/rootfs/etc/disk) = fe:7"), 0);
    cr_assert_eq(shell("test $(stat -c %%a out/rootfs/empty) = 1777"), 0);
    cr_assert_eq(shell("test out/rootfs/bin/tool -ef out/rootfs/bin/again -a "
                       "out/rootfs/bin/tool -ef out/rootfs/etc/deep/third"),
                 0);
    cr_assert_eq(shell("test -d out/binds/0/deep -a -p out/binds/1"), 0);
    cr_assert_eq(shell("cmp rootfs/bin/tool out/binds/2 && "
                       "test ! out/binds/2 -ef out/rootfs/bin/tool"),
                 0, "trees share no links");
}

Test(bundle_rootfs, archives_are_alike_each_time_and_can_follow_each_other)
{
    make_everything();
    cr_assert_eq(shell("%s pack -o a rootfs=rootfs && %s pack -o b rootfs=rootfs && cmp a b",
                       thaw_image(), thaw_image()),
                 0);
    cr_assert_eq(shell("test $(($(stat -c %%s a) %% 4096)) = 0"), 0);
    cr_assert_eq(shell("tail -c 8192 a | grep -q 'TRAILER!!!'"), 0);
    cr_assert_eq(shell("test $(stat -c %%a a) = 600"), 0);
}

Test(bundle_rootfs, thaw_image_says_what_is_wrong_in_one_line)
{
    static const struct {
        const char *arguments, *message;
        int status;
    } rows[] = {
        {"", "thaw-image: no command given (see thaw-image --help)", 2},
        {"fold", "thaw-image: fold: unknown command (see thaw-image --help)", 2},
        {"pack a=b", "thaw-image: pack needs --output FILE (see thaw-image --help)", 2},
        {"pack -o x", "thaw-image: pack needs NAME=DIR (see thaw-image --help)", 2},
        {"pack -o", "thaw-image: -o needs a value (see thaw-image --help)", 2},
        {"pack --frob", "thaw-image: --frob: unknown option (see thaw-image --help)", 2},
        {"pack -o x rootfs", "thaw-image: rootfs: not of the form NAME=DIR (see thaw-image --help)",
         2},
        {"pack -o x ../a=rootfs",
         "thaw-image: ../a: not a relative path of plain names (see thaw-image --help)", 2},
        {"pack -o x /a=rootfs",
         "thaw-image: /a: not a relative path of plain names (see thaw-image --help)", 2},
        {"pack -o x a=rootfs a=rootfs", "thaw-image: a: given twice (see thaw-image --help)", 2},
        {"pack -o x a=missing", "thaw-image: missing: No such file or directory", 1},
        {"pack -o no/x a=rootfs", "thaw-image: no/x: No such file or directory", 1},
        {"pack -o x a=huge",
         "thaw-image: a: 4294967296 bytes are more than a cpio archive can hold", 1},
    };
    cr_assert_eq(shell("truncate -s 4G huge"), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(shell("%s %s 2>said", thaw_image(), rows[i].arguments), rows[i].status, "%s",
                     rows[i].arguments);
        cr_expect_eq(shell("printf '%%s\\n' '%s' | cmp -s - said", rows[i].message), 0, "%s",
                     rows[i].message);
        cr_expect_eq(shell("test ! -e x && ! ls x.* 2>/dev/null"), 0, "nothing is left behind");
    }
    cr_expect_eq(shell("%s --version | grep -q '^thaw-image [0-9]'", thaw_image()), 0);
    cr_expect_eq(shell("%s --help | grep -q '^Usage: thaw-image pack'", thaw_image()), 0);
}

Test(bundle_rootfs, a_signal_ends_the_packing_and_leaves_no_file)
{
    /* 3 GiB of holes take longer to read than the signal takes to come. */
    cr_assert_eq(shell("truncate -s 3G rootfs/holes"), 0);
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "TERM" : "INT";
        cr_assert_eq(shell("%s pack -o x rootfs=rootfs 2>said & pid=$!; "
                           "while ! ls x.* >/dev/null 2>&1; do sleep 0.01; done; "
                           "kill -%s $pid; wait $pid; test $? = 1",
                           thaw_image(), name),
                     0);
        cr_expect_eq(shell("grep -qx 'thaw-image: interrupted by SIG%s' said", name), 0);
        cr_expect_eq(shell("test ! -e x && ! ls x.* 2>/dev/null"), 0);
    }
}

static void archive(char path[PATH_MAX])
{
    struct thaw_error err = {0};
    thaw_image();
    cr_assert_eq(rootfs_archive(&bundle, path, PATH_MAX, &err), 0, "%s", err.message);
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    cr_assert_eq(stat(path, &st), 0, "%s", path);
    return st;
}

Test(bundle_rootfs, a_second_run_uses_the_same_archive_and_a_changed_tree_another)
{
    char first[PATH_MAX], second[PATH_MAX], third[PATH_MAX];
    archive(first);
    ino_t inode = stat_of(first).st_ino;
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    cr_assert_eq(utimensat(AT_FDCWD, first, old, 0), 0);

    archive(second);
    cr_assert_str_eq(first, second);
    cr_assert_eq(stat_of(second).st_ino, inode, "it was not packed again");
    cr_assert_gt(stat_of(second).st_mtim.tv_sec, old[0].tv_sec, "it was marked as used");

    bundle_directory_write(&directory, "rootfs/file", "HELLO\n", 6);
    archive(third);
    cr_assert_str_neq(first, third);
    cr_assert_eq(shell("cpio -i --quiet --to-stdout rootfs/file <%s | grep -qx HELLO", third), 0);
    cr_assert_eq(shell("cpio -i --quiet --to-stdout rootfs/file <%s | grep -qx hello", first), 0);
}

Test(bundle_rootfs, a_change_right_after_packing_is_never_missed)
{
    char text[16], path[PATH_MAX];
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "%05d\n", i);
        bundle_directory_write(&directory, "rootfs/file", text, 6);
        archive(path);
        cr_assert_eq(shell("cpio -i --quiet --to-stdout rootfs/file <%s | grep -qx %05d", path, i),
                     0);
    }
}

Test(bundle_rootfs, entries_over_the_limit_go_oldest_first_unless_they_were_used_just_now)
{
    char path[PATH_MAX];
    archive(path);
    cr_assert_eq(shell("cd cache/thaw/rootfs && for i in $(seq 10 49); do "
                       "touch -d \"2001-01-01 00:$i\" old$i; done; touch new1 new2"),
                 0);
    bundle_directory_write(&directory, "rootfs/file", "HELLO\n", 6);
    archive(path);
    cr_expect_eq(stat_of(path).st_mode & S_IFMT, S_IFREG, "what was just made stays");
    cr_expect_eq(shell("test $(ls cache/thaw/rootfs | wc -l) = %d", ROOTFS_CACHE_ENTRIES_MAX), 0);
    cr_expect_eq(shell("cd cache/thaw/rootfs && test -e new1 -a -e new2 -a -e old49 -a ! -e old10"),
                 0);
}

Test(bundle_rootfs, entries_in_use_stay_even_over_the_limit)
{
    char path[PATH_MAX];
    archive(path);
    cr_assert_eq(shell("cd cache/thaw/rootfs && touch $(seq 100 150)"), 0);
    bundle_directory_write(&directory, "rootfs/file", "HELLO\n", 6);
    archive(path);
    cr_expect_eq(shell("test $(ls cache/thaw/rootfs | wc -l) = 53"), 0);
}

Test(bundle_rootfs, a_tree_that_changed_just_now_is_packed_only_after_a_tick)
{
    struct timespec start, stop;
    bundle_directory_write(&directory, "rootfs/file", "HELLO\n", 6);
    clock_gettime(CLOCK_MONOTONIC, &start);
    char path[PATH_MAX];
    archive(path);
    clock_gettime(CLOCK_MONOTONIC, &stop);
    int64_t elapsed_us =
        (stop.tv_sec - start.tv_sec) * 1000000 + (stop.tv_nsec - start.tv_nsec) / 1000;
    cr_assert_geq(elapsed_us, 20000);
}

Test(bundle_rootfs, many_at_once_all_get_a_whole_archive)
{
    enum { PROCESSES = 8 };
    thaw_image();
    for (int i = 0; i < PROCESSES; i++) {
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid > 0)
            continue;
        char path[PATH_MAX];
        struct thaw_error err = {0};
        _exit(rootfs_archive(&bundle, path, sizeof(path), &err) == 0 &&
                      shell("cpio -i --quiet --to-stdout rootfs/file <%s | grep -qx hello", path) ==
                          0
                  ? 0
                  : 1);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        cr_assert_gt(wait(&status), 0);
        cr_expect_eq(status, 0);
    }
    cr_expect_eq(shell("test $(ls cache/thaw/rootfs | wc -l) = 1"), 0, "one archive, no leftovers");
}

Test(bundle_rootfs, what_thaw_image_says_becomes_the_error)
{
    thaw_image();
    cr_assert_eq(shell("truncate -s 4G rootfs/huge"), 0);
    char path[PATH_MAX];
    struct thaw_error err = {0};
    cr_assert_lt(rootfs_archive(&bundle, path, sizeof(path), &err), 0);
    cr_expect_eq(err.failure, THAW_FAIL_IMAGE);
    cr_expect_str_eq(err.message, "thaw-image: rootfs/huge: 4294967296 bytes are more than a cpio "
                                  "archive can hold");
    cr_expect_eq(shell("test -z \"$(ls cache/thaw/rootfs)\""), 0, "nothing is left behind");
}

Test(bundle_rootfs, an_unusable_cache_directory_is_an_io_error)
{
    cr_assert_eq(setenv("XDG_CACHE_HOME", "/dev/null", 1), 0);
    char path[PATH_MAX];
    struct thaw_error err = {0};
    cr_assert_lt(rootfs_archive(&bundle, path, sizeof(path), &err), 0);
    cr_expect_eq(err.failure, THAW_FAIL_IO);
}
