/*
 * Metrics in Prometheus text form (version 0.0.4).
 *
 * A metric is registered once, by name, help and kind, and then counted without a lock. Labels are
 * part of the registration: one series is one registration ("door=\"hadoop\",code=\"ok\"").
 *
 * Threads: every function may be called from any thread.
 */
#pragma once

#include "base/bytes.h"

enum hf_metric_kind { HF_METRIC_COUNTER, HF_METRIC_GAUGE };

struct hf_metrics;
struct hf_metric;

struct hf_metrics *hf_metrics_new(void);
void hf_metrics_free(struct hf_metrics *metrics);
HF_DEFINE_CLEANUP(metrics)

/*
 * The series of that name and labels (NULL: none), made if it is new; owned by metrics and valid as
 * long as they are. NULL metrics give NULL, and counting on NULL does nothing.
 */
struct hf_metric *hf_metrics_series(struct hf_metrics *metrics, enum hf_metric_kind kind,
                                    const char *name, const char *labels, const char *help);
void hf_metric_add(struct hf_metric *metric, int64_t by);
void hf_metric_set(struct hf_metric *metric, int64_t value);
int64_t hf_metric_get(const struct hf_metric *metric);

/* Everything, grouped by name in order of registration, with HELP and TYPE lines. */
void hf_metrics_write(struct hf_metrics *metrics, struct hf_buf *out);
