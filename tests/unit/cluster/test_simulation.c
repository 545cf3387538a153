/*
 * Runs of the simulated cluster over many seeds. HOLDFAST_LONG=1 runs 100,000 (in a build without
 * sanitizers);
 * HOLDFAST_SIM_SEED=n runs one and tells what happens in it, HOLDFAST_SIM_MUTATION=m as a mutant.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"
#include "test.h"

#define SEEDS      1000
#define LONG_SEEDS 100000
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

    /* Sanitizers see in a thousand runs what there is to see. */
    return !SANITIZED && is_long != NULL && is_long[0] == '1' ? LONG_SEEDS : SEEDS;
}

static void every_run_keeps_what_is_promised_and_every_fault_happens(void **state)
{
    struct sim *sim = hf_alloc(sizeof *sim);
    uint64_t faults[SIM_FAULTS] = { 0 };
    uint64_t answers = 0;
    uint64_t acks = 0;
    uint64_t count = seeds();

    (void)state;
    for (uint64_t seed = 1; seed <= count; seed++) {
        sim_run(sim, seed, SIM_SOUND, false);
        if (sim->problem[0] != '\0') {
            fail_msg("seed %llu: %s; HOLDFAST_SIM_SEED=%llu tells how", (unsigned long long)seed,
                     sim->problem, (unsigned long long)seed);
        }
        for (size_t i = 0; i < SIM_FAULTS; i++) {
            faults[i] += sim->faults[i];
        }
        answers += sim->answers;
        acks += sim->ack_count;
    }
    printf("%llu runs, %llu answers, %llu changes acknowledged\n", (unsigned long long)count,
           (unsigned long long)answers, (unsigned long long)acks);
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        printf("%10llu  %s\n", (unsigned long long)faults[i], sim_fault_names[i]);
        if (faults[i] == 0) {
            fail_msg("in no run there was %s", sim_fault_names[i]);
        }
    }
    assert_true(answers > count * 20 && acks > count * 2);
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
        assert_memory_equal(first->faults, second->faults, sizeof first->faults);
        assert_memory_equal(first->acks, second->acks, sizeof first->acks);
    }
    free(first);
    free(second);
}

static void every_mutant_is_found(void **state)
{
    struct sim *sim = hf_alloc(sizeof *sim);

    (void)state;
    for (enum sim_mutation mutation = 1; mutation < SIM_MUTATIONS; mutation++) {
        uint64_t seed = 0;

        do {
            sim_run(sim, ++seed, mutation, false);
        } while (sim->problem[0] == '\0' && seed < MUTANT_SEEDS);
        if (sim->problem[0] == '\0') {
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
        cmocka_unit_test(every_mutant_is_found),
    };
    const char *seed = getenv("HOLDFAST_SIM_SEED");

    return seed != NULL ? replay(seed) : cmocka_run_group_tests(tests, NULL, NULL);
}
