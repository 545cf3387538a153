/* The database of a store: from settings to connection strings. */
#include "config/database.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define SITE_MAX   64
#define SITE_SIGNS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"

/* keyword='value', with what libpq takes for an end or an escape escaped. */
static void add(struct hf_buf *conninfo, const char *keyword, struct hf_bytes value)
{
    hf_buf_add_format(conninfo, "%s%s='", conninfo->len > 0 ? " " : "", keyword);
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '\'' || value.data[i] == '\\') {
            hf_buf_add_text(conninfo, "\\");
        }
        hf_buf_add(conninfo, &value.data[i], 1);
    }
    hf_buf_add_text(conninfo, "'");
}

static void add_text(struct hf_buf *conninfo, const char *keyword, const char *value)
{
    if (value != NULL) {
        add(conninfo, keyword, hf_bytes_of_text(value));
    }
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtoul(text, NULL, 10) > 0 &&
           strtoul(text, NULL, 10) <= UINT16_MAX;
}

/* Where the name or address ends and, if there is one, the port begins; false if it is neither. */
static bool split(const char *host, struct hf_bytes *out_name, const char **out_port)
{
    const char *end = strchrnul(host, ':');
    const char *close = strchr(host, ']');

    *out_port = NULL;
    if (host[0] == '/') {
        *out_name = hf_bytes_of_text(host);
        return true;
    }
    if (host[0] == '[') {
        end = close != NULL ? close + 1 : host;
        *out_name = hf_bytes_of(host + 1, close != NULL ? (size_t)(close - host - 1) : 0);
    } else {
        *out_name = hf_bytes_of(host, (size_t)(end - host));
    }
    if (*end == ':') {
        *out_port = end + 1;
    }
    return out_name->len > 0 && (*end == '\0' || (*out_port != NULL && is_port(*out_port)));
}

/* "db1:5432 site=east": what we are told of a host, and libpq is not. */
struct words {
    char *address;
    const char *site, *patroni; /* NULL: not told; parts of text */
    char *text;
};

static void words_done(struct words *words)
{
    free(words->address);
    free(words->text);
}

static bool is_site(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= SITE_MAX && len == strspn(name, SITE_SIGNS);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Without TLS only where nobody can stand between. */
static bool is_url(const char *text)
{
    return (begins(text, "https://") || begins(text, "http://127.") ||
            begins(text, "http://[::1]")) &&
           strpbrk(text, "'\\") == NULL;
}

static struct hf_status take_word(struct hf_op *op, struct words *words, const char *word)
{
    if (begins(word, "site=") && words->site == NULL) {
        words->site = word + 5;
        return is_site(words->site)
                   ? HF_SUCCESS
                   : hf_fail(op, HF_INVALID,
                             "%.100s: the name of a site has up to %d letters, digits, '.', '-' "
                             "and '_'",
                             word, SITE_MAX);
    }
    if (begins(word, "patroni=") && words->patroni == NULL) {
        words->patroni = word + 8;
        return is_url(words->patroni)
                   ? HF_SUCCESS
                   : hf_fail(op, HF_INVALID,
                             "%.100s: it must be the address of Patroni's REST API, such as "
                             "https://db1:8008 (http:// on loopback addresses only)",
                             word);
    }
    return hf_fail(op, HF_INVALID,
                   "\"%.100s\": after a database host stand site= and patroni= only", word);
}

static struct hf_status take_words(struct hf_op *op, const char *host, struct words *out)
{
    char *rest = out->text = hf_strdup(host);
    const char *word = strsep(&rest, " ");

    out->address = hf_strdup(word);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (word[0] != '\0') {
            HF_TRY(take_word(op, out, word));
        }
    }
    return HF_SUCCESS;
}

static struct hf_status check_address(struct hf_op *op, const char *host, struct hf_bytes *out_name,
                                      const char **out_port)
{
    if (split(host, out_name, out_port)) {
        return HF_SUCCESS;
    }
    return hf_fail(op, HF_INVALID,
                   "\"%.100s\" is no database host; such are \"db1:5432\", \"[::1]:5432\" and "
                   "\"/run/postgresql\"",
                   host);
}

struct hf_status hf_config_check_host(struct hf_op *op, const char *host)
{
    struct words words = { 0 };
    struct hf_bytes name;
    const char *port;
    struct hf_status status = take_words(op, host, &words);

    if (status.code == HF_OK) {
        status = check_address(op, words.address, &name, &port);
    }
    words_done(&words);
    return status;
}

static struct hf_status write_host(struct hf_op *op, const struct database_settings *settings,
                                   const struct words *words, char **out)
{
    HF_AUTO(buf) conninfo = hf_buf_new();
    struct hf_bytes name;
    const char *port;

    HF_TRY(check_address(op, words->address, &name, &port));
    add_text(conninfo, "site", words->site);
    add_text(conninfo, "patroni", words->patroni);
    add(conninfo, "host", name);
    add_text(conninfo, "port", port);
    add_text(conninfo, "dbname", settings->database);
    add_text(conninfo, "user", settings->user);
    add_text(conninfo, "passfile", settings->passfile);
    add_text(conninfo, "sslmode", settings->sslmode);
    add_text(conninfo, "sslrootcert", settings->ca);
    add_text(conninfo, "sslcert", settings->certificate);
    add_text(conninfo, "sslkey", settings->key);
    *out = hf_strdup(hf_buf_text(conninfo));
    return HF_SUCCESS;
}

static struct hf_status one_host(struct hf_op *op, const struct database_settings *settings,
                                 const char *host, char **out)
{
    struct words words = { 0 };
    struct hf_status status = take_words(op, host, &words);

    if (status.code == HF_OK) {
        status = write_host(op, settings, &words, out);
    }
    words_done(&words);
    return status;
}

struct hf_status hf_config_database(struct hf_op *op, const struct database_settings *settings,
                                    char ***out)
{
    size_t count = 0;

    while (settings->hosts[count] != NULL) {
        count++;
    }
    if (count == 0) {
        return hf_fail(op, HF_INVALID,
                       "engine = \"postgres\" needs hosts, such as { \"db1:5432\", \"db2:5432\" }");
    }
    *out = hf_alloc_array(count + 1, sizeof **out);
    for (size_t i = 0; i < count; i++) {
        HF_TRY(one_host(op, settings, settings->hosts[i], &(*out)[i]));
    }
    return HF_SUCCESS;
}
