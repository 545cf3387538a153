/*
 * The failing protector of tests: a key file protector whose n-th wrap or unwrap fails as told.
 *
 * Its file setting is "<n>:<code>:<key file>", for example "2:unavailable:/tmp/slot.key"; calls are
 * counted from 1, and 0 never fails.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/text.h"
#include "protect/protector.h"

struct failing_protector {
    struct hf_protector base;
    struct hf_protector *inner;
    uint64_t calls;
    uint64_t fails_at;
    enum hf_code code;
};

static bool find_code(const char *name, enum hf_code *out)
{
    for (enum hf_code code = HF_INVALID; code <= HF_INTERNAL; code++) {
        if (strcmp(name, hf_code_name(code)) == 0) {
            *out = code;
            return true;
        }
    }
    return false;
}

/* Splits the setting in place; *out_file points into it. */
static struct hf_status read_plan(struct hf_op *op, char *plan, struct failing_protector *mine,
                                  const char **out_file)
{
    char *rest = plan;
    const char *number = strsep(&rest, ":");
    const char *code = strsep(&rest, ":");

    if (code == NULL || rest == NULL || !find_code(code, &mine->code)) {
        return hf_fail(op, HF_INVALID, "a failing slot is told as <n>:<code>:<key file>");
    }
    HF_TRY(hf_parse_u64(op, number, UINT32_MAX, &mine->fails_at));
    *out_file = rest;
    return HF_SUCCESS;
}

static void failing_close(struct hf_protector *protector)
{
    struct failing_protector *mine = (struct failing_protector *)protector;

    hf_protector_free(mine->inner);
    free(mine);
}

static struct hf_status failing_open(struct hf_crypto *crypto, struct hf_op *op,
                                     const struct hf_protector_settings *settings,
                                     struct hf_protector **out)
{
    HF_AUTO(protector) opened = NULL;
    HF_AUTO_STRING plan = hf_strdup(settings->file != NULL ? settings->file : "");
    struct failing_protector *mine = hf_alloc(sizeof *mine);
    struct hf_protector_settings inner = { .kind = "keyfile" };

    mine->base.ops = &hf_failing_protector;
    opened = &mine->base;
    HF_TRY(read_plan(op, plan, mine, &inner.file));
    HF_TRY(hf_protector_open(crypto, op, &inner, &mine->inner));
    *out = HF_TAKE(opened);
    return HF_SUCCESS;
}

static struct hf_status count_call(struct failing_protector *mine, struct hf_op *op)
{
    mine->calls++;
    if (mine->calls == mine->fails_at) {
        return hf_fail(op, mine->code, "call %llu of this protector fails as the test asks",
                       (unsigned long long)mine->calls);
    }
    return HF_SUCCESS;
}

static struct hf_status failing_wrap(struct hf_protector *protector, struct hf_op *op,
                                     struct hf_bytes plain, struct hf_bytes context,
                                     struct hf_buf *out)
{
    struct failing_protector *mine = (struct failing_protector *)protector;
    HF_AUTO(secret) copy = NULL;

    HF_TRY(count_call(mine, op));
    HF_TRY(hf_secret_copy(op, plain, &copy));
    return hf_protector_wrap(mine->inner, op, copy, context, out);
}

static struct hf_status failing_unwrap(struct hf_protector *protector, struct hf_op *op,
                                       struct hf_bytes wrapped, struct hf_bytes context,
                                       struct hf_secret **out)
{
    struct failing_protector *mine = (struct failing_protector *)protector;

    HF_TRY(count_call(mine, op));
    return hf_protector_unwrap(mine->inner, op, wrapped, context, out);
}

const struct hf_protector_ops hf_failing_protector = {
    .kind = "failing",
    .needs_human = false,
    .open = failing_open,
    .wrap = failing_wrap,
    .unwrap = failing_unwrap,
    .close = failing_close,
};
