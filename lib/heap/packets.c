/* Packets come from one lazily populated mapping, so that taking one in a stop needs no memory from elsewhere. */
#include "lib/heap/heap.h"
#include "threads/system.h"

void tenure__index_push(tenure__index_stack *stack, uint32_t *next, uint32_t index)
{
    uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
    uint64_t new_head;
    do {
        __atomic_store_n(next, (uint32_t)head, __ATOMIC_RELAXED);
        new_head = ((head >> 32) + 1) << 32 | index;
        /* release: what was written into the element is the popper's; pairs with the acquire in the pops. */
    } while (
        !atomic_compare_exchange_weak_explicit(stack, &head, new_head, memory_order_release, memory_order_relaxed));
}

tenure_status tenure__packets_create(tenure__packets *packets, uint32_t capacity)
{
    packets->capacity = capacity;
    packets->pool_bytes = ((size_t)capacity + 1) * sizeof(tenure__packet);
    packets->pool = tenure__map(packets->pool_bytes);
    return packets->pool != 0 ? TENURE_OK : TENURE_ENOMEM;
}

void tenure__packets_destroy(tenure__packets *packets) { tenure__unmap(packets->pool, packets->pool_bytes); }

uint32_t tenure__packet_pop(tenure__packets *packets, tenure__index_stack *stack)
{
    uint64_t head = atomic_load_explicit(stack, memory_order_acquire);
    while ((uint32_t)head != 0) {
        /* The tag makes the exchange fail if the packet was popped and pushed again meanwhile (ABA). */
        const uint32_t next = __atomic_load_n(&packets->pool[(uint32_t)head].next, __ATOMIC_RELAXED);
        if (atomic_compare_exchange_weak_explicit(
                stack, &head, ((head >> 32) + 1) << 32 | next, memory_order_acquire, memory_order_acquire))
            return (uint32_t)head;
    }
    return 0;
}

void tenure__packet_push(tenure__packets *packets, tenure__index_stack *stack, uint32_t packet)
{
    tenure__index_push(stack, &packets->pool[packet].next, packet);
}

uint32_t tenure__packet_take(tenure__packets *packets)
{
    uint32_t packet = tenure__packet_pop(packets, &packets->free);
    if (packet == 0) {
        packet = atomic_load_explicit(&packets->used, memory_order_relaxed);
        do {
            if (packet == packets->capacity) return 0;
        } while (!atomic_compare_exchange_weak_explicit(
            &packets->used, &packet, packet + 1, memory_order_relaxed, memory_order_relaxed));
        packet++;
    }
    packets->pool[packet].count = 0;
    __atomic_store_n(&packets->pool[packet].next, 0, __ATOMIC_RELAXED);
    return packet;
}

void tenure__packet_give(tenure__packets *packets, uint32_t packet)
{
    tenure__packet_push(packets, &packets->free, packet);
}

bool tenure__packet_append(tenure__packets *packets, uint32_t *list, uintptr_t entry)
{
    if (*list == 0 || packets->pool[*list].count == TENURE__PACKET_ENTRIES) {
        const uint32_t packet = tenure__packet_take(packets);
        if (packet == 0) return false;
        /* Atomic, relaxed: a slow popper of the free stack may still look at it; its exchange will fail. */
        __atomic_store_n(&packets->pool[packet].next, *list, __ATOMIC_RELAXED);
        *list = packet;
    }
    tenure__packet *packet = &packets->pool[*list];
    packet->entries[packet->count++] = entry;
    return true;
}
