(* As binary_trees.c; one thread. *)
type tree = Empty | Node of { left : tree; right : tree }

let rec build depth =
  if depth = 1 then Node { left = Empty; right = Empty }
  else
    let left = build (depth - 1) in
    let right = build (depth - 1) in
    Node { left; right }

let rec count = function Empty -> 0 | Node { left; right } -> 1 + count left + count right
let nodes depth = (1 lsl depth) - 1

let () =
  let depth_max = ref 18 and threads = ref 1 in
  Measure.arguments [ ("depth", depth_max); ("threads", threads) ];
  Measure.one_thread !threads;
  Measure.start ();
  let depth_max = !depth_max in
  Measure.must (count (build (depth_max + 1)) = nodes (depth_max + 1)) "a tree is broken";
  let long_lived = build depth_max in
  let depth = ref 4 in
  while !depth <= depth_max do
    let iterations = 1 lsl (depth_max - !depth + 4) and counted = ref 0 in
    for _ = 1 to iterations do
      counted := !counted + count (build !depth)
    done;
    Measure.must (!counted = iterations * nodes !depth) "a tree is broken";
    depth := !depth + 2
  done;
  Measure.must (count long_lived = nodes depth_max) "a tree is broken";
  Measure.finish "binary_trees";
  Measure.result_end ()
