/* A configuration comes from an operator's editor: it is taken whole, or refused with its place. */
#include "fuzz.h"

#include <string.h>

#include "config/config.h"

#define FILE_NAME "/etc/f.conf"

static void count_change(void *context, const struct hf_config_change *change)
{
    (void)change;
    ++*(size_t *)context;
}

static void check_listener(const struct hf_config_listener *listener)
{
    fuzz_require(listener->name != NULL && listener->address != NULL);
    fuzz_require(listener->doors[0] != NULL);
    fuzz_require(listener->max_body_bytes > 0 && listener->idle_timeout_ms > 0 &&
                 listener->request_timeout_ms > 0);
    /* Nobody is believed from afar unless it was asked for in so many words. */
    fuzz_require(!listener->pseudo || listener->pseudo_insecure ||
                 strncmp(listener->address, "127.", 4) == 0 ||
                 strncmp(listener->address, "[::1]:", 6) == 0 ||
                 strncmp(listener->address, "unix:", 5) == 0);
    fuzz_require(!listener->require_client_certificate || listener->client_ca != NULL);
}

static void check(const struct hf_config *config)
{
    size_t changes = 0;

    fuzz_require(config->node[0] != '\0' && config->owner[0] != '\0');
    fuzz_require(config->workers > 0 && config->max_connections > 0 && config->secret_bytes > 0);
    for (size_t i = 0; i < config->slot_count; i++) {
        fuzz_require(config->slots[i].file != NULL && config->slots[i].name != NULL);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        check_listener(&config->listeners[i]);
    }
    hf_config_compare(config, config, count_change, &changes);
    fuzz_require(changes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    HF_AUTO(config) config = NULL;
    HF_AUTO(config) cut = NULL;
    struct hf_op *op = fuzz_op();
    struct hf_bytes text = hf_bytes_of(data, len);
    struct hf_status status = hf_config_parse(op, "/d", FILE_NAME, text, &config);

    fuzz_require(status.code == HF_OK || status.code == HF_INVALID);
    if (status.code != HF_OK) {
        fuzz_require(strncmp(op->text, FILE_NAME ":", strlen(FILE_NAME) + 1) == 0);
        return 0;
    }
    check(config);
    /* What ends with a section, and not in a comment, is not good without that section's end. */
    if (len > 0 && data[len - 1] == '}' && memchr(data, '#', len) == NULL &&
        memchr(data, '/', len) == NULL) {
        fuzz_require(hf_config_parse(op, "/d", FILE_NAME, hf_bytes_of(data, len - 1), &cut).code ==
                     HF_INVALID);
    }
    return 0;
}
