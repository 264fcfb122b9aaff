#!/usr/bin/env python3
"""Checks the model of the stop protocol with spin.

check.py code [NAME...]     the protocol as the code has it: no error may be found
check.py large [NAME...]    the same, for longer
check.py steps [STEP...]    without one of its essential steps (steps.pml): an error has to be found
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# What threads do, in worlds small enough to look at everything that can happen. SAFETY: assertions and invalid end
# states.
CODE = {
    "poll": "-DTHREADS=2 -DDO_POLL",
    "block": "-DTHREADS=2 -DDO_BLOCK",
    "lead": "-DTHREADS=2 -DDAEMONS=0 -DDO_POLL -DDO_REFILL -DDO_LEAD",
    "lock": "-DTHREADS=2 -DDO_LOCK",
    "own": "-DTHREADS=2 -DDAEMONS=0 -DDO_OWN -DDO_BLOCK",
    "idle": "-DTHREADS=1 -DDO_IDLE -DDO_DORMANT -DDO_POLL",
    "attach": "-DTHREADS=2 -DDO_REATTACH",
    "heaps": "-DTHREADS=1 -DWORLDS=2 -DDAEMONS=1 -DDO_POLL -DDO_BLOCK",
    "join": "-DTHREADS=1 -DWORLDS=2 -DATTACHED=1 -DDO_ATTACH -DDO_POLL",
    "owners": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=0 -DUSES=me -DDO_OWN",
}

# By hand.
LARGE = {
    "poll and block": "-DTHREADS=2 -DDO_POLL -DDO_BLOCK",
    "lock with native": "-DTHREADS=2 -DDO_LOCK -DDO_NATIVE",
    "two heaps": "-DTHREADS=1 -DWORLDS=2 -DDAEMONS=2 -DDO_BLOCK",
    "owners of either": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=0 -DDO_OWN",
    "owners, one daemon": "-DTHREADS=2 -DWORLDS=2 -DUSES=me -DDO_OWN",
}

# Threads that go on for ever, and stops back to back, under weak fairness: the properties at the end of protocol.pml.
LIVE = {
    "reached": "-DTHREADS=2 -DDO_BLOCK -DREACHED",
    "reached polling": "-DTHREADS=1 -DDO_POLL -DDO_REFILL -DDO_BLOCK -DREACHED",
    "returns": "-DTHREADS=2 -DDO_BLOCK -DRETURNS",
    "returns idle": "-DTHREADS=1 -DDO_IDLE -DDO_DORMANT -DRETURNS",
}

# Each essential step, and the smallest model that shows what it is for.
ONE = "-DTHREADS=1 -DDO_POLL -DDO_BLOCK"
RETURNS = "-DTHREADS=1 -DDO_BLOCK -DRETURNS -DFOR_EVER"
# Thread 1 stops world 1, and waits for the end of the stops of world 0 meanwhile.
HELD_BACK = "-DTHREADS=2 -DWORLDS=2 -DUSES=1 -DDO_BLOCK -DDO_OWN -DMAY_BLOCK=me==0 -DMAY_OWN=me==1"
STEPS = {
    "LIMIT_BEFORE_REQUEST": ONE,
    "REQUEST_BEFORE_POISON": ONE,
    "SLEEPING_BEFORE_OUTSTANDING": ONE,
    "OUTSTANDING_BEFORE_SLEEPING": ONE,
    "ASLEEP_BEFORE_RESUMES": ONE,
    "RESUMES_BEFORE_ASLEEP": ONE,
    "RECORD_COUNT_BEFORE_REQUEST": CODE["join"],
    "RELEASE_PUBLISHES": ONE,
    "CLAIM_ACQUIRES": ONE,
    "COUNT_OUT_PUBLISHES": ONE,
    "LEADER_ACQUIRES": ONE,
    "RESUME_PUBLISHES": ONE,
    "RETURN_ACQUIRES": ONE,
    "SET_LIMIT_LOOKS": ONE,
    "POISONS": ONE,
    "POISONS_SIBLINGS": "-DTHREADS=1 -DWORLDS=2 -DDAEMONS=1 -DDO_POLL",
    "STOP_HOLDS_BACK": ONE,
    "DORMANT_HOLDS_BACK": CODE["idle"],
    "COUNTS_BY_CLAIM": ONE,
    "WAKES_LEADER": ONE,
    "LEADER_COMPARES": ONE,
    "RESUME_WAKES": ONE,
    "SLEEPERS_WAKE_OTHERS": CODE["block"],
    "SLEEPER_LOOKS": ONE,
    "DORMANT_STAYS_OUT": CODE["idle"],
    "WITHDRAWS": HELD_BACK,
    "OWNER_IS_NOT_LET_IN": "-DTHREADS=2 -DWORLDS=2 -DUSES=1 -DDO_OWN",
    "RELEASES_SIBLINGS": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=0 -DDO_LEAD",
    "ATTACH_RELEASES": "-DTHREADS=2 -DWORLDS=2 -DUSES=me -DATTACHED=1+n/2 -DDO_ATTACH -DMAY_ATTACH=me==0 -DDO_OWN "
    "-DMAY_OWN=me==1",
    "DETACH_LOCKS": "-DTHREADS=1 -DDO_REATTACH",
    "LOCK_RETRIES": "-DTHREADS=2 -DDO_LOCK",
    "LOCK_WAITS_RELEASED": "-DTHREADS=2 -DDO_LOCK",
    "REFUSAL_IS_NOTED": RETURNS,
    "LETS_IN": RETURNS,
    "WOKEN_RETURNS": LIVE["returns idle"] + " -DFOR_EVER",
    "DORMANT_WAITS_FOR_LOCK": LIVE["returns idle"] + " -DFOR_EVER",
    "OWNER_GIVES_UP": CODE["owners"],
}


class Outcome:
    def __init__(self, output):
        found = re.search(r"^pan:1: (.*?) \(at depth", output, re.M)
        self.error = found.group(1).strip() if found else None
        self.complete = "errors: 0" in output and "too small" not in output and "out of memory" not in output
        figures = {
            "states": r"([\d.e+]+) states, stored",
            "depth": r"depth reached (\d+)",
            "MB": r"([\d.]+)\ttotal actual memory",
            "s": r"elapsed time ([\d.e+]+) s",
        }
        self.figures = ", ".join(
            f"{found.group(1)} {unit}" for unit, pattern in figures.items() if (found := re.search(pattern, output))
        )
        self.output = output


def check(flags, compiler, options=()):
    with tempfile.TemporaryDirectory() as directory:
        run = lambda *command: subprocess.run(
            command, cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        made = run("spin", "-a", *flags.split(), os.path.join(HERE, "protocol.pml"))
        if made.returncode != 0 or "rror" in made.stdout:
            sys.exit(f"spin {flags}:\n{made.stdout}")
        made = run("gcc", "-w", "-DCOLLAPSE", "-DMEMLIM=4000", *compiler.split(), "-o", "pan", "pan.c")
        if made.returncode != 0:
            sys.exit(f"gcc {flags}:\n{made.stdout}")
        return Outcome(run("./pan", "-n", "-m4000000", *options).stdout)


def report(right, name, text):
    print(f"{'ok' if right else 'NOT OK':6}  {name}: {text}", flush=True)
    return right


SAFE, FAIR = ("-DSAFETY", ()), ("-DNFAIR=3", ("-a", "-f"))


def check_code(name):
    flags, (compiler, options) = ((CODE | LARGE)[name], SAFE) if name in CODE | LARGE else (f"{LIVE[name]} -DFOR_EVER", FAIR)
    outcome = check(flags, f"-O1 {compiler}", options)
    if outcome.error or outcome.complete:
        return report(not outcome.error, name, f"{outcome.error or 'no error'}; {outcome.figures}")
    return report(False, name, f"not complete\n{outcome.output}")


def check_step(name):
    flags = STEPS[name]
    compiler, options = FAIR if "FOR_EVER" in flags else SAFE
    outcome = check(f"{flags} -D{name}=0", f"-O0 {compiler}", options)  # found soon: compiling is what takes time
    return report(bool(outcome.error), f"without {name}", f"{outcome.error or 'no error'}; {outcome.figures}")


def named_steps():
    with open(os.path.join(HERE, "steps.pml")) as source:
        return re.findall(r"^#ifndef (\w+)", source.read(), re.M)


def main():
    what, names = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if what == "code":
        right = [check_code(name) for name in names or [*CODE, *LIVE]]
    elif what == "large":
        right = [check_code(name) for name in names or LARGE]
    elif what == "steps":
        if set(named_steps()) != set(STEPS):
            sys.exit("steps.pml and STEPS name different steps")
        right = [check_step(name) for name in names or STEPS]
    else:
        sys.exit(__doc__)
    sys.exit(not all(right))


main()
