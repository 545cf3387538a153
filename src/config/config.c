/* Reads holdfast.conf through libConfuse, by the rows of schema.c. */
#include "config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "config/database.h"
#include "config/schema.h"

#define FILE_MAX ((size_t)1 << 20)

/*
 * libConfuse takes the end of the file for the end of any section. So what it reads ends with a
 * setting of ours, which nobody can mean to write: it is known at the top level only, and not read
 * where something before it is still open.
 */
#define END "\001end"

/* One load: libConfuse gives its callbacks no context, so the first complaint is kept here. */
struct loading {
    struct hf_op *op;
    const char *directory;
    const char *file;
    char complaint[HF_OP_TEXT_MAX];
};

static _Thread_local struct loading *loading;

static void complain(cfg_t *cfg, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void complain(cfg_t *cfg, const char *format, va_list arguments)
{
    char text[200];

    if (loading->complaint[0] != '\0') {
        return;
    }
    (void)vsnprintf(text, sizeof text, format, arguments);
    if (strstr(text, END) != NULL) {
        (void)snprintf(text, sizeof text,
                       "the file ends inside of a section or list: a '}' is "
                       "missing");
    }
    (void)snprintf(loading->complaint, sizeof loading->complaint, "%.100s:%d: %s", loading->file,
                   cfg->line, text);
}

static const struct row *row_of(const char *section, const char *name)
{
    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        if (strcmp(row->section, section) == 0 && strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);

    while (choices != NULL) {
        const char *end = strchrnul(choices, '|');

        if ((size_t)(end - choices) == len && memcmp(choices, value, len) == 0) {
            return true;
        }
        choices = *end != '\0' ? end + 1 : NULL;
    }
    return false;
}

static int check_text(cfg_t *cfg, const struct row *row, const char *value)
{
    if (row->choices != NULL && !is_choice(row->choices, value)) {
        cfg_error(cfg, "%s = \"%s\": it must be one of %s", row->name, value, row->choices);
        return -1;
    }
    if (value[0] == '\0') {
        cfg_error(cfg, "%s is empty", row->name);
        return -1;
    }
    return 0;
}

static int check_host(cfg_t *cfg, const char *value)
{
    struct hf_op op;

    hf_op_init(&op, NULL);
    if (hf_config_check_host(&op, value).code != HF_OK) {
        cfg_error(cfg, "%s", op.text);
        return -1;
    }
    return 0;
}

/* Called for each value as it is read, so that the complaint has its line. */
static int check_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *section = cfg_name(cfg);
    const struct row *row = row_of(strcmp(section, "root") == 0 ? "" : section, opt->name);
    unsigned last = cfg_opt_size(opt) - 1;

    if (row == NULL || cfg_opt_size(opt) == 0) {
        return 0;
    }
    if (row->type == ROW_NUMBER) {
        long value = cfg_opt_getnint(opt, last);

        if (value < row->least || value > row->most) {
            cfg_error(cfg, "%s = %ld: it must be from %ld to %ld", row->name, value, row->least,
                      row->most);
            return -1;
        }
        return 0;
    }
    if (row->type == ROW_HOSTS) {
        return check_host(cfg, cfg_opt_getnstr(opt, last));
    }
    return row->type == ROW_BOOL ? 0 : check_text(cfg, row, cfg_opt_getnstr(opt, last));
}

static cfg_opt_t option_of(const struct row *row)
{
    switch (row->type) {
    case ROW_BOOL: {
        cfg_opt_t option =
            CFG_BOOL(row->name, strcmp(row->absent, "yes") == 0 ? cfg_true : cfg_false, CFGF_NONE);
        return option;
    }
    case ROW_NUMBER: {
        cfg_opt_t option = CFG_INT(row->name, strtol(row->absent, NULL, 10), CFGF_NONE);
        return option;
    }
    case ROW_TEXTS:
    case ROW_HOSTS: {
        cfg_opt_t option = CFG_STR_LIST(row->name, NULL, CFGF_NONE);
        return option;
    }
    case ROW_TEXT:
    case ROW_PATH:
        break;
    }
    cfg_opt_t option = CFG_STR(row->name, row->absent, CFGF_NONE);
    return option;
}

static cfg_opt_t *options_of(const char *section, size_t room)
{
    static const cfg_opt_t end = CFG_END();
    cfg_opt_t *options;
    size_t count = 0;

    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        count += strcmp(row->section, section) == 0;
    }
    options = hf_alloc_array(count + room + 1, sizeof *options);
    count = 0;
    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        if (strcmp(row->section, section) == 0) {
            options[count++] = option_of(row);
        }
    }
    options[count] = end;
    return options;
}

static cfg_t *make_parser(void)
{
    static const cfg_opt_t end = CFG_END();
    static const cfg_opt_t end_option = CFG_BOOL(END, cfg_false, CFGF_NONE);
    const size_t sections = 16;
    cfg_opt_t *top = options_of("", sections);
    size_t count = 0;
    cfg_t *cfg;

    while (top[count].name != NULL) {
        count++;
    }
    top[count++] = end_option;
    top[count] = end;
    for (const struct section *section = hf_config_sections; section->name != NULL; section++) {
        cfg_opt_t *inner = options_of(section->name, 0);
        cfg_opt_t option =
            CFG_SEC(section->name, inner,
                    section->titled ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);

        top[count++] = option;
        top[count] = end;
    }
    /* libConfuse copies the tables. */
    cfg = cfg_init(top, CFGF_NONE);
    for (size_t i = 0; top[i].name != NULL; i++) {
        free(top[i].subopts);
    }
    free(top);
    return cfg;
}

static void watch_values(cfg_t *cfg)
{
    char path[128];

    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        (void)snprintf(path, sizeof path, "%s%s%s", row->section, row->section[0] ? "|" : "",
                       row->name);
        (void)cfg_set_validate_func(cfg, path, check_value);
    }
    (void)cfg_set_error_function(cfg, complain);
}

/* --- from libConfuse's values to ours --- */

static char *path_below(const char *directory, const char *path)
{
    if (path == NULL) {
        return NULL;
    }
    return path[0] == '/' ? hf_strdup(path) : hf_format("%s/%s", directory, path);
}

static char *text_or_null(const char *text)
{
    return text != NULL ? hf_strdup(text) : NULL;
}

static bool text_is(cfg_t *cfg, const char *path, const char *value)
{
    return strcmp(cfg_getstr(cfg, path), value) == 0;
}

static struct hf_status take_slot(struct hf_op *op, cfg_t *cfg, const char *directory,
                                  struct hf_config_slot *slot)
{
    slot->name = hf_strdup(cfg_title(cfg));
    slot->protector = hf_strdup(cfg_getstr(cfg, "protector"));
    slot->file = path_below(directory, cfg_getstr(cfg, "file"));
    if (slot->file == NULL) {
        return hf_fail(op, HF_INVALID, "%s:%d: slot \"%s\" needs a file", loading->file, cfg->line,
                       slot->name);
    }
    return HF_SUCCESS;
}

static char **take_texts(cfg_t *cfg, const char *name)
{
    unsigned count = cfg_size(cfg, name);
    char **texts = hf_alloc_array(count + 1, sizeof *texts);

    for (unsigned i = 0; i < count; i++) {
        texts[i] = hf_strdup(cfg_getnstr(cfg, name, i));
    }
    return texts;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        free(texts[i]);
    }
    free(texts);
}

static struct hf_status take_database(struct hf_op *op, cfg_t *cfg, struct hf_config *config)
{
    const char *directory = config->directory;
    HF_AUTO_STRING passfile = path_below(directory, cfg_getstr(cfg, "passfile"));
    HF_AUTO_STRING ca = path_below(directory, cfg_getstr(cfg, "ca"));
    HF_AUTO_STRING certificate = path_below(directory, cfg_getstr(cfg, "certificate"));
    HF_AUTO_STRING key = path_below(directory, cfg_getstr(cfg, "key"));
    struct database_settings settings = { .hosts = take_texts(cfg, "hosts"),
                                          .database = cfg_getstr(cfg, "database"),
                                          .user = cfg_getstr(cfg, "user"),
                                          .passfile = passfile,
                                          .sslmode = cfg_getstr(cfg, "sslmode"),
                                          .ca = ca,
                                          .certificate = certificate,
                                          .key = key };
    struct hf_status status = HF_SUCCESS;

    config->store_synchronous = (unsigned)cfg_getint(cfg, "synchronous");
    config->store_allow_fewer = text_is(cfg, "when_fewer", "allow");
    if (strcmp(config->store_engine, "postgres") == 0) {
        config->store_mirror = path_below(directory, cfg_getstr(cfg, "mirror"));
        status = hf_config_database(op, &settings, &config->store_hosts);
    }
    free_texts(settings.hosts);
    if (status.code != HF_OK) {
        return hf_fail(op, status.code, "%s:%d: store: %s", loading->file, cfg->line, op->text);
    }
    return HF_SUCCESS;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "unix:", 5) == 0;
}

/* "127.0.0.1:9600", "[::1]:9600" or "unix:/path": names could mean another place tomorrow. */
static bool is_address(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    uint8_t number[16];
    char host[64];

    if (strncmp(address, "unix:", 5) == 0) {
        return address[5] != '\0';
    }
    if (len == 0 || len >= sizeof host || digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return false;
    }
    memcpy(host, address, len);
    host[len] = '\0';
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, number) == 1;
    }
    return inet_pton(AF_INET, host, number) == 1;
}

/* What single values cannot say: settings that do not fit together. */
static struct hf_status check_listener(struct hf_op *op, cfg_t *cfg,
                                       const struct hf_config_listener *listener)
{
    const char *wrong = NULL;

    if (listener->address == NULL || !is_address(listener->address)) {
        wrong = "needs an address, such as \"127.0.0.1:9600\" or \"unix:admin.sock\"";
    } else if (listener->doors[0] == NULL) {
        wrong = "serves nothing: name its doors, such as { \"hadoop\", \"health\" }";
    } else if (listener->pseudo && !listener->pseudo_insecure && !is_loopback(listener->address)) {
        wrong = "pseudo believes any name a client claims, so it binds to loopback addresses only; "
                "set pseudo_insecure = yes if everyone who reaches this address may be anyone";
    } else if (listener->require_client_certificate && listener->client_ca == NULL) {
        wrong = "require_client_certificate needs client_ca";
    } else if (listener->hadoop_default_bits % 64 != 0) {
        wrong = "hadoop_default_length must be 128, 192 or 256";
    }
    if (wrong != NULL) {
        return hf_fail(op, HF_INVALID, "%s:%d: listener \"%s\": %s", loading->file, cfg->line,
                       listener->name, wrong);
    }
    return HF_SUCCESS;
}

static struct hf_status take_listener(struct hf_op *op, cfg_t *cfg, const char *directory,
                                      struct hf_config_listener *listener)
{
    const char *address = cfg_getstr(cfg, "address");
    bool is_unix = address != NULL && strncmp(address, "unix:", 5) == 0;

    listener->name = hf_strdup(cfg_title(cfg));
    if (is_unix) {
        HF_AUTO_STRING path = path_below(directory, address + 5);

        listener->address = hf_format("unix:%s", path);
    } else {
        listener->address = text_or_null(address);
    }
    listener->tls = !is_unix && cfg_getbool(cfg, "tls");
    listener->certificate = path_below(directory, cfg_getstr(cfg, "certificate"));
    listener->key = path_below(directory, cfg_getstr(cfg, "key"));
    listener->client_ca = path_below(directory, cfg_getstr(cfg, "client_ca"));
    listener->require_client_certificate = cfg_getbool(cfg, "require_client_certificate");
    listener->doors = take_texts(cfg, "doors");
    listener->group = text_or_null(cfg_getstr(cfg, "group"));
    listener->max_body_bytes = (size_t)cfg_getint(cfg, "max_body_kib") * 1024;
    listener->idle_timeout_ms = (uint64_t)cfg_getint(cfg, "idle_timeout") * 1000;
    listener->request_timeout_ms = (uint64_t)cfg_getint(cfg, "request_timeout") * 1000;
    listener->hadoop_keyring = hf_strdup(cfg_getstr(cfg, "hadoop_keyring"));
    listener->pseudo = cfg_getbool(cfg, "pseudo");
    listener->pseudo_insecure = cfg_getbool(cfg, "pseudo_insecure");
    listener->hadoop_export_by_policy = text_is(cfg, "hadoop_export", "acl");
    listener->hadoop_default_bits = (unsigned)cfg_getint(cfg, "hadoop_default_length");
    listener->hadoop_retry_window_ms = (uint64_t)cfg_getint(cfg, "hadoop_retry_window") * 1000;
    return check_listener(op, cfg, listener);
}

static enum hf_log_level level_of(const char *name)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    for (size_t i = 0; i < HF_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum hf_log_level)i;
        }
    }
    return HF_LOG_INFO;
}

static void take_plain(cfg_t *cfg, struct hf_config *config)
{
    config->node = hf_strdup(cfg_getstr(cfg, "node"));
    config->site = text_or_null(cfg_getstr(cfg, "site"));
    config->drill_every_ms = (uint64_t)cfg_getint(cfg, "proof|drill_hours") * 3600 * 1000;
    config->min_ways = (uint32_t)cfg_getint(cfg, "proof|min_ways");
    config->owner = hf_strdup(cfg_getstr(cfg, "owner"));
    config->cookie_validity_ms = (uint64_t)cfg_getint(cfg, "cookie_validity") * 1000;
    config->store_engine = hf_strdup(cfg_getstr(cfg, "store|engine"));
    config->store_directory = path_below(config->directory, cfg_getstr(cfg, "store|directory"));
    config->pin_file = path_below(config->directory, cfg_getstr(cfg, "store|pin"));
    config->audit_directory = path_below(config->directory, cfg_getstr(cfg, "audit|directory"));
    config->audit_key_file = path_below(config->directory, cfg_getstr(cfg, "audit|key"));
    config->audit_go_on_when_full = text_is(cfg, "audit|when_full", "go-on");
    config->audit_max_file_bytes = (uint64_t)cfg_getint(cfg, "audit|max_file_mib") << 20;
    config->log_form = text_is(cfg, "log|form", "json") ? HF_LOG_JSON : HF_LOG_TEXT;
    config->log_level = level_of(cfg_getstr(cfg, "log|level"));
    config->secret_bytes = (size_t)cfg_getint(cfg, "memory|secret_mib") << 20;
    config->allow_unlocked_memory = cfg_getbool(cfg, "memory|allow_unlocked");
    config->loops = (unsigned)cfg_getint(cfg, "threads|loops");
    config->workers = (unsigned)cfg_getint(cfg, "threads|workers");
    config->max_connections = (size_t)cfg_getint(cfg, "threads|max_connections");
    config->max_buffered_bytes = (size_t)cfg_getint(cfg, "threads|max_buffered_mib") << 20;
}

static struct hf_status take_all(struct hf_op *op, cfg_t *cfg, struct hf_config *config)
{
    take_plain(cfg, config);
    hf_config_keep_values(cfg, config);
    HF_TRY(take_database(op, cfg_getsec(cfg, "store"), config));
    config->slot_count = cfg_size(cfg, "slot");
    config->slots = hf_alloc_array(config->slot_count, sizeof *config->slots);
    for (unsigned i = 0; i < config->slot_count; i++) {
        HF_TRY(take_slot(op, cfg_getnsec(cfg, "slot", i), config->directory, &config->slots[i]));
    }
    config->listener_count = cfg_size(cfg, "listener");
    config->listeners = hf_alloc_array(config->listener_count, sizeof *config->listeners);
    for (unsigned i = 0; i < config->listener_count; i++) {
        HF_TRY(take_listener(op, cfg_getnsec(cfg, "listener", i), config->directory,
                             &config->listeners[i]));
    }
    return HF_SUCCESS;
}

/* Among them the end of a string of C, and what END begins with. */
static bool is_control(uint8_t byte)
{
    return (byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
}

static struct hf_status check_bytes(struct hf_op *op, struct hf_bytes text)
{
    unsigned line = 1;

    for (size_t i = 0; i < text.len; i++) {
        if (is_control(text.data[i])) {
            return hf_fail(op, HF_INVALID, "%s:%u: the byte 0x%02x is no text", loading->file, line,
                           text.data[i]);
        }
        line += text.data[i] == '\n';
    }
    return HF_SUCCESS;
}

static struct hf_status parse(struct hf_op *op, cfg_t *cfg, struct hf_bytes text)
{
    HF_AUTO(buf) whole = hf_buf_new();
    const char *wrong = "the file ends inside of a comment";

    HF_TRY(check_bytes(op, text));
    hf_buf_add_bytes(whole, text);
    if (text.len > 0 && text.data[text.len - 1] != '\n') {
        hf_buf_add_text(whole, "\n");
    }
    /* Without an end of line, so that complaints about the end name the file's last line. */
    hf_buf_add_text(whole, END " = yes");
    if (cfg_parse_buf(cfg, hf_buf_text(whole)) == CFG_SUCCESS && cfg_getbool(cfg, END)) {
        return HF_SUCCESS;
    }
    if (loading->complaint[0] != '\0') {
        return hf_fail(op, HF_INVALID, "%s", loading->complaint);
    }
    return hf_fail(op, HF_INVALID, "%s:%d: %s", loading->file, cfg->line, wrong);
}

struct hf_status hf_config_parse(struct hf_op *op, const char *directory, const char *file,
                                 struct hf_bytes text, struct hf_config **out)
{
    HF_AUTO(config) config = hf_alloc(sizeof *config);
    struct loading now = { .op = op, .directory = directory, .file = file };
    cfg_t *cfg = make_parser();
    struct hf_status status;

    loading = &now;
    config->directory = hf_strdup(directory);
    watch_values(cfg);
    status = parse(op, cfg, text);
    if (status.code == HF_OK) {
        status = take_all(op, cfg, config);
    }
    cfg_free(cfg);
    loading = NULL;
    HF_TRY(status);
    *out = HF_TAKE(config);
    return HF_SUCCESS;
}

static struct hf_status read_file(struct hf_op *op, const char *file, struct hf_buf *out)
{
    FILE *stream = fopen(file, "re");
    size_t got = 0;
    bool failed;

    if (stream == NULL) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot read %s: %s", file, strerror(errno));
    }
    got = fread(hf_buf_reserve(out, FILE_MAX + 1), 1, FILE_MAX + 1, stream);
    hf_buf_grew(out, got);
    failed = ferror(stream) != 0;
    (void)fclose(stream);
    if (failed) {
        return hf_fail(op, HF_UNAVAILABLE, "cannot read %s to its end", file);
    }
    if (got > FILE_MAX) {
        return hf_fail(op, HF_INVALID, "%s has more than %zu bytes", file, FILE_MAX);
    }
    return HF_SUCCESS;
}

struct hf_status hf_config_load(struct hf_op *op, const char *directory, const char *file,
                                struct hf_config **out)
{
    HF_AUTO(buf) text = hf_buf_new();

    HF_TRY(read_file(op, file, text));
    return hf_config_parse(op, directory, file, hf_buf_bytes(text), out);
}

static void free_listener(struct hf_config_listener *listener)
{
    free_texts(listener->doors);
    free(listener->name);
    free(listener->address);
    free(listener->certificate);
    free(listener->key);
    free(listener->client_ca);
    free(listener->group);
    free(listener->hadoop_keyring);
}

void hf_config_free(struct hf_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; config->slots != NULL && i < config->slot_count; i++) {
        free(config->slots[i].name);
        free(config->slots[i].protector);
        free(config->slots[i].file);
    }
    for (size_t i = 0; config->listeners != NULL && i < config->listener_count; i++) {
        free_listener(&config->listeners[i]);
    }
    hf_config_free_values(config);
    free(config->slots);
    free(config->listeners);
    free(config->directory);
    free(config->node);
    free(config->site);
    free(config->owner);
    free(config->store_engine);
    free(config->store_directory);
    free(config->store_mirror);
    free_texts(config->store_hosts);
    free(config->pin_file);
    free(config->audit_directory);
    free(config->audit_key_file);
    free(config);
}

/* "(number, default 32, from 1 to 1024)" */
static void describe_type(const struct row *row, struct hf_buf *out)
{
    static const char *const types[] = { "text",   "path",          "yes or no",
                                         "number", "list of texts", "list of hosts" };

    hf_buf_add_format(out, "(%s", types[row->type]);
    if (row->absent != NULL) {
        hf_buf_add_format(out, ", default %s", row->absent);
    }
    if (row->choices != NULL) {
        hf_buf_add_format(out, ", of %s", row->choices);
    }
    if (row->type == ROW_NUMBER) {
        hf_buf_add_format(out, ", from %ld to %ld", row->least, row->most);
    }
    hf_buf_add_text(out, hf_config_row_is_live(row) ? ", live)" : ")");
}

static void describe_section(const char *section, struct hf_buf *out)
{
    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        if (strcmp(row->section, section) == 0) {
            hf_buf_add_format(out, "  %s ", row->name);
            describe_type(row, out);
            hf_buf_add_format(out, "\n      %s\n", row->means);
        }
    }
}

void hf_config_describe(struct hf_buf *out)
{
    hf_buf_add_text(out, "top level\n");
    describe_section("", out);
    for (const struct section *section = hf_config_sections; section->name != NULL; section++) {
        hf_buf_add_format(out, "%s%s { }: %s\n", section->name, section->titled ? " \"name\"" : "",
                          section->means);
        describe_section(section->name, out);
    }
}
