/* Nodes on a store in PostgreSQL, in tests. */
#include "store_node.h"

#include <time.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store_database.h"
#include "store_world.h"

struct hf_status node_open(struct node *node, const char *store, struct options options)
{
    HF_AUTO_STRING own = store_database_of(store);
    const char *const hosts[] = { options.host != NULL ? options.host : own, NULL };
    struct hf_store_settings settings = { .engine = "postgres",
                                          .create = options.create,
                                          .hosts = hosts,
                                          .synchronous = options.synchronous,
                                          .allow_fewer = options.allow_fewer,
                                          .mirror = options.mirror };

    memset(node, 0, sizeof *node);
    memset(settings.store_id, 0x5a, sizeof settings.store_id);
    node->store = store;
    hf_env_system(&node->env);
    node->metrics = hf_metrics_new();
    node->env.metrics = node->metrics;
    hf_op_init(&node->op, &node->env);
    return hf_engine_open(&node->op, &settings, &node->engine);
}

void node_close(struct node *node)
{
    hf_engine_free(node->engine);
    hf_metrics_free(node->metrics);
}

void node_has(struct node *node, uint64_t ms)
{
    node->op.deadline_ms = hf_env_boottime_ms(&node->env) + ms;
}

bool node_counts(struct node *node, const char *line)
{
    HF_AUTO(buf) text = hf_buf_new();

    hf_metrics_write(node->metrics, text);
    return strstr(hf_buf_text(text), line) != NULL;
}

struct hf_status node_put_at(struct node *node, uint32_t request, const char *path,
                             struct hf_commit *out)
{
    struct hf_change change = store_change(path, 0, "body");
    struct hf_batch batch = store_batch(request, &change, 1);

    return hf_engine_apply(node->engine, &node->op, &batch, out);
}

struct hf_status node_put(struct node *node, uint32_t request)
{
    HF_AUTO_STRING path = hf_format("path/%u", request);
    struct hf_commit commit;
    struct hf_status status;

    hf_commit_init(&commit);
    status = node_put_at(node, request, path, &commit);
    hf_commit_done(&commit);
    return status;
}

void nap(void)
{
    const struct timespec time = { .tv_nsec = 5000000 };

    (void)nanosleep(&time, NULL);
}

uint64_t now_ms(void)
{
    struct hf_env env;

    hf_env_system(&env);
    return hf_env_boottime_ms(&env);
}

long await_number(const char *store, const char *sql)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    long number;

    while ((number = store_database_number(store, sql)) <= 0) {
        if (now_ms() > until_ms) {
            fail_msg("this never came: %s", sql);
        }
        nap();
    }
    return number;
}

/* The checkpointer tells commits whether to wait, so it has to have read the setting. */
void set_standby_names(const char *store, const char *names)
{
    HF_AUTO_STRING set = hf_format("ALTER SYSTEM SET synchronous_standby_names = '%s'", names);
    HF_AUTO_STRING is_set =
        hf_format("SELECT (current_setting('synchronous_standby_names') = '%s')::int", names);

    store_database_run(store, set);
    store_database_run(store, "SELECT pg_reload_conf()");
    (void)await_number(store, is_set);
    store_database_run(store, "CHECKPOINT");
}

const char waiting_commit[] = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity"
                              " WHERE application_name = 'holdfast' AND wait_event = 'SyncRep'";

static void *put_main(void *context)
{
    struct putting *putting = context;

    putting->status = node_put_at(putting->node, putting->request, "path", &putting->commit);
    return NULL;
}

void put_start(struct putting *putting, struct node *node, uint32_t request)
{
    *putting = (struct putting){ .node = node, .request = request };
    hf_commit_init(&putting->commit);
    assert_int_equal(pthread_create(&putting->thread, NULL, put_main, putting), 0);
}

void put_join(struct putting *putting)
{
    assert_int_equal(pthread_join(putting->thread, NULL), 0);
}
