/* Gives every test the time limit of the command line: Criterion's --timeout is an upper bound for tests that declare a
 * limit of their own, and none for all others. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/internal/ordered-set.h>

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    enum { FOR_EVER_SECONDS = 1000000 };
    FOREACH_SET(struct criterion_suite_set * suite, set->suites)
    {
        if (suite->tests == NULL) continue;
        FOREACH_SET(struct criterion_test * test, suite->tests)
        if (test->data->timeout == 0) test->data->timeout = FOR_EVER_SECONDS;
    }
}
