#!/usr/bin/env bash
# Every scenario of program.c: without the interposer it is stuck, with it it gets through; with check=locks it is told
# where it waited. That a program is not through after a moment proves little on a busy machine, so the moment is short:
# what is proved is the other half.
# usage: check.sh LIBTENURE_INTERPOSE STATIC SHARED LINKED
set -uo pipefail
interposer=$1 with_static=$2 with_shared=$3 linked=$4
aborted=134

run() # run PROGRAM SCENARIO MILLISECONDS STATUS [LD_PRELOAD [CALL]]: with CALL it shall be told of that call
{
    local status told
    told=$(LD_PRELOAD=${5:-} TENURE_OPTIONS=${6:+check=locks} timeout 120 "$1" "$2" "$3" 2>&1)
    status=$?
    [ "$status" -eq "$4" ] || echo "FAIL: ${1##*/} $2${5:+ with the interposer}: exit status $status, not $4: $told"
    [ -z "${6:-}" ] || grep -Eq "check=locks: thread .* waited in (__isoc[0-9]+_|__)?$6 outside" <<<"$told" || echo "FAIL: ${1##*/} $2: $told"
}

all()
{
    local scenario call
    while read -r scenario call; do
        printf '%s\n' "$with_static $scenario 300 3"
        printf '%s\n' "$with_static $scenario 60000 0 $interposer"
        printf '%s\n' "$with_static $scenario 60000 $aborted $interposer $call"
    done < <("$with_static")
    for scenario in mutex condition read fgets sqlite-mutex; do
        printf '%s\n' "$with_shared $scenario 60000 0 $interposer" "$linked $scenario 60000 0"
    done
}

export -f run
ulimit -c 0
failures=$(all | xargs -P 4 -I '{}' bash -c 'run {}' 2>&1)
[ -z "$failures" ] || { echo "$failures"; exit 1; }
