/* The status items that only the daemon can tell: certificates, offline secrets, listeners. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "daemon/node_internal.h"

#define DAY_MS (24ULL * 3600 * 1000)

struct telling {
    void (*visit)(void *context, const struct hf_status_item *item);
    void *context;
};

static void tell(const struct telling *telling, enum hf_light light, const char *name,
                 const char *text)
{
    struct hf_status_item item = { .light = light };

    (void)snprintf(item.name, sizeof item.name, "%s", name);
    (void)snprintf(item.text, sizeof item.text, "%s", text);
    telling->visit(telling->context, &item);
}

static void tell_certificate(struct hf_node *node, const struct listener *listener,
                             const struct hf_config_listener *config, const struct telling *telling)
{
    uint64_t expires_ms = hf_tls_expires_ms(listener->tls);
    uint64_t now_ms = hf_env_realtime_ms(node->env);
    HF_AUTO_STRING name = hf_format("certificate:%s", config->name);
    HF_AUTO_STRING text = NULL;
    enum hf_light light = HF_GREEN;

    if (expires_ms <= now_ms) {
        light = HF_RED;
        text = hf_format("%s has ended; replace it and send SIGHUP", config->certificate);
    } else {
        light = expires_ms - now_ms < HF_RENEW_BEFORE_MS ? HF_AMBER : HF_GREEN;
        text = hf_format("%s is good for %llu days", config->certificate,
                         (unsigned long long)((expires_ms - now_ms) / DAY_MS));
    }
    tell(telling, light, name, text);
}

static void tell_listener(struct hf_node *node, const struct listener *listener,
                          const struct telling *telling)
{
    const struct hf_config_listener *config = atomic_load(&listener->served)->config;

    if (listener->tls != NULL) {
        tell_certificate(node, listener, config, telling);
    }
    if (config->pseudo && config->pseudo_insecure) {
        HF_AUTO_STRING name = hf_format("listener:%s", config->name);

        tell(telling, HF_AMBER, name,
             "pseudo_insecure: whoever reaches this address may claim any user name");
    }
}

static void tell_copy_problem(const struct hf_mirror_info *info, enum hf_light light,
                              const char *what, const struct telling *telling)
{
    HF_AUTO_STRING text = NULL;
    char since[32] = "";
    time_t seconds = (time_t)(info->since_ms / 1000);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    text = hf_format("%s since %s; keys are opened from the copy, as of commit %" PRIu64 ": %s",
                     what, since, info->seq, info->text);
    tell(telling, light, "mirror", text);
}

/* Where the local copy of a shared store stands. */
static void tell_copy(struct hf_node *node, const struct telling *telling)
{
    struct hf_mirror_info info;
    HF_AUTO_STRING text = NULL;

    if (!hf_mirror_info(node->engine, &info)) {
        return;
    }
    switch (info.problem) {
    case HF_MIRROR_FINE:
        text =
            info.seq < info.behind_seq
                ? hf_format("the copy of the store stands at commit %" PRIu64 ", %" PRIu64
                            " behind the store",
                            info.seq, info.behind_seq - info.seq)
                : hf_format("the copy of the store stands at commit %" PRIu64 ", as the store does",
                            info.seq);
        tell(telling, HF_GREEN, "mirror", text);
        break;
    case HF_MIRROR_AWAY:
        tell_copy_problem(&info, HF_AMBER, "the store does not answer", telling);
        break;
    case HF_MIRROR_REFUSED:
        tell_copy_problem(&info, HF_RED, "the store is not followed", telling);
        break;
    case HF_MIRROR_LOCAL:
        tell_copy_problem(&info, HF_RED, "the copy of the store cannot be written", telling);
        break;
    }
}

static void tell_host(void *context, const struct hf_host *host)
{
    static const char *const states[] = { [HF_HOST_PRIMARY] = "the primary",
                                          [HF_HOST_STANDBY] = "a standby",
                                          [HF_HOST_LEFT] = "not used",
                                          [HF_HOST_AWAY] = "does not answer",
                                          [HF_HOST_UNKNOWN] = "not known" };
    bool is_used = host->state == HF_HOST_PRIMARY || host->state == HF_HOST_STANDBY;
    HF_AUTO_STRING name = hf_format("database %.38s", host->name);
    HF_AUTO(buf) text = hf_buf_new();

    if (host->site[0] != '\0') {
        hf_buf_add_format(text, "site %s%s, ", host->site, host->is_near ? " (this one)" : "");
    }
    hf_buf_add_text(text, states[host->state]);
    if (host->timeline != 0) {
        hf_buf_add_format(text, ", timeline %" PRIu64, host->timeline);
    }
    if (is_used && host->lags) {
        hf_buf_add_text(text, ", behind by a second or more");
    } else if (!is_used) {
        hf_buf_add_format(text, ": %s", host->problem);
    }
    tell(context, is_used ? HF_GREEN : HF_AMBER, name, hf_buf_text(text));
}

/* The offline slot's secret must leave this machine: amber while D/offline holds a file. */
static void tell_offline(struct hf_node *node, const struct telling *telling)
{
    HF_AUTO_STRING path = hf_format("%s/offline", node->config->directory);
    DIR *directory = opendir(path);
    const struct dirent *entry;

    if (directory == NULL) {
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            HF_AUTO_STRING text =
                hf_format("%s/%s opens the root key: move it to a safe place away from here", path,
                          entry->d_name);

            tell(telling, HF_AMBER, "offline", text);
            break;
        }
    }
    (void)closedir(directory);
}

/* A key file beside the store opens whatever copy takes both: say what it is good for. */
static void tell_key_files(struct hf_node *node, const struct telling *telling)
{
    struct stat store;

    if (stat(node->config->store_directory, &store) != 0) {
        return;
    }
    for (size_t i = 0; i < node->config->slot_count; i++) {
        const struct hf_config_slot *slot = &node->config->slots[i];
        struct stat file;

        if (strcmp(slot->protector, "keyfile") == 0 && stat(slot->file, &file) == 0 &&
            file.st_dev == store.st_dev) {
            HF_AUTO_STRING name = hf_format("slot:%s", slot->name);

            tell(
                telling, HF_GREEN, name,
                "its key file is on the store's file system: it protects copies of the store only");
        }
    }
}

void hf_node_status(void *context, void (*visit)(void *context, const struct hf_status_item *item),
                    void *visit_context)
{
    struct hf_node *node = context;
    const struct telling telling = { visit, visit_context };

    for (size_t i = 0; i < node->config->listener_count; i++) {
        tell_listener(node, &node->listeners[i], &telling);
    }
    tell_copy(node, &telling);
    hf_engine_hosts(node->engine, tell_host, (void *)&telling);
    tell_offline(node, &telling);
    tell_key_files(node, &telling);
}
