/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawings for a page: SVG elements in the page's own type and colours (the classes are in
 * style.c). All drawings are SVG_WIDTH units wide, about as many pixels on a wide screen and
 * four fifths of them on a telephone.
 */
#ifndef THAW_TESTS_BENCH_SVG_H
#define THAW_TESTS_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SVG_WIDTH   420.0
#define SVG_TEXT    13.0 /* size of the type */
#define SVG_COLOURS 8    /* classes c0 to c7 */
#define TICKS_MAX   16

/* What is written to, and how many drawings it has: each has ids of its own. */
struct page {
    FILE *out;
    unsigned drawings;
};

enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END };

/* After svg_begin comes, as escaped text, what those get to know who do not see the drawing; after
 * svg_described the drawing. */
void svg_begin(struct page *page, double height, const char *title);
void svg_described(struct page *page);
void svg_end(struct page *page);

void svg_line(struct page *page, const char *class, double x1, double y1, double x2, double y2);
void svg_rect(struct page *page, const char *class, double x, double y, double width,
              double height);
void svg_circle(struct page *page, const char *class, double x, double y, double radius);
/* One that is not centred on the base line, but stands on it, at `y`. The text is escaped here. */
void svg_text(struct page *page, const char *class, double x, double y, enum anchor anchor,
              const char *text);
/* The same, cut where it is wider than `width`. */
void svg_text_fit(struct page *page, const char *class, double x, double y, double width,
                  const char *text);

/* From values to places. `log`: `from` is above 0. */
struct scale {
    double from, to; /* values, from < to */
    double at, end;  /* places */
    bool log;
};

double scale_at(const struct scale *scale, double value);

struct ticks {
    double values[TICKS_MAX];
    size_t count;
};

/* The smallest of 1, 2, 5 times a power of ten that is at least `least`, which is above 0. */
double tick_step(double least);

/* A scale between `at` and `end` that has `low` to `high` and begins and ends with a tick of
 * about `wanted`; and its ticks, at least two. */
struct scale scale_make(double low, double high, bool log, double at, double end, size_t wanted,
                        struct ticks *ticks);

/* Whether values from `low` to `high` are better shown on a logarithmic scale. */
bool scale_wants_log(double low, double high);

/* The horizontal axis of `scale` with lines from `top` to `bottom`, numbers beneath, none in
 * another's way, and what it shows beneath them. */
void svg_axis_x(struct page *page, const struct scale *scale, const struct ticks *ticks, double top,
                double bottom, const char *what);
#define SVG_AXIS_HEIGHT 36.0 /* below `bottom` */

#endif
