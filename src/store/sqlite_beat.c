/* Heartbeats of the SQLite engine: rows in memory; what makes one synchronous is a barrier. */
#include "store/sqlite_engine.h"

struct hf_status hf_sqlite_beat(struct hf_engine *base, struct hf_op *op,
                                const struct hf_beat *beat, bool synchronous, uint64_t *out_seq)
{
    struct hf_sqlite_engine *engine = hf_sqlite_of(base);

    if (synchronous) {
        HF_TRY(hf_sqlite_barrier(base, op, out_seq));
    }
    pthread_mutex_lock(&engine->beats_lock);
    hf_beats_put(&engine->beats, beat);
    pthread_mutex_unlock(&engine->beats_lock);
    return HF_SUCCESS;
}

/* The counter is read first: a row that is seen with it may only speak of more. */
struct hf_status hf_sqlite_beats(struct hf_engine *base, struct hf_op *op, hf_beat_visitor visit,
                                 void *context, uint64_t *out_seq)
{
    struct hf_sqlite_engine *engine = hf_sqlite_of(base);
    struct hf_store_state state;
    struct hf_status status;

    pthread_mutex_lock(&engine->beats_lock);
    status = hf_sqlite_state(base, op, &state, NULL);
    if (status.code == HF_OK) {
        status = hf_beats_visit(&engine->beats, visit, context);
    }
    pthread_mutex_unlock(&engine->beats_lock);
    HF_TRY(status);
    *out_seq = state.seq;
    return HF_SUCCESS;
}
