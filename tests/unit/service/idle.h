/* What the cluster layer needs from above, for tests that have no use for that part of it. */
#pragma once

#include "cluster/cluster.h"

/* Every version opens, */
struct hf_status idle_open_version(void *context, struct hf_op *op, uint64_t seq);
/* and none was missed. */
struct hf_status idle_open_missed(void *context, struct hf_op *op, uint64_t after_seq,
                                  bool from_beginning, bool *out_left);
/* Nothing outlives the process, */
struct hf_status idle_keep(void *context, struct hf_op *op, struct hf_bytes stamp);
/* and nobody sleeps who would have to be told. */
void idle_tell(void *context, uint64_t news);
