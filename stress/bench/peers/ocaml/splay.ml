(* As splay.c; one thread. Keys are the upper 62 bits of C's, which OCaml's integers order as C's 64 bits are. *)
type data =
  | No_data
  | Data of {
      left : data;
      right : data;
      key : int;
      word0 : int;
      word1 : int;
      word2 : int;
      word3 : int;
      word4 : int;
      word5 : int;
      word6 : int;
      word7 : int;
    }

type node = Empty | Node of { mutable left : node; mutable right : node; data : data; key : int }
type tree = { mutable root : node; header : node }

let data_levels = 3

let rec data_make key levels =
  if levels = 0 then No_data
  else
    let left = data_make key (levels - 1) in
    let right = data_make key (levels - 1) in
    Data
      { left; right; key; word0 = key; word1 = 0; word2 = 0; word3 = 0; word4 = 0; word5 = 0; word6 = 0; word7 = 0 }

let rec data_count data key =
  match data with
  | No_data -> 0
  | Data data ->
      (if data.key = key && data.word0 = key then 1 else 0) + data_count data.left key + data_count data.right key

let left = function Node node -> node.left | Empty -> Empty
let right = function Node node -> node.right | Empty -> Empty
let set_left tree kid = match tree with Node node -> node.left <- kid | Empty -> ()
let set_right tree kid = match tree with Node node -> node.right <- kid | Empty -> ()

(* Ends at the new root, with what is less and greater hanging from the last of either side. *)
let rec descend key less greater at =
  match at with
  | Node node when key < node.key -> (
      match node.left with
      | Node kid as child when key < kid.key ->
          node.left <- kid.right;
          kid.right <- at;
          if kid.left == Empty then assemble less greater child
          else (
            set_left greater child;
            descend key less child kid.left)
      | Empty -> assemble less greater at
      | child ->
          set_left greater at;
          descend key less at child)
  | Node node when key > node.key -> (
      match node.right with
      | Node kid as child when key > kid.key ->
          node.right <- kid.left;
          kid.left <- at;
          if kid.right == Empty then assemble less greater child
          else (
            set_right less child;
            descend key child greater kid.right)
      | Empty -> assemble less greater at
      | child ->
          set_right less at;
          descend key at greater child)
  | _ -> assemble less greater at

and assemble less greater at =
  set_right less (left at);
  set_left greater (right at);
  at

let splay tree key =
  let header = tree.header in
  set_left header Empty;
  set_right header Empty;
  let root = descend key header header tree.root in
  set_left root (right header);
  set_right root (left header);
  tree.root <- root

let insert tree key =
  let data = data_make key data_levels in
  let made = Node { left = Empty; right = Empty; data; key } in
  if tree.root != Empty then splay tree key;
  (match tree.root with
  | Node root when root.key < key ->
      set_left made tree.root;
      set_right made root.right;
      root.right <- Empty
  | Node root ->
      set_right made tree.root;
      set_left made root.left;
      root.left <- Empty
  | Empty -> ());
  tree.root <- made

let root_remove tree =
  match tree.root with
  | Empty -> ()
  | Node { left = Empty; right; _ } -> tree.root <- right
  | Node gone ->
      tree.root <- gone.left;
      splay tree gone.key;
      set_right tree.root gone.right

let rec greatest_key = function
  | Empty -> 0
  | Node { right = Empty; key; _ } -> key
  | Node { right; _ } -> greatest_key right

let predecessor_remove tree =
  let before = left tree.root in
  if before != Empty then splay tree (greatest_key before);
  root_remove tree

let rec nodes_check tree count least =
  if tree.root != Empty then splay tree 0;
  match tree.root with
  | Empty -> count
  | Node root ->
      Measure.must
        (root.key >= least && data_count root.data root.key = (1 lsl data_levels) - 1)
        "the tree is broken";
      root_remove tree;
      nodes_check tree (count + 1) root.key

let () =
  let nodes = ref (32 * 1024) and operations = ref 200_000 and threads = ref 1 in
  Measure.arguments [ ("nodes", nodes); ("operations", operations); ("threads", threads) ];
  Measure.one_thread !threads;
  Measure.start ();
  let random = Random64.make () in
  let tree = { root = Empty; header = Node { left = Empty; right = Empty; data = No_data; key = 0 } } in
  for _ = 1 to !nodes do
    insert tree (Random64.next_without random 2)
  done;
  for _ = 1 to !operations do
    insert tree (Random64.next_without random 2);
    predecessor_remove tree
  done;
  Measure.must (nodes_check tree 0 0 = !nodes) "nodes are lost";
  Measure.finish "splay";
  Measure.result_end ()
