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

let must holds = if not holds then failwith "a tree is broken"
let begin_wall = ref 0. and begin_cpu = ref 0. and begin_collections = ref 0

let collections () =
  let gc = Gc.quick_stat () in
  gc.Gc.minor_collections + gc.Gc.major_collections

let start () =
  begin_collections := collections ();
  begin_cpu := Sys.time ();
  begin_wall := Unix.gettimeofday ()

let finish program =
  let wall = Unix.gettimeofday () -. !begin_wall and cpu = Sys.time () -. !begin_cpu in
  Printf.printf "program=%s wall_seconds=%.6f cpu_seconds=%.6f pause_count=%d\n" program wall cpu
    (collections () - !begin_collections)
