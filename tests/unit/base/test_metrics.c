/* Metrics: counting from many threads, and the exact text. */
#include <pthread.h>

#include "base/metrics.h"
#include "test.h"

static void the_text_is_exact(void **unused)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_metric *ok;
    struct hf_metric *denied;
    struct hf_metric *memory;

    (void)unused;
    ok = hf_metrics_series(metrics, HF_METRIC_COUNTER, "holdfast_requests_total",
                           "door=\"hadoop\",code=\"ok\"", "Requests answered.");
    memory = hf_metrics_series(metrics, HF_METRIC_GAUGE, "holdfast_secret_bytes", NULL,
                               "Bytes in use,\nwith a \\ in \"help\".");
    denied = hf_metrics_series(metrics, HF_METRIC_COUNTER, "holdfast_requests_total",
                               "door=\"hadoop\",code=\"denied\"", "Requests answered.");
    hf_metric_add(ok, 41);
    hf_metric_add(ok, 1);
    hf_metric_set(memory, 100);
    hf_metric_add(memory, -107);
    hf_metrics_write(metrics, out);
    assert_string_equal(hf_buf_text(out),
                        "# HELP holdfast_requests_total Requests answered.\n"
                        "# TYPE holdfast_requests_total counter\n"
                        "holdfast_requests_total{door=\"hadoop\",code=\"ok\"} 42\n"
                        "holdfast_requests_total{door=\"hadoop\",code=\"denied\"} 0\n"
                        "# HELP holdfast_secret_bytes Bytes in use,\\nwith a \\\\ in \"help\".\n"
                        "# TYPE holdfast_secret_bytes gauge\n"
                        "holdfast_secret_bytes -7\n");
    assert_int_equal(hf_metric_get(denied), 0);
}

static void no_metrics_give_no_text(void **unused)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(buf) out = hf_buf_new();

    (void)unused;
    hf_metrics_write(metrics, out);
    assert_int_equal(out->len, 0);
}

static void the_same_name_and_labels_are_the_same_series(void **unused)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    struct hf_metric *plain;
    struct hf_metric *labelled;

    (void)unused;
    plain = hf_metrics_series(metrics, HF_METRIC_COUNTER, "a", NULL, "A.");
    labelled = hf_metrics_series(metrics, HF_METRIC_COUNTER, "a", "x=\"1\"", "A.");
    assert_ptr_equal(plain, hf_metrics_series(metrics, HF_METRIC_COUNTER, "a", NULL, "A."));
    assert_ptr_equal(plain, hf_metrics_series(metrics, HF_METRIC_COUNTER, "a", "", "A."));
    assert_ptr_equal(labelled, hf_metrics_series(metrics, HF_METRIC_COUNTER, "a", "x=\"1\"", "A."));
    assert_ptr_not_equal(plain, labelled);
    assert_ptr_not_equal(plain, hf_metrics_series(metrics, HF_METRIC_COUNTER, "b", NULL, "B."));
}

static void without_metrics_nothing_is_counted(void **unused)
{
    struct hf_metric *none = hf_metrics_series(NULL, HF_METRIC_COUNTER, "a", NULL, "A.");

    (void)unused;
    assert_null(none);
    hf_metric_add(none, 1);
    hf_metric_set(none, 5);
    assert_int_equal(hf_metric_get(none), 0);
}

#define THREADS 4
#define TIMES   300000

static pthread_barrier_t all_ready;

static void *count_much(void *context)
{
    struct hf_metrics *metrics = context;
    struct hf_metric *metric = NULL;

    (void)pthread_barrier_wait(&all_ready);
    for (size_t i = 0; i < TIMES; i++) {
        if (i % 1000 == 0) {
            metric = hf_metrics_series(metrics, HF_METRIC_COUNTER, "many", NULL, "Many.");
        }
        hf_metric_add(metric, 1);
    }
    return NULL;
}

static void no_count_of_any_thread_is_lost(void **unused)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(buf) out = hf_buf_new();
    pthread_t threads[THREADS];

    (void)unused;
    assert_int_equal(pthread_barrier_init(&all_ready, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, metrics), 0);
    }
    for (size_t i = 0; i < 10; i++) {
        hf_buf_clear(out);
        hf_metrics_write(metrics, out);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(pthread_barrier_destroy(&all_ready), 0);
    hf_buf_clear(out);
    hf_metrics_write(metrics, out);
    assert_string_equal(hf_buf_text(out), "# HELP many Many.\n# TYPE many counter\nmany 1200000\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_exact),
        cmocka_unit_test(no_metrics_give_no_text),
        cmocka_unit_test(the_same_name_and_labels_are_the_same_series),
        cmocka_unit_test(without_metrics_nothing_is_counted),
        cmocka_unit_test(no_count_of_any_thread_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
