/* See neighbour.h. */
#include "neighbour.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "service/job.h"

#define LANES 1

void neighbour_enlist(const char *name, const char *site, enum hf_member_state state)
{
    struct hf_member member = { .state = state, .approved_ms = small_world.now_ms };
    HF_AUTO_STRING path = hf_format("member/%s", name);
    HF_AUTO(buf) content = hf_buf_new();
    HF_AUTO(member) before = NULL;
    uint64_t revision = 0;

    (void)snprintf(member.node.name, sizeof member.node.name, "%s", name);
    (void)snprintf(member.node.site, sizeof member.node.site, "%s", site);
    (void)snprintf(member.slot, sizeof member.slot, "%032d", 7);
    assert_ok(&small_world.op, hf_member_encode(&small_world.op, &member, content));
    if (hf_member_get(small_world.seal, &small_world.op, name, &before).code == HF_OK) {
        revision = before->revision;
    }
    hf_op_clear(&small_world.op);
    assert_ok(&small_world.op,
              small_world_put(HF_KIND_MEMBER, path, revision, hf_buf_bytes(content)));
}

static void open_audit(struct neighbour *node)
{
    HF_AUTO_STRING name = hf_format("audit-%s", node->name);
    HF_AUTO_STRING directory = small_world_path(name);
    const struct hf_audit_settings settings = { .directory = directory,
                                                .node = node->name,
                                                .signer = node->signer };

    (void)mkdir(directory, 0700);
    assert_ok(&small_world.op,
              hf_audit_open(small_world.crypto, &small_world.op, &settings, &node->audit));
}

void neighbour_start(struct neighbour *node, const char *name)
{
    struct hf_op *op = &small_world.op;
    struct hf_slot_info slot;
    struct hf_service_parts parts;

    *node = (struct neighbour){ .name = name, .file = small_world_path("node.key") };
    node->slot = (struct hf_drill_slot){ "node", { .kind = "keyfile", .file = node->file } };
    assert_ok(op, hf_pkey_generate(small_world.crypto, op, HF_PKEY_ED25519, &node->signer));
    assert_ok(op, hf_seal_open(small_world.crypto, op, small_world.engine, NULL, &node->seal));
    node->keys = hf_keys_new(node->seal, LANES);
    node->policy = hf_policy_new(node->seal);
    open_audit(node);
    parts = (struct hf_service_parts){ .seal = node->seal,
                                       .keys = node->keys,
                                       .policy = node->policy,
                                       .audit = node->audit,
                                       .node = name,
                                       .shared_store = true,
                                       .site = "",
                                       .signer = node->signer,
                                       .slots = &node->slot,
                                       .slot_count = 1 };
    node->service = hf_service_new(&parts);
    assert_ok(op, hf_seal_unlock(node->seal, op, small_world.protector, &slot));
}

void neighbour_stop(struct neighbour *node)
{
    hf_service_free(node->service);
    hf_policy_free(node->policy);
    hf_keys_free(node->keys);
    hf_audit_free(node->audit);
    hf_seal_free(node->seal);
    hf_pkey_free(node->signer);
    free(node->file);
}

static void follow(struct hf_seal *seal)
{
    uint64_t seq = 0;

    assert_ok(&small_world.op, hf_seal_follow(seal, &small_world.op, &seq));
}

void neighbour_follow(struct neighbour *node)
{
    follow(node->seal);
}

void world_follow(void)
{
    follow(small_world.seal);
}

static void turn(struct hf_service *service, struct hf_seal *seal)
{
    struct hf_op op = small_world_op(7);
    bool more = true;

    follow(seal);
    assert_ok(&op, hf_service_drill_part(service, &op));
    while (more) {
        hf_service_run_jobs(service, &op, &more);
    }
}

void neighbour_turn(struct neighbour *node)
{
    turn(node->service, node->seal);
}

static struct hf_drill_slot own_slot;
static char *own_file;

void world_take_part(void)
{
    own_file = small_world_path("node.key");
    own_slot = (struct hf_drill_slot){ "node", { .kind = "keyfile", .file = own_file } };
    world.service->slots = &own_slot;
    world.service->slot_count = 1;
    world.service->signer = world.signer;
}

void world_leave(void)
{
    free(own_file);
}

void world_turn(void)
{
    turn(world.service, small_world.seal);
}
