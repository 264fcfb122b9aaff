(* As arrays.c; one thread. Numbers are floats: their arrays are not scanned either, nor filled before. *)
type item = Nothing | Item of { number : int }
type holder = { mutable numbers : float array; mutable items : item array; count : int; first : int }

let words_log_min = 12
let words_logs = 7
let spacing = 64
let live_count = 32

let numbers_fill holder =
  let made = Array.create_float holder.count in
  holder.numbers <- made;
  for i = 0 to holder.count - 1 do
    made.(i) <- float (holder.first + i)
  done

let items_fill holder =
  let made = Array.make holder.count Nothing in
  holder.items <- made;
  for i = 0 to (holder.count / spacing) - 1 do
    made.(i * spacing) <- Item { number = holder.first + (i * spacing) }
  done

let numbers_are_whole { numbers; count; first; _ } =
  let rec from i = i = count || (numbers.(i) = float (first + i) && from (i + 1)) in
  Array.length numbers = count && from 0

let items_are_whole { items; count; first; _ } =
  let rec from i =
    i = count
    ||
    match items.(i) with
    | Item { number } -> number = first + i && items.(i + 1) == Nothing && from (i + spacing)
    | Nothing -> false
  in
  from 0

let holder_done holder =
  Measure.must
    (if Array.length holder.numbers > 0 then numbers_are_whole holder else items_are_whole holder)
    "an array is broken"

let () =
  let arrays = ref 3000 and threads = ref 1 in
  Measure.arguments [ ("arrays", arrays); ("threads", threads) ];
  Measure.one_thread !threads;
  Measure.start ();
  let random = Random64.make () in
  let live = Array.make live_count None in
  for i = 0 to !arrays + live_count - 1 do
    let at = i mod live_count in
    Option.iter holder_done live.(at);
    let count = 1 lsl (words_log_min + Random64.below random words_logs) in
    let made = { numbers = [||]; items = [||]; count; first = i } in
    live.(at) <- Some made;
    if i land 1 = 0 then numbers_fill made else items_fill made
  done;
  Array.iter (Option.iter holder_done) live;
  Measure.finish "arrays";
  Measure.result_end ()
