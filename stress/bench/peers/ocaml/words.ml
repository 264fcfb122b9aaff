(* As words.c. Hashes have 63 bits; the one that C has more selects no bucket. The text is in OCaml's heap too, as one
 * string, which is not scanned. *)
let buckets_min = 64

type entry = Empty | Entry of { mutable next : entry; word : string; hash : int; mutable count : int }
type table = { mutable buckets : entry array; mutable size : int; mutable entries : int }

(* --- the text --- *)

let syllables = [| "ba"; "ce"; "di"; "fo"; "gu"; "ka"; "le"; "mi"; "no"; "pu"; "ra"; "se"; "ti"; "vo"; "wu"; "xe" |]

let rec spell text rank =
  Buffer.add_string text syllables.(rank land 15);
  if rank >= 16 then spell text ((rank / 16) - 1)

let rank_draw random vocabulary =
  let part = float (Random64.next_without random 11) *. 0x1p-53 in
  truncate (exp (part *. log (float vocabulary)))

(* And how often each rank was written. *)
let text_make words vocabulary =
  let random = Random64.make () and text = Buffer.create (8 * words) and written = Array.make (vocabulary + 1) 0 in
  for _ = 1 to words do
    let rank = rank_draw random vocabulary in
    written.(rank) <- written.(rank) + 1;
    spell text rank;
    Buffer.add_char text ' '
  done;
  (Buffer.contents text, written)

(* --- the count --- *)

let hash_of word =
  let hash = ref 0x4bf29ce484222325 in
  for i = 0 to String.length word - 1 do
    hash := (!hash lxor Char.code word.[i]) * 0x100000001b3
  done;
  !hash lxor (!hash lsr 32)

let rec find entry word hash =
  match entry with
  | Entry entry when entry.hash <> hash || not (String.equal entry.word word) -> find entry.next word hash
  | found -> found

let table_find table word hash = find table.buckets.(hash land (table.size - 1)) word hash

let table_resize table size =
  let buckets = Array.make size Empty in
  let rec move = function
    | Empty -> ()
    | Entry entry as moved ->
        let at = entry.hash land (size - 1) and next = entry.next in
        entry.next <- buckets.(at);
        buckets.(at) <- moved;
        move next
  in
  Array.iter move table.buckets;
  table.buckets <- buckets;
  table.size <- size

let table_add table word hash =
  if table.entries = table.size then table_resize table (2 * table.size);
  table.entries <- table.entries + 1;
  let at = hash land (table.size - 1) in
  table.buckets.(at) <- Entry { next = table.buckets.(at); word; hash; count = 1 }

let word_count table word =
  let hash = hash_of word in
  match table_find table word hash with
  | Entry found -> found.count <- found.count + 1
  | Empty -> table_add table word hash

let words_count text =
  let table = { buckets = [||]; size = 0; entries = 0 } in
  table_resize table buckets_min;
  let rec from at =
    if at < String.length text then (
      let space = String.index_from text at ' ' in
      word_count table (String.sub text at (space - at));
      from (space + 1))
  in
  from 0;
  table

let check table written =
  let distinct = ref 0 and text = Buffer.create 16 in
  let check_rank rank times =
    if times <> 0 then (
      Buffer.clear text;
      spell text rank;
      let word = Buffer.contents text in
      incr distinct;
      match table_find table word (hash_of word) with
      | Entry { count; _ } when count = times -> ()
      | _ -> failwith (word ^ " is not counted right"))
  in
  Array.iteri check_rank written;
  Measure.must (!distinct = table.entries) "words are lost"

let () =
  let words = ref 4_000_000 and vocabulary = ref 300_000 in
  Measure.arguments [ ("words", words); ("vocabulary", vocabulary) ];
  Measure.must (!vocabulary >= 1 && !vocabulary < 1 lsl 32) "vocabulary: 1 to 4294967295";
  let text, written = text_make !words !vocabulary in
  Gc.compact (); (* the buffer goes *)
  Measure.start ();
  let table = words_count text in
  Measure.finish "words";
  check table written;
  Measure.result_count "text_bytes" (String.length text);
  Measure.result_count "distinct" table.entries;
  Measure.result_end ()
