/* Pattern matching with one point to go back to: the last star. Earlier stars need not be tried again, since whatever
 * they could take instead, the last star can take too. */
#include "glob.h"

/* Matches one character against the class at pattern ('[' first); *after: behind the class. */
static bool match_class(const char *pattern, const char *end, char c, const char **after)
{
    const char *p = pattern + 1;
    const bool negated = p < end && *p == '^';
    bool found = false;
    if (negated) p++;
    while (p < end && *p != ']') {
        if (*p == '\\' && p + 1 < end) p++;
        const unsigned char low = (unsigned char)*p;
        unsigned char high = low;
        if (end - p > 2 && p[1] == '-' && p[2] != ']') {
            p += 2;
            high = (unsigned char)*p;
        }
        const unsigned char least = low < high ? low : high, most = low < high ? high : low;
        if ((unsigned char)c >= least && (unsigned char)c <= most) found = true;
        p++;
    }
    *after = p < end ? p + 1 : end;
    return found != negated;
}

/* Matches one character against the element at p, which is no star. */
static bool match_one(const char *p, const char *end, char c, const char **after)
{
    if (*p == '[') return match_class(p, end, c, after);
    if (*p == '\\' && p + 1 < end)
        p++;
    else if (*p == '?')
        c = *p;
    *after = p + 1;
    return *p == c;
}

bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t length)
{
    const char *p = pattern, *const pattern_end = pattern + pattern_length;
    const char *t = text, *const text_end = text + length;
    const char *star = NULL, *star_text = NULL; /* behind the last star; where what it takes ends */
    while (t < text_end) {
        const char *after;
        if (p < pattern_end && *p == '*') {
            star = ++p;
            star_text = t;
        } else if (p < pattern_end && match_one(p, pattern_end, *t, &after)) {
            p = after;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern_end && *p == '*') p++;
    return p == pattern_end;
}
