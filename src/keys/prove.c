/* Opening a version to its material: for proofs, and for those who may take it out. */
#include "keys/algorithm.h"
#include "keys/lane.h"
#include "keys/stage.h"

struct hf_status hf_key_prove(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                              const char *key, uint32_t version)
{
    struct hf_name name = { keyring, key };
    struct hf_found found;
    HF_AUTO(stored_version) stored = NULL;
    HF_AUTO(secret) material = NULL;
    uint8_t value[HF_CHECK_VALUE_LEN];

    HF_TRY(hf_find(keys, op, &name, version, HF_NEED_PROOF, &found));
    HF_TRY(hf_stored_version_read(keys, op, &name, found.number, &stored));
    HF_TRY(hf_found_open(keys, op, &name, &found, &material));
    HF_TRY(hf_seal_check_value(keys->seal, op, hf_secret_bytes(material), value));
    if (memcmp(value, stored->record.check_value, sizeof value) != 0) {
        return hf_fail_cause(op, HF_CORRUPT, HF_CAUSE_ALTERED,
                             "%s/%s@%u opens to another key than its check value tells of", keyring,
                             key, found.number);
    }
    return HF_SUCCESS;
}

struct hf_status hf_key_export(struct hf_keys *keys, struct hf_op *op, const char *keyring,
                               const char *key, uint32_t version, struct hf_secret **out)
{
    struct hf_name name = { keyring, key };
    struct hf_found found;

    HF_TRY(hf_find(keys, op, &name, version, HF_NEED_PROCESS, &found));
    /* A stored secret is there to be read. */
    if (!found.exportable && found.algorithm != HF_ALG_OPAQUE) {
        return hf_fail(op, HF_DENIED, "the key %s/%s was made not to be exported", keyring, key);
    }
    return hf_found_open(keys, op, &name, &found, out);
}
