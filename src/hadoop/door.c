/* The Hadoop door's routes: the table is the documentation. */
#include "hadoop/hadoop_internal.h"

#include <stdlib.h>

#include "base/alloc.h"

#define KIB(n) ((size_t)(n)*1024)
#define MIB(n) (KIB(n) * 1024)

/* OPTIONS on any path is answered by hf_hadoop_admit(): it is the authentication handshake. */
static const struct hf_route routes[] = {
    { HF_POST, "/kms/v1/keyversion/:version/_eek", KIB(64), HF_INLINE, hf_hadoop_eek },
    { HF_GET, "/kms/v1/key/:name/_eek", 0, HF_INLINE, hf_hadoop_generate },
    { HF_GET, "/kms/v1/key//_eek", 0, HF_INLINE, hf_hadoop_generate },
    { HF_POST, "/kms/v1/key/:name/_reencryptbatch", MIB(8), HF_INLINE_SMALL, hf_hadoop_batch },
    { HF_POST, "/kms/v1/keys", KIB(256), HF_WORKER, hf_hadoop_create },
    { HF_GET, "/kms/v1/keys/names", 0, HF_WORKER, hf_hadoop_names },
    { HF_GET, "/kms/v1/keys/metadata", 0, HF_WORKER, hf_hadoop_keys_metadata },
    { HF_POST, "/kms/v1/key/:name/_invalidatecache", KIB(4), HF_INLINE, hf_hadoop_invalidate },
    { HF_GET, "/kms/v1/key/:name/_metadata", 0, HF_WORKER, hf_hadoop_metadata },
    { HF_GET, "/kms/v1/key/:name/_currentversion", 0, HF_WORKER, hf_hadoop_current },
    { HF_GET, "/kms/v1/key/:name/_versions", 0, HF_WORKER, hf_hadoop_versions },
    { HF_POST, "/kms/v1/key/:name", KIB(256), HF_WORKER, hf_hadoop_roll },
    { HF_DELETE, "/kms/v1/key/:name", KIB(4), HF_WORKER, hf_hadoop_delete },
    { HF_GET, "/kms/v1/key/*name", 0, HF_WORKER, hf_hadoop_metadata },
    { HF_GET, "/kms/v1/keyversion/:version", 0, HF_WORKER, hf_hadoop_version },
    { HF_POST, "/kms/v1/trustee/key/:name", KIB(4), HF_WORKER, hf_hadoop_trustee },
    { HF_GET, "/kms/v1/", 0, HF_INLINE, hf_hadoop_token },
    { HF_PUT, "/kms/v1/", KIB(4), HF_INLINE, hf_hadoop_token },
    { HF_GET, "/kms/jmx", 0, HF_INLINE, hf_hadoop_jmx },
    { 0 },
};

struct hf_hadoop *hf_hadoop_new(const struct hf_hadoop_settings *settings)
{
    struct hf_hadoop *hadoop = hf_alloc(sizeof *hadoop);

    hadoop->settings = *settings;
    hadoop->keyring = hf_strdup(settings->keyring);
    hadoop->settings.keyring = hadoop->keyring;
    hadoop->door = (struct hf_door){
        .name = "hadoop",
        .prefix = "/kms/",
        .routes = routes,
        .context = hadoop,
        .admit = hf_hadoop_admit,
        .fail = hf_hadoop_fail,
    };
    return hadoop;
}

void hf_hadoop_free(struct hf_hadoop *hadoop)
{
    if (hadoop != NULL) {
        free(hadoop->keyring);
        free(hadoop);
    }
}

const struct hf_door *hf_hadoop_door(const struct hf_hadoop *hadoop)
{
    return &hadoop->door;
}

struct hf_hadoop *hadoop_of(const struct hf_exchange *exchange)
{
    return hf_exchange_context(exchange);
}
