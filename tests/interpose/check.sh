#!/usr/bin/env bash
# Every scenario of program.c: without the interposer it is stuck, with it it gets through. That a program is not through
# after a moment proves little on a busy machine, so the moment is short: what is proved is the other half.
# usage: check.sh LIBTENURE_INTERPOSE STATIC SHARED LINKED
set -uo pipefail
interposer=$1 with_static=$2 with_shared=$3 linked=$4

run() # run PROGRAM SCENARIO MILLISECONDS STATUS [LD_PRELOAD]
{
    local status
    LD_PRELOAD=${5:-} timeout 120 "$1" "$2" "$3"
    status=$?
    [ "$status" -eq "$4" ] || echo "FAIL: ${1##*/} $2${5:+ with the interposer}: exit status $status, not $4"
}

all()
{
    local scenario
    for scenario in $("$with_static"); do
        printf '%s\n' "$with_static $scenario 300 3"
        printf '%s\n' "$with_static $scenario 60000 0 $interposer"
    done
    for scenario in mutex condition read fgets sqlite-mutex; do
        printf '%s\n' "$with_shared $scenario 60000 0 $interposer" "$linked $scenario 60000 0"
    done
}

export -f run
failures=$(all | xargs -P 4 -I '{}' bash -c 'run {}' 2>&1)
[ -z "$failures" ] || { echo "$failures"; exit 1; }
