/* Names of fields. The macros keep the text of the items: "next, TENURE_EACH(slots, key)", in flexible types after the
 * flexible member's. */
#include "lib/inspect/fields.h"
#include <stdio.h>
#include <string.h>

typedef struct span {
    const char *text;
    int length;
} span;

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

/* What stands between the separators at from, without the blanks around it; *from: behind it, NULL at the end. */
static span next_part(const char **from, const char *end)
{
    const char *at = *from;
    while (at < end && is_blank(*at)) at++;
    span part = { at, 0 };
    for (unsigned depth = 0; at < end && (*at != ',' || depth != 0); at++) {
        depth += *at == '(';
        depth -= *at == ')' && depth != 0;
    }
    *from = at < end ? at + 1 : 0;
    while (at > part.text && is_blank(at[-1])) at--;
    part.length = (int)(at - part.text);
    return part;
}

/* An item's text in two: "NAME(a, b)" is a and b, "NAME(a)" and "a" are a. */
static void split_item(span item, span *field, span *member)
{
    const char *open = memchr(item.text, '(', (size_t)item.length);
    *member = (span) { "", 0 };
    *field = item;
    if (open == NULL) return;
    const char *from = open + 1, *end = item.text + item.length - 1;
    *field = next_part(&from, end);
    if (from != NULL) *member = next_part(&from, end);
}

static bool item_covers(const tenure__item *item, size_t offset, size_t *index)
{
    if (offset < item->offset) return false;
    *index = item->stride != 0 ? (offset - item->offset) / item->stride : 0;
    return *index < item->count && item->offset + *index * item->stride == offset;
}

/* The item's part of the name, behind what is there already. */
static void append_item(const tenure__item *item, span text, size_t index, char *name, size_t size)
{
    span field, member;
    split_item(text, &field, &member);
    const size_t length = strlen(name);
    int wrote = snprintf(name + length, size - length, "%s%.*s", length != 0 ? "." : "", field.length, field.text);
    if (wrote < 0 || (size_t)wrote >= size - length) return;
    const size_t at = length + (size_t)wrote;
    if (member.length != 0)
        snprintf(name + at, size - at, "[%zu].%.*s", index, member.length, member.text);
    else if (item->count > 1)
        snprintf(name + at, size - at, "[%zu]", index);
}

bool tenure__field_name(const tenure_type *type, size_t offset, char *name, size_t size)
{
    if (type->fields == NULL) return false;
    const char *from = type->fields, *end = from + strlen(from);
    const bool flexible = (type->flags & TENURE__FLEX) != 0;
    const span member = flexible ? next_part(&from, end) : (span) { "", 0 };
    const bool in_elements = flexible && offset >= type->flex_offset;
    const size_t element = in_elements ? (offset - type->flex_offset) / type->flex_stride : 0;
    name[0] = '\0';
    if (in_elements) snprintf(name, size, "%.*s[%zu]", member.length, member.text, element);
    for (uint32_t i = 0; i < type->item_count && from != NULL; i++) {
        const tenure__item *item = &type->items[i];
        const span text = next_part(&from, end);
        size_t index;
        const bool of_element = item->kind == TENURE__ELEMENT;
        if (of_element != in_elements) continue;
        const size_t within = in_elements ? offset - type->flex_offset - element * type->flex_stride : offset;
        if (!item_covers(item, within, &index)) continue;
        append_item(item, text, index, name, size);
        return true;
    }
    return in_elements;
}
