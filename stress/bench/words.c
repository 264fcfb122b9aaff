/* Counting words: a text is cut into words; each becomes a string of its own, which is looked up in a table and kept
 * there if it is new. The text is made beforehand: words of a vocabulary as often as Zipf's law has them, so that some
 * are everywhere and many occur once. How often each was written is known, and has to be what was counted. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS_MAX = 16, BUCKETS_MIN = 64 };

struct string {
    uint64_t length;
    char bytes[];
};
BENCH_TYPE_FLEX_LEAF(string, struct string, bytes);

struct entry {
    struct entry *next;
    struct string *word;
    uint64_t hash, count;
};
BENCH_TYPE(entry, struct entry, next, word);

struct table {
    struct entry **buckets;
    uint64_t size, entries; /* size: a power of two */
};
BENCH_TYPE(table, struct table, buckets);

static uint64_t words = 4 * 1000 * 1000;
static uint64_t vocabulary = 300 * 1000;

/* --- the text --- */

static struct text {
    char *bytes;
    uint64_t length;
    uint32_t *written; /* by the word's rank */
} text;

/* Bijective, so that no two ranks are one word; rare words are longer. */
static unsigned spell(char *to, uint64_t rank)
{
    static const char syllables[16][3] = { "ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti",
        "vo", "wu", "xe" };
    unsigned length = 0;
    do {
        memcpy(to + length, syllables[rank % 16], 2);
        length += 2;
        rank /= 16;
    } while (rank-- != 0);
    return length;
}

/* Ranks whose logarithms are spread evenly occur as 1/rank. */
static uint64_t rank_draw(uint64_t *random)
{
    const double part = (double)(random_next(random) >> 11) * 0x1p-53;
    return (uint64_t)exp(part * log((double)vocabulary));
}

static void text_make(void)
{
    uint64_t random = random_seed(0);
    text.bytes = malloc(words * (LETTERS_MAX + 1));
    text.written = calloc(vocabulary + 1, sizeof *text.written);
    if (text.bytes == NULL || text.written == NULL) bench_exhausted();
    for (uint64_t i = 0; i < words; i++) {
        const uint64_t rank = rank_draw(&random);
        text.written[rank]++;
        text.length += spell(text.bytes + text.length, rank);
        text.bytes[text.length++] = ' ';
    }
}

/* --- the count --- */

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_of(const char *bytes, uint64_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static struct string *string_make(bench_thread *self, const char *bytes, uint64_t length)
{
    struct string *made = BENCH_NEW_FLEX(self, string, length);
    made->length = length;
    memcpy(made->bytes, bytes, length);
    return made;
}

static struct entry *table_find(const struct table *table, const char *bytes, uint64_t length, uint64_t hash)
{
    struct entry *entry = table->buckets[hash & (table->size - 1)];
    while (entry != NULL &&
           (entry->hash != hash || entry->word->length != length || memcmp(entry->word->bytes, bytes, length) != 0))
        entry = entry->next;
    return entry;
}

static void table_resize(bench_thread *self, struct table *table, uint64_t size)
{
    struct entry **old = table->buckets;
    const uint64_t old_size = table->size;
    struct entry **buckets = BENCH_NEW_REFS(self, struct entry, size);
    for (uint64_t i = 0; i < old_size; i++)
        for (struct entry *entry = old[i], *next; entry != NULL; entry = next) {
            const uint64_t at = entry->hash & (size - 1);
            next = entry->next;
            BENCH_SET(self, entry, next, buckets[at]);
            BENCH_SET_AT(self, buckets, at, entry);
        }
    BENCH_SET(self, table, buckets, buckets);
    table->size = size;
    BENCH_FREE(old);
}

static void table_add(bench_thread *self, struct table *table, struct string *word, uint64_t hash)
{
    if (table->entries++ == table->size) table_resize(self, table, 2 * table->size);
    struct entry **buckets = table->buckets;
    const uint64_t at = hash & (table->size - 1);
    struct entry *made = BENCH_NEW(self, entry, .next = buckets[at], .word = word, .hash = hash, .count = 1);
    BENCH_SET_AT(self, buckets, at, made);
}

static void word_count(bench_thread *self, struct table *table, const char *bytes, uint64_t length)
{
    struct string *word = string_make(self, bytes, length);
    const uint64_t hash = hash_of(word->bytes, length);
    struct entry *found = table_find(table, word->bytes, length, hash);
    if (found == NULL) {
        table_add(self, table, word, hash);
        return;
    }
    found->count++;
    BENCH_FREE(word);
}

static struct table *words_count(bench_thread *self)
{
    struct table *table = BENCH_NEW(self, table, .buckets = NULL);
    table_resize(self, table, BUCKETS_MIN);
    for (const char *at = text.bytes, *end = at + text.length; at < end;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        word_count(self, table, at, (uint64_t)(space - at));
        at = space + 1;
    }
    return table;
}

static void check(const struct table *table)
{
    uint64_t distinct = 0;
    for (uint64_t rank = 0; rank <= vocabulary; rank++) {
        if (text.written[rank] == 0) continue;
        char bytes[LETTERS_MAX];
        const unsigned length = spell(bytes, rank);
        const struct entry *entry = table_find(table, bytes, length, hash_of(bytes, length));
        if (entry == NULL || entry->count != text.written[rank]) {
            fprintf(stderr, "\"%.*s\" is not counted right\n", (int)length, bytes);
            abort();
        }
        distinct++;
    }
    if (distinct == table->entries) return;
    fprintf(stderr, "%" PRIu64 " words of %" PRIu64 "\n", table->entries, distinct);
    abort();
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "words", &words, "of the text" },
        { "vocabulary", &vocabulary, "different words that it may have" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (vocabulary < 1 || vocabulary > UINT32_MAX) {
        fprintf(stderr, "vocabulary: 1 to %" PRIu32 "\n", UINT32_MAX);
        return EXIT_FAILURE;
    }
    text_make();
    bench_begin(0);
    bench_thread *self = bench_thread_begin();
    measure_begin();
    struct table *table = words_count(self);
    measure_end("words");
    check(table);
    bench_thread_end(self);
    result_count("text_bytes", text.length);
    result_count("distinct", table->entries);
    result_end();
    bench_end();
}
