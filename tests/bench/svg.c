/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/svg.h"
#include "tests/bench/text.h"

#include <math.h>

void svg_begin(struct page *page, double height, const char *title)
{
    unsigned id = ++page->drawings;
    (void)fprintf(page->out,
                  "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-labelledby=\"t%u d%u\">\n"
                  "<title id=\"t%u\">",
                  SVG_WIDTH, ceil(height), id, id, id);
    text_escape(page->out, title);
    (void)fprintf(page->out, "</title>\n<desc id=\"d%u\">", id);
}

void svg_described(struct page *page)
{
    (void)fputs("</desc>\n", page->out);
}

void svg_end(struct page *page)
{
    (void)fputs("</svg>\n", page->out);
}

void svg_line(struct page *page, const char *class, double x1, double y1, double x2, double y2)
{
    (void)fprintf(page->out, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", class, x1, y1, x2,
                  y2);
}

void svg_rect(struct page *page, const char *class, double x, double y, double width, double height)
{
    (void)fprintf(page->out,
                  "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                  class, x, y, width, height);
}

void svg_circle(struct page *page, const char *class, double x, double y, double radius)
{
    (void)fprintf(page->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", class,
                  x, y, radius);
}

void svg_text(struct page *page, const char *class, double x, double y, enum anchor anchor,
              const char *text)
{
    static const char *const anchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
    (void)fprintf(page->out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"%s>", class, x, y,
                  anchors[anchor]);
    text_escape(page->out, text);
    (void)fputs("</text>\n", page->out);
}

void svg_text_fit(struct page *page, const char *class, double x, double y, double width,
                  const char *text)
{
    char cut[256];
    text_fit(text, SVG_TEXT, width, cut, sizeof(cut));
    svg_text(page, class, x, y, ANCHOR_START, cut);
}

double scale_at(const struct scale *s, double value)
{
    double share = s->log ? log(value / s->from) / log(s->to / s->from)
                          : (value - s->from) / (s->to - s->from);
    return s->at + share * (s->end - s->at);
}

double tick_step(double least)
{
    double power = pow(10, floor(log10(least)));
    /* What is 2 but for rounding is 2. */
    double steps[] = {1, 2, 5};
    for (size_t i = 0; i < 3; i++)
        if (least <= steps[i] * power * (1 + 1e-9))
            return steps[i] * power;
    return 10 * power;
}

static void add_tick(struct ticks *ticks, double value)
{
    if (ticks->count < TICKS_MAX)
        ticks->values[ticks->count++] = value;
}

static void make_linear(struct scale *s, double low, double high, size_t wanted,
                        struct ticks *ticks)
{
    double step = tick_step((high - low) / (double)wanted);
    double first = floor(low / step + 1e-9), last = ceil(high / step - 1e-9);
    if (last <= first)
        last = first + 1;
    s->from = first * step;
    s->to = last * step;
    for (double i = first; i <= last; i++)
        add_tick(ticks, i * step);
}

static double log_tick_below(double value)
{
    double up = tick_step(value);
    if (up <= value * (1 + 1e-9))
        return up;
    /* The next below is 2 or 2.5 times less. */
    return tick_step(up / 2.51);
}

/* 1, 2 and 5 while they are few, then powers of ten, then powers of a thousand. */
static void make_log(struct scale *s, double low, double high, size_t wanted, struct ticks *ticks)
{
    s->from = log_tick_below(low);
    s->to = tick_step(high);
    if (s->to <= s->from * 1.01)
        s->to = tick_step(s->from * 1.5);
    double decades = log10(s->to / s->from);
    if (decades * 3 <= (double)wanted + 2) {
        for (double v = s->from; v <= s->to * 1.01; v = tick_step(v * 1.1))
            add_tick(ticks, v);
        return;
    }
    double every = ceil(decades / (double)wanted);
    for (double e = ceil(log10(s->from) - 1e-9); e <= log10(s->to) + 1e-9; e += every)
        add_tick(ticks, pow(10, e));
}

struct scale scale_make(double low, double high, bool log, double at, double end, size_t wanted,
                        struct ticks *ticks)
{
    struct scale scale = {.at = at, .end = end, .log = log};
    double widen = fabs(high) > 0 ? fabs(high) * 0.05 : 1;
    ticks->count = 0;
    if (!log && high - low < widen * 1e-6) {
        low -= widen;
        high += widen;
    }
    if (log)
        make_log(&scale, low, high, wanted, ticks);
    else
        make_linear(&scale, low, high, wanted, ticks);
    return scale;
}

bool scale_wants_log(double low, double high)
{
    return low > 0 && high / low > 25;
}

void svg_axis_x(struct page *page, const struct scale *scale, const struct ticks *ticks, double top,
                double bottom, const char *what)
{
    double free_from = -SVG_WIDTH;
    char label[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < ticks->count; i++) {
        double x = scale_at(scale, ticks->values[i]);
        svg_line(page, "grid", x, top, x, bottom);
        text_exact(ticks->values[i], label);
        double half = text_width(label, SVG_TEXT - 1) / 2;
        double middle = x + half > SVG_WIDTH ? SVG_WIDTH - half : x < half ? half : x;
        if (middle - half < free_from)
            continue;
        svg_text(page, "tick", middle, bottom + 15, ANCHOR_MIDDLE, label);
        free_from = middle + half + 6;
    }
    svg_text(page, "tick", scale->end, bottom + 31, ANCHOR_END, what);
}
