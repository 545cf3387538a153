/*
 * Nodes on a store in PostgreSQL, on real clocks, in tests: opened, written through, and held up at
 * the standby that a commit waits for.
 */
#pragma once

#include <pthread.h>

#include "base/metrics.h"
#include "store/store.h"

/* How long a test waits for what must come. */
#define PATIENCE_MS 20000

/* One node; several may share a store. */
struct node {
    const char *store;
    struct hf_env env;
    struct hf_metrics *metrics;
    struct hf_op op;
    struct hf_engine *engine;
};

struct options {
    bool create;
    unsigned synchronous;
    bool allow_fewer;
    const char *host;   /* NULL: as the database's owner, in the schema of the store */
    const char *mirror; /* the directory of its copy; NULL: none */
};

/* The node is to be closed when it could not be opened, too. */
HF_STATUS node_open(struct node *node, const char *store, struct options options);
void node_close(struct node *node);
/* Its operations from now on may take so long. */
void node_has(struct node *node, uint64_t ms);
/* Whether its metrics have this line. */
bool node_counts(struct node *node, const char *line);

/* One new record under a request id that is its number. */
HF_STATUS node_put_at(struct node *node, uint32_t request, const char *path, struct hf_commit *out);
/* The same at "path/<request>". */
HF_STATUS node_put(struct node *node, uint32_t request);

void nap(void);
uint64_t now_ms(void);
/* Waits until the query gives a number that is not 0, and gives it. */
long await_number(const char *store, const char *sql);

/* Which standbys the server's commits wait for from now on. */
void set_standby_names(const char *store, const char *names);
/* The process whose commit waits for a standby; 0: none. */
extern const char waiting_commit[];

/* A put at "path" on a thread of its own. */
struct putting {
    struct node *node;
    pthread_t thread;
    uint32_t request;
    struct hf_status status;
    struct hf_commit commit;
};
void put_start(struct putting *putting, struct node *node, uint32_t request);
/* The commit is the caller's. */
void put_join(struct putting *putting);
