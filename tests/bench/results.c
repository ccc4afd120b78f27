/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/results.h"
#include "vmm/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define REASON_MAX 96
#define SHOWN_MIN  5
/* Of what a ratio is made: no quotient of two such numbers is out of range. */
#define SAMPLE_MIN 1e-12

/* The figures that are asked for. A goal that a part gives comes before the one here. */
static const struct {
    const char *key, *name, *unit, *part;
    double goal; /* 0: none */
} asked[] = {
    {"boot_ratio_qemu", "boot to workload-exec, thaw to QEMU", "", "boot", 0.5},
    {"restore_first_byte_ratio_qemu", "restore to first useful byte, thaw to QEMU", "", "restore",
     0.05},
    {"load_ms_p50", "load, median", "ms", "load", 0},
    {"load_ms_p99", "load, 99th percentile", "ms", "load", 0},
    {"load_over_floor", "load, thaw to floor", "", "load", 1.15},
    {"first_instruction_over_floor", "first instruction, thaw to floor", "", "load", 0},
    {"capture_pause_over_boot", "pause of a capture to boot", "", "capture", 0},
    {"exits_resume_to_exec", "VM exits from resume to exec", "exits", "restore", 12},
    {"clone_private_kib", "memory of a clone's own", "KiB", "clones-linux", 500},
    {"monitor_pss_kib", "memory of the monitor itself", "KiB", "footprint", 2048},
    {"pool_claim_over_restore_load", "claim from the pool to load", "", "pool", 0},
    {"pool_reset_over_replace", "reset of a clone to its replacement", "", "pool", 0},
    {"pool_host_share_over_restore", "host's share of a claim to a restore's", "", "pool", 0},
    {"jit_geomean_over_luajit", "jitvm to LuaJIT", "", "jit", 0},
    {"jit_calls_over_luajit", "jitvm to LuaJIT, calls alone", "", "jit", 1.5},
    {"jit_over_gcc_geomean", "jitvm to gcc -O2", "", "jit", 0},
    {"interp_geomean_over_luajit_joff", "jitvm's interpreter to LuaJIT's", "", "jit", 1.5},
    {"jit_compile_us_p50", "compiling a function or loop, median", "us", "jit", 100},
    {"jit_start_ms", "jitvm, spawn to first byte", "ms", "jit", 1},
    {"jit_binary_kib", "size of jitvm", "KiB", "jit", 700},
    {"jit_hello_rss_kib", "memory of jitvm saying hello", "KiB", "jit", 2048},
    {"jit_lookup_ns_p50", "lookup of compiled code, median", "ns", "jit", 0},
};

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"missed", "met", "no goal", "not measured"};
    return names[verdict];
}

const char *figure_value(const struct figure *f, char out[TEXT_NUMBER_MAX])
{
    bool whole = f->value == floor(f->value);
    return !f->unit[0] || (f->has_goal && !whole) ? text_ratio(f->value, out)
                                                  : text_number(f->value, out);
}

bool figure_has_interval(const struct figure *f)
{
    return f->is_ratio && f->n >= SHOWN_MIN;
}

bool figure_is_close(const struct figure *f)
{
    return figure_has_interval(f) && f->has_goal && f->interval.low <= f->goal &&
           f->goal < f->interval.high;
}

static enum verdict judge(const struct figure *f)
{
    if (!f->has_goal)
        return VERDICT_NO_GOAL;
    return (f->lower ? f->value <= f->goal : f->value >= f->goal) ? VERDICT_MET : VERDICT_MISSED;
}

/* ---- the figures of the parts --------------------------------------------------------------- */

static int refuse(struct thaw_error *err, const struct raw *raw, const char *key, const char *why,
                  const char *what)
{
    return thaw_fail_as(err, THAW_FAIL_CONFIG, EINVAL, "%s: %s: %s%s", raw->file, key, why, what);
}

/* A series of the same part, or of another. */
static int find_operand(const struct results *r, const struct raw *raw, const char *key,
                        const char *id, const struct raw **where, const struct raw_series **out,
                        struct thaw_error *err)
{
    *where = raw;
    *out = raw_find_series(raw, id);
    for (size_t i = 0; !*out && i < r->raw_count; i++) {
        *where = &r->raws[i];
        *out = raw_find_series(*where, id);
    }
    if (!*out)
        return refuse(err, raw, key, "there is no series ", id);
    if ((*out)->sorted[0] < SAMPLE_MIN)
        return refuse(err, raw, key, "not every sample is above 0 in ", id);
    return 0;
}

static int find_pair(const struct results *r, const struct raw *raw, const char *key,
                     const struct raw_pair *of, struct sample_pair *samples, double *ratio,
                     struct thaw_error *err)
{
    const struct raw *over_in, *under_in;
    const struct raw_series *over, *under;
    int rc = find_operand(r, raw, key, of->over, &over_in, &over, err);
    if (rc == 0)
        rc = find_operand(r, raw, key, of->under, &under_in, &under, err);
    if (rc < 0)
        return rc;
    size_t n = over->summary.n, m = under->summary.n;
    *samples =
        (struct sample_pair){{over->values, n}, {under->values, m}, over_in == under_in && n == m};
    *ratio = over->summary.p50 / under->summary.p50;
    return 0;
}

static size_t fewest(const struct sample_pair *pairs, size_t count)
{
    size_t n = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        n = pairs[i].over.n < n ? pairs[i].over.n : n;
        n = pairs[i].under.n < n ? pairs[i].under.n : n;
    }
    return n;
}

static int make_ratio(const struct results *r, const struct raw *raw, const struct raw_ratio *of,
                      struct figure *f, struct thaw_error *err)
{
    cleanup_free struct sample_pair *pairs = calloc(of->count, sizeof(*pairs));
    cleanup_free double *ratios = calloc(of->count, sizeof(*ratios));
    if (!pairs || !ratios)
        return thaw_fail(err, ENOMEM, "%s", of->key);
    for (size_t i = 0; i < of->count; i++) {
        int rc = find_pair(r, raw, of->key, &of->pairs[i], &pairs[i], &ratios[i], err);
        if (rc < 0)
            return rc;
    }
    *f = (struct figure){.key = of->key,
                         .name = of->name,
                         .unit = "",
                         .value = stats_geomean(ratios, of->count),
                         .is_ratio = true,
                         .n = fewest(pairs, of->count),
                         .has_goal = of->has_goal,
                         .lower = of->lower,
                         .goal = of->goal,
                         .from = raw};
    return stats_geomean_interval(pairs, of->count, &f->interval)
               ? 0
               : thaw_fail(err, ENOMEM, "%s", of->key);
}

static struct figure number_figure(const struct raw *raw, const struct raw_number *of)
{
    return (struct figure){.key = of->key,
                           .name = of->name,
                           .unit = of->unit,
                           .value = of->value,
                           .has_goal = of->has_goal,
                           .lower = of->lower,
                           .goal = of->goal,
                           .from = raw};
}

static int make_part(struct results *r, const struct raw *raw, struct thaw_error *err)
{
    for (size_t i = 0; i < raw->ratio_count; i++) {
        int rc = make_ratio(r, raw, &raw->ratios[i], &r->figures[r->figure_count], err);
        if (rc < 0)
            return rc;
        r->figure_count++;
    }
    for (size_t i = 0; i < raw->number_count; i++)
        r->figures[r->figure_count++] = number_figure(raw, &raw->numbers[i]);
    return 0;
}

static void set_default_goal(struct figure *f)
{
    for (size_t i = 0; i < COUNT(asked); i++)
        if (!f->has_goal && asked[i].goal > 0 && strcmp(asked[i].key, f->key) == 0) {
            f->has_goal = true;
            f->goal = asked[i].goal;
        }
}

static int make_figures(struct results *r, struct thaw_error *err)
{
    size_t most = 1;
    for (size_t i = 0; i < r->raw_count; i++)
        most += r->raws[i].ratio_count + r->raws[i].number_count;
    r->figures = calloc(most, sizeof(*r->figures));
    if (!r->figures)
        return thaw_fail(err, ENOMEM, "figures");
    for (size_t i = 0; i < r->raw_count; i++) {
        int rc = make_part(r, &r->raws[i], err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < r->figure_count; i++) {
        set_default_goal(&r->figures[i]);
        r->figures[i].verdict = judge(&r->figures[i]);
    }
    return 0;
}

/* ---- results.json --------------------------------------------------------------------------- */

static json_t *plain_number(double value)
{
    if (fabs(value) < 1e15 && value == floor(value))
        return json_integer((json_int_t)value);
    return json_real(value);
}

static int add(struct results *r, const struct raw *raw, const char *key, const char *suffix,
               double value, struct thaw_error *err)
{
    char name[256];
    if (snprintf(name, sizeof(name), "%s%s", key, suffix) >= (int)sizeof(name))
        return refuse(err, raw, "a key is too long", "", "");
    if (json_object_get(r->flat, name) || strcmp(name, "not_measured") == 0)
        return refuse(err, raw, name, "a part before it has a figure of this name", "");
    return json_object_set_new(r->flat, name, plain_number(value)) < 0
               ? thaw_fail(err, ENOMEM, "%s", name)
               : 0;
}

static int add_figure(struct results *r, const struct figure *f, struct thaw_error *err)
{
    int rc = add(r, f->from, f->key, "", f->value, err);
    if (rc < 0 || !f->is_ratio)
        return rc;
    rc = add(r, f->from, f->key, "_low", f->interval.low, err);
    if (rc == 0)
        rc = add(r, f->from, f->key, "_high", f->interval.high, err);
    return rc == 0 ? add(r, f->from, f->key, "_n", (double)f->n, err) : rc;
}

static int add_series(struct results *r, const struct raw *raw, const struct raw_series *s,
                      struct thaw_error *err)
{
    int rc = add(r, raw, s->id, "_p50", s->summary.p50, err);
    if (rc == 0)
        rc = add(r, raw, s->id, "_p95", s->summary.p95, err);
    if (rc == 0)
        rc = add(r, raw, s->id, "_p99", s->summary.p99, err);
    return rc == 0 ? add(r, raw, s->id, "_n", (double)s->summary.n, err) : rc;
}

static int flatten(struct results *r, struct thaw_error *err)
{
    r->flat = json_object();
    int rc = r->flat ? 0 : thaw_fail(err, ENOMEM, "results");
    for (size_t i = 0; rc == 0 && i < r->figure_count; i++)
        rc = add_figure(r, &r->figures[i], err);
    for (size_t i = 0; rc == 0 && i < r->raw_count; i++)
        for (size_t s = 0; rc == 0 && s < r->raws[i].series_count; s++)
            rc = add_series(r, &r->raws[i], &r->raws[i].series[s], err);
    return rc;
}

/* ---- what was asked for --------------------------------------------------------------------- */

static const char *given_reason(const struct results *r, const char *key)
{
    for (size_t i = 0; i < r->raw_count; i++)
        for (size_t m = 0; m < r->raws[i].missing_count; m++)
            if (strcmp(r->raws[i].missing[m].key, key) == 0)
                return r->raws[i].missing[m].why;
    return NULL;
}

static bool part_ran(const struct results *r, const char *part)
{
    for (size_t i = 0; i < r->raw_count; i++)
        if (strcmp(r->raws[i].part, part) == 0)
            return true;
    return false;
}

static const char *own_reason(const struct results *r, size_t index, char buffer[REASON_MAX])
{
    const char *part = asked[index].part;
    if (strcmp(part, "pool") == 0)
        return "the warm pool is not there yet";
    (void)snprintf(buffer, REASON_MAX,
                   part_ran(r, part) ? "raw/%s.json does not have it"
                                     : "no raw/%s.json: that part was not run",
                   part);
    return buffer;
}

static struct figure ask(const struct results *r, size_t index, char buffer[REASON_MAX])
{
    const char *key = asked[index].key;
    for (size_t i = 0; i < r->figure_count; i++)
        if (strcmp(r->figures[i].key, key) == 0) {
            r->figures[i].brief = asked[index].name;
            return r->figures[i];
        }
    struct figure f = {.key = key,
                       .name = asked[index].name,
                       .brief = asked[index].name,
                       .unit = asked[index].unit,
                       .lower = true,
                       .has_goal = asked[index].goal > 0,
                       .goal = asked[index].goal};
    json_t *value = json_object_get(r->flat, key); /* a quantile of a series */
    if (value) {
        f.value = json_number_value(value);
        f.verdict = judge(&f);
        return f;
    }
    f.verdict = VERDICT_NOT_MEASURED;
    f.why = given_reason(r, key);
    if (!f.why)
        f.why = own_reason(r, index, buffer);
    return f;
}

static int make_asked(struct results *r, struct thaw_error *err)
{
    r->asked = calloc(COUNT(asked), sizeof(*r->asked));
    r->reasons = calloc(COUNT(asked), REASON_MAX);
    cleanup_free struct figure *all = calloc(COUNT(asked), sizeof(*all));
    if (!r->asked || !r->reasons || !all)
        return thaw_fail(err, ENOMEM, "figures");
    for (size_t i = 0; i < COUNT(asked); i++)
        all[i] = ask(r, i, r->reasons + i * REASON_MAX);
    for (int verdict = VERDICT_MISSED; verdict <= VERDICT_NOT_MEASURED; verdict++)
        for (size_t i = 0; i < COUNT(asked); i++)
            if ((int)all[i].verdict == verdict)
                r->asked[r->asked_count++] = all[i];
    return 0;
}

/* Those asked for, and whatever else a part says that it could not measure. */
static int add_not_measured(struct results *r, struct thaw_error *err)
{
    json_t *reasons = json_object();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->asked_count; i++)
        if (r->asked[i].verdict == VERDICT_NOT_MEASURED)
            rc = json_object_set_new(reasons, r->asked[i].key, json_string(r->asked[i].why));
    for (size_t i = 0; rc == 0 && i < r->raw_count; i++)
        for (size_t m = 0; rc == 0 && m < r->raws[i].missing_count; m++) {
            const struct raw_missing *missing = &r->raws[i].missing[m];
            if (!json_object_get(r->flat, missing->key) && !json_object_get(reasons, missing->key))
                rc = json_object_set_new(reasons, missing->key, json_string(missing->why));
        }
    if (json_object_set_new(r->flat, "not_measured", reasons) < 0 || rc < 0)
        return thaw_fail(err, ENOMEM, "not_measured");
    return 0;
}

int results_make(const struct raw *raws, size_t raw_count, struct results *results,
                 struct thaw_error *err)
{
    *results = (struct results){.raws = raws, .raw_count = raw_count};
    int rc = make_figures(results, err);
    if (rc == 0)
        rc = flatten(results, err);
    if (rc == 0)
        rc = make_asked(results, err);
    return rc == 0 ? add_not_measured(results, err) : rc;
}

void results_free(struct results *results)
{
    free(results->figures);
    free(results->asked);
    free(results->reasons);
    json_decref(results->flat);
    *results = (struct results){0};
}
