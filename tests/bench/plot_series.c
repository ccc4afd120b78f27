/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/plots.h"
#include "tests/bench/text.h"
#include "vmm/base/cleanup.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define ROW_HEIGHT  58.0
#define SECOND_LINE 15.0
#define LEFT        18.0
#define RIGHT       (SVG_WIDTH - 18.0)
#define DOTS_MAX    600
#define FEW         30 /* so many dots can be drawn larger */

unsigned plot_colour(const char *id, const char *name, size_t index)
{
    static const struct {
        const char *word;
        unsigned colour;
    } known[] = {{"floor", 7},  {"qemu", 1},   {"firecracker", 2}, {"cloud", 3},
                 {"joff", 6},   {"luajit", 5}, {"busybox", 4},     {"gcc", 7},
                 {"interp", 2}, {"jitvm", 0},  {"thaw", 0},        {"clone", 0}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcasestr(id, known[i].word))
            return known[i].colour;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcasestr(name, known[i].word))
            return known[i].colour;
    return 2 + (unsigned)(index % (SVG_COLOURS - 3));
}

static bool same_quantity(const struct raw_series *a, const struct raw_series *b)
{
    return strcmp(a->what, b->what) == 0 && strcmp(a->unit, b->unit) == 0;
}

/* Whether a ratio sets one program beside another by these two. */
static bool are_compared(const struct raw *raw, const struct raw_series *a,
                         const struct raw_series *b)
{
    if (strcmp(a->unit, b->unit) != 0 ||
        plot_colour(a->id, a->name, 0) == plot_colour(b->id, b->name, 0))
        return false;
    for (size_t i = 0; i < raw->ratio_count; i++) {
        const struct raw_pair *p = raw->ratios[i].pairs;
        if (raw->ratios[i].count == 1 &&
            ((strcmp(p->over, a->id) == 0 && strcmp(p->under, b->id) == 0) ||
             (strcmp(p->over, b->id) == 0 && strcmp(p->under, a->id) == 0)))
            return true;
    }
    return false;
}

/* The series of one drawing: `group` of each is the first that it shares its axis with, by being of
 * the same quantity or compared with one, over however many steps. */
struct drawing {
    const struct raw *raw;
    const size_t *group;
    size_t first;
};

static void make_groups(const struct raw *raw, size_t *group)
{
    bool changed = true;
    for (size_t i = 0; i < raw->series_count; i++)
        group[i] = i;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < raw->series_count; i++)
            for (size_t k = 0; k < raw->series_count; k++) {
                const struct raw_series *a = &raw->series[i], *b = &raw->series[k];
                if (group[k] < group[i] && (same_quantity(a, b) || are_compared(raw, a, b))) {
                    group[i] = group[k];
                    changed = true;
                }
            }
    }
}

/* The next of the drawing from `i` on, or NULL. */
static const struct raw_series *next_series(const struct drawing *d, size_t *i)
{
    while (*i < d->raw->series_count)
        if (d->group[(*i)++] == d->first)
            return &d->raw->series[*i - 1];
    return NULL;
}

#define for_each_series(d, s)                                                                      \
    for (size_t s##_at = (d)->first; (s = next_series(d, &s##_at)) != NULL;)

/* Whether it has to be said what the series is of: it is not what the drawing is called after. */
static bool is_other(const struct drawing *d, const struct raw_series *s)
{
    return s->what[0] && strcmp(s->what, d->raw->series[d->first].what) != 0;
}

/* A dot a sample, off its line by an amount that looks like chance: one path, so that a thousand of
 * them stay small. */
static void draw_dots(struct page *page, const struct scale *scale, const struct raw_series *s,
                      double middle, unsigned colour)
{
    size_t n = s->summary.n, dots = n < DOTS_MAX ? n : DOTS_MAX;
    (void)fprintf(page->out, "<path class=\"dots%s c%u\" d=\"", n <= FEW ? " few" : "", colour);
    for (size_t i = 0; i < dots; i++) {
        double value = s->sorted[dots == n ? i : i * (n - 1) / (dots - 1)];
        double off = fmod((double)i * 0.61803398875, 1) - 0.5;
        (void)fprintf(page->out, "M%.1f %.1fh0", scale_at(scale, value), middle + off * 16);
    }
    (void)fputs("\"/>\n", page->out);
}

static double row_height(const struct drawing *d, const struct raw_series *s)
{
    return ROW_HEIGHT + (is_other(d, s) ? SECOND_LINE : 0);
}

static void draw_row(struct page *page, const struct scale *scale, const struct drawing *d,
                     const struct raw_series *s, double top, unsigned colour)
{
    char class[24], label[160], p50[TEXT_NUMBER_MAX], p95[TEXT_NUMBER_MAX], p99[TEXT_NUMBER_MAX];
    const struct summary *of = &s->summary;
    (void)snprintf(label, sizeof(label), "%s \u00b7 %s \u00b7 %s", text_number(of->p50, p50),
                   text_number(of->p95, p95), text_number(of->p99, p99));
    double width = text_width(label, SVG_TEXT);
    svg_text_fit(page, "name", LEFT, top + 14, RIGHT - LEFT - width - 8, s->name);
    svg_text(page, "value", RIGHT, top + 14, ANCHOR_END, label);

    if (is_other(d, s)) {
        top += SECOND_LINE;
        svg_text_fit(page, "name tick", LEFT, top + 13, RIGHT - LEFT, s->what);
    }
    double middle = top + 35, at = scale_at(scale, of->p50), to = scale_at(scale, of->p95);
    (void)snprintf(class, sizeof(class), "band c%u", colour);
    svg_rect(page, class, at, middle - 11, to - at, 22);
    draw_dots(page, scale, s, middle, colour);
    (void)snprintf(class, sizeof(class), "whisker c%u", colour);
    svg_line(page, class, to, middle, scale_at(scale, of->p99), middle);
    svg_line(page, class, to, middle - 11, to, middle + 11);
    svg_line(page, class, scale_at(scale, of->p99), middle - 6, scale_at(scale, of->p99),
             middle + 6);
    (void)snprintf(class, sizeof(class), "median c%u", colour);
    svg_line(page, class, at, middle - 13, at, middle + 13);
}

static struct scale common_scale(const struct drawing *d, struct ticks *ticks)
{
    double low = INFINITY, high = -INFINITY;
    const struct raw_series *s;
    for_each_series(d, s)
    {
        low = fmin(low, s->summary.min);
        high = fmax(high, s->summary.max);
    }
    bool log = scale_wants_log(low, high);
    /* Zero is shown where it is near: then lengths can be compared. */
    if (!log && low > 0 && low < high * 0.5)
        low = 0;
    return scale_make(low, high, log, LEFT, RIGHT, 6, ticks);
}

static void describe(FILE *out, const struct drawing *d)
{
    char p50[TEXT_NUMBER_MAX], p95[TEXT_NUMBER_MAX], p99[TEXT_NUMBER_MAX];
    const struct raw_series *s;
    for_each_series(d, s)
    {
        text_escape(out, s->name);
        (void)fprintf(out, ": p50 %s, p95 %s, p99 %s, n = %zu. ", text_number(s->summary.p50, p50),
                      text_number(s->summary.p95, p95), text_number(s->summary.p99, p99),
                      s->summary.n);
    }
}

static void draw_rows(struct page *page, const struct drawing *d, const struct scale *scale)
{
    const struct raw_series *s;
    size_t row = 0;
    double top = 0;
    for_each_series(d, s)
    {
        draw_row(page, scale, d, s, top, plot_colour(s->id, s->name, row++));
        top += row_height(d, s);
    }
}

static void plot_drawing(struct page *page, const struct drawing *d)
{
    const struct raw_series *s, *first = &d->raw->series[d->first];
    const char *title = first->what[0] ? first->what : d->raw->title;
    char axis[TEXT_AXIS_MAX];
    double bottom = 2;
    for_each_series(d, s) bottom += row_height(d, s);
    struct ticks ticks;
    struct scale scale = common_scale(d, &ticks);
    text_axis("", first->unit, scale.log, axis);

    (void)fputs("<figure>\n<figcaption><strong>", page->out);
    text_escape(page->out, title);
    (void)fputs("</strong>, ", page->out);
    text_escape(page->out, first->unit);
    (void)fputs(" <span class=\"key\">p50 \u00b7 p95 \u00b7 p99</span></figcaption>\n", page->out);
    svg_begin(page, bottom + SVG_AXIS_HEIGHT, title);
    describe(page->out, d);
    svg_described(page);
    svg_axis_x(page, &scale, &ticks, 22, bottom, axis);
    draw_rows(page, d, &scale);
    svg_end(page);
    (void)fputs("</figure>\n", page->out);
}

void plot_series(struct page *page, const struct raw *raw)
{
    cleanup_free size_t *group = calloc(raw->series_count + 1, sizeof(*group));
    if (!group)
        return;
    make_groups(raw, group);
    for (size_t i = 0; i < raw->series_count; i++)
        if (group[i] == i)
            plot_drawing(page, &(struct drawing){raw, group, i});
}
