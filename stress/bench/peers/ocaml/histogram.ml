(* As histogram.h. *)
let sub = 32

type t = { mutable count : int; mutable max : int; buckets : int array }

let make () = { count = 0; max = 0; buckets = Array.make (60 * sub) 0 }
let rec shift_of value = if value < 2 * sub then 0 else 1 + shift_of (value lsr 1)

let bucket value =
  if value < sub then value
  else
    let shift = shift_of value in
    ((shift + 1) * sub) + ((value lsr shift) land (sub - 1))

let upper bucket = if bucket < sub then bucket else ((sub + (bucket mod sub) + 1) lsl ((bucket / sub) - 1)) - 1

let add t value =
  t.count <- t.count + 1;
  if value > t.max then t.max <- value;
  let at = bucket value in
  t.buckets.(at) <- t.buckets.(at) + 1

let percentile t percent =
  let rank = truncate (float t.count *. percent /. 100.) in
  let rec find at seen =
    let seen = seen + t.buckets.(at) in
    if seen > rank || seen = t.count then min (upper at) t.max else find (at + 1) seen
  in
  if t.count = 0 then 0 else find 0 0

let result_latency t =
  List.iter
    (fun (key, percent) -> Measure.result_count ("latency_" ^ key) (percentile t percent))
    [ ("p50_ns", 50.); ("p99_ns", 99.); ("p999_ns", 99.9); ("p9999_ns", 99.99); ("max_ns", 100.) ]
