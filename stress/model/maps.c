/* Weak maps and sets. What an entry hangs on is some object; what it keeps is a token, an object made for it alone, by
 * which the walk recognises it: the library's records of entries give the addresses. */
#include "lib/heap/heap.h"
#include "stress/model/walk.h"
#include <tenure/weakmap.h>

typedef struct entry {
    struct entry *next;
    shadow *weak;   /* what it hangs on: the key, of a map of weak values the value */
    shadow *other;  /* what it keeps, or (BOTH) hangs on too; NULL: of a set */
    uint64_t epoch; /* of the walk that found it */
} entry;

static unsigned weakness_of(const shadow *map) { return (unsigned)(map->kind - model_map_kinds); }

/* --- what the program does --- */

void op_map(thread *t)
{
    static const tenure_weakness sorts[] = {
        [KEYS] = TENURE_WEAK_KEYS, [VALUES] = TENURE_WEAK_VALUES, [BOTH] = TENURE_WEAK_BOTH
    };
    const unsigned weakness = model_draw(t->source, 4);
    void *map = weakness == SET ? (void *)tenure_weakset_new(t->self, NULL, NULL, NULL)
                                : (void *)tenure_weakmap_new(t->self, sorts[weakness], NULL, NULL, NULL);
    if (map == NULL) {
        let_go(t);
        return;
    }
    local_set(t, LOCAL_B, map, shadow_new(&model_map_kinds[weakness], 0, 0));
    if (model_draw(t->source, 2) == 0)
        put_shared(t, LOCAL_B);
    else
        holder_put(t, any_holder(t), LOCAL_B);
}

static const shadow *key_of(const shadow *map, const entry *of)
{
    return weakness_of(map) == VALUES ? of->other : of->weak;
}

static entry **find_key(shadow *map, const shadow *key)
{
    entry **link = &map->entries;
    while (*link != NULL && key_of(map, *link) != key) link = &(*link)->next;
    return link;
}

static void drop(entry **link)
{
    entry *gone = *link;
    *link = gone->next;
    free(gone);
}

static void record(shadow *map, shadow *weak, shadow *other)
{
    entry *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    *made = (entry) { map->entries, weak, other, 0 };
    map->entries = made;
}

/* Of the map in C: the entry of key A, value B. */
static void put(thread *t, shadow *map)
{
    tenure_thread *self = t->self;
    void *const at = local_object(t, LOCAL_C), *const key = local_object(t, LOCAL_A);
    void *const value = local_object(t, LOCAL_B);
    const bool absent = model_draw(t->source, 3) == 0;
    bool done;
    if (weakness_of(map) == SET)
        done = absent ? tenure_weakset_put_if_absent(self, at, key) != NULL
                      : tenure_weakset_put(self, at, key) == TENURE_OK;
    else if (!absent)
        done = tenure_weakmap_put(self, at, key, value) == TENURE_OK;
    else {
        const void *got = tenure_weakmap_put_if_absent(self, at, key, value);
        done = got != NULL;
        if (done && weakness_of(map) == KEYS &&
            (got == local_object(t, LOCAL_B)) != (*find_key(map, local_shadow(t, LOCAL_A)) == NULL) &&
            !the_model.options.resurrects)
            model_fail(t, "put_if_absent of %s returned another value", walk_name(map).text);
        if (done && got != local_object(t, LOCAL_B)) return;
    }
    if (!done) {
        let_go(t);
        return;
    }
    entry **link = find_key(map, local_shadow(t, LOCAL_A));
    if (*link != NULL) drop(link);
    if (weakness_of(map) == VALUES)
        record(map, local_shadow(t, LOCAL_B), local_shadow(t, LOCAL_A));
    else
        record(map, local_shadow(t, LOCAL_A), weakness_of(map) == SET ? NULL : local_shadow(t, LOCAL_B));
}

/* A value by key A; what was resurrected lost its entries. */
static void get(thread *t, shadow *map)
{
    void *const at = local_object(t, LOCAL_C), *const key = local_object(t, LOCAL_A);
    const void *got =
        weakness_of(map) == SET ? tenure_weakset_get(t->self, at, key) : tenure_weakmap_get(t->self, at, key);
    const entry *wanted = *find_key(map, local_shadow(t, LOCAL_A));
    /* The value of a map of weak values, or of both, may have died since the last walk. */
    const bool may_be_gone = the_model.options.resurrects || weakness_of(map) == VALUES || weakness_of(map) == BOTH;
    if (got != NULL ? wanted == NULL && !map->vague : wanted != NULL && !may_be_gone)
        model_fail(t, "%s has %s entry of %s", walk_name(map).text, got != NULL ? "an" : "no",
            walk_name(local_shadow(t, LOCAL_A)).text);
    const shadow *token = wanted == NULL || weakness_of(map) != KEYS ? NULL : wanted->other;
    if (got != NULL && token != NULL && *(const uint64_t *)got != kind_first_word(token->pattern))
        model_fail(t, "%s has another value", walk_name(map).text);
}

static void discard(thread *t, shadow *map)
{
    void *const at = local_object(t, LOCAL_C), *const key = local_object(t, LOCAL_A);
    const bool was =
        weakness_of(map) == SET ? tenure_weakset_remove(t->self, at, key) : tenure_weakmap_remove(t->self, at, key);
    entry **link = find_key(map, local_shadow(t, LOCAL_A));
    if (was && *link == NULL && !map->vague) model_fail(t, "%s removed what nobody put", walk_name(map).text);
    if (*link != NULL) drop(link);
}

static bool descend_to_map(thread *t)
{
    for (unsigned tries = 0; tries < 10; tries++)
        if (descend(t, LOCAL_C) && local_shadow(t, LOCAL_C)->kind->sort == MAP) return true;
    return false;
}

/* An object that entries may hang on. */
static bool descend_to_key(thread *t, unsigned local)
{
    return descend(t, local) && local_shadow(t, local)->kind->sort == ORDINARY;
}

static bool prepare(thread *t, shadow *map)
{
    switch (weakness_of(map)) {
    case KEYS: /* the token in B */
        return descend_to_key(t, LOCAL_A) && make_token(t, model_draw(t->source, 2) == 0);
    case VALUES: /* in A; sometimes it is kept, so that the entry may be found */
        if (!make_token(t, false)) return false;
        local_set(t, LOCAL_A, local_object(t, LOCAL_B), local_shadow(t, LOCAL_B));
        if (model_draw(t->source, 3) == 0) holder_put(t, any_holder(t), LOCAL_B);
        return descend_to_key(t, LOCAL_B);
    default:
        return descend_to_key(t, LOCAL_A) && descend_to_key(t, LOCAL_B);
    }
}

void op_map_use(thread *t)
{
    if (!descend_to_map(t)) return;
    shadow *map = local_shadow(t, LOCAL_C);
    if (!shadow_begin(map)) return;
    const unsigned what = model_draw(t->source, 6);
    if (what < 3 && prepare(t, map) && local_shadow(t, LOCAL_C) != NULL && local_shadow(t, LOCAL_A) != NULL)
        put(t, map);
    if (what != 3 && (local_shadow(t, LOCAL_A) != NULL || descend_to_key(t, LOCAL_A)) &&
        local_shadow(t, LOCAL_C) != NULL)
        get(t, map);
    if (what == 3 && descend_to_key(t, LOCAL_A)) discard(t, map);
    shadow_end(map);
}

/* --- the walk --- */

static bool is_same(const walk *w, const shadow *map, const entry *of, const tenure__map_entry *record)
{
    if (of->other == NULL) return true;
    if (weakness_of(map) == BOTH) return walk_find(w, record->other) == of->other;
    return *(const uint64_t *)record->other == kind_first_word(of->other->pattern);
}

static void walk_entry(walk *w, const tenure__map_entry *record)
{
    const shadow *map = walk_find(w, record->record.target), *weak = walk_find(w, record->weak);
    if (map == NULL || weak == NULL || record->node == NULL) return;
    if (weakness_of(map) == BOTH && walk_find(w, record->other) == NULL) return; /* as yet */
    for (entry *each = map->entries; each != NULL; each = each->next)
        if (each->weak == weak && is_same(w, map, each, record)) {
            if (each->epoch != the_model.epoch && weakness_of(map) < BOTH)
                walk_meet(w, each->other, (void *)record->other, "an entry of a weak map");
            each->epoch = the_model.epoch;
            return;
        }
    if (map->vague) return;
    model_fail(
        w->t, "%s at %p has an entry of %s that nobody put", walk_name(map).text, map->object, walk_name(weak).text);
}

static void each_entry(walk *w, void (*fn)(walk *w, const tenure__map_entry *record))
{
    for (unsigned generation = 0; generation < 3; generation++)
        for (uintptr_t at = the_model.heap->records[TENURE__ENTRIES][generation].head; at != 0;
             at = tenure__record_at(at)->next)
            fn(w, (const tenure__map_entry *)at);
}

void maps_walk(walk *w) { each_entry(w, walk_entry); }

/* What has died for the shadows may live, frozen or held by some word, and its entry with it, which the program finds
 * by a key that it holds. (A key that has died nobody looks up.) */
static bool is_beyond_the_shadows(const walk *w, const shadow *map, const tenure__map_entry *record)
{
    const uintptr_t value = weakness_of(map) == VALUES ? record->weak : weakness_of(map) == BOTH ? record->other : 0;
    return value != 0 && walk_find(w, value) == NULL;
}

/* Everything was met by now. */
static void expect_kept(walk *w, const tenure__map_entry *record)
{
    shadow *map = walk_find(w, record->record.target);
    w->internal++;
    if (record->node == NULL) return;
    if (!w->exact) {
        if (map != NULL) map->vague |= is_beyond_the_shadows(w, map, record);
        return;
    }
    if (map == NULL || walk_find(w, record->weak) == NULL ||
        (record->other != 0 && walk_find(w, record->other) == NULL))
        model_fail(w->t, "an entry of a weak map at %p should be gone", (const void *)record);
}

static bool must_be_there(const shadow *map, const entry *of)
{
    return is_strong(map) && is_strong(of->weak) && (weakness_of(map) != BOTH || is_strong(of->other)) &&
           !the_model.options.resurrects;
}

static void check_map(walk *w, shadow *map)
{
    size_t count = 0;
    for (entry **link = &map->entries; *link != NULL;) {
        if ((*link)->epoch == the_model.epoch) {
            count++;
            link = &(*link)->next;
            continue;
        }
        if (must_be_there(map, *link))
            model_fail(
                w->t, "%s at %p lost its entry of %s", walk_name(map).text, map->object, walk_name((*link)->weak).text);
        drop(link);
        atomic_fetch_add(&the_model.entries_died, 1);
    }
    const size_t counted = tenure_weakmap_count(w->t->self, map->object);
    if (w->exact && !map->vague && counted != count)
        model_fail(w->t, "%s counts %zu entries instead of %zu", walk_name(map).text, counted, count);
}

void maps_check(walk *w)
{
    each_entry(w, expect_kept);
    for (size_t i = 0; i < w->count; i++)
        if (w->seen[i]->kind->sort == MAP) check_map(w, w->seen[i]);
}

void maps_free(shadow *of)
{
    while (of->entries != NULL) drop(&of->entries);
}
