"""Turns the runs of an experiment into tables, as text for a terminal and as Markdown."""

from statistics import median

PAUSE_KINDS = (("young", "young"), ("gen1", "Gen 0+1"), ("full", "full"))
PAUSE_KEYS = (
    ("p50 us", "p50_ns"),
    ("p99", "p99_ns"),
    ("max", "max_ns"),
    ("CPU p50 us", "cpu_p50_ns"),
    ("p99", "cpu_p99_ns"),
    ("max", "cpu_max_ns"),
    ("reach p50 us", "reach_p50_ns"),
    ("p99", "reach_p99_ns"),
    ("max", "reach_max_ns"),
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
    found = values(runs, function)
    if not found:
        return "-"
    if len(found) == 1:
        return form.format(found[0])
    return f"{form.format(median(found))} ({form.format(min(found))} to {form.format(max(found))})"


def ratios(own, peer, function):
    """Tenure's over the peer's, round by round: what the machine did to one round it did to both."""
    pairs = []
    for mine, other in zip(own, peer):
        if mine is None or other is None:
            continue
        try:
            pairs.append(function(mine) / function(other))
        except (KeyError, ZeroDivisionError):
            pass
    return pairs


def done(runs):
    return [run for run in runs if run is not None]


class Outcome:
    """The runs of one experiment: per allocator a list with None for a round that failed, and why it failed."""

    def __init__(self, experiment, runs, failures, hiccups):
        self.experiment = experiment
        self.runs = runs
        self.failures = failures
        self.hiccups = hiccups

    def main_table(self):
        experiment = self.experiment
        header = ["allocator", experiment.primary.title]
        header += [column.title for column in experiment.columns]
        compared = "tenure" in self.runs and len(experiment.allocators) > 1
        if compared:
            header.append("Tenure/it")
        rows = []
        for allocator, runs in self.runs.items():
            if not done(runs):
                rows.append([allocator, self.failures[allocator]] + [""] * (len(header) - 2))
                continue
            row = [allocator, spread(done(runs), experiment.primary.value, experiment.primary.form)]
            row += [middle(done(runs), column.value, column.form) for column in experiment.columns]
            if compared:
                pairs = ratios(self.runs["tenure"], runs, experiment.primary.value)
                row.append(f"{median(pairs):.2f}" if pairs and allocator != "tenure" else "")
            rows.append(row)
        return header, rows

    def pause_table(self):
        runs = done(self.runs.get("tenure", []))
        if not any("young_count" in run for run in runs):
            return None
        header = ["Tenure's pauses", "count", "s", "CPU s"] + [title for title, _ in PAUSE_KEYS]
        rows = []
        for prefix, title in PAUSE_KINDS:
            if not any(f"{prefix}_p50_ns" in run for run in runs):
                continue
            row = [title]
            row.append(middle(runs, lambda run: run[f"{prefix}_count"], "{:.0f}"))
            row.append(middle(runs, lambda run: run[f"{prefix}_seconds"], "{:.3f}"))
            row.append(middle(runs, lambda run: run[f"{prefix}_cpu_seconds"], "{:.3f}"))
            row += [middle(runs, lambda run: run[f"{prefix}_{name}"] * 1e-3, "{:.1f}") for _, name in PAUSE_KEYS]
            rows.append(row)
        return (header, rows) if rows else None

    def verdict(self, target):
        """(what was measured, verdict); None when it could not be."""
        own = self.runs.get("tenure", [])
        if target.against is None:
            found = values(done(own), target.value)
        else:
            found = ratios(own, self.runs.get(target.against, []), target.value)
        if not found:
            return None, "not measured"
        measured = median(found)
        return measured, "ok" if target.holds(measured) else "MISSED"

    def target_table(self):
        if not self.experiment.targets or "tenure" not in self.runs:
            return None
        rows = []
        for target in self.experiment.targets:
            measured, verdict = self.verdict(target)
            relation = ">=" if target.at_least else "<="
            shown = target.form.format(measured) if measured is not None else "-"
            rows.append([target.title, f"{relation} {target.form.format(target.bound)}", shown, verdict])
        return ["target", "to reach", "measured", "verdict"], rows

    def notes(self):
        lines = []
        for allocator, why in self.failures.items():
            failed = sum(run is None for run in self.runs[allocator])
            if failed and done(self.runs[allocator]):
                lines.append(f"{allocator}: {failed} of {len(self.runs[allocator])} runs failed: {why}")
        if self.hiccups:
            gaps = self.hiccups["gaps_over_20us"] / self.hiccups["seconds"]
            lines.append(
                f"The machine itself, just before: {gaps:.0f} gaps over 20 us a second, "
                f"the longest {self.hiccups['max_ns'] * 1e-6:.2f} ms."
            )
        return lines

    def tables(self):
        return [table for table in (self.main_table(), self.pause_table(), self.target_table()) if table]


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


def as_text(outcome):
    lines = [outcome.experiment.title]
    for table in outcome.tables():
        lines += ["  " + line for line in text_table(*table)] + [""]
    lines += ["  " + note for note in outcome.notes()]
    return "\n".join(lines).rstrip() + "\n"


def as_markdown(outcome):
    lines = [f"### {outcome.experiment.title}", ""]
    for table in outcome.tables():
        lines += markdown_table(*table) + [""]
    lines += outcome.notes()
    return "\n".join(lines).rstrip() + "\n"
