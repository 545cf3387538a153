/* The names of the files of a trail. */
#include "audit/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char older_prefix[] = HF_AUDIT_CURRENT ".";

void hf_audit_file_name(uint64_t number, char out[HF_AUDIT_NAME_MAX])
{
    (void)snprintf(out, HF_AUDIT_NAME_MAX, "%s%" PRIu64, older_prefix, number);
}

/* The number in the name of an older file, 0 for any other name. */
static uint64_t number_of_name(const char *name)
{
    char spelled[HF_AUDIT_NAME_MAX];
    uint64_t number;

    if (strncmp(name, older_prefix, sizeof older_prefix - 1) != 0) {
        return 0;
    }
    number = strtoull(name + sizeof older_prefix - 1, NULL, 10);
    /* Not "audit.log.007" and not "audit.log.7~". */
    hf_audit_file_name(number, spelled);
    return strcmp(spelled, name) == 0 ? number : 0;
}

struct hf_status hf_audit_older_files(struct hf_op *op, int directory, uint64_t *out_lowest,
                                      uint64_t *out_highest)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    uint64_t lowest = 0;
    uint64_t highest = 0;

    if (names == NULL) {
        int error = errno;

        if (fd >= 0) {
            (void)close(fd);
        }
        return hf_fail(op, HF_UNAVAILABLE, "the directory of the audit trail cannot be read: %s",
                       strerrordesc_np(error));
    }
    for (struct dirent *entry = readdir(names); entry != NULL; entry = readdir(names)) {
        uint64_t number = number_of_name(entry->d_name);

        highest = number > highest ? number : highest;
        lowest = number > 0 && (lowest == 0 || number < lowest) ? number : lowest;
    }
    (void)closedir(names);
    *out_lowest = lowest;
    *out_highest = highest;
    return HF_SUCCESS;
}
