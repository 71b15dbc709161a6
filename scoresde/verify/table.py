"""The verdict as a table for a terminal."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from scoresde.verify.verdict import Check, Verdict


def table(verdict: Verdict) -> Table:
    """One row a check, samplers set apart, failures in red; the caption sums up."""
    failed = len(verdict.failures)
    total = len(verdict.checks)
    caption = f"{total} checks, all passed" if verdict.passed else f"{failed} of {total} failed"
    out = Table(title="scoresde verify", caption=caption)
    for heading in ("sampler", "law", "process"):
        out.add_column(heading)
    for heading in ("measured", "declared", "bound"):
        out.add_column(heading, justify="right")
    out.add_column("")
    out.add_column("detail")
    before = None
    for check in verdict.checks:
        if before is not None and check.sampler != before:
            out.add_section()
        out.add_row(*_cells(check, check.sampler != before))
        before = check.sampler
    return out


def _cells(check: Check, first: bool) -> list[Text]:
    style = "" if check.passed else "bold red"
    words = [
        check.sampler if first else "",
        check.law,
        check.process,
        _number(check.measured),
        _number(check.declared),
        _number(check.bound),
    ]
    mark = Text("pass", "green") if check.passed else Text("FAIL", "bold red")
    return [*(Text(word, style) for word in words), mark, Text(check.detail, style or "dim")]


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, int) or (math.isfinite(value) and value == int(value)):
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.1e}"
