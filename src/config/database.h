/*
 * The database of a store: from settings of holdfast.conf to what libpq wants to be told.
 */
#pragma once

#include "config/config.h"

/* Settings as they stand in the section; NULL: not set. */
struct database_settings {
    char **hosts; /* "db1:5432", "10.0.0.1", "[::1]:5432 site=east", "/run/postgresql"; NULL at the
                     end */
    const char *database, *user, *passfile;
    const char *sslmode, *ca, *certificate, *key; /* of TLS */
};

/* What is wrong with a host as it stands in the section. HF_INVALID. */
HF_STATUS hf_config_check_host(struct hf_op *op, const char *host);
/* One connection string per host, in a NULL-terminated list; HF_INVALID names the bad host. */
HF_STATUS hf_config_database(struct hf_op *op, const struct database_settings *settings,
                             char ***out);
