/* Who is one person: identities that documents put together, over as many steps as it takes. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/internal.h"

bool hf_identities_have(const struct hf_identities *identities, const char *identity)
{
    for (size_t i = 0; i < identities->count; i++) {
        if (strcmp(identities->items[i], identity) == 0) {
            return true;
        }
    }
    return false;
}

static bool add(struct hf_identities *to, const char *text)
{
    if (hf_identities_have(to, text)) {
        return false;
    }
    to->items = hf_realloc_array(to->items, to->count + 1, sizeof *to->items);
    to->items[to->count++] = text;
    return true;
}

/* A person being put together: what he is called, and who he is. */
struct gathering {
    struct hf_identities names;
    struct hf_identities identities;
};

static bool belongs(const struct gathering *gathering, const struct hf_person *person)
{
    if (hf_identities_have(&gathering->names, person->name)) {
        return true;
    }
    for (size_t i = 0; i < person->identities.count; i++) {
        if (hf_identities_have(&gathering->identities, person->identities.items[i])) {
            return true;
        }
    }
    return false;
}

/* Whether the entry brought anything new. */
static bool gather(struct gathering *gathering, const struct hf_person *person)
{
    bool is_new;

    if (!belongs(gathering, person)) {
        return false;
    }
    is_new = add(&gathering->names, person->name);
    for (size_t i = 0; i < person->identities.count; i++) {
        is_new = add(&gathering->identities, person->identities.items[i]) || is_new;
    }
    return is_new;
}

static bool gather_all(struct gathering *gathering, const struct hf_rule_sets *sets)
{
    bool is_new = false;

    for (size_t i = 0; i < sets->count; i++) {
        for (size_t j = 0; j < sets->sets[i]->person_count; j++) {
            is_new = gather(gathering, &sets->sets[i]->persons[j]) || is_new;
        }
    }
    return is_new;
}

void hf_person_identities(const struct hf_rule_sets *sets, const char *identity,
                          struct hf_identities *out)
{
    struct gathering gathering = { 0 };

    (void)add(&gathering.identities, identity);
    while (gather_all(&gathering, sets)) {
    }
    free(gathering.names.items);
    *out = gathering.identities;
}

bool hf_policy_is_one_person(struct hf_policy *policy, const char *one, const char *other)
{
    struct hf_identities identities;
    struct hf_rule_sets sets = { NULL, 0 };
    bool is_one;

    pthread_rwlock_rdlock(&policy->lock);
    sets.sets = hf_alloc_array(policy->count + 1, sizeof *sets.sets);
    hf_policy_collect(policy, NULL, NULL, &sets);
    hf_person_identities(&sets, one, &identities);
    is_one = hf_identities_have(&identities, other);
    pthread_rwlock_unlock(&policy->lock);
    free(identities.items);
    free(sets.sets);
    return is_one;
}
