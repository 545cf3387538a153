/* The hosts of a PostgreSQL store: how to connect to each, and that it is safe. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/postgres_engine.h"

/*
 * What we add where the settings say nothing. Keepalives end connections to hosts that are gone;
 * for hosts that are merely stuck there are our own limits.
 */
static const struct {
    const char *keyword;
    const char *value;
} defaults[] = {
    { "tcp_user_timeout", "3000" },
    { "keepalives_idle", "2" },
    { "keepalives_interval", "1" },
    { "keepalives_count", "3" },
    { "fallback_application_name", "holdfast" },
    /* It would come before TLS, and does not prove who answers. */
    { "gssencmode", "disable" },
};

static PQconninfoOption *find(PQconninfoOption *options, const char *keyword)
{
    while (options->keyword != NULL && strcmp(options->keyword, keyword) != 0) {
        options++;
    }
    return options->keyword != NULL ? options : NULL;
}

static const char *value_of(PQconninfoOption *options, const char *keyword)
{
    const PQconninfoOption *option = find(options, keyword);

    return option != NULL && option->val != NULL ? option->val : "";
}

/* libpq frees values with free(). */
static void put_value(PQconninfoOption *options, const char *keyword, const char *value)
{
    PQconninfoOption *option = find(options, keyword);

    if (option != NULL) {
        free(option->val);
        option->val = hf_strdup(value);
    }
}

/* No name: what a name means is for others to say. */
static bool is_near(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (host[0] == '/' || host[0] == '@') {
        return true;
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static struct hf_status check_tls(struct hf_op *op, PQconninfoOption *options, const char *name)
{
    const char *hostaddr = value_of(options, "hostaddr");
    bool near = is_near(hostaddr[0] != '\0' ? hostaddr : value_of(options, "host"));
    const char *mode = value_of(options, "sslmode");
    const char *gss = value_of(options, "gssencmode");

    if (!near && gss[0] != '\0' && strcmp(gss, "disable") != 0) {
        return hf_fail(op, HF_INVALID,
                       "database host %.100s: gssencmode %.20s goes before TLS with verify-full; "
                       "leave it out",
                       name, gss);
    }
    if (mode[0] == '\0') {
        put_value(options, "sslmode", near ? "prefer" : "verify-full");
        return HF_SUCCESS;
    }
    if (!near && strcmp(mode, "verify-full") != 0) {
        return hf_fail(op, HF_INVALID,
                       "database host %.100s: sslmode %.20s does not prove who answers; use "
                       "verify-full (loopback addresses and unix sockets may do without)",
                       name, mode);
    }
    return HF_SUCCESS;
}

static struct hf_status check_options(struct hf_op *op, PQconninfoOption *options, const char *name)
{
    const char *host = value_of(options, "host");

    if (host[0] == '\0' && value_of(options, "hostaddr")[0] == '\0') {
        return hf_fail(op, HF_INVALID, "a database host needs host or hostaddr");
    }
    if (strchr(host, ',') != NULL || strchr(value_of(options, "hostaddr"), ',') != NULL) {
        return hf_fail(op, HF_INVALID,
                       "database host %.100s: give each host an entry of its own, so that each is "
                       "watched",
                       name);
    }
    if (value_of(options, "password")[0] != '\0') {
        return hf_fail(op, HF_INVALID,
                       "database host %.100s: a password does not belong into the configuration; "
                       "put it into a file of mode 0600 and name that as passfile",
                       name);
    }
    return check_tls(op, options, name);
}

static void list_values(struct hf_pg_host *host)
{
    size_t count = 0;
    size_t at = 0;

    while (host->options[count].keyword != NULL) {
        count++;
    }
    host->keywords = hf_alloc_array(count + 1, sizeof *host->keywords);
    host->values = hf_alloc_array(count + 1, sizeof *host->values);
    for (size_t i = 0; i < count; i++) {
        if (host->options[i].val != NULL) {
            host->keywords[at] = host->options[i].keyword;
            host->values[at++] = host->options[i].val;
        }
    }
}

/* Takes "word='value' " off the front of text; NULL, if it does not stand there. */
static char *take_word(const char **text, const char *word)
{
    size_t len = strlen(word);
    const char *value;
    size_t width;

    if (strncmp(*text, word, len) != 0 || strncmp(*text + len, "='", 2) != 0) {
        return NULL;
    }
    value = *text + len + 2;
    width = strcspn(value, "'");
    *text = value + width + strspn(value + width, "' ");
    return hf_strndup(value, width);
}

static struct hf_status take_host(struct hf_op *op, const char *conninfo, struct hf_pg_host *out)
{
    char *error = NULL;
    const char *host;
    const char *port;

    out->site = take_word(&conninfo, "site");
    out->patroni = take_word(&conninfo, "patroni");

    out->options = PQconninfoParse(conninfo, &error);
    if (out->options == NULL) {
        struct hf_status status = hf_fail(op, HF_INVALID, "a database host cannot be read: %.200s",
                                          error != NULL ? error : "out of memory");

        PQfreemem(error);
        return status;
    }
    host = value_of(out->options, "host");
    port = value_of(out->options, "port");
    out->name = hf_format("%s:%s", host[0] != '\0' ? host : value_of(out->options, "hostaddr"),
                          port[0] != '\0' ? port : "5432");
    HF_TRY(check_options(op, out->options, out->name));
    for (size_t i = 0; i < HF_COUNT(defaults); i++) {
        if (value_of(out->options, defaults[i].keyword)[0] == '\0') {
            put_value(out->options, defaults[i].keyword, defaults[i].value);
        }
    }
    list_values(out);
    return HF_SUCCESS;
}

struct hf_status hf_pg_settings_take(struct hf_pg_engine *engine, struct hf_op *op,
                                     const struct hf_store_settings *settings)
{
    size_t count = 0;

    while (settings->hosts != NULL && settings->hosts[count] != NULL) {
        count++;
    }
    if (count == 0 || count > HF_PG_HOSTS) {
        return hf_fail(op, HF_INVALID, "a store on PostgreSQL has 1 to %d hosts, not %zu",
                       HF_PG_HOSTS, count);
    }
    engine->synchronous = settings->synchronous;
    engine->allow_fewer = settings->allow_fewer;
    engine->hosts = hf_alloc_array(count, sizeof *engine->hosts);
    engine->host_count = count;
    for (size_t i = 0; i < count; i++) {
        struct hf_pg_host *host = &engine->hosts[i];

        HF_TRY(take_host(op, settings->hosts[i], host));
        host->is_near =
            settings->site != NULL && host->site != NULL && strcmp(host->site, settings->site) == 0;
    }
    return HF_SUCCESS;
}

void hf_pg_settings_done(struct hf_pg_engine *engine)
{
    for (size_t i = 0; i < engine->host_count; i++) {
        struct hf_pg_host *host = &engine->hosts[i];

        free(host->name);
        free(host->site);
        free(host->patroni);
        free(host->keywords);
        free(host->values);
        PQconninfoFree(host->options);
    }
    free(engine->hosts);
}

void hf_sites_named(struct hf_env *env, const struct hf_store_settings *settings,
                    hf_host_visitor visit, void *context)
{
    struct hf_pg_engine *engine = hf_alloc(sizeof *engine);
    struct hf_status status;
    struct hf_op op;

    hf_op_init(&op, env);
    status = hf_pg_settings_take(engine, &op, settings);
    for (size_t i = 0; status.code == HF_OK && i < engine->host_count; i++) {
        const struct hf_pg_host *host = &engine->hosts[i];
        struct hf_host named = { .state = HF_HOST_UNKNOWN,
                                 .is_near = host->is_near,
                                 .problem = "the store was not reached since this node started" };

        (void)snprintf(named.name, sizeof named.name, "%s", host->name);
        (void)snprintf(named.site, sizeof named.site, "%s", host->site != NULL ? host->site : "");
        visit(context, &named);
    }
    hf_pg_settings_done(engine);
    free(engine);
}

const char *hf_pg_setting(const struct hf_pg_host *host, const char *keyword)
{
    return value_of(host->options, keyword);
}
