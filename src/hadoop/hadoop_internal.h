/*
 * What the files of the Hadoop door share.
 */
#pragma once

#include "base/scan.h"
#include "hadoop/hadoop.h"

struct hf_hadoop {
    struct hf_hadoop_settings settings;
    char *keyring;
    struct hf_door door;
};

/* What an error must say about the call that failed. */
struct call {
    const char *operation; /* Hadoop's word: "CREATE_KEY" */
    const char *key;       /* NULL where Hadoop's text names none */
};

struct hf_hadoop *hadoop_of(const struct hf_exchange *exchange);

/* --- auth.c --- */

struct hf_status hf_hadoop_admit(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply,
                                 bool *out_answered);

/* --- errors.c --- */

/*
 * The end of every handler: HF_OK and HF_LATER pass, any failure becomes Hadoop's RemoteException
 * and HF_OK.
 */
struct hf_status finish(struct hf_op *op, const struct call *call, struct hf_reply *reply,
                        struct hf_status status);
/* A RemoteException of that class with this message (NULL: null). */
void put_exception(struct hf_reply *reply, int status, const char *java_class, const char *message);
void hf_hadoop_fail(struct hf_op *op, struct hf_status status, struct hf_exchange *exchange,
                    const struct hf_request *request, struct hf_reply *reply);
/* Fails with 400 IllegalArgumentException and these words. */
struct hf_status illegal_argument(struct hf_op *op, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
#define CLASS_AUTHORIZATION "org.apache.hadoop.security.authorize.AuthorizationException"
#define CLASS_AUTHENTICATION                                                                       \
    "org.apache.hadoop.security.authentication.client.AuthenticationException"
#define CLASS_ILLEGAL     "java.lang.IllegalArgumentException"
#define CLASS_PARAMETER   "java.security.InvalidParameterException"
#define CLASS_IO          "java.io.IOException"
#define CLASS_UNSUPPORTED "java.lang.UnsupportedOperationException"

/* --- form.c: names, versions and JSON as Hadoop writes them --- */

/* Sets status, content type and the headers that keep Java's connection open. */
void start_json(struct hf_reply *reply, int status);
/* 200 with no body, Content-Length 0. */
void put_empty(struct hf_reply *reply);
void put_text(struct hf_reply *reply, const char *text); /* raw JSON */
/* "name" of a path segment, reading a raw '+' as Java means it; HF_INVALID when it is empty. */
struct hf_status take_name(struct hf_op *op, struct hf_exchange *exchange,
                           const struct hf_request *request, const char *segment,
                           struct hf_buf *out);
/*
 * "k1@3" into key and number: the key ends before the last '@'. False when it has none or no number
 * follows.
 */
bool split_version_name(const char *version_name, struct hf_buf *out_key, uint32_t *out_version);
/* What a string member holds; decoded, it has at most max bytes, or as many as an iv. */
struct hf_status take_text(struct hf_op *op, const struct hf_scan_value *value, const char *what,
                           struct hf_buf *out);
struct hf_status take_base64(struct hf_op *op, const struct hf_scan_value *value, const char *what,
                             uint8_t *out, size_t max, size_t *out_len);
struct hf_status take_iv(struct hf_op *op, const struct hf_scan_value *value, struct hf_edek *edek);
/* The entries of a batch body, all of them versions of the key name, as struct hf_edek in edeks. */
struct hf_status read_batch(struct hf_op *op, struct hf_bytes body, const char *name,
                            struct hf_buf *edeks, size_t *out_count);
/* {"name":..,"versionName":..,"material":..}; material NULL: null. */
void add_key_version(struct hf_buf *out, const char *name, uint32_t version,
                     const struct hf_secret *material);
/* Wrapped data keys of the key name, with commas between them. */
void add_edeks(struct hf_buf *out, const char *name, const struct hf_edek *edeks, size_t count);
void add_metadata(struct hf_buf *out, const struct hf_key_info *info);

/* --- handlers --- */
/* manage.c */
struct hf_status hf_hadoop_create(struct hf_op *op, struct hf_exchange *exchange,
                                  const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_roll(struct hf_op *op, struct hf_exchange *exchange,
                                const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_delete(struct hf_op *op, struct hf_exchange *exchange,
                                  const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_invalidate(struct hf_op *op, struct hf_exchange *exchange,
                                      const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_trustee(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply);
/* read.c */
struct hf_status hf_hadoop_names(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_keys_metadata(struct hf_op *op, struct hf_exchange *exchange,
                                         const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_metadata(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_current(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_versions(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_version(struct hf_op *op, struct hf_exchange *exchange,
                                   const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_jmx(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply);
/* eek.c */
struct hf_status hf_hadoop_generate(struct hf_op *op, struct hf_exchange *exchange,
                                    const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_eek(struct hf_op *op, struct hf_exchange *exchange,
                               const struct hf_request *request, struct hf_reply *reply);
struct hf_status hf_hadoop_batch(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply);
/* token.c */
struct hf_status hf_hadoop_token(struct hf_op *op, struct hf_exchange *exchange,
                                 const struct hf_request *request, struct hf_reply *reply);
