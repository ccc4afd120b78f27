/* SPDX-License-Identifier: Apache-2.0 */
/* Bars of phases and rows of marks. */
#include "tests/bench/plots.h"
#include "tests/bench/text.h"

#include <math.h>
#include <string.h>

#define LEFT  14.0
#define RIGHT (SVG_WIDTH - 22.0)
/* More names than this in one plot are told apart by nobody. */
#define NAMES_MAX 64
#define LANE      16.0
#define GAP       3.0 /* between a stem and its label */
#define MARKS_MAX 64

/* The names of all phases, each once, in the order in which they come. */
struct names {
    const char *list[NAMES_MAX];
    size_t count;
};

static size_t index_of(const struct names *names, const char *name)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->list[i], name) != 0)
        i++;
    return i;
}

static void collect_names(const struct raw_rows *rows, struct names *names)
{
    for (size_t r = 0; r < rows->count; r++)
        for (size_t i = 0; i < rows->rows[r].count; i++) {
            const char *name = rows->rows[r].values[i].name;
            if (index_of(names, name) == names->count && names->count < NAMES_MAX)
                names->list[names->count++] = name;
        }
}

static double total_of(const struct raw_row *row)
{
    double total = 0;
    for (size_t i = 0; i < row->count; i++)
        total += row->values[i].value;
    return total;
}

/* The colours come again, paler, when there are more names than colours. */
static void phase_class(const struct names *names, const char *name, char class[32])
{
    size_t index = index_of(names, name);
    (void)snprintf(class, 32, "c%zu%s", index % SVG_COLOURS,
                   index / SVG_COLOURS % 2 ? " pale" : "");
}

static void figure_begin(struct page *page, const struct raw_rows *rows)
{
    (void)fputs("<figure>\n<figcaption><strong>", page->out);
    text_escape(page->out, rows->title);
    (void)fputs("</strong>, ", page->out);
    text_escape(page->out, rows->unit);
    (void)fputs("</figcaption>\n", page->out);
}

static void describe(FILE *out, const struct raw_rows *rows)
{
    char number[TEXT_NUMBER_MAX];
    for (size_t r = 0; r < rows->count; r++) {
        const struct raw_row *row = &rows->rows[r];
        text_escape(out, row->name);
        for (size_t i = 0; i < row->count; i++) {
            (void)fputs(i ? ", " : ": ", out);
            text_escape(out, row->values[i].name);
            (void)fprintf(out, " %s", text_number(row->values[i].value, number));
        }
        (void)fputs(". ", out);
    }
}

/* ---- stacks --------------------------------------------------------------------------------- */

static void draw_bar(struct page *page, const struct scale *scale, const struct names *names,
                     const struct raw_row *bar, const char *unit, double top)
{
    char number[TEXT_NUMBER_MAX], class[48], colour[32], of[96], total[144];
    text_fit(unit, 1, 8, of, sizeof(of));
    (void)snprintf(total, sizeof(total), "%s %s", text_number(total_of(bar), number), of);
    svg_text_fit(page, "name", LEFT, top + 14, RIGHT - LEFT - text_width(total, SVG_TEXT) - 8,
                 bar->name);
    svg_text(page, "value", RIGHT, top + 14, ANCHOR_END, total);
    double before = 0;
    for (size_t i = 0; i < bar->count; i++) {
        double x = scale_at(scale, before),
               width = scale_at(scale, before + bar->values[i].value) - x;
        before += bar->values[i].value;
        phase_class(names, bar->values[i].name, colour);
        (void)snprintf(class, sizeof(class), "phase %s", colour);
        /* A gap between two phases where there is room for one. */
        svg_rect(page, class, x, top + 20, width > 3 ? width - 1 : width, 22);
        text_number(bar->values[i].value, number);
        if (text_width(number, SVG_TEXT - 1) + 6 < width) {
            (void)snprintf(class, sizeof(class), "inside %s", colour);
            svg_text(page, class, x + width / 2, top + 35, ANCHOR_MIDDLE, number);
        }
    }
}

static void print_cell(FILE *out, const struct raw_row *bar, const char *name)
{
    char number[TEXT_NUMBER_MAX];
    double sum = 0;
    bool found = false;
    for (size_t i = 0; i < bar->count; i++)
        if (strcmp(bar->values[i].name, name) == 0) {
            sum += bar->values[i].value;
            found = true;
        }
    (void)fprintf(out, "<td>%s</td>", found ? text_number(sum, number) : "\u2013");
}

/* What each colour is, and how long. */
static void print_phases(struct page *page, const struct raw_rows *stack, const struct names *names)
{
    char class[32];
    FILE *out = page->out;
    (void)fputs(
        "<div class=\"scroll\"><table class=\"phases\"><thead><tr><th scope=\"col\">phase, ", out);
    text_escape(out, stack->unit);
    (void)fputs("</th>", out);
    for (size_t bar = 0; bar < stack->count; bar++) {
        (void)fputs("<th scope=\"col\">", out);
        text_escape(out, stack->rows[bar].name);
        (void)fputs("</th>", out);
    }
    (void)fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < names->count; i++) {
        phase_class(names, names->list[i], class);
        (void)fprintf(out, "<tr><th scope=\"row\"><i class=\"swatch %s\"></i>", class);
        text_escape(out, names->list[i]);
        (void)fputs("</th>", out);
        for (size_t bar = 0; bar < stack->count; bar++)
            print_cell(out, &stack->rows[bar], names->list[i]);
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</tbody></table></div>\n", out);
}

void plot_stack(struct page *page, const struct raw_rows *stack)
{
    struct names names = {.count = 0};
    struct ticks ticks;
    double longest = 0, bottom = 8 + (double)stack->count * 52;
    collect_names(stack, &names);
    for (size_t i = 0; i < stack->count; i++)
        longest = fmax(longest, total_of(&stack->rows[i]));
    struct scale scale = scale_make(0, longest > 0 ? longest : 1, false, LEFT, RIGHT, 6, &ticks);
    figure_begin(page, stack);
    svg_begin(page, bottom + SVG_AXIS_HEIGHT, stack->title);
    describe(page->out, stack);
    svg_described(page);
    svg_axis_x(page, &scale, &ticks, 20, bottom, stack->unit);
    for (size_t i = 0; i < stack->count; i++)
        draw_bar(page, &scale, &names, &stack->rows[i], stack->unit, (double)i * 52);
    svg_end(page);
    print_phases(page, stack, &names);
    (void)fputs("</figure>\n", page->out);
}

/* ---- timelines ------------------------------------------------------------------------------ */

/* A mark's label: right of its stem, or left of it where there is no more room. */
struct label {
    double x, from, to;
    size_t lane;
    char text[240];
};

static void make_label(struct label *label, const struct raw_value *mark, const struct scale *scale)
{
    char number[TEXT_NUMBER_MAX], name[192];
    double x = scale_at(scale, mark->value);
    text_fit(mark->name, 1, 20, name, sizeof(name));
    (void)snprintf(label->text, sizeof(label->text), "%s %s", name,
                   text_number(mark->value, number));
    double width = text_width(label->text, SVG_TEXT) + 5;
    bool left = x + width > SVG_WIDTH && x - width >= 0;
    label->x = x;
    label->from = left ? x - width : x + GAP;
    label->to = left ? x - GAP : x + width;
}

/* Whether a label and the stem of another, in lanes `a` and `b`, come into each other's way. */
static bool in_the_way(const struct label *a, size_t lane, const struct label *b)
{
    if (lane == b->lane)
        return a->from < b->to + 4 && b->from < a->to + 4;
    const struct label *upper = lane < b->lane ? a : b, *deeper = lane < b->lane ? b : a;
    return upper->from < deeper->x && deeper->x < upper->to;
}

static bool is_free(const struct label *labels, const bool *placed, size_t count, size_t i,
                    size_t lane, bool beside_stems)
{
    for (size_t k = 0; k < count; k++)
        if (placed[k] && (beside_stems || labels[k].lane == lane) &&
            in_the_way(&labels[i], lane, &labels[k]))
            return false;
    return true;
}

/* The first lane where the label of `i` is in nobody's way; where there is none, the first where it
 * is on no other label. */
static size_t find_lane(const struct label *labels, const bool *placed, size_t count, size_t i)
{
    for (int stems = 1; stems >= 0; stems--)
        for (size_t lane = 0; lane < count; lane++)
            if (is_free(labels, placed, count, i, lane, stems))
                return lane;
    return 0;
}

/* Labels to the left of their stems from the left, those to the right from the right: so each comes
 * below those that its stem would cross. Returns how many lanes there are. */
static size_t place_labels(struct label *labels, size_t count)
{
    bool placed[MARKS_MAX] = {false};
    size_t lanes = 0;
    for (size_t done = 0; done < count; done++) {
        size_t next = count;
        for (size_t i = 0; i < count; i++) {
            if (placed[i])
                continue;
            bool left = labels[i].from < labels[i].x;
            bool next_left = next < count && labels[next].from < labels[next].x;
            if (next == count || (left && !next_left) ||
                (left == next_left &&
                 (left ? labels[i].x < labels[next].x : labels[i].x >= labels[next].x)))
                next = i;
        }
        labels[next].lane = find_lane(labels, placed, count, next);
        placed[next] = true;
        if (labels[next].lane + 1 > lanes)
            lanes = labels[next].lane + 1;
    }
    return lanes;
}

static size_t label_row(const struct raw_row *row, const struct scale *scale,
                        struct label labels[MARKS_MAX], size_t *lanes)
{
    size_t count = row->count < MARKS_MAX ? row->count : MARKS_MAX;
    for (size_t i = 0; i < count; i++)
        make_label(&labels[i], &row->values[i], scale);
    *lanes = place_labels(labels, count);
    return count;
}

static double row_height(const struct raw_row *row, const struct scale *scale)
{
    struct label labels[MARKS_MAX];
    size_t lanes;
    label_row(row, scale, labels, &lanes);
    return 46 + (double)lanes * LANE;
}

static void draw_marks(struct page *page, const struct scale *scale, const struct raw_row *row,
                       double top, unsigned colour)
{
    struct label labels[MARKS_MAX];
    char class[32];
    size_t lanes, count = label_row(row, scale, labels, &lanes);
    double line = top + 26, last = scale->at;
    svg_text_fit(page, "name", LEFT, top + 14, RIGHT - LEFT, row->name);
    for (size_t i = 0; i < count; i++) {
        last = fmax(last, labels[i].x);
        svg_line(page, "stem", labels[i].x, line, labels[i].x,
                 line + 8 + (double)(labels[i].lane + 1) * LANE);
    }
    (void)snprintf(class, sizeof(class), "track c%u", colour);
    svg_line(page, class, scale->at, line, last, line);
    (void)snprintf(class, sizeof(class), "mark c%u", colour);
    for (size_t i = 0; i < count; i++) {
        bool left = labels[i].from < labels[i].x;
        svg_circle(page, class, labels[i].x, line, 4.5);
        svg_text(page, "label", labels[i].x + (left ? -GAP - 1 : GAP + 1),
                 line + 7 + (double)(labels[i].lane + 1) * LANE, left ? ANCHOR_END : ANCHOR_START,
                 labels[i].text);
    }
}

void plot_timeline(struct page *page, const struct raw_rows *timeline)
{
    struct ticks ticks;
    double last = 0, bottom = 6, top = 0;
    for (size_t r = 0; r < timeline->count; r++)
        for (size_t i = 0; i < timeline->rows[r].count; i++)
            last = fmax(last, timeline->rows[r].values[i].value);
    struct scale scale = scale_make(0, last > 0 ? last : 1, false, LEFT, RIGHT, 6, &ticks);
    for (size_t r = 0; r < timeline->count; r++)
        bottom += row_height(&timeline->rows[r], &scale);
    figure_begin(page, timeline);
    svg_begin(page, bottom + SVG_AXIS_HEIGHT, timeline->title);
    describe(page->out, timeline);
    svg_described(page);
    svg_axis_x(page, &scale, &ticks, 20, bottom, timeline->unit);
    for (size_t r = 0; r < timeline->count; r++) {
        const struct raw_row *row = &timeline->rows[r];
        draw_marks(page, &scale, row, top, plot_colour(row->name, "", r));
        top += row_height(row, &scale);
    }
    svg_end(page);
    (void)fputs("</figure>\n", page->out);
}
