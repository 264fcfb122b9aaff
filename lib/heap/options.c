/* Options: defaults, the words that set them, and what contradicts.
 *
 * Precedence. tenure_options_init sets the defaults and applies the variable TENURE_OPTIONS. What a program sets
 * afterwards, in code or by tenure_options_parse, wins over both. Its options may come from another variable, or from
 * none: tenure_options_init, set options.environment, then tenure_options_parse with text NULL, which puts all options
 * that have words back to their defaults and applies that variable. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/heap/limits.h"

/* --- the words --- */

typedef struct span {
    const char *text;
    size_t length;
} span;

/* A word that stands for a value. */
typedef struct choice {
    const char *word;
    uint32_t value;
    size_t number; /* "word:N": offset of the field for N, a uint64_t; 0: a bare word */
    bool fraction; /* N is from 0 to 1; the field holds millionths */
} choice;

typedef enum kind { COUNT, SIZE, TIME, CHOICE, LIST } kind;

typedef struct option {
    const char *key;
    kind kind;
    size_t offset, width;  /* of the field */
    const choice *choices; /* CHOICE: one of them; LIST: several, or-ed. Ended by a NULL word */
} option;

#define FIELD(field) offsetof(tenure_options, field), sizeof(((tenure_options *)0)->field)

#define WORD(word, value)     \
    {                         \
        word, value, 0, false \
    }
#define NUMBER(word, value, field)                          \
    {                                                       \
        word, value, offsetof(tenure_options, field), false \
    }
#define FRACTION(word, value, field)                       \
    {                                                      \
        word, value, offsetof(tenure_options, field), true \
    }
#define END               \
    {                     \
        NULL, 0, 0, false \
    }

static const choice leads[] = { WORD("mutator", TENURE_LEAD_MUTATOR), WORD("daemon", TENURE_LEAD_DAEMON), END };
static const choice switches[] = { WORD("on", 1), WORD("off", 0), END };
static const choice logs[] = { WORD("gc", 1), WORD("off", 0), END };
static const choice debugs[] = { WORD("leak", TENURE_DEBUG_LEAK), WORD("off", 0), END };
static const choice verifications[] = { WORD("before", TENURE_VERIFY_BEFORE), WORD("after", TENURE_VERIFY_AFTER),
    WORD("all", TENURE_VERIFY_ALL), WORD("off", 0), END };
static const choice checkers[] = { WORD("locks", TENURE_CHECK_LOCKS), WORD("barriers", TENURE_CHECK_BARRIERS),
    WORD("roots", TENURE_CHECK_ROOTS), WORD("uses", TENURE_CHECK_USES), WORD("off", 0), END };
static const choice tortures[] = { WORD("poll", TENURE_TORTURE_POLL), WORD("overflow", TENURE_TORTURE_OVERFLOW),
    WORD("evacuate", TENURE_TORTURE_EVACUATE), WORD("nospace", TENURE_TORTURE_NOSPACE),
    NUMBER("alloc", 0, torture_alloc), WORD("off", 0), END };
static const choice faults[] = { FRACTION("mmap", 1, fault.map), FRACTION("madvise", 1, fault.advise),
    FRACTION("mprotect", 1, fault.protect), FRACTION("thread", 1, fault.thread), FRACTION("malloc", 1, fault.memory),
    NUMBER("nth", 1, fault.nth), NUMBER("seed", 0, fault.seed), WORD("off", 0), END };

static const option options_table[] = {
    { "max_heap", SIZE, FIELD(max_heap), NULL },
    { "gen0", SIZE, FIELD(gen0), NULL },
    { "gen1_after", COUNT, FIELD(gen1_after), NULL },
    { "gen2_growth", COUNT, FIELD(gen2_growth), NULL },
    { "pause_target", TIME, FIELD(pause_target), NULL },
    { "workers", COUNT, FIELD(workers), NULL },
    { "lead", CHOICE, FIELD(lead), leads },
    { "return_delay", TIME, FIELD(return_delay), NULL },
    { "destroy_wait", TIME, FIELD(destroy_wait), NULL },
    { "huge_pages", CHOICE, FIELD(huge_pages), switches },
    { "lock_grace", TIME, FIELD(lock_grace), NULL },
    { "stop_deadline", TIME, FIELD(stop_deadline), NULL },
    { "stop_deadline_stack", CHOICE, FIELD(stop_deadline_stack), switches },
    { "log", LIST, FIELD(log_gc), logs },
    { "debug", LIST, FIELD(debug), debugs },
    { "verify", LIST, FIELD(verify), verifications },
    { "check", LIST, FIELD(check), checkers },
    { "torture", LIST, FIELD(torture), tortures },
    { "fault", LIST, FIELD(fault.on), faults },
};
enum { OPTION_COUNT = sizeof options_table / sizeof options_table[0] };

typedef struct scale {
    const char *unit;
    uint64_t factor;
} scale;
static const scale sizes[] = { { "", 1 }, { "k", 1ull << 10 }, { "m", 1ull << 20 }, { "g", 1ull << 30 }, { NULL, 0 } };
static const scale times[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000ull * 1000 }, { "s", 1000ull * 1000 * 1000 },
    { NULL, 0 } };
static const scale counts[] = { { "", 1 }, { NULL, 0 } };

/* What each kind wants: the units of its numbers and how to say so. */
static const struct {
    const scale *scales;
    const char *wants;
} kinds[] = {
    [COUNT] = { counts, "a number" },
    [SIZE] = { sizes, "a size in bytes, or with k, m or g" },
    [TIME] = { times, "a time in ns, us, ms or s" },
};

/* --- errors --- */

__attribute__((format(printf, 3, 4))) static tenure_status invalid(char *err, size_t err_size, const char *format, ...)
{
    if (err != NULL && err_size > 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(err, err_size, format, arguments);
        va_end(arguments);
    }
    return TENURE_EINVAL;
}

/* "bad option 'lead=me': lead wants one of mutator daemon" */
static tenure_status bad_value(char *err, size_t err_size, span word, const option *of)
{
    char wants[128] = "one of";
    size_t length = strlen(wants);
    if (of->choices == NULL) {
        snprintf(wants, sizeof wants, "%s", kinds[of->kind].wants);
    } else {
        for (const choice *one = of->choices; one->word != NULL && length < sizeof wants; one++)
            length += (size_t)snprintf(
                wants + length, sizeof wants - length, " %s%s", one->word, one->number != 0 ? ":N" : "");
    }
    return invalid(err, err_size, "bad option '%.*s': %s wants %s", (int)word.length, word.text, of->key, wants);
}

/* --- values --- */

static bool equals(span word, const char *text)
{
    return strlen(text) == word.length && memcmp(word.text, text, word.length) == 0;
}

/* Digits and one of the units. False: malformed, or more than max. */
static bool number_parse(span word, const scale *scales, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < word.length && word.text[i] >= '0' && word.text[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(word.text[i] - '0'), &value))
            return false;
    if (i == 0) return false;
    const span unit = { word.text + i, word.length - i };
    if (value == 0 && unit.length == 0) {
        *out = 0; /* in no unit, zero is zero */
        return true;
    }
    for (const scale *one = scales; one->unit != NULL; one++)
        if (strlen(one->unit) == unit.length && strncasecmp(one->unit, unit.text, unit.length) == 0)
            return !__builtin_mul_overflow(value, one->factor, out) && *out <= max;
    return false;
}

/* "0.01", "1": from 0 to 1, six digits behind the point. */
static bool millionths_parse(span word, uint64_t *out)
{
    const uint64_t one = 1000000;
    uint64_t value = 0, unit = one;
    for (size_t i = 0; i < word.length; i++) {
        if (unit == one && i == 1 && word.text[1] == '.' && word.length > 2) {
            unit /= 10;
            continue;
        }
        if (word.text[i] < '0' || word.text[i] > '9' || unit == 0 || (unit == one && i != 0)) return false;
        value += (uint64_t)(word.text[i] - '0') * unit;
        if (unit != one) unit /= 10;
    }
    *out = value;
    return word.length != 0 && value <= one;
}

static void field_store(tenure_options *options, const option *of, uint64_t value)
{
    void *field = (char *)options + of->offset;
    switch (of->width) {
    case sizeof(bool):
        *(bool *)field = value != 0;
        break;
    case sizeof(uint32_t):
        memcpy(field, &(uint32_t) { (uint32_t)value }, sizeof(uint32_t));
        break;
    case sizeof(uint64_t):
        memcpy(field, &value, sizeof value);
        break;
    default:
        abort();
    }
}

static void number_store(tenure_options *options, const choice *one, uint64_t number)
{
    memcpy((char *)options + one->number, &number, sizeof number);
}

static void numbers_clear(tenure_options *options, const option *of)
{
    for (const choice *one = of->choices; one != NULL && one->word != NULL; one++)
        if (one->number != 0) number_store(options, one, 0);
}

/* The choice that word names; its number, if it has one, to *number. */
static const choice *choice_find(const option *of, span word, uint64_t *number)
{
    for (const choice *one = of->choices; one != NULL && one->word != NULL; one++) {
        if (one->number == 0 && equals(word, one->word)) return one;
        const size_t length = strlen(one->word);
        if (one->number == 0 || word.length <= length || word.text[length] != ':') continue;
        const span digits = { word.text + length + 1, word.length - length - 1 };
        if (memcmp(word.text, one->word, length) != 0) continue;
        if (one->fraction ? millionths_parse(digits, number) : number_parse(digits, counts, UINT64_MAX, number))
            return one;
    }
    return NULL;
}

/* A list that is being read: words of it may follow behind commas. */
typedef struct list {
    const option *of; /* NULL: the last word was no list's */
    uint64_t bits;
} list;

static bool list_add(tenure_options *options, list *to, span word)
{
    uint64_t number = 0;
    const choice *one = choice_find(to->of, word, &number);
    if (one == NULL) return false;
    to->bits |= one->value;
    field_store(options, to->of, to->bits);
    if (one->number != 0) number_store(options, one, number);
    return true;
}

static bool value_parse(tenure_options *options, const option *of, span value, list *open)
{
    uint64_t number = 0;
    if (of->kind == LIST) {
        /* A list replaces what was set before. */
        *open = (list) { of, 0 };
        numbers_clear(options, of);
        for (;;) {
            const char *plus = memchr(value.text, '+', value.length);
            const size_t length = plus == NULL ? value.length : (size_t)(plus - value.text);
            if (!list_add(options, open, (span) { value.text, length })) return false;
            if (plus == NULL) return true;
            value = (span) { plus + 1, value.length - length - 1 };
        }
    }
    *open = (list) { NULL, 0 };
    if (of->kind == CHOICE) {
        const choice *one = choice_find(of, value, &number);
        if (one == NULL) return false;
        number = one->value;
    } else {
        const uint64_t max = of->width == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;
        if (!number_parse(value, kinds[of->kind].scales, max, &number)) return false;
    }
    field_store(options, of, number);
    return true;
}

static const option *option_find(span key)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        if (equals(key, options_table[i].key)) return &options_table[i];
    return NULL;
}

/* --- the public calls --- */

static const tenure_options defaults = {
    .size = sizeof(tenure_options),
    .version = TENURE_VERSION_NUMBER,
    .roots = TENURE_ROOTS_CONSERVATIVE,
    .rcu = TENURE_RCU_ON,
    .ref_tags = 0x0001,
    .environment = "TENURE_OPTIONS",
    .pause_target = 2000ull * 1000,
    .lead = TENURE_LEAD_MUTATOR,
    .return_delay = 1000ull * 1000 * 1000,
    .huge_pages = true,
    .lock_grace = 10ull * 1000,
    .stop_deadline = 1000ull * 1000 * 1000,
    .destroy_wait = 1000ull * 1000 * 1000,
};

/* Commas separate; blanks may stand around them. */
static const char separators[] = ", \t\n";

static tenure_status words_parse(tenure_options *options, const char *text, char *err, size_t err_size)
{
    list open = { NULL, 0 };
    for (;;) {
        text += strspn(text, separators);
        if (*text == '\0') return TENURE_OK;
        const span word = { text, strcspn(text, separators) };
        text += word.length;

        const char *equal = memchr(word.text, '=', word.length);
        if (equal == NULL) {
            if (open.of != NULL && list_add(options, &open, word)) continue;
            if (open.of != NULL) return bad_value(err, err_size, word, open.of);
            return invalid(err, err_size, "bad option '%.*s': not of the form key=value", (int)word.length, word.text);
        }
        const size_t key_length = (size_t)(equal - word.text);
        const option *of = option_find((span) { word.text, key_length });
        if (of == NULL) return invalid(err, err_size, "bad option '%.*s': no such key", (int)word.length, word.text);
        if (!value_parse(options, of, (span) { equal + 1, word.length - key_length - 1 }, &open))
            return bad_value(err, err_size, word, of);
    }
}

/* The options that have words go back to their defaults, then the variable that options names is applied. */
static tenure_status environment_parse(tenure_options *options, char *err, size_t err_size)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const option *of = &options_table[i];
        memcpy((char *)options + of->offset, (const char *)&defaults + of->offset, of->width);
        numbers_clear(options, of);
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): who changes the environment beside this, breaks every library */
    const char *text = options->environment == NULL ? NULL : getenv(options->environment);
    return text == NULL ? TENURE_OK : words_parse(options, text, err, err_size);
}

tenure_status tenure_options_parse(tenure_options *options, const char *text, char *err, size_t err_size)
{
    tenure_options changed = *options;
    const tenure_status status =
        text == NULL ? environment_parse(&changed, err, err_size) : words_parse(&changed, text, err, err_size);
    if (status == TENURE_OK) *options = changed;
    return status;
}

tenure_status tenure_options_init(tenure_options *options, char *err, size_t err_size)
{
    *options = defaults;
    return tenure_options_parse(options, NULL, err, err_size);
}

/* --- contradictions --- */

tenure_status tenure__options_check(const tenure_options *options, char *err, size_t err_size)
{
    enum {
        TORTURE_ALL = TENURE_TORTURE_POLL | TENURE_TORTURE_OVERFLOW | TENURE_TORTURE_EVACUATE | TENURE_TORTURE_NOSPACE
    };
    enum { MILLION = 1000000 };
    /* User addresses have 47 bits on the smallest of the supported machines; the low four are tags and offsets. */
    const uint64_t address_bits = (1ull << 47) - 16;
    const uint64_t least_heap = 1ull << 20, least_gen0 = 32ull << 10;

    /* First: a struct of another size cannot be read at all. Patches change no inlined code. */
    if (options->size != sizeof *options)
        return invalid(err, err_size, "size: options of %u bytes, %zu expected; was tenure_options_init called?",
            options->size, sizeof *options);
    if (options->version / 100 != TENURE_VERSION_NUMBER / 100)
        return invalid(err, err_size, "version: headers of version %u.%u, library %s", options->version / 10000,
            options->version / 100 % 100, tenure_version());

    const struct {
        bool bad;
        const char *why;
    } checks[] = {
        { options->roots > TENURE_ROOTS_PRECISE, "roots: unknown value" },
        { options->rcu > TENURE_RCU_OFF, "rcu: unknown value" },
        { options->finalizers > TENURE_PUMP, "finalizers: unknown value" },
        { options->lead > TENURE_LEAD_DAEMON, "lead: unknown value" },
        { (options->debug & ~(uint32_t)TENURE_DEBUG_LEAK) != 0, "debug: unknown bits" },
        { (options->verify & ~(uint32_t)TENURE_VERIFY_ALL) != 0, "verify: unknown bits" },
        { (options->check & ~(uint32_t)TENURE_CHECK_ALL) != 0, "check: unknown bits" },
        { (options->torture & ~(uint32_t)TORTURE_ALL) != 0, "torture: unknown bits" },
        { (options->ambiguous_mask & address_bits) != 0, "ambiguous_mask: clears bits of addresses" },
        { options->max_heap != 0 && options->max_heap < least_heap, "max_heap: at least 1m" },
        { options->fault.map > MILLION || options->fault.advise > MILLION || options->fault.protect > MILLION ||
                options->fault.thread > MILLION || options->fault.memory > MILLION,
            "fault: more than 1" },
        { options->lock_grace > 1000ull * 1000, "lock_grace: at most 1ms" },
        { options->gen0 != 0 && options->gen0 < least_gen0, "gen0: at least 32k" },
        { options->max_heap != 0 && options->gen0 > options->max_heap, "gen0: more than max_heap" },
    };
    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (checks[i].bad) return invalid(err, err_size, "%s", checks[i].why);
    return TENURE_OK;
}
