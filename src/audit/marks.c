/* What each thread has appended, so that a dropped line is told to the thread it belongs to. */
#include <errno.h>
#include <stdlib.h>

#include "audit/trail.h"
#include "base/alloc.h"

static void unlink_mark(struct hf_audit_mark *mark)
{
    *mark->self = mark->next;
    if (mark->next != NULL) {
        mark->next->self = mark->self;
    }
}

/* The thread has ended. */
static void thread_ended(void *value)
{
    struct hf_audit_mark *mark = value;
    struct hf_audit *audit = mark->audit;

    hf_audit_lock(audit);
    unlink_mark(mark);
    hf_audit_unlock(audit);
    free(mark);
}

struct hf_status hf_audit_marks_init(struct hf_audit *audit, struct hf_op *op)
{
    int error = pthread_key_create(&audit->mark_key, thread_ended);

    if (error != 0) {
        return hf_fail(op, HF_LIMITED, "no more thread keys for the audit trail: %s",
                       strerrordesc_np(error));
    }
    return HF_SUCCESS;
}

void hf_audit_marks_done(struct hf_audit *audit)
{
    /* From here on no thread's end looks at its mark. */
    hf_assert(pthread_key_delete(audit->mark_key) == 0);
    while (audit->marks != NULL) {
        struct hf_audit_mark *mark = audit->marks;

        audit->marks = mark->next;
        free(mark);
    }
}

struct hf_audit_mark *hf_audit_mark(struct hf_audit *audit)
{
    struct hf_audit_mark *mark = pthread_getspecific(audit->mark_key);

    if (mark == NULL) {
        mark = hf_alloc(sizeof *mark);
        mark->audit = audit;
        hf_audit_lock(audit);
        mark->next = audit->marks;
        mark->self = &audit->marks;
        if (mark->next != NULL) {
            mark->next->self = &mark->next;
        }
        audit->marks = mark;
        hf_audit_unlock(audit);
        hf_assert(pthread_setspecific(audit->mark_key, mark) == 0);
    }
    return mark;
}

void hf_audit_mark_dropped_locked(struct hf_audit *audit)
{
    for (struct hf_audit_mark *mark = audit->marks; mark != NULL; mark = mark->next) {
        mark->line_dropped |= mark->last_ticket > audit->settled;
        mark->note_dropped |= mark->last_note_ticket > audit->settled;
    }
}
