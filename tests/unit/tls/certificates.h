/*
 * Certificates for tests, made at run time in a directory of their own: an authority, and what it
 * signs. A failure ends the test program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct test_authority;

/* What to put into a certificate. */
struct test_subject {
    const char *file;        /* "server": makes server.pem and server.key */
    const char *common_name; /* NULL: none */
    const char *dns_name;    /* NULL: none */
    long begins_s;           /* from now */
    long ends_s;
    bool is_client;
    int kind; /* 0: EC P-256; else RSA of that many bits */
};

/* Makes the directory and ca.pem in it. */
struct test_authority *test_authority_new(void);
/* Removes the directory with all files. */
void test_authority_free(struct test_authority *authority);
const char *test_authority_dir(const struct test_authority *authority);
/* Signs a new key pair; the files appear in the directory, replacing older ones. */
void test_authority_issue(struct test_authority *authority, const struct test_subject *subject);
/* The path of a file in the directory; the caller frees it. */
char *test_authority_path(const struct test_authority *authority, const char *file);
