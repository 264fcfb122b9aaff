/* Runs a target on files: what was found stays found, in builds without a fuzzer too. */
#include "tests/fuzz/fuzz.h"
#include <dirent.h>

static uint8_t bytes[1 << 20];

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one said is the one that fails */
    /* Of its own size, so that a sanitizer sees what is read beyond. */
    uint8_t *input = malloc(count == 0 ? 1 : count);
    FUZZ_REQUIRE(input != NULL);
    memcpy(input, bytes, count);
    LLVMFuzzerTestOneInput(input, count);
    free(input);
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    if (directory == NULL) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        replay(path);
    }
    closedir(directory);
    return 0;
}
