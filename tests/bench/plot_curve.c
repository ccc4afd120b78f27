/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/plots.h"
#include "tests/bench/text.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define TOP    26.0
#define BOTTOM 236.0
#define RIGHT  (SVG_WIDTH - 16.0)
/* So many times the rest, and the tails are cut. */
#define TAIL_MAX 3

struct range {
    double low, high;
};

struct axes {
    struct scale x, y;
    struct ticks x_ticks, y_ticks;
};

/* A line of the slowest few: what it does must not hide what the others do. */
static bool is_tail(const struct raw_line *line)
{
    return strcasestr(line->name, "p95") || strcasestr(line->name, "p99") ||
           strcasestr(line->name, "slowest");
}

static bool is_theory(const struct raw_line *line)
{
    return strcasestr(line->name, "theory") || strcasestr(line->name, "expected");
}

static void line_class(const struct raw_curve *curve, size_t index, char class[24])
{
    unsigned colour = 0;
    for (size_t i = 0; i < index; i++)
        colour += !is_theory(&curve->lines[i]);
    if (is_theory(&curve->lines[index]))
        (void)snprintf(class, 24, "theory");
    else
        (void)snprintf(class, 24, "c%u", colour % (SVG_COLOURS - 1));
}

static void widen(struct range *r, double value)
{
    r->low = fmin(r->low, value);
    r->high = fmax(r->high, value);
}

static struct range x_range(const struct raw_curve *curve)
{
    struct range r = {INFINITY, -INFINITY};
    for (size_t l = 0; l < curve->count; l++)
        for (size_t i = 0; i < curve->lines[l].count; i++)
            widen(&r, curve->lines[l].points[i].x);
    return r;
}

static struct range y_range(const struct raw_curve *curve, bool tails)
{
    struct range r = {INFINITY, -INFINITY};
    for (size_t l = 0; l < curve->count; l++)
        for (size_t i = 0; i < curve->lines[l].count; i++)
            if (tails || !is_tail(&curve->lines[l]))
                widen(&r, curve->lines[l].points[i].y);
    return r;
}

/* What the axis has to show: the tails only as far as the rest stays large enough to be read. */
static struct range shown_range(const struct raw_curve *curve)
{
    struct range all = y_range(curve, true), rest = y_range(curve, false);
    return rest.low <= rest.high && rest.high > 0 && all.high > TAIL_MAX * rest.high
               ? (struct range){all.low, rest.high * TAIL_MAX / 2}
               : all;
}

/* Where it was measured, when that is few places: of a logarithmic axis better than round numbers.
 */
static bool ticks_at_points(const struct raw_curve *curve, struct ticks *ticks)
{
    ticks->count = 0;
    for (size_t l = 0; l < curve->count; l++)
        for (size_t i = 0; i < curve->lines[l].count; i++) {
            double x = curve->lines[l].points[i].x;
            size_t k = 0;
            while (k < ticks->count && ticks->values[k] < x)
                k++;
            if (k < ticks->count && ticks->values[k] <= x)
                continue;
            if (ticks->count == 10)
                return false;
            memmove(ticks->values + k + 1, ticks->values + k, (ticks->count - k) * sizeof(double));
            ticks->values[k] = x;
            ticks->count++;
        }
    return ticks->count > 1;
}

static double widest(const struct ticks *ticks)
{
    double width = 0;
    char label[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < ticks->count; i++)
        width = fmax(width, text_width(text_exact(ticks->values[i], label), SVG_TEXT - 1));
    return width;
}

static void make_axes(const struct raw_curve *curve, struct axes *axes)
{
    struct range x = x_range(curve), y = shown_range(curve);
    /* What should be straight is, with either both or none of the axes logarithmic. */
    bool log_y = curve->log_x && scale_wants_log(y.low, y.high / 2);
    double low = !log_y && y.low > 0 ? 0 : y.low;
    axes->y = scale_make(low, y.high, log_y, BOTTOM, TOP, 5, &axes->y_ticks);
    double left = widest(&axes->y_ticks) + 12;
    axes->x = scale_make(x.low, x.high, curve->log_x, left, RIGHT, 6, &axes->x_ticks);
    struct ticks points;
    if (!curve->log_x || !ticks_at_points(curve, &points))
        return;
    axes->x_ticks = points; /* and no farther than the points */
    axes->x.from = x.low;
    axes->x.to = x.high;
    axes->x.at += 8;
    axes->x.end -= 8;
}

static void draw_axes(struct page *page, const struct raw_curve *curve, const struct axes *axes)
{
    char name[TEXT_AXIS_MAX], label[TEXT_NUMBER_MAX];
    text_axis(curve->x, curve->x_unit, axes->x.log, name);
    svg_axis_x(page, &axes->x, &axes->x_ticks, TOP, BOTTOM, name);
    text_axis(curve->y, curve->y_unit, axes->y.log, name);
    svg_text(page, "tick", 2, 13, ANCHOR_START, name);
    double left = widest(&axes->y_ticks) + 6;
    for (size_t i = 0; i < axes->y_ticks.count; i++) {
        double y = scale_at(&axes->y, axes->y_ticks.values[i]);
        svg_line(page, "grid", left + 4, y, RIGHT, y);
        svg_text(page, "tick", left, y + 4, ANCHOR_END, text_exact(axes->y_ticks.values[i], label));
    }
}

/* What goes beyond the axis ends there. */
static void begin_inside(struct page *page)
{
    (void)fprintf(page->out,
                  "<clipPath id=\"p%u\"><rect x=\"0\" y=\"%g\" width=\"%g\" height=\"%g\"/>"
                  "</clipPath>\n<g clip-path=\"url(#p%u)\">\n",
                  page->drawings, TOP - 5, SVG_WIDTH, BOTTOM - TOP + 10, page->drawings);
}

static void draw_line(struct page *page, const struct raw_line *line, const struct axes *axes,
                      const char *class)
{
    (void)fprintf(page->out, "<path class=\"curve %s\" d=\"", class);
    for (size_t i = 0; i < line->count; i++)
        (void)fprintf(page->out, "%c%.1f %.1f", i ? 'L' : 'M',
                      scale_at(&axes->x, line->points[i].x), scale_at(&axes->y, line->points[i].y));
    (void)fputs("\"/>\n", page->out);
    char mark[32];
    (void)snprintf(mark, sizeof(mark), "mark %s", class);
    for (size_t i = 0; i < line->count && !is_theory(line); i++)
        svg_circle(page, mark, scale_at(&axes->x, line->points[i].x),
                   scale_at(&axes->y, line->points[i].y), 3.5);
}

static double highest(const struct raw_line *line)
{
    double most = line->points[0].y;
    for (size_t i = 1; i < line->count; i++)
        most = fmax(most, line->points[i].y);
    return most;
}

static void print_legend(struct page *page, const struct raw_curve *curve, double top)
{
    char class[24], number[TEXT_NUMBER_MAX];
    (void)fputs("<p class=\"legend\">", page->out);
    for (size_t i = 0; i < curve->count; i++) {
        line_class(curve, i, class);
        (void)fprintf(page->out, "<span><i class=\"line %s\"></i>", class);
        text_escape(page->out, curve->lines[i].name);
        double most = highest(&curve->lines[i]);
        if (most > top) {
            (void)fprintf(page->out, ", up to %s ", text_number(most, number));
            text_escape(page->out, curve->y_unit);
        }
        (void)fputs("</span> ", page->out);
    }
    (void)fputs("</p>\n", page->out);
}

static void print_remark(struct page *page, const char *head, const char *text)
{
    if (!text[0])
        return;
    (void)fprintf(page->out, "<p class=\"remark\"><b>%s</b> ", head);
    text_escape(page->out, text);
    (void)fputs("</p>\n", page->out);
}

static void describe(FILE *out, const struct raw_curve *curve)
{
    char x[TEXT_NUMBER_MAX], y[TEXT_NUMBER_MAX];
    for (size_t l = 0; l < curve->count; l++) {
        const struct raw_line *line = &curve->lines[l];
        text_escape(out, line->name);
        for (size_t i = 0; i < line->count; i++)
            (void)fprintf(out, "%s %s at %s", i ? "," : ":", text_number(line->points[i].y, y),
                          text_number(line->points[i].x, x));
        (void)fputs(". ", out);
    }
}

void plot_curve(struct page *page, const struct raw_curve *curve)
{
    struct axes axes;
    char class[24];
    make_axes(curve, &axes);
    (void)fputs("<figure>\n<figcaption><strong>", page->out);
    text_escape(page->out, curve->title);
    (void)fputs("</strong></figcaption>\n", page->out);
    svg_begin(page, BOTTOM + SVG_AXIS_HEIGHT, curve->title);
    describe(page->out, curve);
    svg_described(page);
    draw_axes(page, curve, &axes);
    begin_inside(page);
    for (int theory = 0; theory <= 1; theory++) /* on top, because measurements may hide it */
        for (size_t i = 0; i < curve->count; i++) {
            line_class(curve, i, class);
            if (is_theory(&curve->lines[i]) == (theory == 1))
                draw_line(page, &curve->lines[i], &axes, class);
        }
    (void)fputs("</g>\n", page->out);
    svg_end(page);
    print_legend(page, curve, axes.y.to);
    print_remark(page, "In theory", curve->theory);
    print_remark(page, "What bends it", curve->bends);
    (void)fputs("</figure>\n", page->out);
}
