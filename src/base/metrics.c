/* Counters and gauges, and the text in which Prometheus reads them. */
#include "base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

/* One series; alone on its cache line, so that threads that count do not slow each other. */
struct hf_metric {
    _Alignas(64) _Atomic int64_t value;
    char *labels; /* "" for none */
    struct hf_metric *next;
};

/* All series of one name. */
struct family {
    char *name;
    char *help;
    enum hf_metric_kind kind;
    struct hf_metric *first;
    struct family *next;
};

struct hf_metrics {
    pthread_mutex_t lock; /* guards the lists; values are counted without it */
    struct family *first;
};

static const char *const kind_names[] = {
    [HF_METRIC_COUNTER] = "counter",
    [HF_METRIC_GAUGE] = "gauge",
};

struct hf_metrics *hf_metrics_new(void)
{
    struct hf_metrics *metrics = hf_alloc(sizeof *metrics);

    hf_assert(pthread_mutex_init(&metrics->lock, NULL) == 0);
    return metrics;
}

static void free_family(struct family *family)
{
    struct hf_metric *metric = family->first;

    while (metric != NULL) {
        struct hf_metric *next = metric->next;

        free(metric->labels);
        free(metric);
        metric = next;
    }
    free(family->name);
    free(family->help);
    free(family);
}

void hf_metrics_free(struct hf_metrics *metrics)
{
    struct family *family;

    if (metrics == NULL) {
        return;
    }
    family = metrics->first;
    while (family != NULL) {
        struct family *next = family->next;

        free_family(family);
        family = next;
    }
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct family *find_family(struct hf_metrics *metrics, enum hf_metric_kind kind,
                                  const char *name, const char *help)
{
    struct family **at = &metrics->first;

    while (*at != NULL && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = hf_alloc(sizeof **at);
        (*at)->name = hf_strdup(name);
        (*at)->help = hf_strdup(help);
        (*at)->kind = kind;
    }
    hf_assert((*at)->kind == kind);
    return *at;
}

static struct hf_metric *find_series(struct family *family, const char *labels)
{
    struct hf_metric **at = &family->first;

    while (*at != NULL && strcmp((*at)->labels, labels) != 0) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = aligned_alloc(_Alignof(struct hf_metric), sizeof **at);
        hf_assert(*at != NULL);
        memset(*at, 0, sizeof **at);
        (*at)->labels = hf_strdup(labels);
    }
    return *at;
}

struct hf_metric *hf_metrics_series(struct hf_metrics *metrics, enum hf_metric_kind kind,
                                    const char *name, const char *labels, const char *help)
{
    struct hf_metric *metric;

    if (metrics == NULL) {
        return NULL;
    }
    hf_assert(pthread_mutex_lock(&metrics->lock) == 0);
    metric = find_series(find_family(metrics, kind, name, help), labels != NULL ? labels : "");
    hf_assert(pthread_mutex_unlock(&metrics->lock) == 0);
    return metric;
}

void hf_metric_add(struct hf_metric *metric, int64_t by)
{
    if (metric != NULL) {
        (void)atomic_fetch_add_explicit(&metric->value, by, memory_order_relaxed);
    }
}

void hf_metric_set(struct hf_metric *metric, int64_t value)
{
    if (metric != NULL) {
        atomic_store_explicit(&metric->value, value, memory_order_relaxed);
    }
}

int64_t hf_metric_get(const struct hf_metric *metric)
{
    return metric != NULL ? atomic_load_explicit(&metric->value, memory_order_relaxed) : 0;
}

/* A help text with backslash and newline escaped, as the format asks. */
static void add_help(struct hf_buf *out, const char *help)
{
    for (const char *at = help; *at != '\0'; at++) {
        if (*at == '\\') {
            hf_buf_add_text(out, "\\\\");
        } else if (*at == '\n') {
            hf_buf_add_text(out, "\\n");
        } else {
            hf_buf_add(out, at, 1);
        }
    }
}

static void add_series(struct hf_buf *out, const char *name, const struct hf_metric *metric)
{
    hf_buf_add_text(out, name);
    if (metric->labels[0] != '\0') {
        hf_buf_add_format(out, "{%s}", metric->labels);
    }
    hf_buf_add_format(out, " %" PRId64 "\n", hf_metric_get(metric));
}

void hf_metrics_write(struct hf_metrics *metrics, struct hf_buf *out)
{
    hf_assert(pthread_mutex_lock(&metrics->lock) == 0);
    for (const struct family *family = metrics->first; family != NULL; family = family->next) {
        hf_buf_add_format(out, "# HELP %s ", family->name);
        add_help(out, family->help);
        hf_buf_add_format(out, "\n# TYPE %s %s\n", family->name, kind_names[family->kind]);
        for (const struct hf_metric *metric = family->first; metric != NULL;
             metric = metric->next) {
            add_series(out, family->name, metric);
        }
    }
    hf_assert(pthread_mutex_unlock(&metrics->lock) == 0);
}
