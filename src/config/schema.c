/* Every setting of holdfast.conf: the table is the documentation. */
#include "config/schema.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define HOUR_MS (60L * 60 * 1000)

const struct section hf_config_sections[] = {
    { "store", false, "Where sealed records are kept." },
    { "audit", false, "The audit trail." },
    { "log", false, "The log on standard error." },
    { "memory", false, "Locked memory for keys." },
    { "threads", false, "Event loops and workers." },
    { "proof", false, "How often it is proven that everything opens, and how well." },
    { "slot", true, "A slot to try at start, in order; the title is its name." },
    { "listener", true, "An address that is served; the title names it in log and metrics." },
    { NULL, false, NULL },
};

const struct row hf_config_rows[] = {
    { "", "node", ROW_TEXT, "node-1", NULL, 0, 0, "This node's name in audit lines and status." },
    { "", "site", ROW_TEXT, NULL, NULL, 0, 0, "The site where this node stands; absent: none." },
    { "", "owner", ROW_TEXT, "root", NULL, 0, 0,
      "The unix user who, besides root, may unlock this node over its unix socket." },
    { "", "cookie_validity", ROW_NUMBER, "36000", NULL, 1, 30L * 24 * 3600,
      "Seconds for which a hadoop.auth cookie is good." },

    { "store", "engine", ROW_TEXT, "sqlite", "sqlite|postgres", 0, 0, "The storage engine." },
    { "store", "directory", ROW_PATH, "store", NULL, 0, 0, "Its files, of engine sqlite." },
    { "store", "pin", ROW_PATH, "state/pin", NULL, 0, 0,
      "What this node remembers of the store, outside of it: id, root commitment, highest head." },
    { "store", "hosts", ROW_HOSTS, NULL, NULL, 0, 0,
      "Of engine postgres: its database hosts, such as { \"db1:5432\", \"db2:5432 site=east\" }; "
      "those of this node's own site are read first." },
    { "store", "mirror", ROW_PATH, "mirror", NULL, 0, 0,
      "Of engine postgres: the local copy that keys are opened from, also without a database." },
    { "store", "database", ROW_TEXT, "holdfast", NULL, 0, 0, "The database on them." },
    { "store", "user", ROW_TEXT, "holdfast", NULL, 0, 0, "The role that owns its tables." },
    { "store", "passfile", ROW_PATH, NULL, NULL, 0, 0,
      "A file with the role's password, in libpq's form, mode 0600." },
    { "store", "sslmode", ROW_TEXT, NULL, "verify-full|require|prefer|disable", 0, 0,
      "Only verify-full proves who answers; others on loopback addresses and unix sockets only." },
    { "store", "ca", ROW_PATH, NULL, NULL, 0, 0,
      "Whom the certificates of the database hosts must be signed by (PEM)." },
    { "store", "certificate", ROW_PATH, NULL, NULL, 0, 0, "This node's, for the database (PEM)." },
    { "store", "key", ROW_PATH, NULL, NULL, 0, 0, "Its key (PEM, mode 0600)." },
    { "store", "synchronous", ROW_NUMBER, "1", NULL, 0, 15,
      "Standbys that must confirm every commit before it is answered." },
    { "store", "when_fewer", ROW_TEXT, "refuse", "refuse|allow", 0, 0,
      "With fewer of them: refuse writes, or take them, count them and say so." },

    { "audit", "directory", ROW_PATH, "audit", NULL, 0, 0, "The trail's files." },
    { "audit", "key", ROW_PATH, "secrets/audit.key", NULL, 0, 0,
      "The Ed25519 key that signs checkpoints (PKCS#8 DER, mode 0600)." },
    { "audit", "when_full", ROW_TEXT, "stop", "stop|go-on", 0, 0,
      "When the disk is full: refuse what cannot be recorded, or serve and count what is lost." },
    { "audit", "max_file_mib", ROW_NUMBER, "256", NULL, 1, 1L << 20, "A new file beyond this." },

    { "log", "form", ROW_TEXT, "text", "text|json", 0, 0, "For people or for programs." },
    { "log", "level", ROW_TEXT, "info", "error|warning|info|debug", 0, 0, "The least to write." },

    { "memory", "secret_mib", ROW_NUMBER, "64", NULL, 1, 1L << 16,
      "Most locked memory for keys and cipher contexts." },
    { "memory", "allow_unlocked", ROW_BOOL, "no", NULL, 0, 0,
      "Start even if memory cannot be locked, or swap is on; status then shows amber." },

    { "threads", "loops", ROW_NUMBER, "0", NULL, 0, 1024, "Event loops; 0: one per processor." },
    { "threads", "workers", ROW_NUMBER, "32", NULL, 1, 1024,
      "Threads for what waits: durable writes and RSA." },
    { "threads", "max_connections", ROW_NUMBER, "20000", NULL, 1, 1L << 22,
      "Open connections; beyond it new ones wait." },
    { "threads", "max_buffered_mib", ROW_NUMBER, "64", NULL, 1, 1L << 20,
      "What requests of all connections may hold together; beyond it large ones are answered "
      "503." },

    { "proof", "drill_hours", ROW_NUMBER, "24", NULL, 0, 24L * 365,
      "A drill runs so often by itself; 0: only when asked for." },
    { "proof", "min_ways", ROW_NUMBER, "1", NULL, 1, 1000,
      "Fewer independent ways to open a key version without a person are amber, where the keyring "
      "does not say." },

    { "slot", "protector", ROW_TEXT, "keyfile", "keyfile|passphrase|node", 0, 0, "How it opens." },
    { "slot", "file", ROW_PATH, NULL, NULL, 0, 0,
      "The key file, the file with the passphrase, or this node's own key: "
      "secrets/node-join.key." },

    { "listener", "address", ROW_TEXT, NULL, NULL, 0, 0,
      "\"127.0.0.1:9600\", \"[::]:9600\" or \"unix:admin.sock\"." },
    { "listener", "doors", ROW_TEXTS, NULL, "hadoop|admin|health", 0, 0,
      "What is served here: hadoop, admin, health." },
    { "listener", "group", ROW_TEXT, NULL, NULL, 0, 0,
      "A unix group that may use the unix socket too (mode 0660)." },
    { "listener", "tls", ROW_BOOL, "yes", NULL, 0, 0, "TLS 1.2 and 1.3; never on unix sockets." },
    { "listener", "certificate", ROW_PATH, "secrets/server.crt", NULL, 0, 0,
      "PEM, with intermediate certificates." },
    { "listener", "key", ROW_PATH, "secrets/server.key", NULL, 0, 0, "PEM, mode 0600." },
    { "listener", "client_ca", ROW_PATH, NULL, NULL, 0, 0,
      "Whom client certificates must be signed by; without it none are asked for." },
    { "listener", "require_client_certificate", ROW_BOOL, "no", NULL, 0, 0,
      "Refuse connections without a client certificate." },
    { "listener", "max_body_kib", ROW_NUMBER, "8192", NULL, 64, 1L << 20, "The largest body." },
    { "listener", "idle_timeout", ROW_NUMBER, "75", NULL, 1, 86400,
      "Seconds an idle connection is kept." },
    { "listener", "request_timeout", ROW_NUMBER, "20", NULL, 1, 3600,
      "Seconds from a request's first byte to its last." },
    { "listener", "hadoop_keyring", ROW_TEXT, "hadoop", NULL, 0, 0,
      "The keyring whose keys the Hadoop door shows." },
    { "listener", "pseudo", ROW_BOOL, "no", NULL, 0, 0,
      "Believe the user.name of Hadoop's simple authentication; on loopback addresses only." },
    { "listener", "pseudo_insecure", ROW_BOOL, "no", NULL, 0, 0,
      "Believe it on other addresses too: anyone who reaches them can be anyone. Status is "
      "amber." },
    { "listener", "hadoop_export", ROW_TEXT, "never", "never|acl", 0, 0,
      "acl: keys made through this door are exportable, to callers whom policy grants "
      "key.export." },
    { "listener", "hadoop_default_length", ROW_NUMBER, "128", NULL, 128, 256,
      "Bits of a key whose creator names no length: 128, 192 or 256." },
    { "listener", "hadoop_retry_window", ROW_NUMBER, "10", NULL, 0, 3600,
      "Seconds in which a repeated create or roll whose answer may be lost gets the first "
      "result." },
    { 0 },
};

const struct live_row hf_config_live_rows[] = {
    { "threads", "max_connections" },
    { "listener", "certificate" },
    { "listener", "key" },
    { "listener", "client_ca" },
    { "listener", "require_client_certificate" },
    { "listener", "max_body_kib" },
    { "listener", "idle_timeout" },
    { "listener", "request_timeout" },
    { "listener", "hadoop_keyring" },
    { "listener", "pseudo" },
    { "listener", "pseudo_insecure" },
    { "listener", "hadoop_export" },
    { "listener", "hadoop_default_length" },
    { "listener", "hadoop_retry_window" },
    { NULL, NULL },
};

bool hf_config_row_is_live(const struct row *row)
{
    for (const struct live_row *live = hf_config_live_rows; live->name != NULL; live++) {
        if (strcmp(live->section, row->section) == 0 && strcmp(live->name, row->name) == 0) {
            return true;
        }
    }
    return false;
}
