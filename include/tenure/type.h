/* Types: what an object looks like to the collector.
 *
 * A declaration makes a hidden descriptor and a hidden 64-bit header word that a constructor fills at load time, so
 * that an allocation needs no look-up. Types are process-wide, immortal and usable in any heap. */
#ifndef TENURE_TYPE_H
#define TENURE_TYPE_H

#include <tenure/heap.h>
#ifdef __cplusplus
#include <type_traits>
extern "C" {
#endif

typedef struct tenure_visitor tenure_visitor;

/* Called in a stop, on a collector thread, perhaps on several for pieces of one object: visits the references of object
 * that lie in [low, high); reads this object only; no allocation, no lock, no barrier. */
typedef void tenure_trace_fn(void *object, void *low, void *high, tenure_visitor *visitor);
/* slot: the address of a reference inside the object (or of a root in a root callback). */
TENURE_API void tenure_visit(tenure_visitor *visitor, void *slot);
TENURE_API void tenure_visit_range(tenure_visitor *visitor, void *slots, size_t count);

enum { TENURE__REFERENCE, TENURE__INTERIOR, TENURE__ELEMENT };
typedef struct tenure__item {
    uint32_t offset; /* of the first reference, from the object (ELEMENT: from the element) */
    uint32_t count;
    uint32_t stride; /* bytes from one reference to the next */
    uint32_t kind;   /* TENURE__REFERENCE... */
} tenure__item;

enum {
    TENURE__FLEX = 1,      /* has a flexible part */
    TENURE__FLEX_REFS = 2, /* whose words are references */
    TENURE__CUSTOM = 4,    /* traced by the type's function */
    TENURE__AMBIGUOUS = 8  /* any word may be a pointer */
};

typedef struct tenure_type {
    const char *name;
    uint64_t *header; /* the header word that registration fills */
    const tenure__item *items;
    tenure_trace_fn *trace;
    uint32_t item_count;
    uint32_t flags;
    uint32_t size; /* bytes of the fixed part */
    uint32_t align;
    uint32_t flex_offset; /* of the flexible part */
    uint32_t flex_stride; /* bytes of an element */
    const char *fields;   /* the flexible member, if any, and the items, as they were written; or NULL */
} tenure_type;

TENURE_API void tenure__type_register(const tenure_type *type);

/* A layout learnt at run time. Offsets of references in bytes; flexible parts as in the macros. The names and arrays
 * are copied. NULL and errno EINVAL (misaligned, outside, contradictory) or ENOMEM. */
typedef struct tenure_type_spec {
    const char *name;
    size_t size, align;       /* of the fixed part; align at most 16 */
    const size_t *references; /* offsets of references in the fixed part */
    size_t reference_count;
    size_t flex_offset, flex_stride; /* stride 0: no flexible part */
    const size_t *flex_references;   /* offsets of references in an element */
    size_t flex_reference_count;
    tenure_trace_fn *trace; /* not NULL: custom; references are not used then */
    bool ambiguous;
} tenure_type_spec;
TENURE_API const tenure_type *tenure_type_create(const tenure_type_spec *spec);

#ifdef __cplusplus
}
#endif

/* --- items --- */

#define TENURE_EACH(array, member) (TENURE__EACH, array, member)
#define TENURE_WORD(field) (TENURE__WORD, field)
#define TENURE_INTERIOR(field) (TENURE__INSIDE, field)
#define TENURE_ELEMENT(field) (TENURE__OF_ELEMENT, field)

#define TENURE__FIELD(T, f) (((T *)0)->f)
#ifdef __cplusplus
template <typename F> struct tenure__is_reference : std::is_pointer<typename std::remove_all_extents<F>::type> {
};
#define TENURE__IS_REFERENCE(T, f)                                 \
    (tenure__is_reference<decltype(TENURE__FIELD(T, f))>::value || \
        tenure__is_reference<typename std::remove_reference<decltype((TENURE__FIELD(T, f)))>::type>::value)
#define TENURE__REQUIRE(condition, message) (sizeof(char[(condition) ? 1 : -1]) * 0)
#else
/* A decayed rvalue of the field: arrays become pointers, qualifiers and _Atomic go. */
#define TENURE__DECAYED(T, f) __typeof__(((void)0, TENURE__FIELD(T, f)))
#define TENURE__IS_SCALAR(T, f)                                                              \
    (__builtin_types_compatible_p(__typeof__(TENURE__FIELD(T, f)), TENURE__DECAYED(T, f)) || \
        __builtin_types_compatible_p(__typeof__(TENURE__FIELD(T, f)), _Atomic TENURE__DECAYED(T, f)))
#define TENURE__IS_POINTER(T, f) (__builtin_classify_type(TENURE__FIELD(T, f)) == 5)
#define TENURE__FIRST(T, f) \
    (__builtin_choose_expr(TENURE__IS_POINTER(T, f) && !TENURE__IS_SCALAR(T, f), TENURE__FIELD(T, f), (char *)0)[0])
#define TENURE__IS_REFERENCE(T, f) \
    (TENURE__IS_POINTER(T, f) && (TENURE__IS_SCALAR(T, f) || __builtin_classify_type(TENURE__FIRST(T, f)) == 5))
#define TENURE__REQUIRE(condition, message) \
    (sizeof(struct {                        \
        _Static_assert(condition, message); \
        char unused;                        \
    }) * 0)
#endif

#define TENURE__CHECKED_OFFSET(T, f, condition, message)              \
    (uint32_t)(offsetof(T, f) + TENURE__REQUIRE(condition, message) + \
               TENURE__REQUIRE(offsetof(T, f) % sizeof(void *) == 0, "Tenure: a reference must be aligned"))
#define TENURE__POINTER_ITEM(T, f, kind)                                                             \
    { TENURE__CHECKED_OFFSET(T, f, TENURE__IS_REFERENCE(T, f), "Tenure: an item must be a pointer"), \
        (uint32_t)(sizeof(TENURE__FIELD(T, f)) / sizeof(void *)), (uint32_t)sizeof(void *), kind },

#define TENURE__ITEM_FIELD(T, E, f) TENURE__POINTER_ITEM(T, f, TENURE__REFERENCE)
#define TENURE__ITEM_TENURE__EACH(T, E, array, member)                                                       \
    { (uint32_t)(offsetof(T, array) + TENURE__CHECKED_OFFSET(__typeof__(TENURE__FIELD(T, array[0])), member, \
                                          TENURE__IS_REFERENCE(T, array[0].member),                          \
                                          "Tenure: an item must be a pointer")),                             \
        (uint32_t)(sizeof(TENURE__FIELD(T, array)) / sizeof(TENURE__FIELD(T, array[0]))),                    \
        (uint32_t)sizeof(TENURE__FIELD(T, array[0])), TENURE__REFERENCE },
#define TENURE__ITEM_TENURE__WORD(T, E, f)                                            \
    { TENURE__CHECKED_OFFSET(T, f, sizeof(TENURE__FIELD(T, f)) % sizeof(void *) == 0, \
          "Tenure: a word item must "                                                 \
          "be as wide as a pointer"),                                                 \
        (uint32_t)(sizeof(TENURE__FIELD(T, f)) / sizeof(void *)), (uint32_t)sizeof(void *), TENURE__REFERENCE },
#define TENURE__ITEM_TENURE__INSIDE(T, E, f) TENURE__POINTER_ITEM(T, f, TENURE__INTERIOR)
#define TENURE__ITEM_TENURE__OF_ELEMENT(T, E, f) TENURE__POINTER_ITEM(E, f, TENURE__ELEMENT)

/* Calls TENURE__ITEM_x(T, E, ...) for a bracketed item and TENURE__ITEM_FIELD(T, E, f) for a plain one. */
#define TENURE__PROBE(...) ~, 1
#define TENURE__SECOND(a, b, ...) b
#define TENURE__IS_BRACKETED_(...) TENURE__SECOND(__VA_ARGS__, 0, ~)
#define TENURE__IS_BRACKETED(item) TENURE__IS_BRACKETED_(TENURE__PROBE item)
#define TENURE__PASTE_(a, b) a##b
#define TENURE__PASTE(a, b) TENURE__PASTE_(a, b)
#define TENURE__ITEM(T, E, item) TENURE__PASTE(TENURE__ITEM_, TENURE__IS_BRACKETED(item))(T, E, item)
#define TENURE__ITEM_0(T, E, item) TENURE__ITEM_FIELD(T, E, item)
#define TENURE__UNWRAP(...) __VA_ARGS__
#define TENURE__ITEM_1(T, E, item) TENURE__BRACKETED(T, E, TENURE__UNWRAP item)
#define TENURE__BRACKETED(...) TENURE__BRACKETED_(__VA_ARGS__)
#define TENURE__BRACKETED_(T, E, tag, ...) TENURE__ITEM_##tag(T, E, __VA_ARGS__)

#define TENURE__FOR_0(T, E, ...)
#define TENURE__FOR_1(T, E, a) TENURE__ITEM(T, E, a)
#define TENURE__FOR_2(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_1(T, E, __VA_ARGS__)
#define TENURE__FOR_3(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_2(T, E, __VA_ARGS__)
#define TENURE__FOR_4(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_3(T, E, __VA_ARGS__)
#define TENURE__FOR_5(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_4(T, E, __VA_ARGS__)
#define TENURE__FOR_6(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_5(T, E, __VA_ARGS__)
#define TENURE__FOR_7(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_6(T, E, __VA_ARGS__)
#define TENURE__FOR_8(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_7(T, E, __VA_ARGS__)
#define TENURE__FOR_9(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_8(T, E, __VA_ARGS__)
#define TENURE__FOR_10(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_9(T, E, __VA_ARGS__)
#define TENURE__FOR_11(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_10(T, E, __VA_ARGS__)
#define TENURE__FOR_12(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_11(T, E, __VA_ARGS__)
#define TENURE__FOR_13(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_12(T, E, __VA_ARGS__)
#define TENURE__FOR_14(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_13(T, E, __VA_ARGS__)
#define TENURE__FOR_15(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_14(T, E, __VA_ARGS__)
#define TENURE__FOR_16(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_15(T, E, __VA_ARGS__)
#define TENURE__FOR_17(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_16(T, E, __VA_ARGS__)
#define TENURE__FOR_18(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_17(T, E, __VA_ARGS__)
#define TENURE__FOR_19(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_18(T, E, __VA_ARGS__)
#define TENURE__FOR_20(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_19(T, E, __VA_ARGS__)
#define TENURE__FOR_21(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_20(T, E, __VA_ARGS__)
#define TENURE__FOR_22(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_21(T, E, __VA_ARGS__)
#define TENURE__FOR_23(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_22(T, E, __VA_ARGS__)
#define TENURE__FOR_24(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_23(T, E, __VA_ARGS__)
#define TENURE__FOR_25(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_24(T, E, __VA_ARGS__)
#define TENURE__FOR_26(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_25(T, E, __VA_ARGS__)
#define TENURE__FOR_27(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_26(T, E, __VA_ARGS__)
#define TENURE__FOR_28(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_27(T, E, __VA_ARGS__)
#define TENURE__FOR_29(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_28(T, E, __VA_ARGS__)
#define TENURE__FOR_30(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_29(T, E, __VA_ARGS__)
#define TENURE__FOR_31(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_30(T, E, __VA_ARGS__)
#define TENURE__FOR_32(T, E, a, ...) TENURE__ITEM(T, E, a) TENURE__FOR_31(T, E, __VA_ARGS__)
/* 33 to 64 items select TENURE__FOR_TOO_MANY, which is not defined: a compile error that says so. */
#define TENURE__COUNT(...)                                                                                          \
    TENURE__COUNT_(__VA_ARGS__, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS,     \
        TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS,             \
        TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS,             \
        TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS,             \
        TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS,             \
        TOO_MANY_ITEMS, TOO_MANY_ITEMS, TOO_MANY_ITEMS, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, \
        17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, ~)
#define TENURE__COUNT_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, _20, _21, \
    _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, _33, _34, _35, _36, _37, _38, _39, _40, _41, _42, _43, _44, \
    _45, _46, _47, _48, _49, _50, _51, _52, _53, _54, _55, _56, _57, _58, _59, _60, _61, _62, _63, _64, n, ...)        \
    n
#define TENURE__FOR(T, E, ...) TENURE__PASTE(TENURE__FOR_, TENURE__COUNT(__VA_ARGS__))(T, E, __VA_ARGS__)

/* --- declarations --- */

#if defined(__clang__)
#define TENURE__QUIET_BEGIN                                                                                      \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wgnu-zero-variadic-macro-arguments\"") \
        _Pragma("clang diagnostic ignored \"-Winvalid-offsetof\"")
#define TENURE__QUIET_END _Pragma("clang diagnostic pop")
#else
#define TENURE__QUIET_BEGIN
#define TENURE__QUIET_END
#endif

#define TENURE__HEADER_WORD __attribute__((visibility("hidden"), section("tenure_headers"))) uint64_t
/* name__apart: 1 if only the slow path may allocate it (ambiguous objects live in blocks of their own). A constant
 * where the type is defined, a load elsewhere. */
#define TENURE__DECLARE(name, T, fixed_bytes, offset, stride) \
    typedef T name##__object;                                 \
    extern TENURE__HIDDEN const unsigned char name##__apart;  \
    typedef char name##__fixed[fixed_bytes];                  \
    typedef char name##__flex_offset[(offset) + 1];           \
    typedef char name##__flex_stride[(stride) + 1];

#define TENURE__DEFINE(name, T, fields_, items_, item_count_, trace_, flags_, fixed_bytes, offset, stride)         \
    TENURE__DECLARE(name, T, fixed_bytes, offset, stride)                                                          \
    const unsigned char name##__apart = ((flags_)&TENURE__AMBIGUOUS) != 0;                                         \
    extern TENURE__HIDDEN const tenure_type name##__type;                                                          \
    extern TENURE__HIDDEN uint64_t name##__header;                                                                 \
    TENURE__HEADER_WORD name##__header = 0;                                                                        \
    const tenure_type name##__type = { #name, &name##__header, items_, trace_, item_count_, flags_,                \
        (uint32_t)(fixed_bytes), (uint32_t) __alignof__(T), (uint32_t)(offset), (uint32_t)(stride), fields_ };     \
    __attribute__((constructor(101))) static void name##__register(void) { tenure__type_register(&name##__type); } \
    typedef char name##__end_of_type

#define TENURE__WITH_ITEMS(name, T, E, fields, flags, fixed_bytes, offset, stride, ...)                          \
    TENURE__QUIET_BEGIN                                                                                          \
    static const tenure__item name##__items[] = { TENURE__FOR(T, E, __VA_ARGS__) };                              \
    TENURE__DEFINE(name, T, fields, name##__items, (uint32_t)(sizeof name##__items / sizeof name##__items[0]),   \
        0, flags, fixed_bytes, offset, stride)                                                                   \
    TENURE__QUIET_END

#define TENURE__STRIDE(T, member) sizeof(TENURE__FIELD(T, member[0]))

/* Up to 32 items: a pointer field, nested ("a.b"), an array of pointers, TENURE_EACH, TENURE_WORD, TENURE_INTERIOR. */
#define TENURE_TYPE(name, T, ...) TENURE__WITH_ITEMS(name, T, T, #__VA_ARGS__, 0, sizeof(T), 0, 0, __VA_ARGS__)
/* No references at all. */
#define TENURE_TYPE_LEAF(name, T) TENURE__DEFINE(name, T, 0, 0, 0, 0, 0, sizeof(T), 0, 0)
/* A flexible array of plain data; or of structs, whose references are items TENURE_ELEMENT(field).
 * (name, T, member) or (name, T, member, item...). */
#define TENURE_TYPE_FLEX(name, T, ...) \
    TENURE__PASTE(TENURE__FLEX_, TENURE__ONE_OR_MORE(__VA_ARGS__))(name, T, #__VA_ARGS__, TENURE__FLEX, __VA_ARGS__)
/* A flexible array of references. */
#define TENURE_TYPE_FLEX_REFS(name, T, ...)                        \
    TENURE__PASTE(TENURE__FLEX_, TENURE__ONE_OR_MORE(__VA_ARGS__)) \
    (name, T, #__VA_ARGS__, TENURE__FLEX | TENURE__FLEX_REFS, __VA_ARGS__)
#define TENURE__FLEX_ONE(name, T, fields, flags, member)                                                  \
    TENURE__DEFINE(name, T, fields, 0, 0, 0, flags, offsetof(T, member), offsetof(T, member), \
        TENURE__STRIDE(T, member))
#define TENURE__FLEX_MORE(name, T, fields, flags, member, ...)                                               \
    TENURE__WITH_ITEMS(name, T, __typeof__(TENURE__FIELD(T, member[0])), fields, flags, offsetof(T, member), \
        offsetof(T, member), TENURE__STRIDE(T, member), __VA_ARGS__)
#define TENURE__ONE_OR_MORE(...)                                                                                    \
    TENURE__ONE_OR_MORE_(__VA_ARGS__, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
        MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
        MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
        MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, ONE, ~)
#define TENURE__ONE_OR_MORE_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19,     \
    _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, _33, _34, _35, _36, _37, _38, _39, _40, _41, _42, \
    _43, _44, _45, _46, _47, _48, _49, _50, _51, _52, _53, _54, _55, _56, _57, _58, _59, _60, _61, _62, _63, _64, n,   \
    ...)                                                                                                               \
    n
/* Traced by trace, which visits the references. */
#define TENURE_TYPE_CUSTOM(name, T, trace) TENURE__DEFINE(name, T, 0, 0, 0, trace, TENURE__CUSTOM, sizeof(T), 0, 0)
#define TENURE_TYPE_CUSTOM_FLEX(name, T, member, trace)                                                           \
    TENURE__DEFINE(name, T, #member, 0, 0, trace, TENURE__CUSTOM | TENURE__FLEX, offsetof(T, member),             \
        offsetof(T, member),                                                                                      \
        TENURE__STRIDE(T, member))
/* Any word may be a pointer; what it points to stays where it is. */
#define TENURE_TYPE_AMBIGUOUS(name, T) TENURE__DEFINE(name, T, 0, 0, 0, 0, TENURE__AMBIGUOUS, sizeof(T), 0, 0)
#define TENURE_TYPE_AMBIGUOUS_FLEX(name, T, member)                                                              \
    TENURE__DEFINE(name, T, #member, 0, 0, 0, TENURE__AMBIGUOUS | TENURE__FLEX, offsetof(T, member),             \
        offsetof(T, member),                                                                                     \
        TENURE__STRIDE(T, member))

/* In headers, for a type that another file of the same program or library defines. */
#define TENURE_TYPE_EXTERN(name, T)                       \
    TENURE__DECLARE(name, T, sizeof(T), 0, 0)             \
    extern TENURE__HIDDEN const tenure_type name##__type; \
    extern TENURE__HIDDEN uint64_t name##__header
#define TENURE_TYPE_FLEX_EXTERN(name, T, member)                                                  \
    TENURE__DECLARE(name, T, offsetof(T, member), offsetof(T, member), TENURE__STRIDE(T, member)) \
    extern TENURE__HIDDEN const tenure_type name##__type;                                         \
    extern TENURE__HIDDEN uint64_t name##__header

#endif
