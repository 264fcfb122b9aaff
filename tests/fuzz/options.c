/* TENURE_OPTIONS: any text. What is refused changes nothing and says why; what is accepted means the same twice. */
#include "lib/heap/limits.h"
#include "tests/fuzz/fuzz.h"
#include <tenure/heap.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0) return 0;
    const size_t err_size = bytes[0];
    char *text = malloc(count), *err = malloc(err_size + 1);
    FUZZ_REQUIRE(text != NULL && err != NULL);
    memcpy(text, bytes + 1, count - 1);
    text[count - 1] = '\0';
    err[0] = '\0';

    tenure_options before, once, twice;
    unsetenv("TENURE_OPTIONS");
    FUZZ_REQUIRE(tenure_options_init(&before, NULL, 0) == TENURE_OK);
    once = before;
    const tenure_status status = tenure_options_parse(&once, text, err, err_size);
    if (status != TENURE_OK) {
        FUZZ_REQUIRE(status == TENURE_EINVAL);
        FUZZ_REQUIRE(memcmp(&once, &before, sizeof once) == 0);
        FUZZ_REQUIRE(err_size < 2 || (err[0] != '\0' && memchr(err, '\0', err_size) != NULL));
    } else {
        twice = once;
        FUZZ_REQUIRE(tenure_options_parse(&twice, text, NULL, 0) == TENURE_OK);
        FUZZ_REQUIRE(memcmp(&once, &twice, sizeof once) == 0);
        (void)tenure__options_check(&once, err, err_size);
    }
    /* The environment is read by the same rules. */
    setenv("TENURE_OPTIONS", text, 1);
    FUZZ_REQUIRE(tenure_options_init(&twice, NULL, 0) == status);
    FUZZ_REQUIRE(memcmp(&once, &twice, sizeof once) == 0);
    free(text);
    free(err);
    return 0;
}
