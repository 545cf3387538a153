/*
 * holdfast.conf: one table row per setting (schema.c), read by libConfuse, checked before use.
 *
 * Threads: a configuration does not change once loaded.
 */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/op.h"

struct hf_config_slot {
    char *name;
    char *protector; /* "keyfile", "passphrase" */
    char *file;
};

struct hf_config_listener {
    char *name;
    char *address;
    bool tls;
    char *certificate, *key, *client_ca; /* client_ca NULL: no client certificates */
    bool require_client_certificate;
    char **doors; /* "hadoop", "admin", "health"; NULL-terminated */
    char *group;  /* of a unix socket: mode 0660 for it; NULL: 0600 */
    size_t max_body_bytes;
    uint64_t idle_timeout_ms;
    uint64_t request_timeout_ms;
    /* the Hadoop door */
    char *hadoop_keyring;
    bool pseudo;          /* believe user.name */
    bool pseudo_insecure; /* also on addresses other than loopback */
    bool hadoop_export_by_policy;
    unsigned hadoop_default_bits;
    uint64_t hadoop_retry_window_ms;
};

struct hf_config_value; /* compare.c */

struct hf_config {
    char *directory; /* relative paths are below it */
    char *node;
    char *site;              /* NULL: none */
    uint64_t drill_every_ms; /* 0: only when asked for */
    uint32_t min_ways;
    char *store_engine, *store_directory, *pin_file;
    char **store_hosts; /* of engine postgres: as hf_store_settings has them; NULL-terminated */
    unsigned store_synchronous;
    bool store_allow_fewer;
    char *store_mirror; /* of engine postgres: where its local copy is kept; else NULL */
    char *audit_directory, *audit_key_file;
    bool audit_go_on_when_full;
    uint64_t audit_max_file_bytes;
    enum hf_log_form log_form;
    enum hf_log_level log_level;
    size_t secret_bytes;
    bool allow_unlocked_memory;
    unsigned loops, workers;
    size_t max_connections;
    size_t max_buffered_bytes;
    uint64_t cookie_validity_ms;
    char *owner; /* the unix user who may always unlock, besides root: "root" */
    struct hf_config_slot *slots;
    size_t slot_count;
    struct hf_config_listener *listeners;
    size_t listener_count;
    struct hf_config_value *values; /* each setting as it was read, for hf_config_compare() */
    size_t value_count;
};

/*
 * Reads the file; every complaint names file and line: HF_INVALID for an unknown name, a bad value,
 * or settings that do not fit together; HF_UNAVAILABLE when it cannot be read. Paths in the result
 * are absolute or below directory.
 */
HF_STATUS hf_config_load(struct hf_op *op, const char *directory, const char *file,
                         struct hf_config **out);
/* The same for text that was read already; file is the name in complaints. */
HF_STATUS hf_config_parse(struct hf_op *op, const char *directory, const char *file,
                          struct hf_bytes text, struct hf_config **out);
void hf_config_free(struct hf_config *config);
HF_DEFINE_CLEANUP(config)

/* A setting that differs between two configurations. */
struct hf_config_change {
    const char *section; /* "" for the top level */
    const char *title;   /* of the section; "" where it has none */
    const char *name;    /* NULL: one of the two has no such section */
    bool is_live;        /* SIGHUP takes it over */
};
/* In the order of the settings; what visit is given lives as long as both. */
void hf_config_compare(const struct hf_config *then, const struct hf_config *now,
                       void (*visit)(void *context, const struct hf_config_change *change),
                       void *context);

/* Every setting with its section, type, default and meaning, as the manual prints it. */
void hf_config_describe(struct hf_buf *out);
