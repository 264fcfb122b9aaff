/* Sequences of calls: the bytes decide what the program of stress/model does. */
#include "stress/model/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const char *const words[] = { "max_heap=16m,gen0=64k,workers=1", "max_heap=16m,torture=alloc:3,workers=1",
        "max_heap=16m,torture=alloc:5+evacuate,workers=1", "max_heap=16m,torture=alloc:5+nospace+overflow,workers=2",
        "max_heap=1m,gen0=64k,gen1_after=1,workers=1", "max_heap=16m,lead=daemon,gen0=64k,gen2_growth=1" };
    if (count < 2) return 0;
    const model_options options = { .threads = 1,
        .steps = 3000,
        .check_every = 500,
        .precise = (bytes[0] & 1) != 0,
        .words = words[(bytes[0] >> 1) % (sizeof words / sizeof words[0])],
        .bytes = bytes + 1,
        .byte_count = count - 1 };
    model_run(&options);
    return 0;
}
