/* Reads policy documents into rules, and says exactly what is wrong with one that is not good. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "policy/rules.h"

#define PATTERN_MAX 300

/* A "who" names its proof in full. The server itself is no one's to name. */
static const char *const proofs[] = { "cert:", "unix:", "krb5:", "token:", "pseudo:" };

/* One rule while it is read. */
struct reading {
    struct hf_op *op;
    const struct hf_json *object;
    unsigned number;
};

static struct hf_status wrong(const struct reading *reading, const char *member, const char *text)
{
    return hf_fail(reading->op, HF_INVALID, "rule %u, \"%s\": %s", reading->number, member, text);
}

/* Puts the rule's number before a complaint that came from elsewhere. */
static struct hf_status wrong_rule(const struct reading *reading, struct hf_status status)
{
    char text[HF_OP_TEXT_MAX];

    memcpy(text, reading->op->text, sizeof text);
    return hf_fail(reading->op, status.code, "rule %u: %.280s", reading->number, text);
}

static struct hf_status check_pattern(const struct reading *reading, const char *member,
                                      const char *pattern)
{
    size_t len = strlen(pattern);

    if (len == 0 || len > PATTERN_MAX) {
        return wrong(reading, member, "a pattern is empty or longer than 300 bytes");
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)pattern[i] < 0x20 || pattern[i] == 0x7f) {
            return wrong(reading, member, "a pattern has control characters");
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_who(const struct reading *reading, const char *pattern)
{
    for (size_t i = 0; i < HF_COUNT(proofs); i++) {
        size_t len = strlen(proofs[i]);

        if (strncmp(pattern, proofs[i], len) == 0 && pattern[len] != '\0') {
            return HF_SUCCESS;
        }
    }
    return hf_fail(reading->op, HF_INVALID,
                   "rule %u, \"who\": '%.100s' must begin with cert:, unix:, krb5:, token: or "
                   "pseudo:, and a name or pattern after it; one kind never stands for another",
                   reading->number, pattern);
}

/* The array member of that name, NULL if it is left out. An empty one would match nothing. */
static struct hf_status take_array(const struct reading *reading, const char *member,
                                   const struct hf_json **out)
{
    struct hf_status status = hf_json_array_or(reading->op, reading->object, member, out);

    if (status.code != HF_OK) {
        return wrong_rule(reading, status);
    }
    if (*out != NULL && hf_json_count(*out) == 0) {
        return wrong(reading, member, "the list is empty; leave it out, or name something");
    }
    if (*out != NULL && hf_json_count(*out) > HF_POLICY_LIST_MAX) {
        return wrong(reading, member, "the list has more than 256 entries");
    }
    return HF_SUCCESS;
}

static struct hf_status take_patterns(const struct reading *reading, const char *member,
                                      struct hf_patterns *out)
{
    const struct hf_json *array;

    HF_TRY(take_array(reading, member, &array));
    if (array == NULL) {
        return HF_SUCCESS;
    }
    out->items = hf_alloc_array(hf_json_count(array), sizeof *out->items);
    for (size_t i = 0; i < hf_json_count(array); i++) {
        const char *pattern = hf_json_string(hf_json_at(array, i));

        if (pattern == NULL) {
            return wrong(reading, member, "it is a list of texts");
        }
        HF_TRY(check_pattern(reading, member, pattern));
        out->items[out->count++] = hf_strdup(pattern);
    }
    return HF_SUCCESS;
}

static struct hf_status take_who(const struct reading *reading, struct hf_rule *rule)
{
    HF_TRY(take_patterns(reading, "who", &rule->who));
    if (rule->who.count == 0) {
        return wrong(reading, "who", "it is missing; it lists callers, like \"cert:etl-*\"");
    }
    for (size_t i = 0; i < rule->who.count; i++) {
        HF_TRY(check_who(reading, rule->who.items[i]));
    }
    return HF_SUCCESS;
}

static struct hf_status take_effect(const struct reading *reading, struct hf_rule *rule)
{
    const char *effect = NULL;

    if (hf_json_text_or(reading->op, reading->object, "effect", NULL, &effect).code != HF_OK ||
        effect == NULL || (strcmp(effect, "allow") != 0 && strcmp(effect, "deny") != 0)) {
        return wrong(reading, "effect", "it must be \"allow\" or \"deny\"");
    }
    rule->deny = strcmp(effect, "deny") == 0;
    return HF_SUCCESS;
}

static struct hf_status take_roles(const struct reading *reading, struct hf_rule *rule)
{
    const struct hf_json *array;

    HF_TRY(take_array(reading, "roles", &array));
    for (size_t i = 0; array != NULL && i < hf_json_count(array); i++) {
        const char *role = hf_json_string(hf_json_at(array, i));
        hf_action_set set = 0;
        struct hf_status status;

        if (role == NULL) {
            return wrong(reading, "roles", "it is a list of texts");
        }
        status = hf_role_actions(reading->op, role, &set);
        if (status.code != HF_OK) {
            return wrong_rule(reading, status);
        }
        rule->actions |= set;
    }
    return HF_SUCCESS;
}

/*
 * Patterns of actions are for denials only: a rule that allows "key.*" would also allow whatever
 * a later release adds.
 */
static struct hf_status take_action(const struct reading *reading, const struct hf_rule *rule,
                                    const char *name, hf_action_set *out)
{
    enum hf_action action;
    struct hf_status status;

    if (strchr(name, '*') != NULL) {
        if (!rule->deny) {
            return wrong(reading, "actions", "a pattern of actions can only be denied");
        }
        *out = hf_actions_matching(name);
        return *out != 0 ? HF_SUCCESS : wrong(reading, "actions", "a pattern matches no action");
    }
    status = hf_action_parse(reading->op, name, &action);
    if (status.code != HF_OK) {
        return wrong_rule(reading, status);
    }
    *out = hf_action_bit(action);
    return HF_SUCCESS;
}

static bool is_limited(const struct hf_rule *rule)
{
    return rule->keyrings.count > 0 || rule->keys.count > 0;
}

/* An action that is named on its own must be able to happen where the rule is. */
static struct hf_status check_place(const struct reading *reading, const struct hf_rule *rule,
                                    const char *name)
{
    enum hf_action action;

    if (strchr(name, '*') != NULL) {
        return HF_SUCCESS;
    }
    HF_TRY(hf_action_parse(reading->op, name, &action));
    if (hf_action_scope(action) == HF_SCOPE_NODE && is_limited(rule)) {
        return hf_fail(reading->op, HF_INVALID,
                       "rule %u, \"actions\": '%s' concerns no keyring; put it into a rule without "
                       "\"keyrings\" and \"keys\"",
                       reading->number, name);
    }
    if (hf_action_scope(action) == HF_SCOPE_KEYRING && rule->keys.count > 0) {
        return hf_fail(reading->op, HF_INVALID,
                       "rule %u, \"actions\": '%s' concerns a whole keyring; put it into a rule "
                       "without \"keys\"",
                       reading->number, name);
    }
    return HF_SUCCESS;
}

static struct hf_status take_actions(const struct reading *reading, struct hf_rule *rule)
{
    const struct hf_json *array;

    HF_TRY(take_array(reading, "actions", &array));
    for (size_t i = 0; array != NULL && i < hf_json_count(array); i++) {
        const char *name = hf_json_string(hf_json_at(array, i));
        hf_action_set set = 0;

        if (name == NULL) {
            return wrong(reading, "actions", "it is a list of texts");
        }
        HF_TRY(take_action(reading, rule, name, &set));
        HF_TRY(check_place(reading, rule, name));
        rule->actions |= set;
    }
    if (rule->actions == 0) {
        return wrong(reading, "actions", "neither \"actions\" nor \"roles\" names anything");
    }
    return HF_SUCCESS;
}

static struct hf_status take_rule(const struct reading *reading, struct hf_rule *rule)
{
    static const char *const members[] = { "effect",   "who",  "roles",       "actions",
                                           "keyrings", "keys", "description", NULL };
    struct hf_status status;

    if (!hf_json_is_object(reading->object)) {
        return hf_fail(reading->op, HF_INVALID, "rule %u is no object", reading->number);
    }
    status = hf_json_only(reading->op, reading->object, members);
    if (status.code != HF_OK) {
        return wrong_rule(reading, status);
    }
    rule->number = reading->number;
    HF_TRY(take_effect(reading, rule));
    HF_TRY(take_who(reading, rule));
    HF_TRY(take_patterns(reading, "keyrings", &rule->keyrings));
    HF_TRY(take_patterns(reading, "keys", &rule->keys));
    HF_TRY(take_roles(reading, rule));
    return take_actions(reading, rule);
}

/* --- persons --- */

static struct hf_status wrong_person(struct hf_op *op, size_t number, const char *text)
{
    return hf_fail(op, HF_INVALID, "person %zu: %s", number, text);
}

static bool is_identity(const char *text)
{
    size_t len = strlen(text);

    if (len > PATTERN_MAX || strchr(text, '*') != NULL) {
        return false;
    }
    for (size_t i = 0; i < HF_COUNT(proofs); i++) {
        size_t proof = strlen(proofs[i]);

        if (strncmp(text, proofs[i], proof) == 0 && len > proof) {
            return true;
        }
    }
    return false;
}

static struct hf_status take_person(struct hf_op *op, const struct hf_json *object, size_t number,
                                    struct hf_person *person)
{
    static const char *const members[] = { "name", "identities", "description", NULL };
    const struct hf_json *array = NULL;
    const char *name = NULL;

    if (!hf_json_is_object(object)) {
        return wrong_person(op, number, "it is an object with \"name\" and \"identities\"");
    }
    HF_TRY(hf_json_only(op, object, members));
    HF_TRY(hf_json_text(op, object, "name", &name));
    HF_TRY(hf_json_array_or(op, object, "identities", &array));
    if (name[0] == '\0' || strlen(name) > PATTERN_MAX) {
        return wrong_person(op, number, "its name is empty or longer than 300 bytes");
    }
    if (array == NULL || hf_json_count(array) < 2 || hf_json_count(array) > HF_POLICY_LIST_MAX) {
        return wrong_person(op, number, "\"identities\" lists 2 to 256 callers");
    }
    person->name = hf_strdup(name);
    person->identities.items =
        hf_alloc_array(hf_json_count(array), sizeof *person->identities.items);
    for (size_t i = 0; i < hf_json_count(array); i++) {
        const char *identity = hf_json_string(hf_json_at(array, i));

        if (identity == NULL || !is_identity(identity)) {
            return wrong_person(op, number,
                                "an identity begins with cert:, unix:, krb5:, token: or pseudo:, "
                                "has a name after it, and is no pattern");
        }
        person->identities.items[person->identities.count++] = hf_strdup(identity);
    }
    return HF_SUCCESS;
}

static struct hf_status take_persons(struct hf_op *op, const struct hf_json *document,
                                     struct hf_rules *rules)
{
    const struct hf_json *array = NULL;

    HF_TRY(hf_json_array_or(op, document, "persons", &array));
    if (array == NULL) {
        return HF_SUCCESS;
    }
    if (hf_json_count(array) == 0 || hf_json_count(array) > HF_POLICY_LIST_MAX) {
        return hf_fail(op, HF_INVALID, "\"persons\" lists 1 to 256 persons; or leave it out");
    }
    rules->persons = hf_alloc_array(hf_json_count(array), sizeof *rules->persons);
    for (size_t i = 0; i < hf_json_count(array); i++) {
        rules->person_count++;
        HF_TRY(take_person(op, hf_json_at(array, i), i + 1, &rules->persons[i]));
    }
    return HF_SUCCESS;
}

/* --- the document --- */

static struct hf_status take_rules(struct hf_op *op, const struct hf_json *document,
                                   struct hf_rules *rules)
{
    const struct hf_json *array = NULL;

    HF_TRY(hf_json_array_or(op, document, "rules", &array));
    if (array == NULL && rules->person_count > 0) {
        return HF_SUCCESS;
    }
    if (array == NULL || hf_json_count(array) == 0) {
        return hf_fail(op, HF_INVALID, "a policy has at least one rule in \"rules\"");
    }
    if (hf_json_count(array) > HF_POLICY_RULES_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a policy has at most %d rules; make several",
                       HF_POLICY_RULES_MAX);
    }
    rules->items = hf_alloc_array(hf_json_count(array), sizeof *rules->items);
    for (size_t i = 0; i < hf_json_count(array); i++) {
        struct reading reading = { op, hf_json_at(array, i), (unsigned)i + 1 };

        rules->count++;
        HF_TRY(take_rule(&reading, &rules->items[i]));
    }
    return HF_SUCCESS;
}

static struct hf_status take_document(struct hf_op *op, const struct hf_json *document,
                                      struct hf_rules *rules)
{
    static const char *const members[] = { "description", "persons", "rules", NULL };

    if (!hf_json_is_object(document)) {
        return hf_fail(op, HF_INVALID, "a policy is an object with \"rules\"");
    }
    HF_TRY(hf_json_only(op, document, members));
    HF_TRY(take_persons(op, document, rules));
    return take_rules(op, document, rules);
}

struct hf_status hf_rules_parse(struct hf_op *op, struct hf_bytes document, struct hf_rules **out)
{
    HF_AUTO(json) json = NULL;
    HF_AUTO(rules) rules = hf_alloc(sizeof *rules);

    if (document.len > HF_POLICY_DOCUMENT_MAX) {
        return hf_fail(op, HF_TOO_LARGE, "a policy has at most %u bytes; make several",
                       HF_POLICY_DOCUMENT_MAX);
    }
    HF_TRY(hf_json_parse(op, document, &json));
    HF_TRY(take_document(op, json, rules));
    *out = HF_TAKE(rules);
    return HF_SUCCESS;
}

static void free_patterns(struct hf_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        free(patterns->items[i]);
    }
    free(patterns->items);
}

void hf_rules_free(struct hf_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    for (size_t i = 0; i < rules->count; i++) {
        free_patterns(&rules->items[i].who);
        free_patterns(&rules->items[i].keyrings);
        free_patterns(&rules->items[i].keys);
    }
    for (size_t i = 0; i < rules->person_count; i++) {
        free(rules->persons[i].name);
        free_patterns(&rules->persons[i].identities);
    }
    free(rules->items);
    free(rules->persons);
    free(rules);
}

void hf_document_free(struct hf_document *document)
{
    if (document != NULL) {
        free(document->name);
        hf_buf_done(&document->text);
        hf_rules_free(document->rules);
        free(document);
    }
}
