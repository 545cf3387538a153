/*
 * holdfast init: makes a node's directory: store, slots, authority, certificates, first keyring and
 * policy, configuration. All of it or nothing: it is built beside D and renamed at the end.
 */
#pragma once

#include "base/bytes.h"
#include "base/op.h"

struct hf_init_settings {
    const char *directory;
    const char *node;            /* NULL: "node-1" */
    const char *site;            /* where it stands; NULL: none */
    const char *owner;           /* the unix user who may unlock besides root; NULL: root alone */
    const char *passphrase_file; /* of the offline slot; NULL: a passphrase is made, in D/offline */
    const char *listen_hadoop;   /* NULL: "127.0.0.1:9600" */
    const char *listen_admin;    /* an address for mutual TLS besides the unix socket; NULL: none */
    const char *keyring;         /* for the Hadoop door; NULL: "hadoop" */
    const char *const *hosts;    /* names and addresses for the certificate, besides localhost */
    size_t host_count;
    bool pseudo;            /* the Hadoop listener believes user.name (loopback only) */
    const char *store;      /* the section of holdfast.conf that says where; NULL: D/store */
    bool is_shared;         /* the store is for several nodes: this one opens by its own key pair */
    unsigned main_key_bits; /* 2048, 3072, 4096; 0: 3072 */
    bool allow_unlocked_memory;
};

/*
 * HF_EXISTS when the directory holds anything; HF_INVALID when holdfastd would refuse the
 * configuration these settings make. On success out tells, in plain words, what was made,
 * where the offline slot's secret lies, and what to do next.
 */
HF_STATUS hf_init_node(struct hf_op *op, const struct hf_init_settings *settings,
                       struct hf_buf *out);
