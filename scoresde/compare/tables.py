"""A comparison as a terminal table and as plain text cells."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table
from rich.text import Text

from scoresde.compare.comparison import Comparison, Entry, Row
from scoresde.compare.intervals import Estimate

_MOST_DIGITS = 5
DASH = "–"


def value_and_interval(estimate: Estimate) -> tuple[str, str]:
    """('0.412', '[0.398, 0.431]'): so many digits that the interval's width shows two.

    Below 1e-3 and from 1e5 on with an exponent: ('1.23e-05', '[1.18, 1.29]e-05').
    """
    value, lo, hi = estimate.value, estimate.lo, estimate.hi
    width = hi - lo if lo is not None and hi is not None else abs(value) / 10.0
    size = max(abs(number) for number in (value, lo, hi) if number is not None)
    if not math.isfinite(size) or size == 0.0:
        return f"{value:g}", "" if lo is None else f"[{lo:g}, {hi:g}]"
    lead = math.floor(math.log10(size))
    digits = 1 - math.floor(math.log10(width)) if width > 0.0 else 3 - lead
    power = lead if lead < -3 or lead > 4 else 0
    places = min(max(digits + power, 0), _MOST_DIGITS - min(lead - power, 0))
    suffix = f"e{power:+03d}" if power else ""
    scaled = [
        None if number is None else f"{number / 10.0**power:.{places}f}"
        for number in (value, lo, hi)
    ]
    ends = "" if scaled[1] is None else f"[{scaled[1]}, {scaled[2]}]{suffix}"
    return scaled[0] + suffix, ends


def evaluations(nfe: float | None) -> str:
    """Mean evaluations a sample: '20', '20.4', or a dash where unknown."""
    if nfe is None:
        return DASH
    return f"{nfe:.0f}" if abs(nfe - round(nfe)) < 0.05 else f"{nfe:.1f}"


def rich_table(comparison: Comparison) -> Table:
    """Candidates with value and interval of every metric, then the floors; notes as the caption.

    Green are values no farther from the reference than a second sample of its law may lie.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.title = Text(_title(comparison))
    table.title_justify = "left"
    table.add_column("candidate", overflow="fold")
    differ = len({row.rows for row in comparison.rows}) > 1
    if differ:
        table.add_column("n", justify="right", no_wrap=True)
    table.add_column("NFE", justify="right", no_wrap=True)
    for label in comparison.labels.values():
        table.add_column(label, justify="right")
    for row in comparison.rows:
        cells = [_rich_cell(row.entries[name]) for name in comparison.labels]
        counts = Text(str(row.rows), "" if row.rows == row.rows_total else "yellow")
        facts = [counts, evaluations(row.nfe)] if differ else [evaluations(row.nfe)]
        table.add_row(Text(row.name), *facts, *cells)
    table.add_section()
    for sizes, floors in _floors(comparison).items():
        cells = [
            Text("\n".join(value_and_interval(floors[name])), "dim") if name in floors else ""
            for name in comparison.labels
        ]
        name = Text(f"floor\n{sizes[0]} against {sizes[1]}", "dim")
        table.add_row(name, *[""] * (1 + differ), *cells)
    table.caption = Text("\n".join(notes(comparison)))
    return table


def text_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of one-line cells, for a picture or a page; floors are the last rows."""
    head = ["candidate", "n", "NFE", *comparison.labels.values()]
    rows = []
    for row in comparison.rows:
        cells = [_one_line(row.entries[name].estimate) for name in comparison.labels]
        rows.append([row.name, str(row.rows), evaluations(row.nfe), *cells])
    for sizes, floors in _floors(comparison).items():
        cells = [_one_line(floors.get(name)) for name in comparison.labels]
        rows.append([f"floor, {sizes[0]} against {sizes[1]}", "", "", *cells])
    return head, rows


def notes(comparison: Comparison) -> list[str]:
    """What the reader must know beside the figures, a line each."""
    lines = [
        f"[lo, hi]: {100 * comparison.confidence:g} % bootstrap interval",
        "floor: independent samples of the reference against each other; green: no farther",
    ]
    lines += comparison.notes
    for row in comparison.rows:
        lines += row.notes
    lines += _blanks(comparison.rows, comparison.labels)
    return lines


def _title(comparison: Comparison) -> str:
    counts = {row.rows for row in comparison.rows}
    ours = f"{counts.pop()} samples each" if len(counts) == 1 else "samples"
    return f"{ours} against {comparison.reference} ({comparison.reference_rows})"


def _blanks(rows: tuple[Row, ...], labels: dict[str, str]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, entry in row.entries.items():
            if entry.blank:
                reasons.setdefault((labels[name], entry.blank), []).append(row.name)
    lines = []
    for (label, reason), names in reasons.items():
        lines.append(f"no {label} of {', '.join(names)}: {reason}")
    return lines


def _floors(comparison: Comparison) -> dict[tuple[int, int], dict[str, Estimate]]:
    """Floors by sizes, then by metric."""
    found: dict[tuple[int, int], dict[str, Estimate]] = {}
    for row in comparison.rows:
        for name, entry in row.entries.items():
            if entry.floor is not None:
                found.setdefault(entry.floor.sizes, {})[name] = entry.floor.estimate
    return found


def _rich_cell(entry: Entry) -> Text:
    if entry.estimate is None:
        return Text(DASH, "dim")
    value, ends = value_and_interval(entry.estimate)
    cell = Text(value, "green" if entry.at_floor else "bold")
    return cell.append("\n" + ends, "dim") if ends else cell


def _one_line(estimate: Estimate | None) -> str:
    return DASH if estimate is None else " ".join(value_and_interval(estimate)).strip()
