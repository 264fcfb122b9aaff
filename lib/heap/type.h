/* What the collector needs to know of a type, compiled from its descriptor. Types are process-wide and immortal. */
#ifndef TENURE_LIB_HEAP_TYPE_H
#define TENURE_LIB_HEAP_TYPE_H

#include "lib/heap/header.h"
#include "threads/rcu.h"
#include <pthread.h>
#include <tenure/type.h>

typedef enum tenure__shape {
    TENURE__SHAPE_FILLER,
    TENURE__SHAPE_LEAF,
    TENURE__SHAPE_MAP,      /* references by fixed_map alone */
    TENURE__SHAPE_REFS,     /* fixed_map, then every word from flex_offset on */
    TENURE__SHAPE_ELEMENTS, /* fixed_map, then element_map in every element */
    TENURE__SHAPE_ITEMS,    /* anything else: the descriptor's items */
    TENURE__SHAPE_CUSTOM,
    TENURE__SHAPE_AMBIGUOUS,
    TENURE__SHAPE_EPHEMERON /* fixed_map, once its key is reached */
} tenure__shape;

/* Flags of descriptors, beside those of tenure/type.h: the library's own types. */
enum {
    TENURE__EPHEMERON = 16,
    TENURE__HIDDEN_WORDS = 32 /* some words are the collector's: no program copies them */
};

typedef struct tenure__plan {
    const tenure_type *type;
    uint64_t fixed_map;   /* bit i: word i of the object is a reference */
    uint64_t element_map; /* likewise in an element */
    uint32_t flex_offset, flex_stride;
    uint8_t shape;
    bool has_references;
} tenure__plan;

/* Indexed by type. Published with RCU: a longer array replaces it; the shorter ones stay, for types are immortal. */
extern tenure__plan *tenure__plans;
static inline const tenure__plan *tenure__plan_of(uint64_t header)
{
    return &rcu_dereference(tenure__plans)[tenure__header_type(header)];
}
static inline const tenure_type *tenure__type_at(uint32_t index) { return rcu_dereference(tenure__plans)[index].type; }
uint32_t tenure__type_count(void);
/* The type of an array of that type's objects; registered at first use. NULL: no memory. */
const tenure_type *tenure__array_type(const tenure_type *element);

extern const tenure_type tenure__bytes_type, tenure__refs_type;
/* lib/heap/record.h; the arrays by kind, from watches on */
extern const tenure_type tenure__weak_type, tenure__ephemeron_type, tenure__action_types[3], tenure__due_types[3],
    tenure__map_type, tenure__entry_type, tenure__entry_both_type;

/* Of who registers a type. */
extern pthread_mutex_t tenure__types_lock;

#endif
