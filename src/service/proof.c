/* What a proof says, and the names of the records that it speaks of. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "service/proof.h"

#define VERSION_PREFIX "version/"

void hf_slot_proof_free(struct hf_slot_proof *proof)
{
    if (proof == NULL) {
        return;
    }
    for (size_t i = 0; i < proof->keyring_count; i++) {
        free(proof->keyrings[i].name);
    }
    for (size_t i = 0; i < proof->failure_count; i++) {
        free(proof->failures[i].path);
        free(proof->failures[i].failed_at);
    }
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        free(proof->not_asked[i]);
    }
    free(proof->not_asked);
    free(proof->keyrings);
    free(proof->failures);
    free(proof->node);
    free(proof->site);
    free(proof->slot);
    free(proof->slot_name);
    free(proof->text);
    free(proof);
}

bool hf_slot_proof_is_good(const struct hf_slot_proof *proof)
{
    return proof->opened && proof->whole && proof->damaged == 0 && proof->failed == 0;
}

const struct hf_slot_proof_keyring *hf_slot_proof_row(const struct hf_slot_proof *proof,
                                                      const char *keyring)
{
    for (size_t i = 0; i < proof->keyring_count; i++) {
        if (strcmp(proof->keyrings[i].name, keyring) == 0) {
            return &proof->keyrings[i];
        }
    }
    return NULL;
}

static uint64_t named_of(const struct hf_slot_proof *proof, const char *keyring)
{
    uint64_t named = 0;

    for (size_t i = 0; i < proof->failure_count; i++) {
        named += hf_version_is_of(proof->failures[i].path, keyring);
    }
    return named;
}

bool hf_slot_proof_vouches(const struct hf_slot_proof *proof, const char *keyring)
{
    const struct hf_slot_proof_keyring *row = hf_slot_proof_row(proof, keyring);

    return proof->opened && row != NULL && hf_slot_proof_was_asked(proof, keyring) &&
           (row->failed == 0 || named_of(proof, keyring) >= row->failed);
}

uint64_t hf_slot_proof_unlisted(const struct hf_slot_proof *proof)
{
    uint64_t listed = 0;

    for (size_t i = 0; i < proof->keyring_count; i++) {
        listed += proof->keyrings[i].versions;
    }
    return proof->versions > listed ? proof->versions - listed : 0;
}

bool hf_slot_proof_is_later(const struct hf_slot_proof *proof, const struct hf_slot_proof *than)
{
    return proof->seq != than->seq ? proof->seq > than->seq : proof->when_ms > than->when_ms;
}

bool hf_slot_proof_names(const struct hf_slot_proof *proof, const char *path)
{
    for (size_t i = 0; i < proof->failure_count; i++) {
        if (strcmp(proof->failures[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_row_of(const struct hf_slot_proof *proof, const char *path)
{
    for (size_t i = 0; i < proof->keyring_count; i++) {
        if (hf_version_is_of(path, proof->keyrings[i].name)) {
            return true;
        }
    }
    return false;
}

bool hf_slot_proof_covers(const struct hf_slot_proof *proof, const char *path)
{
    /* More failed than are named: then it vouches for none. */
    if (!proof->opened || proof->unnamed > 0 || !has_row_of(proof, path)) {
        return false;
    }
    if (hf_slot_proof_names(proof, path)) {
        return false;
    }
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        if (hf_version_is_of(path, proof->not_asked[i])) {
            return false;
        }
    }
    return true;
}

bool hf_slot_proof_was_asked(const struct hf_slot_proof *proof, const char *keyring)
{
    for (size_t i = 0; i < proof->not_asked_count; i++) {
        if (strcmp(proof->not_asked[i], keyring) == 0) {
            return false;
        }
    }
    return true;
}

void hf_slot_proof_add_not_asked(struct hf_slot_proof *proof, const char *keyring)
{
    proof->not_asked =
        hf_realloc_array(proof->not_asked, proof->not_asked_count + 1, sizeof(char *));
    proof->not_asked[proof->not_asked_count++] = hf_strdup(keyring);
}

/* Versions come in order of path, so those of a keyring stand together. */
void hf_slot_proof_add_keyring(struct hf_slot_proof *proof, const char *keyring, bool failed)
{
    struct hf_slot_proof_keyring *last =
        proof->keyring_count > 0 ? &proof->keyrings[proof->keyring_count - 1] : NULL;

    if (last == NULL || strcmp(last->name, keyring) != 0) {
        if (proof->keyring_count == HF_SLOT_PROOF_KEYRINGS) {
            return;
        }
        proof->keyrings =
            hf_realloc_array(proof->keyrings, proof->keyring_count + 1, sizeof *proof->keyrings);
        last = &proof->keyrings[proof->keyring_count++];
        *last = (struct hf_slot_proof_keyring){ .name = hf_strdup(keyring) };
    }
    last->versions++;
    last->failed += failed;
}

void hf_slot_proof_add_failure(struct hf_slot_proof *proof, const char *path, enum hf_cause cause,
                               const char *failed_at)
{
    if (proof->failure_count == HF_SLOT_PROOF_FAILURES) {
        proof->unnamed++;
        return;
    }
    proof->failures =
        hf_realloc_array(proof->failures, proof->failure_count + 1, sizeof *proof->failures);
    proof->failures[proof->failure_count++] =
        (struct hf_failed_version){ hf_strdup(path), cause, hf_strdup(failed_at) };
}

char *hf_version_record_path(const char *keyring, const char *name, uint32_t version)
{
    HF_AUTO(buf) path = hf_buf_new();

    hf_buf_add_text(path, VERSION_PREFIX);
    hf_percent_add(path, hf_bytes_of_text(keyring));
    hf_buf_add_text(path, "/");
    hf_percent_add(path, hf_bytes_of_text(name));
    hf_buf_add_text(path, "/");
    if (version != HF_LATEST) {
        hf_buf_add_format(path, "%010" PRIu32, version);
    }
    return hf_strdup(hf_buf_text(path));
}

bool hf_version_is_of(const char *path, const char *keyring)
{
    HF_AUTO(buf) prefix = hf_buf_new();

    hf_buf_add_text(prefix, VERSION_PREFIX);
    hf_percent_add(prefix, hf_bytes_of_text(keyring));
    hf_buf_add_text(prefix, "/");
    return strncmp(path, hf_buf_text(prefix), prefix->len) == 0;
}

static struct hf_status add_label(struct hf_op *op, const char *path, struct hf_buf *out)
{
    const char *keyring = path + strlen(VERSION_PREFIX);
    const char *name = strchr(keyring, '/');
    const char *slash = strrchr(path, '/');
    const char *number = slash;
    uint64_t version = 0;

    if (strncmp(path, VERSION_PREFIX, strlen(VERSION_PREFIX)) != 0 || name == NULL ||
        slash <= name) {
        return hf_fail(op, HF_INVALID, "not a version");
    }
    while (number[1] == '0' && number[2] != '\0') {
        number++;
    }
    HF_TRY(hf_parse_u64(op, number + 1, UINT32_MAX, &version));
    HF_TRY(hf_percent_decode(op, hf_bytes_of(keyring, (size_t)(name - keyring)), false, out));
    hf_buf_add_text(out, "/");
    HF_TRY(hf_percent_decode(op, hf_bytes_of(name + 1, (size_t)(slash - name - 1)), false, out));
    hf_buf_add_format(out, "@%" PRIu64, version);
    return HF_SUCCESS;
}

void hf_record_label(const char *path, struct hf_buf *out)
{
    HF_AUTO(buf) label = hf_buf_new();
    struct hf_op scratch;

    hf_op_init(&scratch, NULL);
    if (add_label(&scratch, path, label).code == HF_OK) {
        hf_buf_add_bytes(out, hf_buf_bytes(label));
    } else {
        hf_buf_add_text(out, path);
    }
}
