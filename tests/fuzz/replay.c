/* Runs a fuzz target on every file of the directories it is given, with any compiler. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

__attribute__((weak)) int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    return 0;
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    struct stat about;
    uint8_t *data;
    size_t len;

    fuzz_require(file != NULL && fstat(fileno(file), &about) == 0);
    len = (size_t)about.st_size;
    /* Of exactly this size, so that a sanitizer sees any read beyond. */
    data = malloc(len > 0 ? len : 1);
    fuzz_require(data != NULL && fread(data, 1, len, file) == len);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(data, len);
    free(data);
}

static unsigned replay_directory(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    unsigned replayed = 0;

    for (int i = 0; i < count; i++) {
        char path[4096];

        (void)snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            /* Told before it runs, so that a crash names its file. */
            (void)printf("%s\n", path);
            (void)fflush(stdout);
            replay_file(path);
            replayed++;
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return replayed;
}

int main(int count, char **arguments)
{
    unsigned replayed = 0;

    (void)LLVMFuzzerInitialize(&count, &arguments);
    for (int i = 1; i < count; i++) {
        replayed += replay_directory(arguments[i]);
    }
    (void)printf("%u inputs replayed\n", replayed);
    /* A target without a corpus is a test that tests nothing. */
    return replayed > 0 ? 0 : 1;
}
