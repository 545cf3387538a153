/*
 * What the bench compares with: bare OpenSSL re-encrypting data keys with cached contexts, and bare
 * SQLite committing one row at a time with synchronous=FULL. Prints "name rate" lines.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static EVP_CIPHER_CTX *cached_context(const unsigned char key[32])
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    if (cipher == NULL || context == NULL ||
        EVP_EncryptInit_ex2(context, cipher, key, NULL, NULL) != 1) {
        abort();
    }
    EVP_CIPHER_free(cipher);
    return context;
}

/* Hadoop's re-encryption: decrypt under the old key, encrypt under the new one, the same iv. */
static void reencrypt(double seconds)
{
    unsigned char keys[64];
    unsigned char iv[16];
    unsigned char data[32];
    EVP_CIPHER_CTX *from;
    EVP_CIPHER_CTX *to;
    double start = now();
    uint64_t count = 0;
    int len;

    if (RAND_bytes(keys, sizeof keys) != 1 || RAND_bytes(iv, sizeof iv) != 1 ||
        RAND_bytes(data, sizeof data) != 1) {
        abort();
    }
    from = cached_context(keys);
    to = cached_context(keys + 32);
    while (now() - start < seconds) {
        for (int i = 0; i < 1000; i++) {
            if (EVP_EncryptInit_ex2(from, NULL, NULL, iv, NULL) != 1 ||
                EVP_EncryptUpdate(from, data, &len, data, sizeof data) != 1 ||
                EVP_EncryptInit_ex2(to, NULL, NULL, iv, NULL) != 1 ||
                EVP_EncryptUpdate(to, data, &len, data, sizeof data) != 1) {
                abort();
            }
            iv[i & 15]++;
        }
        count += 1000;
    }
    printf("reencrypt %.0f\n", (double)count / (now() - start));
    EVP_CIPHER_CTX_free(from);
    EVP_CIPHER_CTX_free(to);
}

static void must(int result, int wanted)
{
    if (result != wanted) {
        (void)fprintf(stderr, "sqlite: %s\n", sqlite3_errstr(result));
        exit(1);
    }
}

static void commits(const char *file, double seconds)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    unsigned char body[500];
    double start;
    uint64_t count = 0;
    char name[21];

    must(sqlite3_open(file, &db), SQLITE_OK);
    must(sqlite3_exec(db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                      "CREATE TABLE t(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
                      NULL, NULL, NULL),
         SQLITE_OK);
    must(sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?,?)", -1, &insert, NULL), SQLITE_OK);
    if (RAND_bytes(body, sizeof body) != 1) {
        abort();
    }
    start = now();
    while (now() - start < seconds) {
        (void)snprintf(name, sizeof name, "%08x%012llx", (unsigned)random(),
                       (unsigned long long)count);
        must(sqlite3_bind_text(insert, 1, name, 20, SQLITE_TRANSIENT), SQLITE_OK);
        must(sqlite3_bind_blob(insert, 2, body, sizeof body, SQLITE_STATIC), SQLITE_OK);
        must(sqlite3_step(insert), SQLITE_DONE);
        must(sqlite3_reset(insert), SQLITE_OK);
        count++;
    }
    printf("sqlite %.0f\n", (double)count / (now() - start));
    sqlite3_finalize(insert);
    sqlite3_close(db);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: raw reencrypt|sqlite FILE SECONDS\n");
        return 2;
    }
    if (strcmp(argv[1], "reencrypt") == 0) {
        reencrypt(atof(argv[3]));
    } else {
        commits(argv[2], atof(argv[3]));
    }
    return 0;
}
