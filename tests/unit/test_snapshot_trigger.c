/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/trigger.h"

#include <criterion/criterion.h>

/* What the guest has shown, one bit each. */
enum { BEAT = 1, PRE_EXEC = 2, LISTENS = 4, NEVER_LISTENS = 8, LATE = 16, SHOWN = 32 };
/* What is asked for, one bit each. */
enum { WANT_BEAT = 1, WANT_PRE_EXEC = 2, WANT_LISTENER = 4, WANT_CLOCK = 8, WANTED = 16 };

static struct snapshot_resources asked_for(unsigned bits)
{
    return (struct snapshot_resources){
        .has_at_heartbeat = bits & WANT_BEAT,
        .at_heartbeat = 3,
        .on_pre_exec = bits & WANT_PRE_EXEC,
        .on_listener = bits & WANT_LISTENER,
        .has_after_ms = bits & WANT_CLOCK,
        .after_ms = 100,
    };
}

static struct guest_observation shown(unsigned bits)
{
    return (struct guest_observation){
        .heartbeats = bits & BEAT ? 3 : 2,
        .pre_exec_ready = bits & PRE_EXEC,
        .listener_count = bits & LISTENS ? 1 : 0,
        .no_listener = bits & NEVER_LISTENS,
    };
}

/* The written priority, in another form: the first pair whose two bits are both set. */
static enum snapshot_trigger expected(unsigned want, unsigned seen)
{
    static const struct {
        unsigned want, seen;
        enum snapshot_trigger trigger;
    } priority[] = {
        {WANT_BEAT, BEAT, SNAPSHOT_TRIGGER_HEARTBEAT},
        {WANT_PRE_EXEC, PRE_EXEC, SNAPSHOT_TRIGGER_PRE_EXEC},
        {WANT_LISTENER, LISTENS, SNAPSHOT_TRIGGER_LISTENER},
        {WANT_LISTENER, NEVER_LISTENS, SNAPSHOT_TRIGGER_NO_LISTENER},
        {WANT_CLOCK, LATE, SNAPSHOT_TRIGGER_WALL_CLOCK},
    };
    for (size_t i = 0; i < sizeof(priority) / sizeof(priority[0]); i++)
        if ((want & priority[i].want) && (seen & priority[i].seen))
            return priority[i].trigger;
    return SNAPSHOT_TRIGGER_NONE;
}

Test(snapshot_trigger, every_combination_follows_the_written_priority)
{
    for (unsigned want = 0; want < WANTED; want++)
        for (unsigned seen = 0; seen < SHOWN; seen++) {
            const struct snapshot_resources resources = asked_for(want);
            const struct guest_observation observation = shown(seen);
            enum snapshot_trigger got =
                snapshot_trigger_evaluate(&resources, &observation, seen & LATE ? 100 : 99);
            cr_assert_eq(got, expected(want, seen), "asked for %u, shown %u: %s", want, seen,
                         snapshot_trigger_name(got));
        }
}

Test(snapshot_trigger, nothing_asked_for_never_fires)
{
    const struct snapshot_resources nothing = {0};
    const struct guest_observation everything = shown(SHOWN - 1);
    cr_assert_not(snapshot_is_wanted(&nothing));
    cr_assert_eq(snapshot_trigger_evaluate(&nothing, &everything, UINT64_MAX),
                 SNAPSHOT_TRIGGER_NONE);
}

Test(snapshot_trigger, each_thing_asked_for_is_a_wish_for_a_snapshot)
{
    for (unsigned want = 1; want < WANTED; want++) {
        const struct snapshot_resources resources = asked_for(want);
        cr_assert(snapshot_is_wanted(&resources), "%u", want);
    }
}

Test(snapshot_trigger, the_wall_clock_is_late_only_beside_another_wish)
{
    for (unsigned want = 0; want < WANTED; want++) {
        const struct snapshot_resources resources = asked_for(want);
        bool others = want & (WANT_BEAT | WANT_PRE_EXEC | WANT_LISTENER);
        cr_assert_eq(snapshot_trigger_is_late(&resources, SNAPSHOT_TRIGGER_WALL_CLOCK), others);
        cr_assert_not(snapshot_trigger_is_late(&resources, SNAPSHOT_TRIGGER_PRE_EXEC));
        cr_assert_not(snapshot_trigger_is_late(&resources, SNAPSHOT_TRIGGER_LISTENER));
    }
}

Test(snapshot_trigger, a_guest_can_say_more_than_was_waited_for)
{
    struct snapshot_resources resources = asked_for(WANT_BEAT);
    struct guest_observation seen = {.heartbeats = UINT64_MAX};
    cr_assert_eq(snapshot_trigger_evaluate(&resources, &seen, 0), SNAPSHOT_TRIGGER_HEARTBEAT);
}

Test(snapshot_trigger, every_trigger_has_a_name_of_its_own)
{
    for (int i = 0; i <= SNAPSHOT_TRIGGER_WALL_CLOCK; i++)
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(snapshot_trigger_name((enum snapshot_trigger)i),
                              snapshot_trigger_name((enum snapshot_trigger)j));
}
