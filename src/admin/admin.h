/*
 * The admin door: REST and JSON under /api/v1/, described by docs/openapi.yaml and used by the
 * command line. On unix sockets the caller is the peer's user, elsewhere the client certificate.
 *
 * Threads: handlers run on any lane.
 */
#pragma once

#include "http/door.h"
#include "service/service.h"

struct hf_admin_settings {
    struct hf_service *service; /* borrowed */
    uint32_t owner_uid;         /* who, besides root, may unlock while there is no policy to ask */
    /* The daemon's own status items (listeners, certificates, offline secrets). */
    void (*status)(void *context, void (*visit)(void *visit_context, const struct hf_status_item *),
                   void *visit_context);
    /* After a successful unlock, before the answer: the daemon gets its secrets and feeds. */
    void (*unlocked)(void *context);
    /* After a lock, before the answer: what the daemon keeps besides the seal is wiped too. */
    void (*locked)(void *context);
    void *context;
};

struct hf_admin;

struct hf_admin *hf_admin_new(const struct hf_admin_settings *settings);
void hf_admin_free(struct hf_admin *admin);
HF_DEFINE_CLEANUP(admin)

/* The door to put on a listener; lives as long as admin. */
const struct hf_door *hf_admin_door(const struct hf_admin *admin);
