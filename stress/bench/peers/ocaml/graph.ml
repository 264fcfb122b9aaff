(* As graph.c; one thread. *)
type node = {
  mutable edge0 : node;
  mutable edge1 : node;
  mutable edge2 : node;
  mutable edge3 : node;
  number : int;
  mutable seen : int;
}

type records = Nothing | Record of { previous : records; from : node; to_ : node }

let edges = 4
let batch = 64
let rec nil = { edge0 = nil; edge1 = nil; edge2 = nil; edge3 = nil; number = 0; seen = 0 }

(* Four fields and not an array: that would be another object for each node. *)
let edge node = function 0 -> node.edge0 | 1 -> node.edge1 | 2 -> node.edge2 | _ -> node.edge3

let edge_set node i kid =
  match i with
  | 0 -> node.edge0 <- kid
  | 1 -> node.edge1 <- kid
  | 2 -> node.edge2 <- kid
  | _ -> node.edge3 <- kid

let graph_make nodes =
  let graph = Array.init nodes (fun number -> { nil with number }) in
  for i = 0 to nodes - 1 do
    for j = 0 to edges - 1 do
      edge_set graph.(i) j graph.((i + j + 1) mod nodes)
    done
  done;
  graph

let exchange a b which =
  let i = which land 3 and j = (which lsr 2) land 3 in
  let of_a = edge a i and of_b = edge b j in
  edge_set a i of_b;
  edge_set b j of_a

let rec count = function Nothing -> 0 | Record { previous; _ } -> 1 + count previous

let rec operate graph random nodes records left =
  if left = 0 then records
  else
    let a = graph.(Random64.below random nodes) in
    let b = graph.(Random64.below random nodes) in
    exchange a b (Int64.to_int (Random64.next random) land 15);
    operate graph random nodes (Record { previous = records; from = a; to_ = b }) (left - 1)

let graph_check graph =
  Array.iter
    (fun node ->
      for j = 0 to edges - 1 do
        let kid = edge node j in
        kid.seen <- kid.seen + 1
      done)
    graph;
  Array.iteri (fun i node -> Measure.must (node.number = i && node.seen = edges) "the edges of a node are lost") graph

let () =
  let nodes = ref (256 * 1024) and operations = ref 4_000_000 and threads = ref 1 in
  Measure.arguments [ ("nodes", nodes); ("operations", operations); ("threads", threads) ];
  Measure.one_thread !threads;
  let nodes = !nodes in
  Measure.start ();
  let random = Random64.make () in
  let graph = graph_make nodes in
  for _ = 1 to (!operations + batch - 1) / batch do
    Measure.must (count (operate graph random nodes Nothing batch) = batch) "records are lost"
  done;
  graph_check graph;
  Measure.finish "graph";
  Measure.result_end ()
