/* Options: every word, every unit, what is refused and how it is named. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/heap/limits.h"

static char err[256];

static tenure_options fresh(void)
{
    tenure_options options;
    unsetenv("TENURE_OPTIONS");
    cr_assert(eq(int, tenure_options_init(&options, err, sizeof err), TENURE_OK));
    return options;
}

static tenure_options parsed(const char *text)
{
    tenure_options options = fresh();
    cr_assert(eq(int, tenure_options_parse(&options, text, err, sizeof err), TENURE_OK), "%s: %s", text, err);
    return options;
}

/* Refused, the options untouched, and the message holds the word. */
static void refused(const char *text, const char *word)
{
    tenure_options options = fresh();
    options.gen0 = 12345;
    const tenure_options before = options;
    memset(err, 0, sizeof err);
    cr_expect(eq(int, tenure_options_parse(&options, text, err, sizeof err), TENURE_EINVAL), "%s", text);
    cr_expect(memcmp(&options, &before, sizeof options) == 0, "%s changed the options", text);
    cr_expect(strstr(err, word) != NULL, "'%s' does not name '%s'", err, word);
}

Test(options, defaults)
{
    const tenure_options options = fresh();
    cr_expect(eq(u32, options.size, sizeof options));
    cr_expect(eq(u32, options.version, TENURE_VERSION_NUMBER));
    cr_expect(eq(int, options.roots, TENURE_ROOTS_CONSERVATIVE));
    cr_expect(eq(int, options.rcu, TENURE_RCU_ON));
    cr_expect(eq(u16, options.ref_tags, 1));
    cr_expect(eq(u64, options.ambiguous_mask, 0));
    cr_expect(eq(str, (char *)options.environment, "TENURE_OPTIONS"));
    cr_expect(eq(u64, options.pause_target, 2000000));
    cr_expect(eq(u64, options.return_delay, 1000000000));
    cr_expect(eq(int, options.lead, TENURE_LEAD_MUTATOR));
    cr_expect(eq(u64, options.max_heap, 0));
    cr_expect(eq(u64, options.gen0, 0));
    cr_expect(eq(u32, options.workers, 0));
    cr_expect(not(options.log_gc));
}

Test(options, every_word)
{
    const tenure_options options = parsed("max_heap=1g,gen0=8m,gen1_after=3,gen2_growth=150,pause_target=500us,"
                                          "workers=7,lead=daemon,return_delay=3s,huge_pages=off,log=gc,debug=leak,"
                                          "verify=before,after,torture=poll,overflow,evacuate,nospace,alloc:17");
    cr_expect(eq(u64, options.max_heap, 1ull << 30));
    cr_expect(eq(u64, options.gen0, 8ull << 20));
    cr_expect(eq(u32, options.gen1_after, 3));
    cr_expect(eq(u32, options.gen2_growth, 150));
    cr_expect(eq(u64, options.pause_target, 500000));
    cr_expect(eq(u32, options.workers, 7));
    cr_expect(eq(int, options.lead, TENURE_LEAD_DAEMON));
    cr_expect(eq(u64, options.return_delay, 3000000000));
    cr_expect(not(options.huge_pages));
    cr_expect(options.log_gc);
    cr_expect(eq(u32, options.debug, TENURE_DEBUG_LEAK));
    cr_expect(eq(u32, options.verify, TENURE_VERIFY_BEFORE | TENURE_VERIFY_AFTER));
    cr_expect(eq(u32, options.torture, 15));
    cr_expect(eq(u64, options.torture_alloc, 17));
}

Test(options, units)
{
    cr_expect(eq(u64, parsed("max_heap=1048576").max_heap, 1048576));
    cr_expect(eq(u64, parsed("max_heap=64k").max_heap, 65536));
    cr_expect(eq(u64, parsed("max_heap=2M").max_heap, 2097152));
    cr_expect(eq(u64, parsed("max_heap=3G").max_heap, 3ull << 30));
    cr_expect(eq(u64, parsed("pause_target=700ns").pause_target, 700));
    cr_expect(eq(u64, parsed("pause_target=7us").pause_target, 7000));
    cr_expect(eq(u64, parsed("pause_target=7ms").pause_target, 7000000));
    cr_expect(eq(u64, parsed("pause_target=2s").pause_target, 2000000000));
    cr_expect(eq(u64, parsed("return_delay=0").return_delay, 0));
    cr_expect(eq(u64, parsed("max_heap=17179869183g").max_heap, 17179869183ull << 30));
    cr_expect(eq(u32, parsed("workers=4294967295").workers, 4294967295));
}

Test(options, lists)
{
    cr_expect(eq(u32, parsed("verify=before+after").verify, 3));
    cr_expect(eq(u32, parsed("check=locks+barriers+uses,roots").check, TENURE_CHECK_ALL));
    cr_expect(eq(u32, parsed("verify=all").verify, TENURE_VERIFY_ALL));
    cr_expect(eq(u32, parsed("verify=after,workers=2").verify, TENURE_VERIFY_AFTER));
    cr_expect(eq(u32, parsed("verify=after,workers=2").workers, 2));
    cr_expect(eq(u32, parsed("verify=after,verify=before").verify, TENURE_VERIFY_BEFORE));
    cr_expect(eq(u32, parsed("verify=before+after,verify=off").verify, 0));
    cr_expect(eq(u32, parsed("torture=nospace,alloc:3,verify=after").torture, TENURE_TORTURE_NOSPACE));
    cr_expect(eq(u64, parsed("torture=nospace,alloc:3,verify=after").torture_alloc, 3));
    cr_expect(eq(u64, parsed("torture=alloc:3,torture=poll").torture_alloc, 0));
    cr_expect(not(parsed("log=gc,log=off").log_gc));
}

Test(options, faults)
{
    const tenure_options options =
        parsed("fault=mmap:0.01,madvise:1,mprotect:0.000001,thread:0,malloc:0.25,nth:3,seed:9");
    cr_expect(options.fault.on);
    cr_expect(eq(u64, options.fault.map, 10000));
    cr_expect(eq(u64, options.fault.advise, 1000000));
    cr_expect(eq(u64, options.fault.protect, 1));
    cr_expect(eq(u64, options.fault.thread, 0));
    cr_expect(eq(u64, options.fault.memory, 250000));
    cr_expect(eq(u64, options.fault.nth, 3));
    cr_expect(eq(u64, options.fault.seed, 9));
    cr_expect(not(parsed("fault=seed:9").fault.on));
    cr_expect(not(parsed("fault=mmap:1,fault=off").fault.on));
    cr_expect(eq(u64, parsed("fault=mmap:1,fault=nth:2").fault.map, 0));
    const char *const wrong[] = { "fault=mmap", "fault=mmap:", "fault=mmap:2", "fault=mmap:1.5", "fault=mmap:0.0000001",
        "fault=mmap:0.", "fault=mmap:.5", "fault=mmap:10", "fault=mmap:0.1.1", "fault=nth:0.5", "fault=mmap:-1" };
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tenure_options same = options;
        cr_expect(eq(int, tenure_options_parse(&same, wrong[i], NULL, 0), TENURE_EINVAL), "%s", wrong[i]);
    }
}

Test(options, blanks_and_nothing)
{
    parsed("");
    cr_expect(eq(u64, parsed(" gen0=1m,\tworkers=2, ").gen0, 1ull << 20));
}

Test(options, refusals)
{
    refused("max_hep=1g", "max_hep");
    refused("workers=2,max_hep=1g", "max_hep");
    refused("gen0", "gen0");
    refused("gen0=", "gen0=");
    refused("gen0=8q", "8q");
    refused("gen0=8mb", "8mb");
    refused("gen0=m", "gen0=m");
    refused("gen0=-1", "-1");
    refused("gen0=1.5g", "1.5g");
    refused("max_heap=17179869184g", "17179869184g");
    refused("max_heap=18446744073709551616", "18446744073709551616");
    refused("workers=4294967296", "4294967296");
    refused("workers=2k", "2k");
    refused("pause_target=2", "pause_target=2");
    refused("pause_target=2h", "2h");
    refused("lead=me", "mutator daemon");
    refused("huge_pages=yes", "yes");
    refused("verify=before,afer", "afer");
    refused("verify=before+", "before+");
    refused("workers=2,before", "before");
    refused("verify=before,workers=2,after", "after");
    refused("torture=alloc", "alloc");
    refused("torture=alloc:", "alloc:");
    refused("torture=alloc:x", "alloc:x");
    refused("torture=poll:3", "poll:3");
    refused("roots=precise", "roots=precise");
    refused("=3", "=3");
}

Test(options, message_is_cut_to_its_room)
{
    tenure_options options = fresh();
    char tiny[8] = "unset";
    cr_expect(eq(int, tenure_options_parse(&options, "nonsense=1", tiny, sizeof tiny), TENURE_EINVAL));
    cr_expect(strlen(tiny) == sizeof tiny - 1);
    cr_expect(eq(int, tenure_options_parse(&options, "nonsense=1", NULL, 0), TENURE_EINVAL));
}

Test(options, environment)
{
    tenure_options options;
    setenv("TENURE_OPTIONS", "gen0=4m,log=gc", 1);
    cr_expect(eq(int, tenure_options_init(&options, err, sizeof err), TENURE_OK));
    cr_expect(eq(u64, options.gen0, 4ull << 20));
    cr_expect(options.log_gc);

    /* Another variable, and none: the words of the first are forgotten, what code set is not. */
    options.roots = TENURE_ROOTS_PRECISE;
    options.environment = "TENURE_TEST_OPTIONS";
    setenv("TENURE_TEST_OPTIONS", "workers=5", 1);
    cr_expect(eq(int, tenure_options_parse(&options, NULL, err, sizeof err), TENURE_OK));
    cr_expect(eq(u32, options.workers, 5));
    cr_expect(eq(u64, options.gen0, 0));
    cr_expect(not(options.log_gc));
    cr_expect(eq(int, options.roots, TENURE_ROOTS_PRECISE));
    options.environment = NULL;
    cr_expect(eq(int, tenure_options_parse(&options, NULL, err, sizeof err), TENURE_OK));
    cr_expect(eq(u32, options.workers, 0));

    setenv("TENURE_OPTIONS", "gen0=4m,what", 1);
    cr_expect(eq(int, tenure_options_init(&options, err, sizeof err), TENURE_EINVAL));
    cr_expect(strstr(err, "what") != NULL);
    cr_expect(eq(u64, options.gen0, 0));
    cr_expect(eq(u32, options.size, sizeof options));
}

static void contradicts(tenure_options options, const char *word)
{
    memset(err, 0, sizeof err);
    cr_expect(eq(int, tenure__options_check(&options, err, sizeof err), TENURE_EINVAL), "%s", word);
    cr_expect(strstr(err, word) != NULL, "'%s' does not name '%s'", err, word);
}

Test(options, contradictions)
{
    const tenure_options sound = fresh();
    tenure_options options = sound;
    cr_expect(eq(int, tenure__options_check(&options, err, sizeof err), TENURE_OK));
    options.ambiguous_mask = 0xFFFF000000000007;
    cr_expect(eq(int, tenure__options_check(&options, err, sizeof err), TENURE_OK));

    memset(&options, 0, sizeof options);
    contradicts(options, "size");
    options = sound;
    options.version += 100;
    contradicts(options, "version");
    options = sound;
    options.gen0 = 2 << 20;
    options.max_heap = 1 << 20;
    contradicts(options, "gen0");
    options.gen0 = 1;
    contradicts(options, "gen0");
    options = sound;
    options.max_heap = 1000;
    contradicts(options, "max_heap");
    options = sound;
    options.torture = 16;
    contradicts(options, "torture");
    options = sound;
    options.check = TENURE_CHECK_ALL + 1;
    contradicts(options, "check");
    options = sound;
    options.verify = 8;
    contradicts(options, "verify");
    options = sound;
    options.lead = (tenure_lead)2;
    contradicts(options, "lead");
    options = sound;
    options.ambiguous_mask = 0x10;
    contradicts(options, "ambiguous_mask");
}

Test(status, every_code_has_a_text)
{
    for (int status = TENURE_OK; status <= TENURE_ESYSTEM; status++) {
        cr_expect(ne(str, (char *)tenure_strerror((tenure_status)status), "unknown status"));
        cr_expect(ne(str, (char *)tenure_strerror((tenure_status)status), ""));
    }
    cr_expect(eq(str, (char *)tenure_strerror((tenure_status)99), "unknown status"));
    cr_expect(eq(str, (char *)tenure_version(), "0.1.0"));
}
