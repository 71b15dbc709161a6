"""The verdict as tables for a terminal: one line a sampler, or every check."""

from __future__ import annotations

import math

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scoresde.verify.verdict import Check, Verdict

ORDERS = {
    "order, own start": "",
    "order, accurate start": "accurate start ",
    "weak order": "weak ",
    "strong order": "strong ",
}


def summary(verdict: Verdict) -> Group | Table:
    """One line a sampler, orders first; below it every check that failed, in full."""
    out = Table(title="scoresde verify", caption=_caption(verdict))
    out.add_column("sampler")
    out.add_column("orders: declared (measured)")
    out.add_column("other laws")
    out.add_column("checks", justify="right")
    out.add_column("")
    for name in dict.fromkeys(check.sampler for check in verdict.checks):
        own = [check for check in verdict.checks if check.sampler == name]
        failed = any(not check.passed for check in own)
        laws = dict.fromkeys(check.law for check in own if check.law not in ORDERS)
        held = [law for law in laws if all(c.passed for c in own if c.law == law)]
        words = [name, _orders(own), ", ".join(held), str(len(own))]
        mark = Text("FAIL", "bold red") if failed else Text("pass", "green")
        out.add_row(*(Text(word, "bold red" if failed else "") for word in words), mark)
    if not verdict.failures:
        return out
    return Group(out, table(Verdict(verdict.failures)))


def _orders(checks: list[Check]) -> str:
    """'2 (2.00, 2.00, 1.99); accurate start 3 (3.01, …)'."""
    parts = []
    for law, prefix in ORDERS.items():
        own = [check for check in checks if check.law == law]
        if own:
            measured = ", ".join(_number(check.measured) for check in own)
            parts.append(f"{prefix}{_number(own[0].declared)} ({measured})")
    return "; ".join(parts) or "–"


def table(verdict: Verdict) -> Table:
    """One row a check, samplers set apart, failures in red; the caption sums up."""
    out = Table(title="scoresde verify", caption=_caption(verdict))
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


def _caption(verdict: Verdict) -> str:
    total, failed = len(verdict.checks), len(verdict.failures)
    return f"{total} checks, all passed" if verdict.passed else f"{failed} of {total} failed"


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
