(* As gcbench.c; one thread. OCaml's heap has no limit: --heap-percent is ignored. *)
let depth_min = 4
let depth_max = 16
let long_lived_depth = 16
let doubles = 500_000

(* depth: of a whole word, so that the upper half is what is zero in C. *)
type node = Empty | Node of { mutable left : node; mutable right : node; mutable depth : int }

let hole_words =
  let random = Random64.make () in
  let rec draw words = if Random64.below random 100 >= 15 && words < 255 then draw (words + 1) else words in
  Array.init 256 (fun _ -> draw 0)

let holes = ref 0

(* Not filled, and with a word more than asked for, as C's has its length. *)
let leave_hole () =
  let words = hole_words.(!holes land 255) in
  incr holes;
  if words <> 0 then ignore (Sys.opaque_identity (Bytes.create (8 * words)))

let node_make () = Node { left = Empty; right = Empty; depth = 0 }

let rec populate depth = function
  | Empty -> ()
  | Node node ->
      node.depth <- depth;
      if depth > 0 then (
        leave_hole ();
        let left = node_make () in
        leave_hole ();
        let right = node_make () in
        node.left <- left;
        node.right <- right;
        populate (depth - 1) left;
        populate (depth - 1) right)

let top_down depth =
  let root = node_make () in
  populate depth root;
  root

let rec bottom_up depth =
  if depth = 0 then node_make ()
  else
    let left = bottom_up (depth - 1) in
    let right = bottom_up (depth - 1) in
    leave_hole ();
    Node { left; right; depth }

let rec edge_check tree depth =
  if depth >= 0 then
    match tree with
    | Node node when node.depth = depth -> edge_check node.left (depth - 1)
    | _ -> failwith "a tree is broken"

let rec is_whole tree depth =
  match tree with
  | Node { left = Empty; right = Empty; depth = 0 } -> depth = 0
  | Node node -> node.depth = depth && is_whole node.left (depth - 1) && is_whole node.right (depth - 1)
  | Empty -> false

let nodes depth = (1 lsl (depth + 1)) - 1

let trees_of_depth depth =
  let iterations = 2 * nodes (depth_max + 2) / nodes depth in
  for _ = 1 to iterations do
    edge_check (top_down depth) depth
  done;
  for _ = 1 to iterations do
    edge_check (bottom_up depth) depth
  done

let () =
  let threads = ref 1 and heap_percent = ref 250 in
  Measure.arguments [ ("threads", threads); ("heap-percent", heap_percent) ];
  Measure.one_thread !threads;
  Measure.start ();
  let long_lived = top_down long_lived_depth in
  let array = Array.create_float doubles in
  for i = 0 to (doubles / 2) - 1 do
    array.(i) <- 1. /. float (i + 1)
  done;
  for half = depth_min / 2 to depth_max / 2 do
    trees_of_depth (2 * half)
  done;
  Measure.must
    (is_whole long_lived long_lived_depth && array.(999) = 1. /. 1000. && Array.length array = doubles)
    "long-lived objects are broken";
  edge_check long_lived long_lived_depth;
  Measure.finish "gcbench";
  Measure.result_end ()
