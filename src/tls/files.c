/* Reads certificates and private keys from PEM files. */
#include "tls/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/bytes.h"

/* Certificates and keys are a few KiB; a bundle of all public CAs is 250 KiB. */
#define MAX_FILE_BYTES (4 * 1024 * 1024)

const char *hf_tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason != NULL ? reason : "no reason given";
}

uint64_t hf_tls_date_ms(const ASN1_TIME *date)
{
    struct tm when;
    time_t seconds;

    if (ASN1_TIME_to_tm(date, &when) != 1) {
        return 0;
    }
    seconds = timegm(&when);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static struct hf_status read_all(struct hf_op *op, int fd, const char *path, struct hf_buf *out)
{
    for (;;) {
        uint8_t *room = hf_buf_reserve(out, 8192);
        ssize_t got = read(fd, room, 8192);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return hf_fail(op, HF_INVALID, "cannot read %s: %s", path, strerror(errno));
        }
        if (got == 0) {
            return HF_SUCCESS;
        }
        hf_buf_grew(out, (size_t)got);
        if (out->len > MAX_FILE_BYTES) {
            return hf_fail(op, HF_INVALID, "%s is too large for a PEM file", path);
        }
    }
}

/* Opens first and looks at what was opened, so that the file checked is the file read. */
static struct hf_status read_file(struct hf_op *op, const char *path, mode_t forbidden,
                                  struct hf_buf *out)
{
    struct hf_status status;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        return hf_fail(op, HF_INVALID, "cannot open %s: %s", path, strerror(errno));
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = hf_fail(op, HF_INVALID, "%s is not a regular file", path);
    } else if ((info.st_mode & forbidden) != 0) {
        status = hf_fail(op, HF_INVALID, "%s has mode %04o: others may use the key; set it to 0600",
                         path, (unsigned)(info.st_mode & 07777));
    } else {
        status = read_all(op, fd, path, out);
    }
    (void)close(fd);
    return status;
}

static struct hf_status parse_certificates(struct hf_op *op, const char *path,
                                           const struct hf_buf *pem, STACK_OF(X509) * list)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *certificate = NULL;

    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(list, certificate) == 0) {
            X509_free(certificate);
            break;
        }
    }
    BIO_free(bio);
    /* "No start line" is how a PEM file ends; anything else is a broken certificate. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return hf_fail(op, HF_INVALID, "%s holds a broken certificate: %s", path, hf_tls_reason());
    }
    ERR_clear_error();
    if (sk_X509_num(list) == 0) {
        return hf_fail(op, HF_INVALID, "%s holds no PEM certificate", path);
    }
    return HF_SUCCESS;
}

struct hf_status hf_tls_read_certificates(struct hf_op *op, const char *path, STACK_OF(X509) * *out)
{
    HF_AUTO(buf) pem = hf_buf_new();
    STACK_OF(X509) *list = NULL;
    struct hf_status status;

    HF_TRY(read_file(op, path, 0, pem));
    ERR_clear_error();
    list = sk_X509_new_null();
    if (list == NULL) {
        return hf_fail(op, HF_NO_SPACE, "no memory for the certificates of %s", path);
    }
    status = parse_certificates(op, path, pem, list);
    if (status.code != HF_OK) {
        sk_X509_pop_free(list, X509_free);
        return status;
    }
    *out = list;
    return HF_SUCCESS;
}

struct hf_status hf_tls_read_chain(struct hf_op *op, const char *path, X509 **out,
                                   STACK_OF(X509) * *out_chain)
{
    STACK_OF(X509) *list = NULL;

    HF_TRY(hf_tls_read_certificates(op, path, &list));
    *out = sk_X509_shift(list);
    *out_chain = list;
    return HF_SUCCESS;
}

/* Without this OpenSSL would ask on the terminal. */
static int no_passphrase(char *out, int max, int writing, void *unused)
{
    (void)out;
    (void)max;
    (void)writing;
    (void)unused;
    return -1;
}

struct hf_status hf_tls_read_key(struct hf_op *op, const char *path, EVP_PKEY **out)
{
    HF_AUTO(buf) pem = hf_buf_new();
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;

    HF_TRY(read_file(op, path, S_IRWXO | S_IWGRP | S_IXGRP, pem));
    ERR_clear_error();
    bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (key == NULL) {
        return hf_fail(op, HF_INVALID, "%s holds no unencrypted PEM private key: %s", path,
                       hf_tls_reason());
    }
    *out = key;
    return HF_SUCCESS;
}
