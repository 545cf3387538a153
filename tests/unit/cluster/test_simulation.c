/*
 * Runs of the simulated cluster over many seeds. HOLDFAST_LONG=1 runs 100,000; a build with
 * sanitizers runs a few, and no mutants, since it looks for other things.
 * HOLDFAST_SIM_SEED=n runs one and tells what happens in it, HOLDFAST_SIM_MUTATION=m as a mutant.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim.h"
#include "test.h"

#define SEEDS           1000
#define LONG_SEEDS      100000
#define SANITIZED_SEEDS 200
/* Within so many runs every mutant must be found. */
#define MUTANT_SEEDS 5000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static uint64_t seeds(void)
{
    const char *is_long = getenv("HOLDFAST_LONG");

    if (SANITIZED) {
        return SANITIZED_SEEDS;
    }
    return is_long != NULL && is_long[0] == '1' ? LONG_SEEDS : SEEDS;
}

/* What happened in all runs together. */
struct total {
    uint64_t faults[SIM_FAULTS];
    uint64_t crashes[SIM_CALLS][SIM_MOMENTS];
    uint64_t answers;
    uint64_t opens;
    uint64_t acks;
};

static void add_up(struct total *total, const struct sim *sim)
{
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        total->faults[i] += sim->faults[i];
    }
    for (size_t i = 0; i < SIM_CALLS; i++) {
        for (size_t j = 0; j < SIM_MOMENTS; j++) {
            total->crashes[i][j] += sim->crashes[i][j];
        }
    }
    total->answers += sim->answers;
    total->opens += sim->opens;
    total->acks += sim->ack_count;
}

/* What never happens in so many runs is not tested. */
static void check_that_all_happened(const struct total *total)
{
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        printf("%10llu  %s\n", (unsigned long long)total->faults[i], sim_fault_names[i]);
        if (total->faults[i] == 0) {
            fail_msg("in no run there was %s", sim_fault_names[i]);
        }
    }
    for (size_t i = 0; i < SIM_CALLS; i++) {
        for (size_t j = 0; j < SIM_MOMENTS; j++) {
            printf("%10llu  a crash %s the effect of %s\n",
                   (unsigned long long)total->crashes[i][j], sim_moment_names[j],
                   sim_call_names[i]);
            if (total->crashes[i][j] == 0) {
                fail_msg("in no run a node died %s the effect of %s", sim_moment_names[j],
                         sim_call_names[i]);
            }
        }
    }
}

static void every_run_keeps_what_is_promised_and_every_fault_happens(void **state)
{
    struct sim *sim = hf_alloc(sizeof *sim);
    struct total total = { 0 };
    uint64_t count = seeds();

    (void)state;
    for (uint64_t seed = 1; seed <= count; seed++) {
        sim_run(sim, seed, SIM_SOUND, false);
        if (sim->problem[0] != '\0') {
            fail_msg("seed %llu: %s; HOLDFAST_SIM_SEED=%llu tells how", (unsigned long long)seed,
                     sim->problem, (unsigned long long)seed);
        }
        add_up(&total, sim);
    }
    printf("%llu runs, %llu data keys made, %llu opened, %llu changes acknowledged\n",
           (unsigned long long)count, (unsigned long long)total.answers,
           (unsigned long long)total.opens, (unsigned long long)total.acks);
    if (!SANITIZED) {
        check_that_all_happened(&total);
    }
    assert_true(total.answers > count * 20 && total.opens > count * 5 && total.acks > count * 2);
    free(sim);
}

static void a_seed_replays_exactly(void **state)
{
    struct sim *first = hf_alloc(sizeof *first);
    struct sim *second = hf_alloc(sizeof *second);

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_run(first, seed, SIM_SOUND, false);
        sim_run(second, seed, SIM_SOUND, false);
        assert_int_equal(first->random, second->random);
        assert_int_equal(first->answers, second->answers);
        assert_int_equal(first->digest, second->digest);
        assert_memory_equal(first->faults, second->faults, sizeof first->faults);
        assert_memory_equal(first->crashes, second->crashes, sizeof first->crashes);
        assert_memory_equal(first->acks, second->acks, sizeof first->acks);
    }
    free(first);
    free(second);
}

/* By the rule that it breaks, where it was made for one. */
static bool is_found(const struct sim *sim, enum sim_mutation mutation)
{
    const char *rule = sim_mutation_rules[mutation];

    return sim->problem[0] != '\0' && (rule == NULL || strstr(sim->problem, rule) != NULL);
}

static void every_mutant_is_found(void **state)
{
    struct sim *sim = hf_alloc(sizeof *sim);

    (void)state;
    for (enum sim_mutation mutation = 1; mutation < SIM_MUTATIONS; mutation++) {
        uint64_t seed = 0;

        do {
            sim_run(sim, ++seed, mutation, false);
        } while (!is_found(sim, mutation) && seed < MUTANT_SEEDS);
        if (!is_found(sim, mutation)) {
            fail_msg("not found in %d runs: %s", MUTANT_SEEDS, sim_mutation_names[mutation]);
        }
        printf("run %llu finds: %s: %s\n", (unsigned long long)seed, sim_mutation_names[mutation],
               sim->problem);
    }
    free(sim);
}

static int replay(const char *seed)
{
    const char *mutation = getenv("HOLDFAST_SIM_MUTATION");
    struct sim *sim = hf_alloc(sizeof *sim);
    bool broken;

    sim_run(sim, strtoull(seed, NULL, 10),
            mutation != NULL ? (enum sim_mutation)strtoul(mutation, NULL, 10) : SIM_SOUND, true);
    printf("%s\n", sim->problem[0] != '\0' ? sim->problem : "all held");
    broken = sim->problem[0] != '\0';
    free(sim);
    return broken ? 1 : 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_keeps_what_is_promised_and_every_fault_happens),
        cmocka_unit_test(a_seed_replays_exactly),
    };
    static const struct CMUnitTest of_the_rules[] = {
        cmocka_unit_test(every_mutant_is_found),
    };
    const char *seed = getenv("HOLDFAST_SIM_SEED");
    int failed;

    if (seed != NULL) {
        return replay(seed);
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed != 0 || SANITIZED ? failed : cmocka_run_group_tests(of_the_rules, NULL, NULL);
}
