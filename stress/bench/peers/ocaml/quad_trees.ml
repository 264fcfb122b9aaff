(* As quad_trees.c; one thread. *)
type quad = Empty | Quad of { mutable a : quad; mutable b : quad; mutable c : quad; mutable d : quad }

let rec bottom_up depth =
  if depth = 1 then Quad { a = Empty; b = Empty; c = Empty; d = Empty }
  else
    let a = bottom_up (depth - 1) in
    let b = bottom_up (depth - 1) in
    let c = bottom_up (depth - 1) in
    let d = bottom_up (depth - 1) in
    Quad { a; b; c; d }

let rec top_down depth =
  let tree = Quad { a = Empty; b = Empty; c = Empty; d = Empty } in
  (match tree with
  | Quad kids when depth > 1 ->
      kids.a <- top_down (depth - 1);
      kids.b <- top_down (depth - 1);
      kids.c <- top_down (depth - 1);
      kids.d <- top_down (depth - 1)
  | _ -> ());
  tree

let rec count = function
  | Empty -> 0
  | Quad { a = Empty; _ } -> 1
  | Quad { a; b; c; d } -> 1 + count a + count b + count c + count d

let nodes depth = ((1 lsl (2 * depth)) - 1) / 3
let check tree depth = Measure.must (count tree = nodes depth) "a tree is broken"

let () =
  let depth_max = ref 9 and threads = ref 1 in
  Measure.arguments [ ("depth", depth_max); ("threads", threads) ];
  Measure.one_thread !threads;
  let depth_max = !depth_max in
  Measure.must (depth_max >= 3 && depth_max <= 12) "depth: 3 to 12";
  Measure.start ();
  let long_lived = top_down depth_max in
  for depth = 2 to depth_max - 1 do
    let iterations = 32 * nodes depth_max / nodes depth in
    for _ = 1 to iterations do
      check (bottom_up depth) depth
    done;
    for _ = 1 to iterations do
      check (top_down depth) depth
    done
  done;
  check long_lived depth_max;
  Measure.finish "quad_trees";
  Measure.result_end ()
