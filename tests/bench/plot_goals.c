/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/plots.h"
#include "tests/bench/text.h"

#include <math.h>

#define ROW 40.0
/* What is farther from its goal is drawn here. */
#define FARTHEST 1e4
#define LEFT     16.0
#define RIGHT    (SVG_WIDTH - 16.0)

/* How many times the goal; over 1 is missed, whichever way is better. */
static double times_goal(const struct figure *f, double value)
{
    double times = f->lower ? value / f->goal : value > 0 ? f->goal / value : FARTHEST;
    return fmin(fmax(times, 1 / FARTHEST), FARTHEST);
}

static bool is_shown(const struct figure *f)
{
    return f->has_goal && f->verdict != VERDICT_NOT_MEASURED;
}

static void value_text(const struct figure *f, char out[160])
{
    char value[TEXT_NUMBER_MAX], goal[TEXT_NUMBER_MAX], unit[64];
    text_fit(f->unit, 1, 8, unit, sizeof(unit));
    (void)snprintf(out, 160, "%s of %s%s%s", figure_value(f, value), text_exact(f->goal, goal),
                   unit[0] ? " " : "", unit);
}

static void draw_figure(struct page *page, const struct scale *scale, const struct figure *f,
                        double top)
{
    const char *met = f->verdict == VERDICT_MET ? "met" : "missed";
    char class[32], text[160];
    double line = top + 26, x = scale_at(scale, times_goal(f, f->value));
    value_text(f, text);
    svg_text(page, "value", RIGHT, top + 14, ANCHOR_END, text);
    svg_text_fit(page, "name", LEFT, top + 14, RIGHT - LEFT - text_width(text, SVG_TEXT) - 10,
                 f->brief);
    (void)snprintf(class, sizeof(class), "arm %s", met);
    svg_line(page, class, scale_at(scale, 1), line, x, line);
    (void)snprintf(class, sizeof(class), "whisker %s", met);
    if (figure_has_interval(f))
        svg_line(page, class, scale_at(scale, times_goal(f, f->interval.low)), line,
                 scale_at(scale, times_goal(f, f->interval.high)), line);
    (void)snprintf(class, sizeof(class), "spot %s", met);
    svg_circle(page, class, x, line, 5);
    svg_line(page, "goal", scale_at(scale, 1), line - 9, scale_at(scale, 1), line + 9);
}

static void describe(FILE *out, const struct results *results)
{
    char text[160];
    for (size_t i = 0; i < results->asked_count; i++) {
        const struct figure *f = &results->asked[i];
        if (!is_shown(f))
            continue;
        value_text(f, text);
        text_escape(out, f->name);
        (void)fputs(": ", out);
        text_escape(out, text);
        (void)fprintf(out, ", %s. ", verdict_name(f->verdict));
    }
}

static struct scale make_scale(const struct results *results, struct ticks *ticks)
{
    double low = 0.5, high = 2;
    for (size_t i = 0; i < results->asked_count; i++) {
        const struct figure *f = &results->asked[i];
        if (!is_shown(f))
            continue;
        double a = times_goal(f, figure_has_interval(f) ? f->interval.low : f->value);
        double b = times_goal(f, figure_has_interval(f) ? f->interval.high : f->value);
        low = fmin(low, fmin(a, b));
        high = fmax(high, fmax(a, b));
    }
    return scale_make(low, high, true, LEFT, RIGHT, 6, ticks);
}

void plot_goals(struct page *page, const struct results *results)
{
    size_t rows = 0;
    for (size_t i = 0; i < results->asked_count; i++)
        rows += is_shown(&results->asked[i]);
    if (rows == 0)
        return;
    struct ticks ticks;
    struct scale scale = make_scale(results, &ticks);
    double bottom = (double)rows * ROW + 4, top = 0;
    (void)fputs("<figure class=\"goals\">\n<figcaption><strong>How far from the goals</strong> "
                "<span class=\"key\">left of 1: met</span></figcaption>\n",
                page->out);
    svg_begin(page, bottom + SVG_AXIS_HEIGHT, "How far from the goals");
    describe(page->out, results);
    svg_described(page);
    svg_axis_x(page, &scale, &ticks, 18, bottom, "times the goal (logarithmic)");
    for (size_t i = 0; i < results->asked_count; i++)
        if (is_shown(&results->asked[i])) {
            draw_figure(page, &scale, &results->asked[i], top);
            top += ROW;
        }
    svg_end(page);
    (void)fputs("</figure>\n", page->out);
}
