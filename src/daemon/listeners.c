/* From the listeners of the configuration to doors on sockets. */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "daemon/node_internal.h"

struct hf_status hf_listener_open_tls(struct hf_op *op, const struct hf_config_listener *config,
                                      struct hf_tls **out)
{
    struct hf_tls_settings settings = {
        .certificate_file = config->certificate,
        .key_file = config->key,
        .ca_file = config->client_ca,
        .clients = HF_TLS_CLIENTS_NONE,
    };

    *out = NULL;
    if (!config->tls) {
        return HF_SUCCESS;
    }
    if (config->client_ca != NULL) {
        settings.clients =
            config->require_client_certificate ? HF_TLS_CLIENTS_REQUIRED : HF_TLS_CLIENTS_OPTIONAL;
    }
    return hf_tls_new(op, &settings, out);
}

static struct hf_hadoop *open_hadoop(struct hf_node *node, const struct hf_config_listener *config)
{
    const struct hf_hadoop_settings settings = {
        .service = node->service,
        .cookies = node->cookies,
        .keyring = config->hadoop_keyring,
        .allow_pseudo = config->pseudo,
        .export_by_policy = config->hadoop_export_by_policy,
        .default_bits = config->hadoop_default_bits,
        .retry_window_ms = config->hadoop_retry_window_ms,
        .secure = config->tls,
    };

    return hf_hadoop_new(&settings);
}

struct served *hf_served_new(struct hf_node *node, const struct hf_config_listener *config)
{
    struct served *served = hf_alloc(sizeof *served);
    size_t count = 0;

    served->config = config;
    for (char **door = config->doors; *door != NULL && count < MAX_DOORS - 1; door++) {
        if (strcmp(*door, "hadoop") == 0) {
            served->hadoop = open_hadoop(node, config);
            served->doors[count++] = hf_hadoop_door(served->hadoop);
        } else if (strcmp(*door, "admin") == 0) {
            served->doors[count++] = hf_admin_door(node->admin);
        } else {
            served->doors[count++] = &node->health;
        }
    }
    hf_http_limits_default(&served->http.limits);
    served->http.limits.max_body = config->max_body_bytes;
    served->http.limits.room = &node->room;
    served->http.doors = served->doors;
    return served;
}

void hf_served_free(struct served *served)
{
    if (served != NULL) {
        hf_hadoop_free(served->hadoop);
        free(served);
    }
}

void hf_listener_serve(struct hf_node *node, struct listener *listener, struct served *served)
{
    const struct hf_config_listener *config = served->config;

    served->older = atomic_load(&listener->served);
    atomic_store(&listener->served, served);
    atomic_store(&listener->http.served, &served->http);
    if (config->pseudo && config->pseudo_insecure) {
        HF_WARNING(node->env, "listener %s believes any user name that a client claims",
                   config->name);
    }
}

static struct hf_status give_to_group(struct hf_op *op, const struct hf_config_listener *config)
{
    const struct group *group;

    if (config->group == NULL) {
        return HF_SUCCESS;
    }
    group = getgrnam(config->group);
    if (group == NULL) {
        return hf_fail(op, HF_INVALID, "listener \"%s\": there is no group \"%s\"", config->name,
                       config->group);
    }
    if (chown(config->address + strlen("unix:"), (uid_t)-1, group->gr_gid) != 0) {
        return hf_fail(op, HF_UNAVAILABLE, "listener \"%s\": cannot give %s to group %s",
                       config->name, config->address, config->group);
    }
    return HF_SUCCESS;
}

static struct hf_status bind_listener(struct hf_node *node, struct hf_op *op,
                                      struct listener *listener,
                                      const struct hf_config_listener *config)
{
    const struct hf_listener_settings settings = {
        .name = config->name,
        .address = config->address,
        .unix_mode = config->group != NULL ? 0660 : 0600,
        .tls = listener->tls,
        .idle_timeout_ms = config->idle_timeout_ms,
        .request_timeout_ms = config->request_timeout_ms,
    };

    HF_TRY(hf_net_listen(node->net, op, &settings, &listener->protocol));
    HF_TRY(give_to_group(op, config));
    if (strncmp(config->address, "unix:", 5) == 0) {
        HF_INFO(node->env, "listener %s serves on %s", config->name, config->address);
    } else {
        HF_INFO(node->env, "listener %s serves on %s (port %u)%s", config->name, config->address,
                (unsigned)hf_net_port(node->net, config->name), config->tls ? " with TLS" : "");
    }
    return HF_SUCCESS;
}

struct hf_status hf_node_listen(struct hf_node *node, struct hf_op *op)
{
    const struct hf_config *config = node->config;

    node->room.max_bytes = config->max_buffered_bytes;
    node->room.refused =
        hf_metrics_series(node->env->metrics, HF_METRIC_COUNTER, "holdfast_http_no_room_total",
                          NULL, "Requests refused because others held all room for bytes.");
    node->listeners = hf_alloc_array(config->listener_count, sizeof *node->listeners);
    for (size_t i = 0; i < config->listener_count; i++) {
        struct listener *listener = &node->listeners[i];

        HF_TRY(hf_listener_open_tls(op, &config->listeners[i], &listener->tls));
        hf_listener_serve(node, listener, hf_served_new(node, &config->listeners[i]));
        listener->protocol = hf_http_protocol(&listener->http);
        HF_TRY(bind_listener(node, op, listener, &config->listeners[i]));
    }
    return HF_SUCCESS;
}

void hf_node_free_listeners(struct hf_node *node)
{
    for (size_t i = 0; node->listeners != NULL && i < node->config->listener_count; i++) {
        struct served *served = atomic_load(&node->listeners[i].served);

        while (served != NULL) {
            struct served *older = served->older;

            hf_served_free(served);
            served = older;
        }
        hf_tls_free(node->listeners[i].tls);
    }
    free(node->listeners);
}
