"""Turns the runs of an experiment into tables, as text for a terminal and as Markdown."""

from statistics import median

PAUSE_KINDS = (("young", "young"), ("gen1", "Gen 0+1"), ("full", "full"))
PAUSE_KEYS = tuple(
    (f"{title}{percentile}{unit if percentile == 'p50' else ''}", f"{part}{percentile}_ns")
    for title, part, unit in (("", "", " us"), ("CPU ", "cpu_", " us"), ("reach ", "reach_", " us"))
    for percentile in ("p50", "p99", "max")
)


def values(runs, function):
    """The runs in which the value exists; a pause of a heap that never paused does not."""
    found = []
    for run in runs:
        try:
            found.append(function(run))
        except (KeyError, ZeroDivisionError):
            pass
    return found


def middle(runs, function, form):
    found = values(runs, function)
    return form.format(median(found)) if found else "-"


def spread(runs, function, form):
    return spread_of(values(runs, function), form)


def spread_of(found, form):
    if not found:
        return "-"
    if len(found) == 1:
        return form.format(found[0])
    return f"{form.format(median(found))} ({form.format(min(found))} to {form.format(max(found))})"


def ratios(own, peers, function, best=min):
    """Tenure's over the best peer's, round by round: what the machine did to one round it did to all."""
    found = []
    for mine, *others in zip(own, *peers):
        theirs = values(done(others), function)
        for value in values(done([mine]), function):
            if theirs and best(theirs) != 0:
                found.append(value / best(theirs))
    return found


def done(runs):
    return [run for run in runs if run is not None]


class Outcome:
    """The runs of one experiment: per peer a list with None for a round that failed, and why it failed. Beside them
    which part of the processors others had meanwhile: other programs, and the machine's host; None where the runs are
    those of an earlier experiment."""

    def __init__(self, experiment, runs, failures, others, host):
        self.experiment = experiment
        self.runs = runs
        self.failures = failures
        self.own = experiment.peers[0]
        self.others = others
        self.host = host

    def main_table(self):
        experiment = self.experiment
        everything = [run for runs in self.runs.values() for run in done(runs)]
        columns = [column for column in experiment.columns if values(everything, column.value)]
        compared = [experiment.primary] + [column for column in columns if column.compared]
        with_ratios = compared if self.own in self.runs and len(self.runs) > 1 else []
        header = ["peer", *(column.title for column in (experiment.primary, *columns))]
        header += [f"Tenure/it: {column.title}" for column in with_ratios]
        rows = []
        for peer, runs in self.runs.items():
            if not done(runs):
                rows.append([peer, self.failures[peer]] + [""] * (len(header) - 2))
                continue
            row = [peer]
            for column in (experiment.primary, *columns):
                show = spread if column in compared else middle
                row.append(show(done(runs), column.value, column.form))
            row += ["" if peer == self.own else self.ratio(runs, column) for column in with_ratios]
            rows.append(row)
        return header, rows

    def ratio(self, runs, column):
        return spread_of(ratios(self.runs[self.own], [runs], column.value), "{:.2f}")

    def pause_table(self):
        header = ["pauses", "count", "s", "CPU s", *(title for title, _ in PAUSE_KEYS)]
        rows = []
        for peer, runs in self.runs.items():
            runs = done(runs)
            kinds = PAUSE_KINDS if values(runs, lambda run: run["minor_count"]) else (("pause", ""),)
            for prefix, title in kinds:
                if not values(runs, lambda run: run[f"{prefix}_p50_ns"]):
                    continue
                row = [f"{peer} {title}".rstrip()]
                row.append(middle(runs, lambda run: run[f"{prefix}_count"], "{:.0f}"))
                row.append(middle(runs, lambda run: run[f"{prefix}_seconds"], "{:.3f}"))
                row.append(middle(runs, lambda run: run[f"{prefix}_cpu_seconds"], "{:.3f}"))
                row += [middle(runs, lambda run: run[f"{prefix}_{name}"] * 1e-3, "{:.1f}") for _, name in PAUSE_KEYS]
                rows.append(row)
        return (header, rows) if rows else None

    def target_rows(self):
        rows = []
        for target in self.experiment.targets:
            own = self.runs.get(target.own or self.own, [])
            if target.against:
                peers = [self.runs[name] for name in target.against if name in self.runs]
                found = ratios(own, peers, target.value, max if target.at_least else min)
            else:
                found = values(done(own), target.value)
            rows.append(target_row(target, median(found) if found else None))
        return rows

    def target_table(self):
        return (TARGET_HEADER, self.target_rows()) if self.experiment.targets else None

    def notes(self):
        lines = []
        for peer, why in self.failures.items():
            failed = sum(run is None for run in self.runs[peer])
            if done(self.runs[peer]):
                lines.append(f"{peer}: {failed} of {len(self.runs[peer])} runs failed: {why}")
        everything = [run for runs in self.runs.values() for run in done(runs)]
        if everything:
            samples = sum(run["hiccups_samples"] for run in everything)
            late = sum(run["hiccups_over_100us"] for run in everything) / samples
            p99 = median([run["hiccups_p99_ns"] for run in everything]) * 1e-3
            longest = max(run["hiccups_max_ns"] for run in everything) * 1e-6
            lines.append(
                f"The machine meanwhile woke threads{'' if everything[0]['hiccups_real_time'] else ' of no priority'} "
                f"late by {p99:.0f} us (p99), by more than 100 us {late * 1000:.1f} times in 1,000, "
                f"by {longest:.2f} ms at most."
            )
        if self.others is None:
            return [*lines, "The runs are those of an experiment above."]
        lines.append(
            f"Other programs took {self.others:.0%} of its processors, its host {self.host:.0%}."
            + (" Trust no wall time of this experiment." if self.others + self.host > BUSY else "")
        )
        return lines

    def tables(self):
        return [table for table in (self.main_table(), self.pause_table(), self.target_table()) if table]


BUSY = 0.05
TARGET_HEADER = ["target", "to reach", "measured", "verdict"]


def target_row(target, measured):
    relation = ">=" if target.at_least else "<="
    shown, verdict = "-", "not measured"
    if measured is not None:
        shown, verdict = target.form.format(measured), "ok" if target.holds(measured) else "MISSED"
    return [target.title, f"{relation} {target.form.format(target.bound)}", shown, verdict]


def across_measured(across, outcomes):
    """None unless two of its experiments were measured."""
    medians = []
    for outcome in outcomes:
        found = values(done(outcome.runs.get(outcome.own, [])), across.value)
        if outcome.experiment.name in across.names and found:
            medians.append(median(found))
    return max(medians) / min(medians) if len(medians) > 1 else None


def summary_table(acrosses, outcomes):
    """Every target, those of the experiments and those across them."""
    rows = [[outcome.experiment.name, *row] for outcome in outcomes for row in outcome.target_rows()]
    for across in acrosses:
        measured = across_measured(across, outcomes)
        if measured is not None:
            rows.append(["all of them", *target_row(across, measured)])
    return (["experiment", *TARGET_HEADER], rows) if rows else None


def text_table(header, rows):
    widths = [max(len(line[i]) for line in [header] + rows) for i in range(len(header))]
    lines = []
    for line in [header] + rows:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return lines


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def as_text(title, tables, notes=()):
    lines = [title]
    for table in tables:
        lines += ["  " + line for line in text_table(*table)] + [""]
    return "\n".join(lines + ["  " + note for note in notes]).rstrip() + "\n"


def as_markdown(title, tables, notes=()):
    lines = [f"### {title}", ""]
    for table in tables:
        lines += markdown_table(*table) + [""]
    return "\n".join(lines + ["\n".join(notes)]).rstrip() + "\n"
