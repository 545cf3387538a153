/* holdfast store: moves a node's store to another engine, while no daemon serves it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/init_files.h"
#include "cli/migrate.h"
#include "cli/section.h"
#include "seal/join.h"

/* Copying millions of records takes minutes; a database that is gone is told within seconds. */
#define PATIENCE_MS (6 * 3600 * 1000ULL)

/* One call: the configuration as it is, and as it will be. */
struct change {
    char *file;
    int lock_fd;
    struct hf_buf text, section, new_text;
    char *own_slot; /* the section that comes with it; NULL: none */
    struct hf_config *now, *then;
};

static void change_done(struct change *change)
{
    if (change->lock_fd >= 0) {
        (void)close(change->lock_fd);
    }
    free(change->file);
    free(change->own_slot);
    hf_buf_done(&change->text);
    hf_buf_done(&change->section);
    hf_buf_done(&change->new_text);
    hf_config_free(change->now);
    hf_config_free(change->then);
}

static struct hf_status lock_config(struct cli *cli, struct change *change)
{
    change->lock_fd = open(change->file, O_RDONLY | O_CLOEXEC);
    if (change->lock_fd < 0) {
        return hf_fail(&cli->op, HF_UNAVAILABLE, "cannot open %s: %s", change->file,
                       strerror(errno));
    }
    if (flock(change->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return hf_fail(&cli->op, HF_WRONG_STATE, "another command is moving the store of %s",
                       cli_directory(cli));
    }
    return HF_SUCCESS;
}

struct other {
    const char *own_slot;
    bool found;
};

static void note_other(void *context, const struct hf_config_change *change)
{
    struct other *other = context;
    bool is_own = other->own_slot != NULL && strcmp(change->section, "slot") == 0 &&
                  strcmp(change->title, other->own_slot) == 0;

    other->found = other->found || (strcmp(change->section, "store") != 0 && !is_own);
}

/* Nothing but the section may have changed, whatever the file looks like. */
static struct hf_status check_change(struct cli *cli, const struct change *change)
{
    struct other other = { .own_slot = change->own_slot };

    hf_config_compare(change->now, change->then, note_other, &other);
    return other.found ? hf_fail(&cli->op, HF_INVALID,
                                 "the section \"store\" of %s cannot be told from what is around "
                                 "it; change it by hand",
                                 change->file)
                       : HF_SUCCESS;
}

static bool names_slot(const struct hf_config *config, const char *name)
{
    for (size_t i = 0; i < config->slot_count; i++) {
        if (strcmp(config->slots[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_own_slot(const struct hf_config *config)
{
    for (size_t i = 0; i < config->slot_count; i++) {
        if (strcmp(config->slots[i].protector, "node") == 0) {
            return true;
        }
    }
    return false;
}

/* On a shared store a node is a member by its own key pair, which it makes when it starts there. */
static void add_own_slot(struct change *change, const char *engine)
{
    const struct hf_config *now = change->now;

    if (strcmp(engine, "postgres") != 0 || has_own_slot(now) || !hf_node_name_is_valid(now->node)) {
        return;
    }
    change->own_slot =
        names_slot(now, now->node) ? hf_format("%.60s-own", now->node) : hf_strdup(now->node);
    hf_buf_add_text(&change->section, "\n");
    hf_init_own_slot(change->own_slot, &change->section);
}

static struct hf_status take_change(struct cli *cli, struct change *change)
{
    const char *directory = cli_directory(cli);
    const char *engine = cli_option(cli, "to");

    if (engine == NULL) {
        return hf_fail(&cli->op, HF_INVALID, "say where to: --to postgres or --to sqlite");
    }
    change->file = cli_option(cli, "config") != NULL ? hf_strdup(cli_option(cli, "config"))
                   : cli->directory != NULL          ? hf_format("%s/holdfast.conf", directory)
                                                     : hf_strdup("/etc/holdfast/holdfast.conf");
    HF_TRY(lock_config(cli, change));
    HF_TRY(cli_read_file(cli, change->file, &change->text));
    HF_TRY(hf_config_parse(&cli->op, directory, change->file, hf_buf_bytes(&change->text),
                           &change->now));
    HF_TRY(cli_store_section(cli, engine, &change->section));
    cli_section_keep_pin(change->now, &change->section);
    add_own_slot(change, engine);
    HF_TRY(cli_section_replace(&cli->op, hf_buf_bytes(&change->text),
                               hf_buf_bytes(&change->section), &change->new_text));
    HF_TRY(hf_config_parse(&cli->op, directory, "the new holdfast.conf",
                           hf_buf_bytes(&change->new_text), &change->then));
    return check_change(cli, change);
}

static struct hf_store_settings settings_of(const struct hf_config *config)
{
    return (struct hf_store_settings){
        .engine = config->store_engine,
        .directory = config->store_directory,
        .hosts = (const char *const *)config->store_hosts,
        .synchronous = config->store_synchronous,
        .allow_fewer = config->store_allow_fewer,
    };
}

/* errno says why not. */
static bool write_whole(int fd, struct hf_bytes text)
{
    size_t done = 0;

    while (done < text.len) {
        ssize_t wrote = write(fd, text.data + done, text.len - done);

        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

/* The whole file is replaced, or it stays as it was. */
static struct hf_status write_config(struct cli *cli, const struct change *change)
{
    HF_AUTO_STRING aside = hf_format("%s.new", change->file);
    struct stat about;
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool done = fd >= 0 && fstat(change->lock_fd, &about) == 0 &&
                fchown(fd, about.st_uid, about.st_gid) == 0 &&
                fchmod(fd, about.st_mode & 0777) == 0 &&
                write_whole(fd, hf_buf_bytes(&change->new_text)) && fsync(fd) == 0 &&
                rename(aside, change->file) == 0;
    int number = errno;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (!done) {
        if (fd >= 0) {
            (void)unlink(aside);
        }
        return hf_fail(&cli->op, HF_UNAVAILABLE,
                       "the store is moved, but %s cannot be written: %s; put the section in by "
                       "hand",
                       change->file, strerror(number));
    }
    return hf_init_sync_parent(&cli->op, change->file);
}

static void print_json(const struct hf_migration_report *report, const struct hf_migration *moved,
                       const char *outcome, bool switched)
{
    const struct hf_store_counts *counts = &report->counts;
    HF_AUTO(buf) out = hf_buf_new();
    struct hf_json_writer writer;

    hf_json_writer_init(&writer, out);
    hf_json_open_object(&writer, NULL);
    hf_json_put_text(&writer, "outcome", outcome);
    hf_json_put_text(&writer, "from", moved->from_words);
    hf_json_put_text(&writer, "to", moved->to_words);
    hf_json_put_u64(&writer, "seq", report->state.seq);
    hf_json_put_u64(&writer, "epoch", report->state.epoch);
    hf_json_put_u64(&writer, "records", counts->records);
    hf_json_put_u64(&writer, "batches", counts->batches);
    hf_json_put_u64(&writer, "changes", counts->changes);
    hf_json_put_u64(&writer, "requests", counts->requests);
    hf_json_put_u64(&writer, "leases", counts->leases);
    hf_json_put_bool(&writer, "configuration_switched", switched);
    hf_json_close_object(&writer);
    cli_print("%s\n", hf_buf_text(out));
}

static void print_words(const struct hf_migration_report *report, const struct hf_migration *moved)
{
    const struct hf_store_counts *counts = &report->counts;

    if (report->resumed) {
        cli_print("The store at %s had been moved to %s; it is in place there, at seq %" PRIu64
                  ".\n",
                  moved->from_words, moved->to_words, report->state.seq);
        return;
    }
    cli_print("Moved: %" PRIu64 " records, %" PRIu64 " batches with %" PRIu64 " changes, %" PRIu64
              " requests, %" PRIu64 " leases, at seq %" PRIu64 ", epoch %" PRIu64 ".\n"
              "Each was read back and is the same, the head too.\n"
              "From %s, which nobody opens any more, to %s.\n",
              counts->records, counts->batches, counts->changes, counts->requests, counts->leases,
              report->state.seq, report->state.epoch, moved->from_words, moved->to_words);
}

static void print_next(struct change *change, bool switched)
{
    if (switched) {
        cli_print("%s names the new store.\n", change->file);
    } else {
        cli_print(
            "Put this in place of the section \"store\" in %s before you start the daemon:\n\n"
            "%s",
            change->file, hf_buf_text(&change->section));
    }
}

static struct hf_status check_only(struct cli *cli, struct change *change,
                                   const struct hf_migration *migration)
{
    struct hf_migration_report report;

    HF_TRY(hf_migrate_check(&cli->op, migration, &report));
    if (cli->json) {
        print_json(&report, migration, "checked", false);
        return HF_SUCCESS;
    }
    cli_print("The store at %s (seq %" PRIu64 ") can be moved to %s. Nothing was changed.\n",
              migration->from_words, report.state.seq, migration->to_words);
    print_next(change, false);
    return HF_SUCCESS;
}

static struct hf_status move(struct cli *cli, struct change *change,
                             const struct hf_migration *migration)
{
    bool switches = cli_flag(cli, "switch");
    struct hf_migration_report report;

    HF_TRY(hf_migrate(&cli->op, migration, &report));
    if (switches) {
        HF_TRY(write_config(cli, change));
    }
    if (cli->json) {
        print_json(&report, migration, report.resumed ? "resumed" : "moved", switches);
        return HF_SUCCESS;
    }
    print_words(&report, migration);
    print_next(change, switches);
    return HF_SUCCESS;
}

static struct hf_status migrate_change(struct cli *cli, struct change *change)
{
    HF_AUTO(buf) from_words = hf_buf_new();
    HF_AUTO(buf) to_words = hf_buf_new();
    HF_AUTO_STRING scratch = hf_format("%s/moving", cli_directory(cli));
    struct hf_migration migration = { .scratch = scratch };
    struct hf_store_settings from;
    struct hf_store_settings to;

    HF_TRY(take_change(cli, change));
    hf_assert(change->now != NULL && change->then != NULL);
    from = settings_of(change->now);
    to = settings_of(change->then);
    cli_store_words(change->now, from_words);
    cli_store_words(change->then, to_words);
    if (strcmp(hf_buf_text(from_words), hf_buf_text(to_words)) == 0) {
        return hf_fail(&cli->op, HF_INVALID, "the store of %s is at %s already", change->file,
                       hf_buf_text(to_words));
    }
    migration.from = &from;
    migration.to = &to;
    migration.from_words = hf_buf_text(from_words);
    migration.to_words = hf_buf_text(to_words);
    cli->op.deadline_ms = hf_env_boottime_ms(cli->op.env) + PATIENCE_MS;
    return cli_flag(cli, "check") ? check_only(cli, change, &migration)
                                  : move(cli, change, &migration);
}

static struct hf_status migrate(struct cli *cli)
{
    struct change change = { .lock_fd = -1 };
    struct hf_status status = migrate_change(cli, &change);

    change_done(&change);
    return status;
}

const struct command cli_store_commands[] = {
    { "store", "migrate", "", "to=|check|switch|config=|" CLI_STORE_OPTIONS,
      "Moves the store to another engine while no daemon serves it; --check changes nothing, "
      "--switch also changes holdfast.conf.",
      "holdfast --dir /srv/holdfast store migrate --to postgres --store-host db1:5432 "
      "--store-host db2:5432",
      migrate },
    { 0 },
};
