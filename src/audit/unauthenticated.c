/* Failures before authentication: counted by door and address prefix, told once per window. */
#include "audit/unauthenticated.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "audit/trail.h"

#define WAYS 8 /* rows that one door and prefix may stand in */

/* Without brackets and port, as far as there are any. */
static void bare_address(const char *address, char out[HF_AUDIT_PREFIX_MAX])
{
    const char *start = address[0] == '[' ? address + 1 : address;
    const char *colon = strchr(start, ':');
    size_t len = strcspn(start, "]%");

    if (address[0] != '[' && colon != NULL && strchr(colon + 1, ':') == NULL) {
        len = (size_t)(colon - start);
    }
    (void)snprintf(out, HF_AUDIT_PREFIX_MAX, "%.*s", (int)(len < 64 ? len : 63), start);
}

static void prefix_of_ipv4(const uint8_t bytes[4], char out[HF_AUDIT_PREFIX_MAX])
{
    (void)snprintf(out, HF_AUDIT_PREFIX_MAX, "%u.%u.%u.0/24", bytes[0], bytes[1], bytes[2]);
}

void hf_audit_prefix(const char *address, char out[HF_AUDIT_PREFIX_MAX])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint8_t bytes[16];
    char bare[HF_AUDIT_PREFIX_MAX];
    char text[INET6_ADDRSTRLEN];

    bare_address(address, bare);
    if (inet_pton(AF_INET, bare, bytes) == 1) {
        prefix_of_ipv4(bytes, out);
    } else if (inet_pton(AF_INET6, bare, bytes) != 1) {
        (void)snprintf(out, HF_AUDIT_PREFIX_MAX, "%.*s", HF_AUDIT_PREFIX_MAX - 1, address);
    } else if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        /* An IPv4 peer of an IPv6 socket: all of them share one /64. */
        prefix_of_ipv4(bytes + sizeof mapped, out);
    } else {
        memset(bytes + 8, 0, 8);
        hf_assert(inet_ntop(AF_INET6, bytes, text, sizeof text) != NULL);
        (void)snprintf(out, HF_AUDIT_PREFIX_MAX, "%s/64", text);
    }
}

static size_t hash_of(const char *prefix, const char *door)
{
    uint32_t hash = 2166136261; /* FNV-1a: who makes rows meet only shares one */

    for (const char *at = prefix; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619;
    }
    for (const char *at = door; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619;
    }
    return hash;
}

/* The row of that door and prefix, a free one made its own, or the row of the rest. */
static struct hf_audit_stranger *find_row(struct hf_audit_strangers *strangers, const char *prefix,
                                          const char *door)
{
    size_t set = hash_of(prefix, door) % (HF_AUDIT_STRANGERS / WAYS) * WAYS;
    struct hf_audit_stranger *unused = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        struct hf_audit_stranger *row = &strangers->rows[set + i];

        if (!row->used) {
            unused = row;
        } else if (strcmp(row->prefix, prefix) == 0 && strcmp(row->door, door) == 0) {
            return row;
        }
    }
    if (unused == NULL) {
        return &strangers->rest;
    }
    memset(unused, 0, sizeof *unused);
    (void)snprintf(unused->prefix, sizeof unused->prefix, "%s", prefix);
    (void)snprintf(unused->door, sizeof unused->door, "%s", door);
    return unused;
}

/* One line for all that was counted. Where there is no space the count stays for later. */
static void tell(struct hf_audit *audit, struct hf_op *op, struct hf_audit_stranger *row,
                 uint64_t now_ms, const char *address, const char *detail)
{
    HF_AUTO(buf) members = hf_buf_new();
    struct hf_audit_event event = {
        .operation = "authenticate",
        .outcome = hf_code_name(HF_UNAUTHENTICATED),
        .address = address,
        .door = row->door[0] != '\0' ? row->door : NULL,
        .count = row->count,
        .detail = detail,
    };

    hf_audit_event_write(&event, members);
    row->window_ends_ms = now_ms + HF_AUDIT_STRANGER_WINDOW_MS;
    if (!audit->full &&
        hf_audit_append_locked(audit, op, 0, hf_buf_bytes(members), 0, false).code == HF_OK) {
        row->count = 0;
    }
}

void hf_audit_unauthenticated(struct hf_audit *audit, struct hf_op *op, const char *door,
                              const char *address)
{
    uint64_t now_ms = hf_env_boottime_ms(op->env);
    char prefix[HF_AUDIT_PREFIX_MAX];
    char short_door[HF_AUDIT_DOOR_MAX];
    struct hf_audit_stranger *row;

    hf_audit_prefix(address, prefix);
    (void)snprintf(short_door, sizeof short_door, "%s", door);
    hf_audit_lock(audit);
    row = find_row(&audit->strangers, prefix, short_door);
    row->used = true;
    row->count++;
    if (now_ms >= row->window_ends_ms && row != &audit->strangers.rest) {
        struct hf_op aside;

        /* The operation keeps its own failure, whatever becomes of this line. */
        hf_op_init(&aside, op->env);
        tell(audit, &aside, row, now_ms, row->count == 1 ? address : prefix,
             row->count == 1 && op->text[0] != '\0' ? op->text : NULL);
    }
    hf_audit_unlock(audit);
}

static void flush_row(struct hf_audit *audit, struct hf_op *op, struct hf_audit_stranger *row,
                      uint64_t now_ms, bool all)
{
    bool over = all || now_ms >= row->window_ends_ms;
    bool is_rest = row == &audit->strangers.rest;

    if (row->used && over && row->count > 0) {
        tell(audit, op, row, now_ms, is_rest ? NULL : row->prefix,
             is_rest ? "from further addresses" : NULL);
    } else if (row->used && over) {
        row->used = false;
    }
}

void hf_audit_flush_strangers_locked(struct hf_audit *audit, struct hf_op *op, bool all)
{
    uint64_t now_ms = hf_env_boottime_ms(audit->env);

    for (size_t i = 0; i < HF_AUDIT_STRANGERS; i++) {
        flush_row(audit, op, &audit->strangers.rows[i], now_ms, all);
    }
    flush_row(audit, op, &audit->strangers.rest, now_ms, all);
}
