/* What programs inline, one function each; check.py looks at the instructions. */
#include <tenure.h>

typedef struct node {
    struct node *left, *right;
    long number;
} node;
_Static_assert(sizeof(node) == 24, "the size that check.py speaks of");
TENURE_TYPE(node_type, node, left, right);
TENURE_TYPE_LEAF(leaf_type, node);

node *fast_new(tenure_thread *self);
node *fast_new_leaf(tenure_thread *self);
void fast_set(tenure_thread *self, node *object, node *value);
void fast_set_at(tenure_thread *self, node **references, size_t i, node *value);
void fast_poll(tenure_thread *self);

node *fast_new(tenure_thread *self) { return tenure_new(self, node_type); }
node *fast_new_leaf(tenure_thread *self) { return tenure_new(self, leaf_type); }
void fast_set(tenure_thread *self, node *object, node *value) { TENURE_SET(self, object, left, value); }
void fast_set_at(tenure_thread *self, node **references, size_t i, node *value)
{
    TENURE_SET_AT(self, references, i, value);
}
void fast_poll(tenure_thread *self) { tenure_poll(self); }
