/*
 * What the bench compares with: bare OpenSSL re-encrypting data keys with cached contexts, and bare
 * SQLite committing one row at a time with synchronous=FULL. Prints name, rate per second and rate
 * per second of processor time.
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

static double cpu(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void require(int result)
{
    if (result != 1) {
        abort();
    }
}

static EVP_CIPHER_CTX *cached_context(const char *name, const unsigned char key[32], int encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    require(cipher != NULL && context != NULL);
    require(EVP_CipherInit_ex2(context, cipher, key, NULL, encrypt, NULL));
    EVP_CIPHER_free(cipher);
    return context;
}

/* What one re-encryption works on. */
struct wrapped {
    EVP_CIPHER_CTX *from;
    EVP_CIPHER_CTX *to;
    unsigned char iv[16];
    unsigned char data[32];
    unsigned char tag[16];
    unsigned char nonces[4096];
    size_t nonce_at;
};

/* Hadoop's re-encryption: decrypt under the old key, encrypt under the new one, the same iv. */
static void move_ctr(struct wrapped *wrapped)
{
    int len;

    require(EVP_CipherInit_ex2(wrapped->from, NULL, NULL, wrapped->iv, -1, NULL));
    require(EVP_CipherUpdate(wrapped->from, wrapped->data, &len, wrapped->data, 32));
    require(EVP_CipherInit_ex2(wrapped->to, NULL, NULL, wrapped->iv, -1, NULL));
    require(EVP_CipherUpdate(wrapped->to, wrapped->data, &len, wrapped->data, 32));
    wrapped->iv[0]++;
}

static const unsigned char *next_nonce(struct wrapped *wrapped)
{
    if (wrapped->nonce_at + 12 > sizeof wrapped->nonces) {
        require(RAND_bytes(wrapped->nonces, sizeof wrapped->nonces));
        wrapped->nonce_at = 0;
    }
    wrapped->nonce_at += 12;
    return wrapped->nonces + wrapped->nonce_at - 12;
}

/* The same with authentication: open, then seal under a fresh nonce from a buffer of random bytes.
 */
static void move_gcm(struct wrapped *wrapped)
{
    unsigned char plain[32];
    unsigned char end[16];
    int len;

    require(EVP_CipherInit_ex2(wrapped->from, NULL, NULL, wrapped->iv, -1, NULL));
    require(EVP_CIPHER_CTX_ctrl(wrapped->from, EVP_CTRL_AEAD_SET_TAG, 16, wrapped->tag));
    require(EVP_CipherUpdate(wrapped->from, plain, &len, wrapped->data, 32));
    require(EVP_CipherFinal_ex(wrapped->from, end, &len));
    memcpy(wrapped->iv, next_nonce(wrapped), 12);
    require(EVP_CipherInit_ex2(wrapped->to, NULL, NULL, wrapped->iv, -1, NULL));
    require(EVP_CipherUpdate(wrapped->to, wrapped->data, &len, plain, 32));
    require(EVP_CipherFinal_ex(wrapped->to, end, &len));
    require(EVP_CIPHER_CTX_ctrl(wrapped->to, EVP_CTRL_AEAD_GET_TAG, 16, wrapped->tag));
}

static void reencrypt(const char *cipher, void (*move)(struct wrapped *), double seconds)
{
    unsigned char key[32];
    struct wrapped wrapped = { .nonce_at = sizeof wrapped.nonces };
    double start = now();
    double start_cpu;
    uint64_t count = 0;
    int len;

    require(RAND_bytes(key, sizeof key));
    /* Both ways under one key, so that what was sealed in one round opens in the next. */
    wrapped.from = cached_context(cipher, key, 0);
    wrapped.to = cached_context(cipher, key, 1);
    require(EVP_CipherInit_ex2(wrapped.to, NULL, NULL, wrapped.iv, -1, NULL));
    require(EVP_CipherUpdate(wrapped.to, wrapped.data, &len, wrapped.data, 32));
    if (move == move_gcm) {
        require(EVP_CipherFinal_ex(wrapped.to, wrapped.data, &len));
        require(EVP_CIPHER_CTX_ctrl(wrapped.to, EVP_CTRL_AEAD_GET_TAG, 16, wrapped.tag));
    }
    start_cpu = cpu();
    while (now() - start < seconds) {
        for (int i = 0; i < 1000; i++) {
            move(&wrapped);
        }
        count += 1000;
    }
    printf("%s %.0f %.0f\n", cipher, (double)count / (now() - start),
           (double)count / (cpu() - start_cpu));
    EVP_CIPHER_CTX_free(wrapped.from);
    EVP_CIPHER_CTX_free(wrapped.to);
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
    double start_cpu;
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
    start_cpu = cpu();
    while (now() - start < seconds) {
        (void)snprintf(name, sizeof name, "%08x%012llx", (unsigned)random(),
                       (unsigned long long)count);
        must(sqlite3_bind_text(insert, 1, name, 20, SQLITE_TRANSIENT), SQLITE_OK);
        must(sqlite3_bind_blob(insert, 2, body, sizeof body, SQLITE_STATIC), SQLITE_OK);
        must(sqlite3_step(insert), SQLITE_DONE);
        must(sqlite3_reset(insert), SQLITE_OK);
        count++;
    }
    printf("sqlite %.0f %.0f\n", (double)count / (now() - start),
           (double)count / (cpu() - start_cpu));
    sqlite3_finalize(insert);
    sqlite3_close(db);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: raw ctr|gcm|sqlite FILE SECONDS\n");
        return 2;
    }
    if (strcmp(argv[1], "ctr") == 0) {
        reencrypt("AES-256-CTR", move_ctr, atof(argv[3]));
    } else if (strcmp(argv[1], "gcm") == 0) {
        reencrypt("AES-256-GCM", move_gcm, atof(argv[3]));
    } else {
        commits(argv[2], atof(argv[3]));
    }
    return 0;
}
