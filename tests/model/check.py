#!/usr/bin/env python3
"""Checks the model of the stop protocol with spin.

check.py code [NAME...]     the protocol as the code has it: no error may be found
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
    "heaps": "-DTHREADS=1 -DWORLDS=2 -DDAEMONS=2 -DDO_BLOCK",
    "join": "-DTHREADS=1 -DWORLDS=2 -DATTACHED=1 -DDO_ATTACH -DDO_POLL",
    "owners": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=0 -DDO_OWN",
}

# Each essential step, and the smallest model that shows what it is for.
ONE = "-DTHREADS=1 -DDO_POLL -DDO_BLOCK"
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
    "WITHDRAWS": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=1 -DDO_OWN -DDO_POLL",
    "OWNER_WITHDRAWS": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=1 -DDO_OWN -DDO_POLL",
    "RELEASES_SIBLINGS": "-DTHREADS=2 -DWORLDS=2 -DDAEMONS=0 -DDO_LEAD",
    "ATTACH_RELEASES": "-DTHREADS=2 -DWORLDS=2 -DATTACHED=1 -DDAEMONS=1 -DDO_ATTACH",
    "DETACH_LOCKS": "-DTHREADS=1 -DDO_REATTACH",
    "LOCK_RETRIES": "-DTHREADS=2 -DDO_LOCK",
    "LOCK_WAITS_RELEASED": "-DTHREADS=2 -DDO_LOCK",
    "REFUSAL_IS_NOTED": ONE,
    "LETS_IN": ONE,
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
        made = run("gcc", "-w", "-DCOLLAPSE", "-DMEMLIM=2000", *compiler.split(), "-o", "pan", "pan.c")
        if made.returncode != 0:
            sys.exit(f"gcc {flags}:\n{made.stdout}")
        return Outcome(run("./pan", "-n", "-m2000000", *options).stdout)


def report(right, name, text):
    print(f"{'ok' if right else 'NOT OK':6}  {name}: {text}", flush=True)
    return right


def check_code(name):
    outcome = check(CODE[name], "-O1 -DSAFETY")
    if outcome.error or outcome.complete:
        return report(not outcome.error, name, f"{outcome.error or 'no error'}; {outcome.figures}")
    return report(False, name, f"not complete\n{outcome.output}")


def check_step(name):
    outcome = check(f"{STEPS[name]} -D{name}=0", "-O0 -DSAFETY")
    return report(bool(outcome.error), f"without {name}", f"{outcome.error or 'no error'}; {outcome.figures}")


def named_steps():
    with open(os.path.join(HERE, "steps.pml")) as source:
        return re.findall(r"^#ifndef (\w+)", source.read(), re.M)


def main():
    what, names = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if what == "code":
        right = [check_code(name) for name in names or CODE]
    elif what == "steps":
        if set(named_steps()) != set(STEPS):
            sys.exit("steps.pml and STEPS name different steps")
        right = [check_step(name) for name in names or STEPS]
    else:
        sys.exit(__doc__)
    sys.exit(not all(right))


main()
