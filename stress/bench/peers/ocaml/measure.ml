(* Arguments and the result line, as measure.h has them for C. Debian 12's OCaml runs one thread at a time. *)
let arguments values =
  let words = Array.to_list Sys.argv |> List.tl in
  let rec parse = function
    | [] -> ()
    | name :: value :: rest when String.length name > 2 ->
        List.assoc (String.sub name 2 (String.length name - 2)) values := int_of_string value;
        parse rest
    | _ -> exit 1
  in
  parse words

let one_thread threads =
  if threads <> 1 then (
    prerr_endline "one thread runs at a time";
    exit 4 (* EXIT_SKIPPED *))

let must holds what = if not holds then failwith what

(* libc's, without a stub: bytes are passed as the address of the first, and two words are a struct timespec. *)
external clock_gettime : (int[@untagged]) -> bytes -> (int[@untagged]) = "none" "clock_gettime" [@@noalloc]

let timespec = Bytes.create 16

let now_ns () =
  ignore (clock_gettime 1 (* CLOCK_MONOTONIC *) timespec);
  (Int64.to_int (Bytes.get_int64_ne timespec 0) * 1_000_000_000) + Int64.to_int (Bytes.get_int64_ne timespec 8)

let begin_wall = ref 0 and begin_cpu = ref 0. and begin_collections = ref 0

let collections () =
  let gc = Gc.quick_stat () in
  gc.Gc.minor_collections + gc.Gc.major_collections

let start () =
  begin_collections := collections ();
  begin_cpu := Sys.time ();
  begin_wall := now_ns ()

let result_count key value = Printf.printf " %s=%d" key value
let result_end = print_newline

(* Starts the result line. *)
let finish program =
  let wall = float (now_ns () - !begin_wall) *. 1e-9 and cpu = Sys.time () -. !begin_cpu in
  Printf.printf "program=%s wall_seconds=%.6f cpu_seconds=%.6f" program wall cpu;
  result_count "pause_count" (collections () - !begin_collections)
