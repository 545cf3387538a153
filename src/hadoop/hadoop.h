/*
 * The Hadoop door: the KMS REST protocol under /kms (reference/hadoop-kms.md), as Hadoop's own
 * KMSClientProvider speaks it, with Key Trustee's undelete and purge.
 *
 * Threads: handlers run on any lane; settings do not change once the door is made.
 */
#pragma once

#include "http/door.h"
#include "identity/cookie.h"
#include "service/service.h"

struct hf_hadoop_settings {
    struct hf_service *service; /* borrowed, as is cookies */
    struct hf_cookies *cookies;
    const char *keyring;      /* whose keys this door shows */
    bool allow_pseudo;        /* user.name is believed; off unless asked for */
    bool export_by_policy;    /* hadoop_export = acl: keys made here are exportable */
    unsigned default_bits;    /* key length when create names none: 128, 192 or 256 */
    uint64_t retry_window_ms; /* hadoop_retry_window */
    bool secure;              /* served over TLS: cookies say so */
};

struct hf_hadoop;

/* The keyring must exist when requests come; strings are copied. */
struct hf_hadoop *hf_hadoop_new(const struct hf_hadoop_settings *settings);
void hf_hadoop_free(struct hf_hadoop *hadoop);
HF_DEFINE_CLEANUP(hadoop)

/* The door to put on a listener; lives as long as hadoop. */
const struct hf_door *hf_hadoop_door(const struct hf_hadoop *hadoop);
