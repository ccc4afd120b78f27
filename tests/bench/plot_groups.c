/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of bars that say how many times something each is: their common foot is 1. */
#include "tests/bench/plots.h"
#include "tests/bench/text.h"

#include <math.h>

#define LEFT  14.0
#define RIGHT (SVG_WIDTH - 14.0)
#define HEAD  19.0 /* the group's name */
#define BAR   13.0
#define GAP   7.0 /* between groups */
/* A bar ends here at the latest: its number is to have room. */
#define NUMBER_WIDTH 36.0

static double group_height(const struct raw_row *group)
{
    return HEAD + (double)group->count * BAR + GAP;
}

static struct scale make_scale(const struct raw_rows *groups, struct ticks *ticks)
{
    double low = 0.9, high = 2;
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < groups->rows[g].count; i++) {
            low = fmin(low, groups->rows[g].values[i].value);
            high = fmax(high, groups->rows[g].values[i].value);
        }
    double left = LEFT + (low < 0.9 ? NUMBER_WIDTH : 0);
    return scale_make(low, high, true, left, RIGHT - NUMBER_WIDTH, 6, ticks);
}

static void draw_bar(struct page *page, const struct scale *scale, const struct raw_value *value,
                     size_t index, double top)
{
    char class[32], number[TEXT_NUMBER_MAX];
    double one = scale_at(scale, 1), end = scale_at(scale, value->value);
    bool more = end >= one;
    (void)snprintf(class, sizeof(class), "phase c%u", plot_colour("", value->name, index));
    svg_rect(page, class, fmin(one, end), top, fmax(fabs(end - one), 1), BAR - 2);
    svg_text(page, "tick", end + (more ? 4 : -4), top + BAR - 3, more ? ANCHOR_START : ANCHOR_END,
             text_number(value->value, number));
}

static void draw_group(struct page *page, const struct scale *scale, const struct raw_row *group,
                       double top)
{
    svg_text_fit(page, "name", LEFT, top + 14, RIGHT - LEFT, group->name);
    for (size_t i = 0; i < group->count; i++)
        draw_bar(page, scale, &group->values[i], i, top + HEAD + (double)i * BAR);
    svg_line(page, "goal", scale_at(scale, 1), top + HEAD - 2, scale_at(scale, 1),
             top + HEAD + (double)group->count * BAR);
}

static void describe(FILE *out, const struct raw_rows *groups)
{
    char number[TEXT_NUMBER_MAX];
    for (size_t g = 0; g < groups->count; g++) {
        const struct raw_row *group = &groups->rows[g];
        text_escape(out, group->name);
        for (size_t i = 0; i < group->count; i++) {
            (void)fputs(i ? ", " : ": ", out);
            text_escape(out, group->values[i].name);
            (void)fprintf(out, " %s", text_number(group->values[i].value, number));
        }
        (void)fputs(". ", out);
    }
}

/* The names of the first group, which are those of all. */
static void print_legend(FILE *out, const struct raw_row *group)
{
    (void)fputs("<div class=\"legend\">", out);
    for (size_t i = 0; i < group->count; i++) {
        (void)fprintf(out, "<span><i class=\"swatch c%u\"></i>",
                      plot_colour("", group->values[i].name, i));
        text_escape(out, group->values[i].name);
        (void)fputs("</span>\n", out);
    }
    (void)fputs("</div>\n", out);
}

void plot_groups(struct page *page, const struct raw_rows *groups)
{
    struct ticks ticks;
    struct scale scale = make_scale(groups, &ticks);
    char axis[TEXT_AXIS_MAX];
    double bottom = 4, top = 0;
    for (size_t g = 0; g < groups->count; g++)
        bottom += group_height(&groups->rows[g]);
    text_axis("", groups->unit, true, axis);
    (void)fputs("<figure>\n<figcaption><strong>", page->out);
    text_escape(page->out, groups->title);
    (void)fputs("</strong>, ", page->out);
    text_escape(page->out, groups->unit);
    (void)fputs("</figcaption>\n", page->out);
    print_legend(page->out, &groups->rows[0]);
    svg_begin(page, bottom + SVG_AXIS_HEIGHT, groups->title);
    describe(page->out, groups);
    svg_described(page);
    svg_axis_x(page, &scale, &ticks, HEAD, bottom, axis);
    for (size_t g = 0; g < groups->count; g++) {
        draw_group(page, &scale, &groups->rows[g], top);
        top += group_height(&groups->rows[g]);
    }
    svg_end(page);
    (void)fputs("</figure>\n", page->out);
}
