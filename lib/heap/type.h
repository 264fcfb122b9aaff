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
    TENURE__SHAPE_AMBIGUOUS
} tenure__shape;

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
static inline const tenure_type *tenure__type_at(uint32_t index)
{
    return rcu_dereference(tenure__plans)[index].type;
}
uint32_t tenure__type_count(void);
/* The type of an array of that type's objects; registered at first use. NULL: no memory. */
const tenure_type *tenure__array_type(const tenure_type *element);

extern const tenure_type tenure__bytes_type, tenure__refs_type;

/* Of who registers a type. */
extern pthread_mutex_t tenure__types_lock;

#endif
