(* As ring.c. A message is one object there and here: bytes, of which the first eight are the number. *)
let message_bytes = 1024

let message_make number =
  let made = Bytes.create (8 + message_bytes) in
  Bytes.set_int64_ne made 0 (Int64.of_int number);
  Bytes.fill made 8 message_bytes (Char.unsafe_chr (number land 255));
  made

let message_check message number =
  let expected = number land 255 in
  Measure.must
    (Int64.to_int (Bytes.get_int64_ne message 0) = number
    && Char.code (Bytes.get message 8) = expected
    && Char.code (Bytes.get message (8 + message_bytes - 1)) = expected)
    "a message is broken"

let push ring number =
  let made = message_make number in
  let window = Array.length ring in
  let at = number mod window in
  if ring.(at) != Bytes.empty then message_check ring.(at) (number - window);
  ring.(at) <- made

let () =
  let window = ref 200_000 and messages = ref 2_000_000 in
  Measure.arguments [ ("window", window); ("messages", messages) ];
  let window = !window and latency = Histogram.make () in
  let ring = Array.make window Bytes.empty in
  for number = 0 to window - 1 do
    push ring number
  done;
  Measure.start ();
  let last = ref (Measure.now_ns ()) in
  for number = window to window + !messages - 1 do
    push ring number;
    let now = Measure.now_ns () in
    Histogram.add latency (now - !last);
    last := now
  done;
  Measure.finish "ring";
  Histogram.result_latency latency;
  Measure.result_end ()
