/* Quantities as people read them. */
#include "tests/support.h"
#include "threads/format.h"

static void shows_bytes(uint64_t bytes, const char *text)
{
    cr_expect(eq(str, tenure__format_bytes(bytes).text, (char *)text));
}

static void shows_duration(uint64_t ns, const char *text)
{
    cr_expect(eq(str, tenure__format_duration(ns).text, (char *)text));
}

Test(format, quantities)
{
    shows_bytes(0, "0");
    shows_bytes(812, "812");
    shows_bytes(1023, "1023");
    shows_bytes(1024, "1.0K");
    shows_bytes(8 << 20, "8.0M");
    shows_bytes((8 << 20) - 1, "8.0M");
    shows_bytes(10239, "10K");
    shows_bytes(256 << 20, "256M");
    shows_bytes(1288490189, "1.2G");
    shows_bytes(UINT64_MAX, "16777216T");
    shows_duration(0, "0");
    shows_duration(850, "850ns");
    shows_duration(2100, "2.1us");
    shows_duration(61400, "61us");
    shows_duration(61500, "62us");
    shows_duration(12000000, "12ms");
    shows_duration(3400000000, "3.4s");
    shows_duration(100000000000000, "100000s");
}
