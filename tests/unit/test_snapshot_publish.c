/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/publish.h"

#include "snapshot/format.h"
#include "vmm/base/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char base[] = "/tmp/thaw-publish-XXXXXX";
static char target[64];
static struct thaw_error err;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(base));
    snprintf(target, sizeof(target), "%s/snapshot", base);
    err = (struct thaw_error){0};
}

static void teardown(void)
{
    nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(publish, .init = setup, .fini = teardown);

static const char *below(const char *directory, const char *name)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* "" when there is none. */
static const char *read_file(const char *path)
{
    static char text[64];
    memset(text, 0, sizeof(text));
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        cr_assert_geq(read(fd, text, sizeof(text) - 1), 0);
    return text;
}

static int create(const struct publish *publish, const char *name, const char *text)
{
    struct thaw_error ignored = {0};
    cleanup_close int fd = publish_create(publish, name, &ignored);
    return fd < 0 ? fd : file_write_full(fd, text, strlen(text), &ignored);
}

/* A snapshot of two files, both with `text` behind the magic. */
static int publish_text(const char *text, bool sync)
{
    char whole[64];
    snprintf(whole, sizeof(whole), SNAPSHOT_MAGIC "%s", text);
    cleanup_publish struct publish publish = PUBLISH_NONE;
    int rc = publish_begin(&publish, target, &err);
    if (rc == 0)
        rc = create(&publish, SNAPSHOT_STATE, whole);
    if (rc == 0)
        rc = create(&publish, SNAPSHOT_MEMORY, whole);
    return rc < 0 ? rc : publish_commit(&publish, sync, &err);
}

static int count_one(void *ctx, int dir_fd, const char *name)
{
    (void)dir_fd, (void)name;
    ++*(unsigned *)ctx;
    return 0;
}

static unsigned files_in(const char *path)
{
    unsigned count = 0;
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(publish_each_file(fd, count_one, &count), 0);
    return count;
}

Test(publish, a_new_snapshot_appears_whole_and_private)
{
    cleanup_publish struct publish publish = PUBLISH_NONE;
    cr_assert_eq(publish_begin(&publish, target, &err), 0, "%s", err.message);
    cr_assert_eq(create(&publish, SNAPSHOT_STATE, SNAPSHOT_MAGIC), 0);
    cr_assert_neq(access(target, F_OK), 0, "not before it is committed");
    cr_assert_eq(publish_commit(&publish, false, &err), 0, "%s", err.message);

    struct stat st;
    cr_assert_eq(stat(target, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700);
    cr_assert_eq(stat(below(target, SNAPSHOT_STATE), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    publish_end(&publish);
    cr_assert_eq(files_in(base), 1, "no temporary directory is left");
}

Test(publish, an_old_snapshot_is_replaced_and_removed)
{
    cr_assert_eq(publish_text("old", false), 0, "%s", err.message);
    cr_assert_eq(publish_text("new", true), 0, "%s", err.message);
    cr_assert_str_eq(read_file(below(target, SNAPSHOT_MEMORY)), SNAPSHOT_MAGIC "new");
    cr_assert_eq(files_in(base), 1);
    cr_assert_eq(files_in(target), 2);
}

Test(publish, what_is_not_committed_is_removed)
{
    cr_assert_eq(publish_text("old", false), 0);
    {
        cleanup_publish struct publish publish = PUBLISH_NONE;
        cr_assert_eq(publish_begin(&publish, target, &err), 0);
        cr_assert_eq(create(&publish, SNAPSHOT_STATE, "half"), 0);
    }
    cr_assert_eq(files_in(base), 1);
    cr_assert_str_eq(read_file(below(target, SNAPSHOT_STATE)), SNAPSHOT_MAGIC "old");
}

Test(publish, a_directory_that_is_no_snapshot_is_refused_and_kept)
{
    cr_assert_eq(mkdir(target, 0700), 0);
    cr_assert_eq(publish_text("new", false), -EEXIST);
    write_file(below(target, "letter"), "dear");
    cr_assert_eq(publish_text("new", false), -EEXIST);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    write_file(below(target, SNAPSHOT_STATE), "of the union");
    cr_assert_eq(publish_text("new", false), -EEXIST);
    cr_assert_str_eq(read_file(below(target, "letter")), "dear");
    cr_assert_eq(files_in(base), 1);
}

Test(publish, a_snapshot_with_a_file_of_somebody_else_is_refused_and_kept)
{
    cr_assert_eq(publish_text("old", false), 0);
    write_file(below(target, "letter"), "dear");
    cr_assert_eq(publish_text("new", false), -EEXIST);
    cr_assert_not_null(strstr(err.message, "letter"), "%s", err.message);
    cr_assert_str_eq(read_file(below(target, SNAPSHOT_STATE)), SNAPSHOT_MAGIC "old");
}

Test(publish, a_directory_that_comes_meanwhile_is_refused_and_kept)
{
    cleanup_publish struct publish publish = PUBLISH_NONE;
    cr_assert_eq(publish_begin(&publish, target, &err), 0);
    cr_assert_eq(mkdir(target, 0700), 0);
    write_file(below(target, "letter"), "dear");
    cr_assert_eq(publish_commit(&publish, false, &err), -EEXIST);
    cr_assert_str_eq(read_file(below(target, "letter")), "dear");
}

Test(publish, a_snapshot_that_comes_meanwhile_is_replaced)
{
    cleanup_publish struct publish publish = PUBLISH_NONE;
    cr_assert_eq(publish_begin(&publish, target, &err), 0);
    cr_assert_eq(create(&publish, SNAPSHOT_STATE, SNAPSHOT_MAGIC "second"), 0);
    cr_assert_eq(publish_text("first", false), 0, "%s", err.message);
    cr_assert_eq(publish_commit(&publish, false, &err), 0, "%s", err.message);
    cr_assert_str_eq(read_file(below(target, SNAPSHOT_STATE)), SNAPSHOT_MAGIC "second");
    publish_end(&publish);
    cr_assert_eq(files_in(base), 1);
}

Test(publish, links_and_files_in_its_place_are_refused)
{
    char elsewhere[64];
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", base);
    cr_assert_eq(mkdir(elsewhere, 0700), 0);
    write_file(below(elsewhere, SNAPSHOT_STATE), SNAPSHOT_MAGIC);
    cr_assert_eq(symlink(elsewhere, target), 0);
    cr_assert_eq(publish_text("new", false), -ELOOP);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    cr_assert_eq(unlink(target), 0);
    write_file(target, "a file");
    cr_assert_lt(publish_text("new", false), 0);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    cr_assert_str_eq(read_file(target), "a file");
}

Test(publish, a_parent_that_is_a_link_or_missing_is_refused)
{
    char link[64];
    snprintf(link, sizeof(link), "%s/link", base);
    cr_assert_eq(symlink(base, link), 0);
    cleanup_publish struct publish publish = PUBLISH_NONE;
    cr_assert_lt(publish_begin(&publish, below(link, "snapshot"), &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    publish_end(&publish);
    cr_assert_eq(publish_begin(&publish, below(base, "none/snapshot"), &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
}

Test(publish, a_path_without_a_name_is_refused)
{
    static const char *const paths[] = {"", "/", ".", "..", "a/..", "/tmp/.", "//"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cleanup_publish struct publish publish = PUBLISH_NONE;
        cr_assert_eq(publish_begin(&publish, paths[i], &err), -EINVAL, "'%s'", paths[i]);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    }
}

Test(publish, slashes_at_the_end_do_not_matter)
{
    strcat(target, "///");
    cr_assert_eq(publish_text("new", false), 0, "%s", err.message);
    cr_assert_str_eq(read_file(below(base, "snapshot/state")), SNAPSHOT_MAGIC "new");
}

Test(publish, what_a_killed_writer_left_is_removed_by_the_next)
{
    char left[64];
    snprintf(left, sizeof(left), "%s/" PUBLISH_TEMPORARY_PREFIX "abcdef", base);
    cr_assert_eq(mkdir(left, 0700), 0);
    write_file(below(left, SNAPSHOT_MEMORY), "half");
    write_file(below(left, "disk-12"), "half");
    cr_assert_eq(publish_text("new", false), 0);
    cr_assert_eq(files_in(base), 1);
}

Test(publish, the_directory_of_a_living_writer_is_left_alone)
{
    cleanup_publish struct publish publish = PUBLISH_NONE;
    cr_assert_eq(publish_begin(&publish, below(base, "other"), &err), 0);
    cr_assert_eq(create(&publish, SNAPSHOT_STATE, SNAPSHOT_MAGIC), 0);
    cr_assert_eq(publish_text("new", false), 0, "%s", err.message);
    cr_assert_eq(publish_commit(&publish, false, &err), 0, "%s", err.message);
    cr_assert_eq(files_in(base), 2);
}

Test(publish, a_directory_with_a_name_like_it_and_other_files_is_left_alone)
{
    char like[64];
    snprintf(like, sizeof(like), "%s/" PUBLISH_TEMPORARY_PREFIX "config", base);
    cr_assert_eq(mkdir(like, 0700), 0);
    write_file(below(like, "letter"), "dear");
    cr_assert_eq(publish_text("new", false), 0);
    cr_assert_str_eq(read_file(below(like, "letter")), "dear");
}

Test(publish, only_names_of_a_snapshots_files_are_known)
{
    cr_assert(publish_is_snapshot_file("state"));
    cr_assert(publish_is_snapshot_file("memory.zst"));
    cr_assert(publish_is_snapshot_file("disk-0"));
    cr_assert_not(publish_is_snapshot_file("disk-"));
    cr_assert_not(publish_is_snapshot_file("disk-1a"));
    cr_assert_not(publish_is_snapshot_file("memory.zst.1"));
    cr_assert_not(publish_is_snapshot_file(""));
}

static void publish_for_ever(void)
{
    for (unsigned generation = 0;; generation++) {
        char text[32];
        snprintf(text, sizeof(text), "%u", generation);
        if (publish_text(text, false) < 0)
            _exit(1);
    }
}

/* Both files are there and of one generation; or there is no snapshot at all. */
static void check_whole(void)
{
    if (access(target, F_OK) != 0)
        return;
    char state[64];
    strcpy(state, read_file(below(target, SNAPSHOT_STATE)));
    cr_assert_eq(strncmp(state, SNAPSHOT_MAGIC, strlen(SNAPSHOT_MAGIC)), 0, "'%s'", state);
    cr_assert_str_eq(read_file(below(target, SNAPSHOT_MEMORY)), state);
}

Test(publish, a_writer_killed_at_any_point_leaves_a_whole_snapshot_or_none, .timeout = 60)
{
    srand(1);
    for (unsigned i = 0; i < 150; i++) {
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0)
            publish_for_ever();
        usleep((useconds_t)(rand() % 3000));
        cr_assert_eq(kill(child, SIGKILL), 0);
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "the writer itself must not fail: %s", err.message);
        check_whole();
        cr_assert_leq(files_in(base), 2, "no more than one is left over");
    }
    cr_assert_eq(publish_text("last", false), 0);
    cr_assert_eq(files_in(base), 1);
}

Test(publish, writers_at_once_do_not_disturb_each_other, .timeout = 60)
{
    pid_t children[4];
    for (unsigned i = 0; i < 4; i++)
        if ((children[i] = fork()) == 0) {
            for (unsigned n = 0; n < 100; n++)
                if (publish_text("same", false) < 0) {
                    fprintf(stderr, "%u: %s\n", n, err.message);
                    _exit(1);
                }
            _exit(0);
        }
    for (unsigned i = 0; i < 4; i++) {
        int status;
        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_assert_eq(status, 0);
    }
    check_whole();
    cr_assert_eq(publish_text("last", false), 0);
    cr_assert_eq(files_in(base), 1);
}
