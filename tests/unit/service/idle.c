/* See idle.h. */
#include "idle.h"

struct hf_status idle_open_version(void *context, struct hf_op *op, uint64_t seq)
{
    (void)context;
    (void)op;
    (void)seq;
    return HF_SUCCESS;
}

struct hf_status idle_open_missed(void *context, struct hf_op *op, uint64_t after_seq,
                                  bool from_beginning, bool *out_left)
{
    (void)context;
    (void)op;
    (void)after_seq;
    (void)from_beginning;
    *out_left = false;
    return HF_SUCCESS;
}

struct hf_status idle_keep(void *context, struct hf_op *op, struct hf_bytes stamp)
{
    (void)context;
    (void)op;
    (void)stamp;
    return HF_SUCCESS;
}

void idle_tell(void *context, uint64_t news)
{
    (void)context;
    (void)news;
}
