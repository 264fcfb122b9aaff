/* stdio through the interposer: what the buffer has room or data for goes straight through, and nothing is lost at its
 * edges. */
#include "tests/check/told.h"
#include "tests/threads/threads.h"

static tenure_heap *heap;
static tenure_thread *self;
static FILE *stream;

/* --- no region: one would abort where a lock is held that is declared no-GC --- */

static tenure_mutex quiet = TENURE_MUTEX_INIT("quiet");

/* Required and not asserted: Criterion's asserts wait for its runner, which check=locks would tell. */
static void begin_checked(int mode, size_t bytes)
{
    static char buffer[4096];
    tenure_mutex_rules(&quiet, 0, TENURE_LOCK_NO_GC);
    heap = heap_with("max_heap=64m,check=locks");
    self = tenure_attach(heap);
    stream = tmpfile();
    REQUIRE(stream != NULL && setvbuf(stream, buffer, mode, bytes) == 0);
    REQUIRE(fputs("first ", stream) >= 0); /* makes the buffer */
    tenure_mutex_lock(self, &quiet);
}

Test(streams, what_fits_goes_straight_through)
{
    char text[8], *line = NULL;
    size_t bytes = 0;
    begin_checked(_IOFBF, 4096);
    REQUIRE(fputc('a', stream) == 'a');
    REQUIRE(putc('b', stream) == 'b');
    REQUIRE(fputs("cd\n", stream) >= 0);
    REQUIRE(fwrite("ef\n", 1, 3, stream) == 3);
    REQUIRE(fprintf(stream, "%s%c%d", "g", 0, 4711) == 6);
    REQUIRE(ferror(stream) == 0);
    tenure_mutex_unlock(self, &quiet);
    rewind(stream);
    REQUIRE(fgetc(stream) == 'f');
    tenure_mutex_lock(self, &quiet);
    REQUIRE(getc(stream) == 'i');
    REQUIRE(ungetc('i', stream) == 'i');
    REQUIRE(fread(text, 1, 5, stream) == 5);
    REQUIRE(fread(text, 0, 5, stream) == 0);
    REQUIRE(fgets(text, sizeof text, stream) == text);
    REQUIRE(strcmp(text, "abcd\n") == 0);
    REQUIRE(getline(&line, &bytes, stream) == 3);
    REQUIRE(strcmp(line, "ef\n") == 0);
    REQUIRE(fread(text, 1, 6, stream) == 6 && memcmp(text,
                                                  "g\0"
                                                  "4711",
                                                  6) == 0);
    REQUIRE(feof(stream) == 0);
    tenure_mutex_unlock(self, &quiet);
    REQUIRE(fgetc(stream) == EOF);
    REQUIRE(feof(stream) != 0);
    free(line);
    heap_end(heap, self);
}

static void writes_unbuffered(void)
{
    begin_checked(_IONBF, 0);
    fputs("x", stream);
}
static void writes_at_each_line(void)
{
    begin_checked(_IOLBF, 4096);
    fputs("x\n", stream);
}
static void writes_more(void)
{
    begin_checked(_IOFBF, 16);
    fputs("more than sixteen characters", stream);
}
Test(streams, what_does_not_is_a_region)
{
    expect_said(told(writes_unbuffered), "a blocking region while a lock is held that is declared no-GC");
    expect_said(told(writes_at_each_line), "a blocking region while");
    expect_said(told(writes_more), "a blocking region while");
}

/* --- at the edges of the buffer --- */

enum { BYTES = 60000 };
static char wanted[BYTES + 600], got[BYTES + 600];

/* What is written in pieces by any of the calls. */
static size_t write_in_pieces(uint64_t seed)
{
    size_t length = 0;
    while (length < BYTES) {
        const size_t piece = next_random(&seed) % (next_random(&seed) % 50 == 0 ? 600 : 40);
        char *text = wanted + length;
        for (size_t i = 0; i < piece; i++) text[i] = next_random(&seed) % 8 == 0 ? '\n' : 'x';
        text[piece] = '\0';
        length += piece;
        switch (next_random(&seed) % 6) {
        case 0:
            REQUIRE(fputs(text, stream) >= 0);
            break;
        case 1:
            REQUIRE(fwrite(text, 1, piece, stream) == piece);
            break;
        case 2:
            REQUIRE(fwrite(text, piece, 1, stream) == (piece != 0));
            break;
        case 3:
            REQUIRE(fprintf(stream, "%s", text) == (int)piece);
            break;
        case 4:
            REQUIRE(fprintf(stream, "%.*s%.*s", 7, text, (int)piece, piece > 7 ? text + 7 : "") == (int)piece);
            break;
        case 5:
            for (size_t i = 0; i < piece; i++) REQUIRE((i % 2 ? fputc(text[i], stream) : putc(text[i], stream)) != EOF);
        }
    }
    return length;
}

static size_t read_in_pieces(uint64_t seed)
{
    static char *line;
    static size_t line_bytes;
    size_t length = 0;
    for (;;) {
        char *into = got + length;
        const size_t piece = next_random(&seed) % 40 + 1;
        size_t count = 0;
        switch (next_random(&seed) % 4) {
        case 0:
            count = fread(into, 1, piece, stream);
            break;
        case 1:
            if (fgets(into, (int)piece + 1, stream) != NULL) count = strlen(into);
            break;
        case 2: {
            const ssize_t line_length = getline(&line, &line_bytes, stream);
            if (line_length > 0) memcpy(into, line, count = (size_t)line_length);
            break;
        }
        case 3:
            for (int c; count < piece && (c = count % 2 ? getc(stream) : fgetc(stream)) != EOF; count++)
                into[count] = (char)c;
        }
        if (count == 0) return length;
        if (next_random(&seed) % 4 == 0) REQUIRE(ungetc(into[--count], stream) != EOF);
        length += count;
    }
}

Test(streams, nothing_is_lost)
{
    heap = heap_with("max_heap=64m");
    self = tenure_attach(heap);
    static const size_t buffers[] = { 1, 2, 16, 61, 4096 };
    static char buffer[4096];
    for (uint32_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        stream = tmpfile();
        REQUIRE(setvbuf(stream, buffer, _IOFBF, buffers[i]) == 0);
        const size_t length = write_in_pieces(i + 1);
        rewind(stream);
        REQUIRE(read_in_pieces(i + 7) == length);
        REQUIRE(memcmp(wanted, got, length) == 0);
        REQUIRE(fclose(stream) == 0);
    }
    heap_end(heap, self);
}

/* --- its lock is free again --- */

static void *write_a_lot(void *arg)
{
    tenure_thread *mine = tenure_attach(heap);
    for (unsigned i = 0; i < 20000; i++) {
        flockfile(stream);
        REQUIRE(fputc('a', stream) == 'a' && fputs("bc", stream) >= 0);
        funlockfile(stream);
    }
    tenure_detach(mine);
    return arg;
}
Test(streams, two_threads)
{
    heap = heap_with("max_heap=64m");
    self = tenure_attach(heap);
    stream = tmpfile();
    const pthread_t thread = start_thread(write_a_lot, NULL);
    for (unsigned i = 0; i < 20000; i++) REQUIRE(fputs("abc", stream) >= 0);
    for (unsigned i = 0; i < 3; i++) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    join_thread(thread);
    REQUIRE(ftell(stream) == 120000);
    rewind(stream);
    for (unsigned i = 0; i < 120000; i++) REQUIRE(fgetc(stream) == "abc"[i % 3]);
    REQUIRE(fclose(stream) == 0);
    heap_end(heap, self);
}
