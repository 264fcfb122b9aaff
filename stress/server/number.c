/* Decimal numbers as the protocol writes them. */
#include "number.h"
#include <string.h>
#include <strings.h>

bool number_parse(const char *text, size_t length, int64_t *out)
{
    size_t i = 0;
    const bool negative = length > 0 && text[0] == '-';
    if (negative) i = 1;
    if (i == length || length - i > 19) return false;
    if (text[i] == '0') {
        *out = 0;
        return length == 1;
    }
    uint64_t value = 0; /* 19 digits fit */
    for (; i < length; i++) {
        const unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9) return false;
        value = value * 10 + digit;
    }
    const uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (value > most) return false;
    *out = (int64_t)(negative ? 0 - value : value);
    return true;
}

size_t number_format(char *out, int64_t number)
{
    char reversed[NUMBER_MAX_DIGITS];
    size_t digits = 0, written = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        reversed[digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (number < 0) out[written++] = '-';
    while (digits > 0) out[written++] = reversed[--digits];
    return written;
}

bool number_parse_bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = { { "", 0 }, { "b", 0 }, { "k", 10 }, { "kb", 10 }, { "m", 20 }, { "mb", 20 }, { "g", 30 },
        { "gb", 30 } };
    const size_t digits = strspn(text, "0123456789");
    int64_t value;
    if (!number_parse(text, digits, &value)) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(text + digits, units[i].name) != 0) continue;
        if ((uint64_t)value > UINT64_MAX >> units[i].shift) return false;
        *out = (uint64_t)value << units[i].shift;
        return true;
    }
    return false;
}
