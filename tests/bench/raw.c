/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/raw.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define FILE_MAX (64u << 20)
/* What a list may hold: more than anybody measures, and no memory problem. */
#define LIST_MAX   1000000
#define NUMBER_MAX 1e15
/* Of what is divided by. */
#define GOAL_MIN 1e-12

__attribute__((format(printf, 2, 3))) static int wrong(struct thaw_error *err, const char *why, ...)
{
    char text[256];
    va_list args;
    va_start(args, why);
    (void)vsnprintf(text, sizeof(text), why, args);
    va_end(args);
    return thaw_fail_as(err, THAW_FAIL_CONFIG, EINVAL, "%s", text);
}

/* ---- single members ------------------------------------------------------------------------- */

/* `fallback` for a member that is not there; NULL: it must be, and not be empty. */
static int read_text(const json_t *from, const char *member, const char *fallback, const char **out,
                     struct thaw_error *err)
{
    const json_t *value = json_object_get(from, member);
    *out = fallback;
    if (!value && fallback)
        return 0;
    if (!json_is_string(value))
        return wrong(err, "\"%s\" is not a text", member);
    *out = json_string_value(value);
    return **out || fallback ? 0 : wrong(err, "\"%s\" is empty", member);
}

static int read_word(const json_t *from, const char *member, const char **out,
                     struct thaw_error *err)
{
    int rc = read_text(from, member, NULL, out, err);
    for (const char *c = *out; rc == 0 && *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
            rc = wrong(err, "\"%s\" has more in it than letters, digits, `_`, `-` and `.`", member);
    return rc;
}

static int number_of(const json_t *value, const char *what, double *out, struct thaw_error *err)
{
    if (!json_is_number(value))
        return wrong(err, "%s is not a number", what);
    *out = json_number_value(value);
    if (!isfinite(*out) || fabs(*out) > NUMBER_MAX)
        return wrong(err, "%s is out of range", what);
    return 0;
}

static int read_number(const json_t *from, const char *member, double *out, struct thaw_error *err)
{
    char what[64];
    (void)snprintf(what, sizeof(what), "\"%s\"", member);
    return number_of(json_object_get(from, member), what, out, err);
}

static int read_length(const json_t *from, const char *member, double *out, struct thaw_error *err)
{
    int rc = read_number(from, member, out, err);
    return rc == 0 && *out < 0 ? wrong(err, "\"%s\" is negative", member) : rc;
}

/* null is no goal. */
static int read_goal(const json_t *from, bool *has, double *goal, struct thaw_error *err)
{
    const json_t *value = json_object_get(from, "goal");
    *has = value && !json_is_null(value);
    int rc = *has ? read_number(from, "goal", goal, err) : 0;
    return rc == 0 && *has && *goal < GOAL_MIN ? wrong(err, "\"goal\" is not above 0") : rc;
}

static int read_better(const json_t *from, bool *lower, struct thaw_error *err)
{
    const char *better;
    int rc = read_text(from, "better", "lower", &better, err);
    if (rc < 0)
        return rc;
    *lower = strcmp(better, "lower") == 0;
    return *lower || strcmp(better, "higher") == 0
               ? 0
               : wrong(err, "\"better\" is neither lower nor higher");
}

/* ---- lists ---------------------------------------------------------------------------------- */

typedef int read_item(const json_t *from, void *item, struct thaw_error *err);

/* A list that is not there is empty, unless it is `needed`. The items are objects or lists. What
 * was read before an error is there to be freed. */
static int read_list(const json_t *root, const char *member, bool needed, size_t item_size,
                     read_item *read, void *items, size_t *count, struct thaw_error *err)
{
    const json_t *list = json_object_get(root, member);
    if (!list && !needed)
        return 0;
    if (!json_is_array(list))
        return wrong(err, "\"%s\" is not a list", member);
    size_t size = json_array_size(list);
    if (size > LIST_MAX || (needed && size == 0))
        return wrong(err, "\"%s\" %s", member, size ? "is too long" : "is empty");
    char *at = calloc(size + 1, item_size);
    if (!at)
        return thaw_fail(err, ENOMEM, "\"%s\"", member);
    memcpy(items, &at, sizeof(at));
    for (*count = 0; *count < size; at += item_size) {
        const json_t *item = json_array_get(list, (*count)++);
        int rc = read(item, at, err);
        if (rc < 0)
            return thaw_context(err, "%s[%zu]", member, *count - 1);
    }
    return 0;
}

static int read_sample(const json_t *from, void *item, struct thaw_error *err)
{
    return number_of(from, "it", item, err);
}

static int read_series(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_series *s = item;
    int rc = read_word(from, "id", &s->id, err);
    if (rc == 0)
        rc = read_text(from, "name", s->id, &s->name, err);
    if (rc == 0)
        rc = read_text(from, "what", "", &s->what, err);
    if (rc == 0)
        rc = read_text(from, "unit", NULL, &s->unit, err);
    if (rc == 0)
        rc = read_better(from, &s->lower, err);
    size_t n = 0;
    if (rc == 0)
        rc = read_list(from, "samples", true, sizeof(double), read_sample, &s->values, &n, err);
    if (rc < 0)
        return rc;
    s->sorted = malloc(n * sizeof(double));
    if (!s->sorted)
        return thaw_fail(err, ENOMEM, "%s", s->id);
    memcpy(s->sorted, s->values, n * sizeof(double));
    stats_sort(s->sorted, n);
    s->summary = stats_summary(s->sorted, n);
    return 0;
}

static int pair_of(const json_t *from, struct raw_pair *pair, struct thaw_error *err)
{
    pair->over = json_string_value(json_array_get(from, 0));
    pair->under = json_string_value(json_array_get(from, 1));
    if (json_array_size(from) != 2 || !pair->over || !pair->under)
        return wrong(err, "\"of\" is not a list of two ids");
    return 0;
}

static int read_pair(const json_t *from, void *item, struct thaw_error *err)
{
    return pair_of(from, item, err);
}

static int read_pairs(const json_t *from, struct raw_ratio *r, struct thaw_error *err)
{
    const json_t *of = json_object_get(from, "of");
    if (json_is_array(json_array_get(of, 0)))
        return read_list(from, "of", true, sizeof(*r->pairs), read_pair, &r->pairs, &r->count, err);
    r->pairs = calloc(1, sizeof(*r->pairs));
    if (!r->pairs)
        return thaw_fail(err, ENOMEM, "%s", r->key);
    r->count = 1;
    return pair_of(of, r->pairs, err);
}

static int read_ratio(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_ratio *r = item;
    int rc = read_word(from, "key", &r->key, err);
    if (rc == 0)
        rc = read_text(from, "name", r->key, &r->name, err);
    if (rc == 0)
        rc = read_goal(from, &r->has_goal, &r->goal, err);
    if (rc == 0)
        rc = read_better(from, &r->lower, err);
    return rc == 0 ? read_pairs(from, r, err) : rc;
}

static int read_figure(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_number *n = item;
    int rc = read_word(from, "key", &n->key, err);
    if (rc == 0)
        rc = read_text(from, "name", n->key, &n->name, err);
    if (rc == 0)
        rc = read_text(from, "unit", "", &n->unit, err);
    if (rc == 0)
        rc = read_number(from, "value", &n->value, err);
    if (rc == 0)
        rc = read_goal(from, &n->has_goal, &n->goal, err);
    return rc == 0 ? read_better(from, &n->lower, err) : rc;
}

static int read_phase(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_value *v = item;
    int rc = read_text(from, "name", NULL, &v->name, err);
    return rc == 0 ? read_length(from, "value", &v->value, err) : rc;
}

static int read_mark(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_value *v = item;
    int rc = read_text(from, "name", NULL, &v->name, err);
    return rc == 0 ? read_length(from, "at", &v->value, err) : rc;
}

static int read_row(const json_t *from, struct raw_row *row, const char *list, read_item *read,
                    struct thaw_error *err)
{
    int rc = read_text(from, "name", NULL, &row->name, err);
    return rc == 0 ? read_list(from, list, true, sizeof(*row->values), read, &row->values,
                               &row->count, err)
                   : rc;
}

static int read_bar(const json_t *from, void *item, struct thaw_error *err)
{
    return read_row(from, item, "phases", read_phase, err);
}

static int read_times(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_value *v = item;
    int rc = read_phase(from, v, err);
    return rc == 0 && v->value < GOAL_MIN ? wrong(err, "\"value\" is not above 0") : rc;
}

static int read_group_row(const json_t *from, void *item, struct thaw_error *err)
{
    return read_row(from, item, "bars", read_times, err);
}

static int read_mark_row(const json_t *from, void *item, struct thaw_error *err)
{
    return read_row(from, item, "marks", read_mark, err);
}

static int read_rows(const json_t *from, struct raw_rows *rows, const char *list, read_item *read,
                     struct thaw_error *err)
{
    int rc = read_text(from, "title", NULL, &rows->title, err);
    if (rc == 0)
        rc = read_text(from, "unit", NULL, &rows->unit, err);
    return rc == 0 ? read_list(from, list, true, sizeof(*rows->rows), read, &rows->rows,
                               &rows->count, err)
                   : rc;
}

static int read_stack(const json_t *from, void *item, struct thaw_error *err)
{
    return read_rows(from, item, "bars", read_bar, err);
}

static int read_groups(const json_t *from, void *item, struct thaw_error *err)
{
    return read_rows(from, item, "groups", read_group_row, err);
}

static int read_timeline(const json_t *from, void *item, struct thaw_error *err)
{
    return read_rows(from, item, "rows", read_mark_row, err);
}

static int read_point(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_point *p = item;
    if (json_array_size(from) != 2)
        return wrong(err, "not a list of two numbers");
    int rc = number_of(json_array_get(from, 0), "x", &p->x, err);
    return rc == 0 ? number_of(json_array_get(from, 1), "y", &p->y, err) : rc;
}

static int by_x(const void *a, const void *b)
{
    const struct raw_point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

static int read_line(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_line *line = item;
    int rc = read_text(from, "name", NULL, &line->name, err);
    if (rc == 0)
        rc = read_list(from, "points", true, sizeof(*line->points), read_point, &line->points,
                       &line->count, err);
    if (rc == 0)
        qsort(line->points, line->count, sizeof(*line->points), by_x);
    return rc;
}

static int check_curve(const struct raw_curve *c, struct thaw_error *err)
{
    for (size_t i = 0; c->log_x && i < c->count; i++)
        if (c->lines[i].points[0].x <= 0)
            return wrong(err, "lines[%zu]: \"log_x\" with an x that is not above 0", i);
    return 0;
}

static int read_curve(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_curve *c = item;
    const struct {
        const char *member, *fallback, **out;
    } texts[] = {{"title", NULL, &c->title}, {"x", NULL, &c->x},         {"x_unit", "", &c->x_unit},
                 {"y", NULL, &c->y},         {"y_unit", "", &c->y_unit}, {"theory", "", &c->theory},
                 {"bends", "", &c->bends}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(texts) / sizeof(texts[0]); i++)
        rc = read_text(from, texts[i].member, texts[i].fallback, texts[i].out, err);
    c->log_x = json_is_true(json_object_get(from, "log_x"));
    if (rc == 0)
        rc =
            read_list(from, "lines", true, sizeof(*c->lines), read_line, &c->lines, &c->count, err);
    return rc == 0 ? check_curve(c, err) : rc;
}

static int read_missing(const json_t *from, void *item, struct thaw_error *err)
{
    struct raw_missing *m = item;
    int rc = read_word(from, "key", &m->key, err);
    return rc == 0 ? read_text(from, "why", NULL, &m->why, err) : rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int read_host(struct raw *raw, struct thaw_error *err)
{
    const char *name;
    json_t *fact, *host = json_object_get(raw->root, "host");
    raw->host = host;
    if (host && !json_is_object(host))
        return wrong(err, "\"host\" is not an object");
    json_object_foreach(host, name, fact)
    {
        if (json_is_array(fact) || json_is_object(fact))
            return wrong(err, "host: \"%s\" is neither a text nor a number", name);
    }
    return 0;
}

static int read_lists(struct raw *r, struct thaw_error *err)
{
    const struct {
        const char *member;
        size_t item_size;
        read_item *read;
        void *items;
        size_t *count;
    } lists[] = {
        {"series", sizeof(*r->series), read_series, &r->series, &r->series_count},
        {"ratios", sizeof(*r->ratios), read_ratio, &r->ratios, &r->ratio_count},
        {"numbers", sizeof(*r->numbers), read_figure, &r->numbers, &r->number_count},
        {"stacks", sizeof(*r->stacks), read_stack, &r->stacks, &r->stack_count},
        {"groups", sizeof(*r->groups), read_groups, &r->groups, &r->group_count},
        {"timelines", sizeof(*r->timelines), read_timeline, &r->timelines, &r->timeline_count},
        {"curves", sizeof(*r->curves), read_curve, &r->curves, &r->curve_count},
        {"missing", sizeof(*r->missing), read_missing, &r->missing, &r->missing_count},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(lists) / sizeof(lists[0]); i++)
        rc = read_list(r->root, lists[i].member, false, lists[i].item_size, lists[i].read,
                       lists[i].items, lists[i].count, err);
    return rc;
}

static int parse(struct raw *raw, size_t size, struct thaw_error *err)
{
    json_error_t why;
    raw->root = json_loadb(raw->text, size, JSON_REJECT_DUPLICATES, &why);
    if (!raw->root)
        return wrong(err, "line %d: %s", why.line, why.text);
    if (!json_is_object(raw->root))
        return wrong(err, "not an object");
    int rc = read_word(raw->root, "part", &raw->part, err);
    if (rc == 0)
        rc = read_text(raw->root, "title", raw->part, &raw->title, err);
    if (rc == 0)
        rc = read_host(raw, err);
    return rc == 0 ? read_lists(raw, err) : rc;
}

int raw_read(const char *path, struct raw *raw, struct thaw_error *err)
{
    const char *base = strrchr(path, '/');
    *raw = (struct raw){.file = strdup(base ? base + 1 : path)};
    if (!raw->file)
        return thaw_fail(err, ENOMEM, "%s", path);
    size_t size;
    int rc = file_read_all(path, FILE_MAX, THAW_FAIL_IO, &raw->text, &size, err);
    if (rc < 0)
        return rc;
    rc = parse(raw, size, err);
    return rc < 0 ? thaw_context(err, "%s", raw->file) : 0;
}

static void free_rows(struct raw_rows *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t row = 0; row < rows[i].count; row++)
            free(rows[i].rows[row].values);
        free(rows[i].rows);
    }
    free(rows);
}

static void free_ratios(struct raw *raw)
{
    for (size_t i = 0; i < raw->ratio_count; i++)
        free(raw->ratios[i].pairs);
    free(raw->ratios);
}

static void free_curves(struct raw *raw)
{
    for (size_t i = 0; i < raw->curve_count; i++) {
        for (size_t line = 0; line < raw->curves[i].count; line++)
            free(raw->curves[i].lines[line].points);
        free(raw->curves[i].lines);
    }
    free(raw->curves);
}

void raw_free(struct raw *raw)
{
    for (size_t i = 0; i < raw->series_count; i++) {
        free(raw->series[i].values);
        free(raw->series[i].sorted);
    }
    free(raw->series);
    free_ratios(raw);
    free(raw->numbers);
    free_rows(raw->stacks, raw->stack_count);
    free_rows(raw->groups, raw->group_count);
    free_rows(raw->timelines, raw->timeline_count);
    free_curves(raw);
    free(raw->missing);
    json_decref(raw->root);
    free(raw->text);
    free(raw->file);
    *raw = (struct raw){0};
}

const struct raw_series *raw_find_series(const struct raw *raw, const char *id)
{
    for (size_t i = 0; i < raw->series_count; i++)
        if (strcmp(raw->series[i].id, id) == 0)
            return &raw->series[i];
    return NULL;
}
