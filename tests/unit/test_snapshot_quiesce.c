/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/quiesce.h"

#include <criterion/criterion.h>

#define DEADLINE 1000u

/* A guest before anything was done. */
static struct quiesce_view fresh(void)
{
    return (struct quiesce_view){.now_ns = 100, .deadline_ns = DEADLINE, .can_ask = true};
}

static void expect(struct quiesce_view view, enum quiesce_step step, const char *what)
{
    cr_assert_eq(quiesce_next(&view), step, "%s: step %d", what, quiesce_next(&view));
}

Test(snapshot_quiesce, init_is_asked_once_and_its_answer_awaited)
{
    struct quiesce_view view = fresh();
    expect(view, QUIESCE_ASK, "at first");
    view.asked = true;
    expect(view, QUIESCE_WAIT, "asked");
    view.answered = true;
    expect(view, QUIESCE_PAUSE, "answered");
}

Test(snapshot_quiesce, without_an_init_to_ask_the_guest_is_stopped_at_once)
{
    struct quiesce_view view = fresh();
    view.can_ask = false;
    expect(view, QUIESCE_PAUSE, "nobody to ask");
}

Test(snapshot_quiesce, an_init_that_comes_up_while_the_guest_is_looked_at_is_asked_after_all)
{
    struct quiesce_view view = fresh();
    view.paused = view.quiet = view.idle = true;
    view.quiet_ns = view.now_ns;
    expect(view, QUIESCE_RESUME, "it runs on");
    view.paused = false;
    expect(view, QUIESCE_ASK, "and is asked");
}

/* Of the 32 states of a stopped guest that init has answered for, one. */
static struct quiesce_view stopped(unsigned bits)
{
    struct quiesce_view view = fresh();
    view.asked = view.answered = view.paused = true;
    view.quiet = bits & 1;
    view.idle = bits & 2;
    view.must_be_idle = bits & 4;
    view.wanted_ns = bits & 8 ? 50 : 0;
    view.quiet_ns = bits & 16 ? view.now_ns - 50 : view.now_ns - 49;
    return view;
}

/* Captured only with nothing in flight, at rest if it has to be, and for as long as was asked. */
Test(snapshot_quiesce, a_stopped_guest_is_captured_only_when_all_of_it_holds)
{
    for (unsigned bits = 0; bits < 32; bits++) {
        struct quiesce_view view = stopped(bits);
        bool settled = view.quiet && (view.idle || !view.must_be_idle);
        bool long_enough = view.wanted_ns == 0 || (bits & 16);
        expect(view, settled && long_enough ? QUIESCE_CAPTURE : QUIESCE_RESUME, "stopped");
    }
}

/* And then it is looked at once more. */
Test(snapshot_quiesce, what_takes_long_is_done_at_the_instant_at_which_it_could_be_captured)
{
    for (unsigned bits = 0; bits < 32; bits++) {
        struct quiesce_view view = stopped(bits);
        bool captured = quiesce_next(&view) == QUIESCE_CAPTURE;
        view.to_copy = true;
        expect(view, captured ? QUIESCE_COPY : QUIESCE_RESUME, "to be copied");
    }
}

Test(snapshot_quiesce, a_guest_that_was_not_quiet_at_the_last_look_is_never_captured)
{
    struct quiesce_view view = fresh();
    view.asked = view.answered = view.paused = view.quiet = view.idle = true;
    view.quiet_ns = 0;
    expect(view, QUIESCE_RESUME, "not quiet");
}

Test(snapshot_quiesce, after_the_deadline_it_is_given_up_whatever_is_missing)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        struct quiesce_view view = fresh();
        view.now_ns = DEADLINE;
        view.can_ask = bits & 1;
        view.asked = bits & 2;
        view.answered = bits & 4;
        expect(view, QUIESCE_GIVE_UP, "late");
    }
}

Test(snapshot_quiesce, a_look_that_was_good_counts_even_at_the_deadline)
{
    struct quiesce_view view = fresh();
    view.asked = view.answered = view.paused = view.quiet = view.idle = true;
    view.quiet_ns = view.now_ns = DEADLINE;
    expect(view, QUIESCE_CAPTURE, "in the last moment");
}

Test(snapshot_quiesce, a_stopped_guest_is_let_go_before_it_is_given_up)
{
    struct quiesce_view view = fresh();
    view.asked = view.answered = view.paused = true;
    view.now_ns = DEADLINE + 1;
    expect(view, QUIESCE_RESUME, "first it runs again");
    view.paused = false;
    expect(view, QUIESCE_GIVE_UP, "then it is given up");
}
