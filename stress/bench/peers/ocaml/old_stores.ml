(* As old_stores.c; one thread. *)
type item = Nothing | Item of { number : int; check : int }
type holder = { mutable latest : item; mutable number : int }

let item_check holder =
  match holder.latest with
  | Item { number; check } when number = holder.number && check = lnot holder.number -> ()
  | _ -> failwith "an item is broken"

let store holder number =
  let made = Item { number; check = lnot number } in
  if holder.latest != Nothing then item_check holder;
  holder.number <- number;
  holder.latest <- made

let () =
  let holders = ref (256 * 1024) and operations = ref 4_000_000 and threads = ref 1 in
  Measure.arguments [ ("holders", holders); ("operations", operations); ("threads", threads) ];
  Measure.one_thread !threads;
  let holders = !holders in
  Measure.start ();
  let random = Random64.make () in
  let all =
    Array.init holders (fun i ->
        let made = { latest = Nothing; number = 0 } in
        store made i;
        made)
  in
  for i = 0 to !operations - 1 do
    store all.(Random64.below random holders) (holders + i)
  done;
  Array.iter item_check all;
  Measure.finish "old_stores";
  Measure.result_end ()
