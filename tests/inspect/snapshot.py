"""Checks a .heapsnapshot as its readers do and prints a line per name: how many nodes, how many bytes; and how many
nodes the root leads to."""
import json
import sys

with open(sys.argv[1]) as file:
    heap = json.load(file)
meta = heap["snapshot"]["meta"]
width = len(meta["node_fields"])
nodes, edges, strings = heap["nodes"], heap["edges"], heap["strings"]
count = heap["snapshot"]["node_count"]
assert len(nodes) == count * width
assert len(edges) == heap["snapshot"]["edge_count"] * len(meta["edge_fields"])
assert len(set(nodes[2::width])) == count, "ids are unique"
node_types, edge_types = meta["node_types"][0], meta["edge_types"][0]

first = [0]
for edge_count in nodes[4::width]:
    first.append(first[-1] + 3 * edge_count)
assert first[-1] == len(edges)

objects, size = {}, {}
for at in range(0, len(nodes), width):
    name = strings[nodes[at + 1]]
    assert node_types[nodes[at]] in ("object", "synthetic")
    objects[name] = objects.get(name, 0) + 1
    size[name] = size.get(name, 0) + nodes[at + 3]

fields = {}
for at in range(0, len(edges), 3):
    kind, name, to = edges[at : at + 3]
    assert to % width == 0 and 0 < to < len(nodes)
    if edge_types[kind] in ("property", "weak"):
        fields[strings[name]] = fields.get(strings[name], 0) + 1
    else:
        assert edge_types[kind] == "element"

reached, queue = {0}, [0]
while queue:
    at = queue.pop()
    for edge in range(first[at // width], first[at // width + 1], 3):
        if edge_types[edges[edge]] != "weak" and edges[edge + 2] not in reached:
            reached.add(edges[edge + 2])
            queue.append(edges[edge + 2])

for name in objects:
    print("node", name, objects[name], size[name])
for name in fields:
    print("field", name, fields[name])
print("reached", len(reached))
