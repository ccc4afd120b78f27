/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/html.h"
#include "tests/bench/plots.h"
#include "tests/bench/text.h"

#include <math.h>
#include <string.h>

#define FACTS_MAX    32
#define VARIANTS_MAX 3

/* ---- facts of the host ---------------------------------------------------------------------- */

/* A text, number or boolean as a text. */
static const char *fact_text(const json_t *fact, char buffer[TEXT_NUMBER_MAX])
{
    if (json_is_string(fact))
        return json_string_value(fact);
    if (json_is_number(fact))
        return text_exact(json_number_value(fact), buffer);
    return json_is_true(fact) ? "yes" : json_is_false(fact) ? "no" : "none";
}

/* The names of all facts that some part gives, each once. */
static size_t fact_names(const struct results *r, const char *names[FACTS_MAX])
{
    const char *name;
    json_t *fact;
    size_t count = 0;
    for (size_t i = 0; i < r->raw_count; i++)
        json_object_foreach((json_t *)r->raws[i].host, name, fact)
        {
            size_t known = 0;
            while (known < count && strcmp(names[known], name) != 0)
                known++;
            if (known == count && count < FACTS_MAX)
                names[count++] = name;
        }
    return count;
}

/* Whether every part that gives the fact gives the same. */
static bool is_common(const struct results *r, const char *name)
{
    const json_t *first = NULL;
    for (size_t i = 0; i < r->raw_count; i++) {
        const json_t *fact = json_object_get(r->raws[i].host, name);
        if (fact && first && !json_equal(fact, first))
            return false;
        if (fact)
            first = fact;
    }
    return true;
}

/* Numbers and dates: the least and the greatest. */
static void print_range(FILE *out, const struct results *r, const char *name)
{
    const json_t *low = NULL, *high = NULL;
    char a[TEXT_NUMBER_MAX], b[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < r->raw_count; i++) {
        const json_t *fact = json_object_get(r->raws[i].host, name);
        if (!fact)
            continue;
        bool number = json_is_number(fact);
        if (!low || (number ? json_number_value(fact) < json_number_value(low)
                            : strcmp(fact_text(fact, a), fact_text(low, b)) < 0))
            low = fact;
        if (!high || (number ? json_number_value(fact) > json_number_value(high)
                             : strcmp(fact_text(fact, a), fact_text(high, b)) > 0))
            high = fact;
    }
    text_escape(out, fact_text(low, a));
    (void)fputs(" to ", out);
    text_escape(out, fact_text(high, b));
}

static bool is_ordered(const struct results *r, const char *name)
{
    if (strcmp(name, "date") == 0)
        return true;
    for (size_t i = 0; i < r->raw_count; i++) {
        const json_t *fact = json_object_get(r->raws[i].host, name);
        if (fact && !json_is_number(fact))
            return false;
    }
    return true;
}

static void print_variants(FILE *out, const struct results *r, const char *name)
{
    const json_t *seen[VARIANTS_MAX];
    size_t count = 0;
    char buffer[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < r->raw_count; i++) {
        const json_t *fact = json_object_get(r->raws[i].host, name);
        size_t known = 0;
        while (known < count && !json_equal(seen[known], fact))
            known++;
        if (!fact || known < count)
            continue;
        (void)fputs(count ? " \u00b7 " : "", out);
        if (count == VARIANTS_MAX) {
            (void)fputs("\u2026", out);
            return;
        }
        seen[count++] = fact;
        text_escape(out, fact_text(fact, buffer));
    }
}

static void print_name(FILE *out, const char *name)
{
    for (const char *c = name; *c; c++) {
        char one[2] = {*c == '_' ? ' ' : *c, '\0'};
        text_escape(out, one);
    }
}

static void print_facts(FILE *out, const struct results *r)
{
    const char *names[FACTS_MAX];
    size_t count = fact_names(r, names);
    (void)fputs("<ul class=\"facts\">\n", out);
    for (size_t i = 0; i < count; i++) {
        (void)fputs("<li>", out);
        print_name(out, names[i]);
        (void)fputs(" <b>", out);
        if (is_common(r, names[i]) || !is_ordered(r, names[i]))
            print_variants(out, r, names[i]);
        else
            print_range(out, r, names[i]);
        (void)fputs("</b></li>\n", out);
    }
    (void)fputs("</ul>\n", out);
}

/* What of the host was not the same for all parts. */
static void print_own_facts(FILE *out, const struct results *r, const struct raw *raw)
{
    const char *name;
    json_t *fact;
    char buffer[TEXT_NUMBER_MAX];
    (void)fputs("<ul class=\"facts\">\n", out);
    json_object_foreach((json_t *)raw->host, name, fact)
    {
        if (is_common(r, name))
            continue;
        (void)fputs("<li>", out);
        print_name(out, name);
        (void)fputs(" <b>", out);
        text_escape(out, fact_text(fact, buffer));
        (void)fputs("</b></li>\n", out);
    }
    (void)fputs("</ul>\n", out);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void print_unit(FILE *out, const char *unit)
{
    if (!unit[0])
        return;
    (void)fputs(" <span class=\"soft\">", out);
    text_escape(out, unit);
    (void)fputs("</span>", out);
}

static void print_verdict(FILE *out, const struct figure *f)
{
    static const char *const classes[] = {"missed", "met", "none", "none"};
    static const char *const signs[] = {"\u2717 ", "\u2713 ", "", ""};
    (void)fprintf(out, "<td class=\"verdict %s\">%s%s", classes[f->verdict], signs[f->verdict],
                  verdict_name(f->verdict));
    if (figure_is_close(f))
        (void)fputs("<small>the goal is within the interval</small>", out);
    (void)fputs("</td>", out);
}

static void print_measured(FILE *out, const struct figure *f)
{
    char value[TEXT_NUMBER_MAX], low[TEXT_NUMBER_MAX], high[TEXT_NUMBER_MAX];
    (void)fprintf(out, "<td>%s", figure_value(f, value));
    print_unit(out, f->unit);
    if (figure_has_interval(f))
        (void)fprintf(out, "<small>%s to %s</small>", text_ratio(f->interval.low, low),
                      text_ratio(f->interval.high, high));
    if (f->is_ratio)
        (void)fprintf(out, "<small>n = %zu</small>", f->n);
    (void)fputs("</td><td>", out);
    if (f->has_goal)
        (void)fprintf(out, "%s %s", f->lower ? "\u2264" : "\u2265", text_exact(f->goal, value));
    else
        (void)fputs("\u2013", out);
    (void)fputs("</td>", out);
    print_verdict(out, f);
}

/* A narrow screen may break it after each `_`. */
static void print_key(FILE *out, const char *key)
{
    (void)fputs("<small>", out);
    for (; *key; key++) {
        (void)fputc(*key, out);
        (void)fputs(*key == '_' ? "<wbr>" : "", out);
    }
    (void)fputs("</small>", out);
}

static void print_figure(FILE *out, const struct figure *f)
{
    (void)fputs("<tr><th scope=\"row\">", out);
    text_escape(out, f->name);
    print_key(out, f->key);
    (void)fputs("</th>", out);
    print_measured(out, f);
    (void)fputs("</tr>\n", out);
}

static void begin_figures(FILE *out, const char *caption)
{
    (void)fprintf(out,
                  "<div class=\"card scroll\"><table><caption>%s</caption>\n<thead><tr>"
                  "<th scope=\"col\">figure</th><th scope=\"col\">value, 95%% interval</th>"
                  "<th scope=\"col\">goal</th><th scope=\"col\">verdict</th></tr></thead>\n"
                  "<tbody>\n",
                  caption);
}

static void end_table(FILE *out)
{
    (void)fputs("</tbody></table></div>\n", out);
}

static void print_part_figures(FILE *out, const struct results *r, const struct raw *raw)
{
    bool begun = false;
    for (size_t i = 0; i < r->figure_count; i++) {
        if (r->figures[i].from != raw)
            continue;
        if (!begun)
            begin_figures(out, "Figures");
        begun = true;
        print_figure(out, &r->figures[i]);
    }
    if (begun)
        end_table(out);
}

static void print_series(FILE *out, const struct raw_series *s)
{
    const double values[] = {s->summary.p50, s->summary.p95, s->summary.p99, s->summary.min,
                             s->summary.max};
    char number[TEXT_NUMBER_MAX];
    (void)fputs("<tr><th scope=\"row\">", out);
    text_escape(out, s->name);
    (void)fputs("<small>", out);
    text_escape(out, s->what);
    (void)fputs(s->what[0] ? ", " : "", out);
    text_escape(out, s->unit);
    (void)fputs("</small></th>", out);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        (void)fprintf(out, "<td>%s</td>", text_number(values[i], number));
    (void)fprintf(out, "<td>%zu</td></tr>\n", s->summary.n);
}

static void print_all_series(FILE *out, const struct raw *raw)
{
    if (raw->series_count == 0)
        return;
    (void)fputs("<div class=\"card scroll\"><table><caption>Series</caption>\n<thead><tr>"
                "<th scope=\"col\">series</th><th scope=\"col\">p50</th>"
                "<th scope=\"col\">p95</th><th scope=\"col\">p99</th><th scope=\"col\">min</th>"
                "<th scope=\"col\">max</th><th scope=\"col\">n</th></tr></thead>\n<tbody>\n",
                out);
    for (size_t i = 0; i < raw->series_count; i++)
        print_series(out, &raw->series[i]);
    end_table(out);
}

static void print_missing(FILE *out, const struct raw *raw)
{
    if (raw->missing_count == 0)
        return;
    (void)fputs(
        "<div class=\"card scroll\"><table><caption>Not measured here</caption>\n<thead><tr>"
        "<th scope=\"col\">figure</th><th scope=\"col\" "
        "class=\"left\">why</th></tr></thead>\n<tbody>\n",
        out);
    for (size_t i = 0; i < raw->missing_count; i++) {
        (void)fputs("<tr><th scope=\"row\">", out);
        print_key(out, raw->missing[i].key);
        (void)fputs("</th><td class=\"why\">", out);
        text_escape(out, raw->missing[i].why);
        (void)fputs("</td></tr>\n", out);
    }
    end_table(out);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void print_counts(FILE *out, const struct results *r)
{
    size_t counts[4] = {0};
    for (size_t i = 0; i < r->asked_count; i++)
        counts[r->asked[i].verdict]++;
    (void)fputs("<p class=\"counts\">", out);
    for (int v = VERDICT_MISSED; v <= VERDICT_NOT_MEASURED; v++)
        if (counts[v])
            (void)fprintf(out, "<span><b>%zu</b> %s</span>\n", counts[v],
                          v == VERDICT_NO_GOAL ? "without a goal" : verdict_name((enum verdict)v));
    (void)fputs("</p>\n", out);
}

static void print_not_measured(FILE *out, const struct results *r)
{
    bool begun = false;
    for (size_t i = 0; i < r->asked_count; i++) {
        const struct figure *f = &r->asked[i];
        if (f->verdict != VERDICT_NOT_MEASURED)
            continue;
        if (!begun)
            (void)fputs("<div class=\"card scroll\"><table><caption>Not measured</caption>\n<thead>"
                        "<tr><th scope=\"col\">figure</th><th scope=\"col\" "
                        "class=\"left\">why</th></tr></thead>\n"
                        "<tbody>\n",
                        out);
        begun = true;
        (void)fputs("<tr><th scope=\"row\">", out);
        text_escape(out, f->name);
        print_key(out, f->key);
        (void)fputs("</th><td class=\"why\">", out);
        text_escape(out, f->why);
        (void)fputs("</td></tr>\n", out);
    }
    if (begun)
        end_table(out);
}

static void print_verdicts(struct page *page, const struct results *r)
{
    FILE *out = page->out;
    (void)fputs("<div class=\"asked\">\n", out);
    begin_figures(out, "What was asked for");
    for (size_t i = 0; i < r->asked_count; i++)
        if (r->asked[i].verdict != VERDICT_NOT_MEASURED)
            print_figure(out, &r->asked[i]);
    end_table(out);
    (void)fputs("<div class=\"stack\">\n", out);
    plot_goals(page, r);
    print_not_measured(out, r);
    (void)fputs("</div>\n</div>\n", out);
}

/* Whether there is more to say of the part than why figures are missing. */
static bool has_section(const struct raw *raw)
{
    return raw->series_count + raw->ratio_count + raw->number_count + raw->stack_count +
               raw->group_count + raw->timeline_count + raw->curve_count >
           0;
}

static void print_part(struct page *page, const struct results *r, const struct raw *raw)
{
    FILE *out = page->out;
    (void)fprintf(out, "<section id=\"%s\">\n<h2>", raw->part);
    text_escape(out, raw->title);
    (void)fputs("</h2>\n", out);
    print_own_facts(out, r, raw);
    (void)fputs("<div class=\"plots\">\n", out);
    for (size_t i = 0; i < raw->group_count; i++)
        plot_groups(page, &raw->groups[i]);
    plot_series(page, raw);
    for (size_t i = 0; i < raw->timeline_count; i++)
        plot_timeline(page, &raw->timelines[i]);
    for (size_t i = 0; i < raw->stack_count; i++)
        plot_stack(page, &raw->stacks[i]);
    for (size_t i = 0; i < raw->curve_count; i++)
        plot_curve(page, &raw->curves[i]);
    print_part_figures(out, r, raw);
    print_all_series(out, raw);
    print_missing(out, raw);
    (void)fputs("</div>\n</section>\n", out);
}

static void print_contents(FILE *out, const struct results *r)
{
    (void)fputs("<nav aria-label=\"parts\">", out);
    for (size_t i = 0; i < r->raw_count; i++)
        if (has_section(&r->raws[i]))
            (void)fprintf(out, "<a href=\"#%s\">%s</a> ", r->raws[i].part, r->raws[i].part);
    (void)fputs("<a href=\"#raw\">raw</a></nav>\n", out);
}

static void print_raw(FILE *out, const struct results *r)
{
    (void)fputs("<section id=\"raw\">\n<h2>Raw figures</h2>\n", out);
    for (size_t i = 0; i < r->raw_count; i++) {
        (void)fputs("<details><summary>", out);
        text_escape(out, r->raws[i].file);
        (void)fputs("</summary><pre>", out);
        text_escape(out, r->raws[i].text);
        (void)fputs("</pre></details>\n", out);
    }
    (void)fputs("</section>\n", out);
}

void html_write(FILE *out, const struct results *r)
{
    struct page page = {.out = out};
    (void)fprintf(out,
                  "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<title>thaw: benchmarks</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n"
                  "<h1>thaw: benchmarks</h1>\n",
                  html_style);
    print_facts(out, r);
    print_counts(out, r);
    print_verdicts(&page, r);
    print_contents(out, r);
    for (size_t i = 0; i < r->raw_count; i++)
        if (has_section(&r->raws[i]))
            print_part(&page, r, &r->raws[i]);
    print_raw(out, r);
    (void)fputs("</main>\n</body>\n</html>\n", out);
}
