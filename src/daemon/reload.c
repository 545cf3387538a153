/* SIGHUP: what can change while the node runs is tried as a whole, and then taken over. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "daemon/node_internal.h"

/* What a listener gets; nothing in it: the listener stays as it is. */
struct replacement {
    struct served *served;
    struct hf_tls *tls;
    bool must_restart; /* something of it cannot change: a part of the rest might not fit */
};

struct reload {
    struct hf_node *node;
    const struct hf_config *fresh;
    struct replacement *replacements; /* one per listener of the node */
};

static struct replacement *replacement_of(struct reload *reload, const char *listener)
{
    const struct hf_config *config = reload->node->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        if (strcmp(config->listeners[i].name, listener) == 0) {
            return &reload->replacements[i];
        }
    }
    return NULL;
}

static void note_fixed(void *context, const struct hf_config_change *change)
{
    struct replacement *replacement = NULL;

    if (!change->is_live && strcmp(change->section, "listener") == 0) {
        replacement = replacement_of(context, change->title);
    }
    if (replacement != NULL) {
        replacement->must_restart = true;
    }
}

static const struct hf_config_listener *find_listener(const struct hf_config *config,
                                                      const char *name)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (strcmp(config->listeners[i].name, name) == 0) {
            return &config->listeners[i];
        }
    }
    return NULL;
}

/* --- trying --- */

static struct hf_status prepare(struct reload *reload, struct hf_op *op)
{
    const struct hf_config *config = reload->node->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        struct replacement *replacement = &reload->replacements[i];
        const char *name = config->listeners[i].name;
        const struct hf_config_listener *fresh = find_listener(reload->fresh, name);
        struct hf_status status;

        if (fresh == NULL || replacement->must_restart) {
            continue;
        }
        status = hf_listener_open_tls(op, fresh, &replacement->tls);
        if (status.code != HF_OK) {
            return hf_fail(op, status.code, "listener \"%.60s\": %.220s", name, op->text);
        }
        replacement->served = hf_served_new(reload->node, fresh);
    }
    return HF_SUCCESS;
}

static void drop(struct reload *reload)
{
    for (size_t i = 0; i < reload->node->config->listener_count; i++) {
        hf_tls_free(reload->replacements[i].tls);
        hf_served_free(reload->replacements[i].served);
    }
    free(reload->replacements);
}

/* --- taking over: nothing fails from here on --- */

static void replace(struct hf_node *node, struct listener *listener,
                    struct replacement *replacement)
{
    const struct hf_config_listener *config = replacement->served->config;
    const struct hf_listener_limits limits = { config->idle_timeout_ms,
                                               config->request_timeout_ms };

    if (replacement->tls != NULL) {
        hf_tls_take(listener->tls, HF_TAKE(replacement->tls));
        HF_INFO(node->env, "listener %s uses %s as it is now", config->name, config->certificate);
    }
    hf_net_limit_listener(node->net, config->name, &limits);
    hf_listener_serve(node, listener, HF_TAKE(replacement->served));
}

static void take_over(struct reload *reload)
{
    struct hf_node *node = reload->node;

    hf_net_limit_connections(node->net, reload->fresh->max_connections);
    for (size_t i = 0; i < node->config->listener_count; i++) {
        if (reload->replacements[i].served != NULL) {
            replace(node, &node->listeners[i], &reload->replacements[i]);
        }
    }
}

/* --- telling --- */

static void say(struct hf_node *node, const struct hf_config_change *change, const char *what)
{
    HF_INFO(node->env, "%s%s%s%s%s%s %s", change->section, change->title[0] != '\0' ? " \"" : "",
            change->title, change->title[0] != '\0' ? "\"" : "",
            change->section[0] != '\0' && change->name != NULL ? ": " : "",
            change->name != NULL ? change->name : "", what);
}

static void tell_live(void *context, const struct hf_config_change *change)
{
    struct reload *reload = context;
    const struct replacement *replacement = replacement_of(reload, change->title);

    if (!change->is_live) {
        return;
    }
    if (replacement != NULL && replacement->must_restart) {
        say(reload->node, change, "changes at a restart, with the rest of its listener");
    } else {
        say(reload->node, change, "is in force as it is now");
    }
}

static void tell_fixed(void *context, const struct hf_config_change *change)
{
    struct reload *reload = context;

    if (!change->is_live) {
        say(reload->node, change, "cannot change while the node runs: restart it");
    }
}

struct hf_status hf_node_reload(struct hf_node *node, struct hf_op *op, struct hf_config *fresh)
{
    const struct hf_config *last = node->loaded != NULL ? node->loaded->config : node->config;
    struct reload reload = { .node = node, .fresh = fresh };
    struct loaded *loaded = hf_alloc(sizeof *loaded);
    struct hf_status status;

    *loaded = (struct loaded){ .config = fresh, .older = node->loaded };
    reload.replacements = hf_alloc_array(node->config->listener_count, sizeof *reload.replacements);
    hf_config_compare(node->config, fresh, note_fixed, &reload);
    status = prepare(&reload, op);
    if (status.code == HF_OK) {
        take_over(&reload);
        hf_config_compare(last, fresh, tell_live, &reload);
        hf_config_compare(node->config, fresh, tell_fixed, &reload);
        node->loaded = HF_TAKE(loaded);
    } else {
        hf_config_free(fresh);
    }
    free(loaded);
    drop(&reload);
    return status;
}

void hf_node_free_loaded(struct hf_node *node)
{
    while (node->loaded != NULL) {
        struct loaded *loaded = node->loaded;

        node->loaded = loaded->older;
        hf_config_free(loaded->config);
        free(loaded);
    }
}
