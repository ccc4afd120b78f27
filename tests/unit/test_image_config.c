/* SPDX-License-Identifier: Apache-2.0 */
/* What an imported image says of its process: users and config.json. */
#include "vmm/image/runtime_config.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(image_config);

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken line\n"
                             "overflow:x:99999999999:1:::\n"
                             "web:x:33:34::/srv:/bin/false\n"
                             "1000:x:7:8::/seven:\n"
                             "last:x:1000:1001::/home/last:/bin/sh";
static const char group[] = "root:x:0:\nwww:x:34:web\nextra:x:50:root,web\nmore:x:51:web,last\n"
                            "odd:x:x:web\n5:x:77:\n";

static struct image_user resolve(const char *spec)
{
    struct image_user user;
    struct thaw_error err = {0};
    cr_assert_eq(image_user_resolve(spec, passwd, group, &user, &err), 0, "%s: %s", spec,
                 err.message);
    return user;
}

Test(image_config, users_resolve_by_name_and_number)
{
    static const struct {
        const char *spec;
        uint32_t uid, gid;
        size_t groups;
        const char *home;
    } rows[] = {
        {"", 0, 0, 1, "/root"},
        {"root", 0, 0, 1, "/root"},
        {"web", 33, 34, 2, "/srv"},
        {"33", 33, 34, 2, "/srv"},
        {"web:50", 33, 50, 0, "/srv"},
        {"web:extra", 33, 50, 0, "/srv"},
        {"5:www", 5, 34, 0, "/"},
        {"12345", 12345, 0, 0, "/"},
        {"12345:6", 12345, 6, 0, "/"},
        {"1000", 7, 8, 0, "/seven"},
        {"last", 1000, 1001, 1, "/home/last"},
        {"root:5", 0, 77, 0, "/root"},
        {"4294967294", 4294967294u, 0, 0, "/"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct image_user user = resolve(rows[i].spec);
        cr_expect_eq(user.uid, rows[i].uid, "%s: uid %u", rows[i].spec, user.uid);
        cr_expect_eq(user.gid, rows[i].gid, "%s: gid %u", rows[i].spec, user.gid);
        cr_expect_eq(user.group_count, rows[i].groups, "%s: %zu groups", rows[i].spec,
                     user.group_count);
        cr_expect_str_eq(user.home, rows[i].home, "%s", rows[i].spec);
    }
}

Test(image_config, users_that_are_not_there_are_refused_by_name)
{
    static const char *const bad[] = {"nobody",      "web:nogroup", "-1",    "4294967295",
                                      "99999999999", "overflow",    "web:-1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct image_user user;
        struct thaw_error err = {0};
        cr_expect_lt(image_user_resolve(bad[i], passwd, group, &user, &err), 0, "%s", bad[i]);
        cr_expect_eq(err.failure, THAW_FAIL_IMAGE);
    }
}

Test(image_config, an_image_without_accounts_still_has_numbers)
{
    struct image_user user;
    struct thaw_error err = {0};
    cr_expect_eq(image_user_resolve("", "", "", &user, &err), 0);
    cr_expect_eq(image_user_resolve("5:6", "", "", &user, &err), 0);
    cr_expect_eq(user.gid, 6);
    cr_expect_lt(image_user_resolve("root", "", "", &user, &err), 0);
}

/* ---- config.json --------------------------------------------------------------------------- */

static json_t *make(const char *image_text, struct thaw_error *err)
{
    json_t *image = json_loads(image_text, 0, NULL), *config = NULL;
    cr_assert_not_null(image);
    const struct image_user user = {
        .uid = 33, .gid = 34, .groups = {50, 51}, .group_count = 2, .home = "/srv"};
    runtime_config_make(image, &user, "web", &config, err);
    json_decref(image);
    return config;
}

static const char *string_at(const json_t *config, const char *object, const char *key)
{
    const char *value = json_string_value(json_object_get(json_object_get(config, object), key));
    return value ? value : "(none)";
}

static const char *element(const json_t *config, const char *list, size_t index)
{
    const json_t *array = json_object_get(json_object_get(config, "process"), list);
    const char *value = json_string_value(json_array_get(array, index));
    return value ? value : "(none)";
}

Test(image_config, entrypoint_and_cmd_make_one_command_line)
{
    struct thaw_error err = {0};
    json_t *config = make("{\"config\":{\"Entrypoint\":[\"/e\",\"-x\"],\"Cmd\":[\"c\"],"
                          "\"WorkingDir\":\"/w\",\"Env\":[\"A=1\",\"PATH=/p\"]}}",
                          &err);
    cr_assert_not_null(config, "%s", err.message);
    cr_expect_str_eq(element(config, "args", 0), "/e");
    cr_expect_str_eq(element(config, "args", 2), "c");
    cr_expect_str_eq(element(config, "args", 3), "(none)");
    cr_expect_str_eq(string_at(config, "annotations", ANNOTATION_ENTRYPOINT), "2");
    cr_expect_str_eq(string_at(config, "process", "cwd"), "/w");
    cr_expect_str_eq(element(config, "env", 1), "PATH=/p");
    cr_expect_str_eq(element(config, "env", 2), "HOME=/srv");
    cr_expect_str_eq(element(config, "env", 3), "(none)");
    json_decref(config);
}

Test(image_config, an_image_that_says_nothing_gets_a_shell_a_path_and_the_root)
{
    struct thaw_error err = {0};
    json_t *config = make("{}", &err);
    cr_assert_not_null(config, "%s", err.message);
    cr_expect_str_eq(element(config, "args", 0), "/bin/sh");
    cr_expect_str_eq(string_at(config, "process", "cwd"), "/");
    cr_expect_eq(strncmp(element(config, "env", 0), "PATH=/usr/local/sbin:", 21), 0);
    cr_expect_str_eq(string_at(config, "root", "path"), "root.erofs");
    cr_expect_str_eq(string_at(config, "annotations", ANNOTATION_ENTRYPOINT), "0");
    json_decref(config);
}

Test(image_config, labels_win_over_what_is_derived_but_not_over_thaws_own)
{
    struct thaw_error err = {0};
    json_t *config =
        make("{\"os\":\"linux\",\"author\":\"a\",\"config\":{\"StopSignal\":\"SIGINT\","
             "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},"
             "\"Labels\":{\"org.opencontainers.image.author\":\"b\",\"x\":\"y\",\"\":\"z\","
             "\"dev.thaw.entrypoint-args\":\"9\"}}}",
             &err);
    cr_assert_not_null(config, "%s", err.message);
    cr_expect_str_eq(string_at(config, "annotations", "org.opencontainers.image.os"), "linux");
    cr_expect_str_eq(string_at(config, "annotations", "org.opencontainers.image.author"), "b");
    cr_expect_str_eq(string_at(config, "annotations", "org.opencontainers.image.stopSignal"),
                     "SIGINT");
    cr_expect_str_eq(string_at(config, "annotations", "org.opencontainers.image.exposedPorts"),
                     "80/tcp,53/udp");
    cr_expect_str_eq(string_at(config, "annotations", "x"), "y");
    cr_expect_str_eq(string_at(config, "annotations", ANNOTATION_ENTRYPOINT), "0");
    cr_expect_null(json_object_get(json_object_get(config, "annotations"), ""));
    json_decref(config);
}

Test(image_config, fields_of_a_wrong_type_are_refused_by_name)
{
    static const struct {
        const char *text, *field;
    } rows[] = {
        {"{\"config\":[]}", "config"},
        {"{\"config\":{\"Cmd\":\"x\"}}", "Cmd"},
        {"{\"config\":{\"Entrypoint\":[1]}}", "Entrypoint"},
        {"{\"config\":{\"Env\":{}}}", "Env"},
        {"{\"config\":{\"WorkingDir\":1}}", "WorkingDir"},
        {"{\"config\":{\"Labels\":[]}}", "Labels"},
        {"{\"config\":{\"Labels\":{\"a\":1}}}", "Labels"},
        {"{\"config\":{\"ExposedPorts\":[]}}", "ExposedPorts"},
        {"{\"created\":1}", "created"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct thaw_error err = {0};
        cr_expect_null(make(rows[i].text, &err), "%s", rows[i].text);
        cr_expect(strstr(err.message, rows[i].field), "%s: %s", rows[i].text, err.message);
    }
}

Test(image_config, null_counts_as_not_given)
{
    struct thaw_error err = {0};
    json_t *config = make("{\"config\":{\"Entrypoint\":null,\"Cmd\":null,\"Env\":null,"
                          "\"Labels\":null,\"ExposedPorts\":null,\"WorkingDir\":null}}",
                          &err);
    cr_assert_not_null(config, "%s", err.message);
    json_decref(config);
}
