/* A snapshot of the heap as a file that Chrome's developer tools open (Memory, Load), and whatever else reads V8's
 * .heapsnapshot: one JSON object with a flat array of nodes, one of edges, and the strings that both refer to.
 *
 * In the stop every object becomes 16 bytes and every reference 8, in memory mapped for the size of the heap;
 * formatting and writing come after it. Streaming in the stop would need no memory, and hold everybody up for the disk.
 */
#include "lib/heap/record.h"
#include "lib/inspect/fields.h"
#include "lib/inspect/roots.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NODE_FIELDS = 5, KINDS = TENURE_ROOT_LIBRARY + 1, OBJECTS_FROM = 1 + KINDS, FIELDS_MAX = 64 };
enum { HANGS_ON = 1 + KINDS, TYPES_FROM }; /* strings */
enum { NODE_OBJECT = 3, NODE_SYNTHETIC = 9, EDGE_ELEMENT = 1, EDGE_PROPERTY = 2, EDGE_WEAK = 6 };

typedef struct node {
    uint32_t type, edges;
    uint64_t bytes;
} node;
typedef struct edge {
    uint32_t to, word; /* an object's number; where it lies in the object, in words */
} edge;
typedef struct rooted {
    uint32_t to, kind;
} rooted;

typedef struct names {
    uint64_t named; /* words of the fixed part that have a name */
    uint32_t first; /* string: the type's, followed by those of its words */
} names;

typedef struct snapshot {
    tenure_heap *heap;
    tenure__mutator *self;
    const char *path;
    FILE *out;
    int error;            /* of the file; 0: none */
    tenure_status status; /* of the stop */
    bool some_edge;
    uintptr_t object;  /* whose references are being noted */
    uint32_t entries;  /* of a weak map: noted so far */
    uint64_t *starts;  /* a bit a granule of the arena */
    uint64_t *is_root; /* likewise: some root leads to it */
    uint32_t *before;  /* a block: objects in the blocks before */
    node *nodes;
    edge *edges;
    rooted *roots;
    names *strings; /* a type */
    size_t node_room, edge_room, type_room, node_count, edge_count, root_count, kind_counts[KINDS];
} snapshot;

/* --- recording; stopped --- */

static size_t granule_of(const snapshot *to, uintptr_t object) { return (object - to->heap->base) >> 4; }
static bool has_bit(const uint64_t *bits, size_t at) { return (bits[at >> 6] >> (at & 63)) & 1; }
static void set_bit(uint64_t *bits, size_t at) { bits[at >> 6] |= (uint64_t)1 << (at & 63); }

/* The walk goes up in addresses, so an object's number follows from the bits below it. */
static uint32_t number_of(const snapshot *to, uintptr_t object)
{
    const size_t granule = granule_of(to, object), block = granule / TENURE__GRANULES;
    uint32_t number = to->before[block];
    for (size_t word = block * TENURE__BITMAP_WORDS; word < granule >> 6; word++)
        number += (uint32_t)__builtin_popcountll(to->starts[word]);
    return number + (uint32_t)__builtin_popcountll(to->starts[granule >> 6] & (((uint64_t)1 << (granule & 63)) - 1));
}

static void note_node(void *arg, uintptr_t object)
{
    snapshot *to = arg;
    const uint64_t header = tenure__header_load(object);
    set_bit(to->starts, granule_of(to, object));
    to->before[tenure__block_index(to->heap, object) + 1]++;
    to->nodes[to->node_count++] =
        (node) { tenure__header_type(header), 0, tenure__occupied_bytes(to->heap, object, header) };
}

static void note_edge(void *arg, uintptr_t slot, tenure__reference how)
{
    snapshot *to = arg;
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(to->heap, tenure__slot_load(slot), how, targets);
    for (unsigned i = 0; i < count; i++) {
        const uint32_t word = tenure__in_arena(to->heap, slot) ? (uint32_t)((slot - to->object) / 8) : to->entries++;
        to->edges[to->edge_count++] = (edge) { number_of(to, targets[i]), word };
        to->nodes[to->node_count].edges++;
    }
}

static bool is_entry(const tenure_type *type)
{
    return type == &tenure__entry_type || type == &tenure__entry_both_type;
}

static void note_edges(void *arg, uintptr_t object)
{
    snapshot *to = arg;
    to->object = object;
    to->entries = 0;
    tenure__each_edge(to->heap, object, note_edge, to);
    const tenure__map_entry *entry = (const tenure__map_entry *)object;
    if (is_entry(tenure__plan_of(tenure__header_load(object))->type) && entry->record.target != 0)
        note_edge(to, (uintptr_t)&entry->weak, TENURE__REFERENCE_PRECISE);
    to->node_count++;
}

/* Each object once, by the first root that leads to it. */
static void note_root(void *arg, const tenure__root_word *word)
{
    snapshot *to = arg;
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(to->heap, word->value, word->how, targets);
    for (unsigned i = 0; i < count; i++) {
        const size_t granule = granule_of(to, targets[i]);
        if (has_bit(to->is_root, granule)) continue;
        set_bit(to->is_root, granule);
        to->roots[to->root_count++] = (rooted) { number_of(to, targets[i]), word->kind };
        to->kind_counts[word->kind]++;
    }
}

static void record(tenure_heap *heap, void *arg)
{
    snapshot *to = arg;
    tenure__walk(heap, note_node, to);
    for (uint32_t block = 0; block < heap->block_count; block++) to->before[block + 1] += to->before[block];
    to->node_count = 0;
    tenure__walk(heap, note_edges, to);
    tenure__each_root_but(heap, to->self, note_root, to);
    tenure__each_root_of(heap, to->self, note_root, to);
}

static size_t bits_bytes(const snapshot *to) { return to->heap->arena_bytes / 16 / 8; }
static size_t before_bytes(const snapshot *to) { return ((size_t)to->heap->block_count + 1) * sizeof *to->before; }

static tenure_status map(tenure_heap *heap, void *arg)
{
    snapshot *to = arg;
    to->node_room = tenure__objects_bound(heap);
    /* Words, each of which may be an ambiguous reference to two. */
    to->edge_room = 2 * (TENURE__BLOCK_BYTES / 8) / TENURE__GRANULES * to->node_room;
    to->type_room = tenure__type_count();
    if (to->node_room > UINT32_MAX / NODE_FIELDS) return TENURE_ENOMEM;
    to->starts = tenure__map(bits_bytes(to));
    to->is_root = tenure__map(bits_bytes(to));
    to->before = tenure__map(before_bytes(to));
    to->nodes = tenure__map(to->node_room * sizeof *to->nodes);
    to->edges = tenure__map(to->edge_room * sizeof *to->edges);
    to->roots = tenure__map(to->node_room * sizeof *to->roots);
    to->strings = tenure__map(to->type_room * sizeof *to->strings);
    return to->starts != 0 && to->is_root != 0 && to->before != 0 && to->nodes != 0 && to->edges != 0 &&
                   to->roots != 0 && to->strings != 0
               ? TENURE_OK
               : TENURE_ENOMEM;
}

static void unmap(snapshot *to)
{
    tenure__unmap(to->starts, bits_bytes(to));
    tenure__unmap(to->is_root, bits_bytes(to));
    tenure__unmap(to->before, before_bytes(to));
    tenure__unmap(to->nodes, to->node_room * sizeof *to->nodes);
    tenure__unmap(to->edges, to->edge_room * sizeof *to->edges);
    tenure__unmap(to->roots, to->node_room * sizeof *to->roots);
    tenure__unmap(to->strings, to->type_room * sizeof *to->strings);
}

/* --- strings: the kinds of roots, what an entry hangs on, then of each type its name and those of its fixed part's
 * words --- */

static const char *const kind_names[KINDS] = { [TENURE_ROOT_STACK] = "(stacks)",
    [TENURE_ROOT_REGISTER] = "(registers)",
    [TENURE_ROOT_FRAME] = "(frames)",
    [TENURE_ROOT_FIBER] = "(fibers)",
    [TENURE_ROOT_THREAD_LOCAL] = "(thread-local data)",
    [TENURE_ROOT_PROGRAM] = "(program data)",
    [TENURE_ROOT_SLOT] = "(roots)",
    [TENURE_ROOT_RANGE] = "(root ranges)",
    [TENURE_ROOT_CALLBACK] = "(root callbacks)",
    [TENURE_ROOT_HANDLE] = "(handles)",
    [TENURE_ROOT_PIN] = "(pins)",
    [TENURE_ROOT_FINALIZER] = "(finalizers)",
    [TENURE_ROOT_LIBRARY] = "(calls of the library)" };

static uint32_t named_words(const tenure_type *type)
{
    if (type->fields == 0) return 0;
    return type->size / 8 < FIELDS_MAX ? type->size / 8 : FIELDS_MAX;
}

/* Bit i: word i of the fixed part has a name. */
static uint64_t named_map(const tenure_type *type)
{
    uint64_t map = 0;
    char name[128];
    for (uint32_t word = 0; word < named_words(type); word++)
        map |= (uint64_t)tenure__field_name(type, (size_t)word * 8, name, sizeof name) << word;
    return map;
}

static void number_strings(snapshot *to)
{
    uint32_t next = TYPES_FROM;
    for (uint32_t type = 1; type < to->type_room; type++) {
        to->strings[type] = (names) { named_map(tenure__type_at(type)), next };
        next += 1 + named_words(tenure__type_at(type));
    }
}

static void write_string(FILE *out, const char *text)
{
    fputs(",\n\"", out);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else
            fputc(c >= ' ' && c < 127 ? c : '?', out);
    }
    fputc('"', out);
}

static void write_strings(snapshot *to)
{
    fputs("\"strings\":[\"\"", to->out);
    for (unsigned i = 0; i < KINDS; i++) write_string(to->out, kind_names[i]);
    write_string(to->out, "hangs on");
    for (uint32_t i = 1; i < to->type_room; i++) {
        const tenure_type *type = tenure__type_at(i);
        write_string(to->out, type->name);
        for (uint32_t word = 0; word < named_words(type); word++) {
            char name[128];
            write_string(to->out, tenure__field_name(type, (size_t)word * 8, name, sizeof name) ? name : "");
        }
    }
    fputs("]", to->out);
}

/* --- writing --- */

static void write_head(const snapshot *to)
{
    unsigned kinds = 0;
    for (unsigned i = 0; i < KINDS; i++) kinds += to->kind_counts[i] != 0;
    fprintf(to->out,
        "{\"snapshot\":{\"meta\":{"
        "\"node_fields\":[\"type\",\"name\",\"id\",\"self_size\",\"edge_count\"],"
        "\"node_types\":[[\"hidden\",\"array\",\"string\",\"object\",\"code\",\"closure\",\"regexp\",\"number\","
        "\"native\",\"synthetic\"],\"string\",\"number\",\"number\",\"number\"],"
        "\"edge_fields\":[\"type\",\"name_or_index\",\"to_node\"],"
        "\"edge_types\":[[\"context\",\"element\",\"property\",\"internal\",\"hidden\",\"shortcut\",\"weak\"],"
        "\"string_or_number\",\"node\"]},\"node_count\":%zu,\"edge_count\":%zu,\"trace_function_count\":0},\n",
        to->node_count + OBJECTS_FROM, to->edge_count + to->root_count + kinds);
}

static void write_node(const snapshot *to, size_t index, unsigned type, uint32_t name, uint64_t bytes, size_t edges)
{
    fprintf(to->out, "%s%u,%" PRIu32 ",%zu,%" PRIu64 ",%zu\n", index != 0 ? "," : "", type, name, 2 * index + 1, bytes,
        edges);
}

static void write_nodes(const snapshot *to)
{
    size_t kinds = 0;
    for (unsigned i = 0; i < KINDS; i++) kinds += to->kind_counts[i] != 0;
    fputs("\"nodes\":[", to->out);
    write_node(to, 0, NODE_SYNTHETIC, 0, 0, kinds);
    for (unsigned i = 0; i < KINDS; i++) write_node(to, 1 + i, NODE_SYNTHETIC, 1 + i, 0, to->kind_counts[i]);
    for (size_t i = 0; i < to->node_count; i++) {
        const node *at = &to->nodes[i];
        write_node(to, OBJECTS_FROM + i, NODE_OBJECT, to->strings[at->type].first, at->bytes, at->edges);
    }
    fputs("],\n", to->out);
}

static void write_edge(snapshot *to, unsigned type, uint32_t name, size_t index)
{
    fprintf(to->out, "%s%u,%" PRIu32 ",%zu\n", to->some_edge ? "," : "", type, name, index * NODE_FIELDS);
    to->some_edge = true;
}

/* An ephemeron does not keep its key. */
static bool is_key(const tenure_type *type, size_t offset)
{
    return type == &tenure__ephemeron_type && offset == offsetof(tenure__pending, key);
}

static void write_object_edge(snapshot *to, const tenure_type *type, const names *strings, const edge *at)
{
    const size_t offset = (size_t)at->word * 8, index = OBJECTS_FROM + at->to;
    if (is_entry(type) && offset == offsetof(tenure__map_entry, weak))
        write_edge(to, EDGE_WEAK, HANGS_ON, index);
    else if (at->word < FIELDS_MAX && ((strings->named >> at->word) & 1) != 0)
        write_edge(to, is_key(type, offset) ? EDGE_WEAK : EDGE_PROPERTY, strings->first + 1 + at->word, index);
    else if ((type->flags & TENURE__FLEX) != 0 && offset >= type->flex_offset)
        write_edge(to, EDGE_ELEMENT, (uint32_t)((offset - type->flex_offset) / type->flex_stride), index);
    else
        write_edge(to, EDGE_ELEMENT, at->word, index);
}

static void write_edges(snapshot *to)
{
    fputs("\"edges\":[", to->out);
    for (unsigned i = 0; i < KINDS; i++)
        if (to->kind_counts[i] != 0) write_edge(to, EDGE_ELEMENT, i, 1 + i);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        uint32_t index = 0;
        for (size_t i = 0; i < to->root_count; i++)
            if (to->roots[i].kind == kind) write_edge(to, EDGE_ELEMENT, index++, OBJECTS_FROM + to->roots[i].to);
    }
    const edge *at = to->edges;
    for (size_t i = 0; i < to->node_count; i++)
        for (uint32_t j = 0; j < to->nodes[i].edges; j++, at++)
            write_object_edge(to, tenure__type_at(to->nodes[i].type), &to->strings[to->nodes[i].type], at);
    fputs("],\n", to->out);
}

static void open_file(void *arg)
{
    snapshot *to = arg;
    to->out = fopen(to->path, "we");
    to->error = to->out == 0 ? errno : 0;
}

static void write_file(void *arg)
{
    snapshot *to = arg;
    number_strings(to);
    write_head(to);
    write_nodes(to);
    write_edges(to);
    write_strings(to);
    fputs("}\n", to->out);
}

/* What is not whole does not stay. */
static void close_file(void *arg)
{
    snapshot *to = arg;
    struct stat file;
    errno = EIO;
    const bool failed = ferror(to->out) != 0, regular = fstat(fileno(to->out), &file) == 0 && S_ISREG(file.st_mode);
    if (fclose(to->out) != 0 || failed) to->error = errno;
    if (regular && (to->error != 0 || to->status != TENURE_OK)) unlink(to->path);
}

tenure_status tenure_snapshot(tenure_thread *self, const char *path)
{
    snapshot to = { .heap = self->heap, .self = tenure__mutator_of(self), .path = path };
    tenure__outside(open_file, &to);
    if (to.out != 0) {
        to.status = tenure__inspect(self, map, record, &to);
        if (to.status == TENURE_OK) tenure__outside(write_file, &to);
        unmap(&to);
        tenure__outside(close_file, &to);
    }
    if (to.status != TENURE_OK || to.error == 0) return to.status;
    errno = to.error;
    return TENURE_ESYSTEM;
}
