/* Jobs: what the server does by itself, on whichever node. */
#include "admin/admin_internal.h"

static void put_job(void *context, const struct hf_job_info *info)
{
    struct hf_json_writer *writer = context;

    hf_json_open_object(writer, NULL);
    hf_json_put_text(writer, "name", info->name);
    hf_json_put_text(writer, "state", hf_job_state_name(info->state));
    hf_json_put_text(writer, "node", info->node);
    put_date_or_null(writer, "begun", info->begun_ms);
    put_date_or_null(writer, "active", info->active_ms);
    put_date_or_null(writer, "ended", info->ended_ms);
    hf_json_put_u64(writer, "done", info->done);
    hf_json_put_u64(writer, "total", info->total);
    hf_json_put_text(writer, "text", info->text);
    put_date_or_null(writer, "due_since", info->due_since_ms);
    put_date_or_null(writer, "next_look", info->next_look_ms);
    hf_json_close_object(writer);
}

HANDLER(job_list)
{
    struct hf_json_writer writer;

    (void)request;
    start_object(reply, &writer);
    hf_json_open_array(&writer, "jobs");
    HF_TRY(hf_service_job_list(service_of(exchange), op, put_job, &writer));
    hf_json_close_array(&writer);
    hf_json_close_object(&writer);
    return HF_SUCCESS;
}
