/*
 * The database of a store: from settings of holdfast.conf to what libpq wants to be told.
 */
#pragma once

#include "config/config.h"

/* Settings as they stand in the section; NULL: not set. */
struct database_settings {
    char **hosts; /* "db1:5432", "10.0.0.1", "[::1]:5432", "/run/postgresql"; NULL-terminated */
    const char *database, *user, *passfile;
    const char *sslmode, *ca, *certificate, *key; /* of TLS */
};

/* One connection string per host, in a NULL-terminated list; HF_INVALID names the bad host. */
HF_STATUS hf_config_database(struct hf_op *op, const struct database_settings *settings,
                             char ***out);
