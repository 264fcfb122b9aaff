(* As random.h. The state is in bytes and the functions are inlined, so that no number of 64 bits is boxed. *)
let make () =
  let state = Bytes.create 8 in
  Bytes.set_int64_ne state 0 0x9e3779b97f4a7c15L;
  state

let[@inline] next state =
  let open Int64 in
  let x = Bytes.get_int64_ne state 0 in
  let x = logxor x (shift_right_logical x 12) in
  let x = logxor x (shift_left x 25) in
  let x = logxor x (shift_right_logical x 27) in
  Bytes.set_int64_ne state 0 x;
  mul x 0x2545f4914f6cdd1dL

(* next's upper bits; at least 2, or the number may be negative. *)
let[@inline] next_without state bits = Int64.to_int (Int64.shift_right_logical (next state) bits)

(* bound: less than 2^31. *)
let below state bound = (next_without state 32 * bound) lsr 32
