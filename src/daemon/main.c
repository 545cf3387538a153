/* holdfastd: reads its configuration, serves until SIGTERM, reloads at SIGHUP. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/text.h"
#include "daemon/node.h"

#define DRAIN_MS 20000

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct arguments {
    const char *directory;
    const char *config_file;
    const char *min_seq; /* NULL: any */
    bool check_config;
    bool describe_config;
};

static const char usage[] =
    "Usage: holdfastd [--dir D] [--config FILE] [--min-seq N] [--check-config]\n"
    "\n"
    "Serves the keys of one Holdfast node until it gets SIGTERM.\n"
    "\n"
    "  --dir D          the node's directory, made by \"holdfast init --dir D\";\n"
    "                   default /var/lib/holdfast with /etc/holdfast/holdfast.conf\n"
    "  --config FILE    another configuration file\n"
    "  --min-seq N      refuse a store that stands below commit N (\"holdfast status\" tells it):\n"
    "                   for a machine that has not seen the store before, which may be an old "
    "copy\n"
    "  --check-config   say whether the configuration is good, and end\n"
    "  --settings       list every setting with its default, and end\n"
    "  --version, --help\n"
    "\n"
    "Signals: SIGTERM and SIGINT end it after the requests under way; SIGHUP reads certificates\n"
    "and configuration again.\n"
    "\n"
    "Example: holdfast init --dir /tmp/hf && holdfastd --dir /tmp/hf\n";

static enum exit_code parse_arguments(int argc, char **argv, struct arguments *arguments,
                                      bool *out_done)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },     { "config", required_argument, NULL, 'c' },
        { "min-seq", required_argument, NULL, 'm' }, { "check-config", no_argument, NULL, 'k' },
        { "settings", no_argument, NULL, 's' },      { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            arguments->directory = optarg;
            break;
        case 'c':
            arguments->config_file = optarg;
            break;
        case 'm':
            arguments->min_seq = optarg;
            break;
        case 'k':
            arguments->check_config = true;
            break;
        case 's':
            arguments->describe_config = true;
            break;
        case 'v':
            (void)puts("holdfastd " HF_VERSION);
            *out_done = true;
            return EXIT_OK;
        case 'h':
            (void)fputs(usage, stdout);
            *out_done = true;
            return EXIT_OK;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "holdfastd: unexpected \"%s\"\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static char *absolute(const char *directory)
{
    char *path = realpath(directory, NULL);

    return path != NULL ? path : hf_strdup(directory);
}

static struct hf_status load_config(struct hf_op *op, const struct arguments *arguments,
                                    struct hf_config **out)
{
    const char *given = arguments->directory != NULL ? arguments->directory : "/var/lib/holdfast";
    HF_AUTO_STRING directory = absolute(given);
    HF_AUTO_STRING file = NULL;

    if (arguments->config_file != NULL) {
        file = hf_strdup(arguments->config_file);
    } else {
        file = arguments->directory != NULL ? hf_format("%s/holdfast.conf", directory)
                                            : hf_strdup("/etc/holdfast/holdfast.conf");
    }
    if (access(file, F_OK) != 0 && errno == ENOENT) {
        return hf_fail(op, HF_INVALID,
                       "there is no %s; \"holdfast --dir D init\" makes a node with its "
                       "configuration, \"holdfastd --dir D\" serves it",
                       file);
    }
    return hf_config_load(op, directory, file, out);
}

/* Signals are taken by the main thread alone, with sigwait. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error to report, not an end */
}

static void reload(struct hf_env *env, struct hf_node *node, const struct arguments *arguments)
{
    struct hf_config *fresh = NULL;
    struct hf_status status;
    struct hf_op op;

    hf_op_init(&op, env);
    (void)sd_notify(0, "RELOADING=1");
    status = load_config(&op, arguments, &fresh);
    if (status.code == HF_OK) {
        status = hf_node_reload(node, &op, fresh);
    }
    if (status.code != HF_OK) {
        HF_ERROR(env, "all stays as it was: %s", op.text);
    }
    (void)sd_notify(0, "READY=1");
}

static void wait_for_end(struct hf_env *env, struct hf_node *node,
                         const struct arguments *arguments, const sigset_t *set)
{
    for (;;) {
        int got = 0;

        if (sigwait(set, &got) != 0) {
            continue;
        }
        if (got == SIGHUP) {
            reload(env, node, arguments);
            continue;
        }
        HF_INFO(env, "ending on signal %d", got);
        return;
    }
}

/*
 * Large bodies come and go with every batch: keep their pages instead of asking the kernel for
 * zeroed ones each time.
 */
static void keep_large_buffers(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

/* The soft limit is often 1024, for programs that use select(); this one does not. */
static void raise_descriptor_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static struct hf_status start_memory(struct hf_op *op, const struct hf_config *config)
{
    const struct hf_secret_settings settings = {
        .max_bytes = config->secret_bytes,
        .allow_unlocked = config->allow_unlocked_memory,
    };

    keep_large_buffers();
    HF_TRY(hf_secret_start(op, &settings));
    return hf_crypto_start(op);
}

static struct hf_status serve(struct hf_op *op, struct hf_env *env,
                              const struct arguments *arguments, const struct hf_config *config)
{
    struct hf_node *node = NULL;
    struct hf_status status;
    uint64_t min_seq = 0;
    sigset_t set;

    if (arguments->min_seq != NULL) {
        if (hf_parse_u64(op, arguments->min_seq, UINT64_MAX, &min_seq).code != HF_OK) {
            return hf_fail(op, HF_INVALID,
                           "--min-seq takes the number of a commit, as status tells it, not "
                           "\"%.40s\"",
                           arguments->min_seq);
        }
    }
    block_signals(&set);
    raise_descriptor_limit();
    HF_TRY(hf_node_new(op, env, config, &node));
    hf_node_require_seq(node, min_seq);
    status = hf_node_start(node, op);
    if (status.code == HF_OK) {
        HF_INFO(env, "holdfastd " HF_VERSION " serves as %s", config->node);
        (void)sd_notify(0, "READY=1");
        wait_for_end(env, node, arguments, &set);
        (void)sd_notify(0, "STOPPING=1");
    }
    hf_node_stop(node, DRAIN_MS);
    return status;
}

static enum exit_code run_node(struct hf_op *op, struct hf_env *env,
                               const struct arguments *arguments, const struct hf_config *config)
{
    HF_AUTO(metrics) metrics = hf_metrics_new();
    HF_AUTO(log) log = hf_log_new(STDERR_FILENO, config->log_form, config->log_level);
    struct hf_status status;

    env->log = log;
    env->metrics = metrics;
    status = start_memory(op, config);
    if (status.code == HF_OK) {
        status = serve(op, env, arguments, config);
    }
    if (status.code != HF_OK) {
        HF_ERROR(env, "%s", op->text);
    }
    env->log = NULL;
    env->metrics = NULL;
    return status.code == HF_OK ? EXIT_OK : EXIT_FAILED;
}

static enum exit_code run(const struct arguments *arguments, struct hf_env *env)
{
    HF_AUTO(config) config = NULL;
    struct hf_status status;
    struct hf_op op;

    hf_op_init(&op, env);
    status = load_config(&op, arguments, &config);
    if (status.code != HF_OK || config == NULL) {
        (void)fprintf(stderr, "holdfastd: %s\n", op.text);
        return status.code == HF_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (arguments->check_config) {
        (void)puts("The configuration is good.");
        return EXIT_OK;
    }
    return run_node(&op, env, arguments, config);
}

int main(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    struct hf_env env;
    bool done = false;
    enum exit_code code = parse_arguments(argc, argv, &arguments, &done);

    if (code != EXIT_OK || done) {
        return (int)code;
    }
    hf_env_system(&env);
    if (arguments.describe_config) {
        HF_AUTO(buf) out = hf_buf_new();

        hf_config_describe(out);
        (void)fputs(hf_buf_text(out), stdout);
        return EXIT_OK;
    }
    return (int)run(&arguments, &env);
}
