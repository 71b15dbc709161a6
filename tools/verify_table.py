"""Write the README's table of measured orders: `python tools/verify_table.py [README.md]`.

Runs `scoresde verify` and puts one row a sampler between the table's two marks in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from scoresde.verify import verify
from scoresde.verify.verdict import Check, Verdict

BEGIN, END = "<!-- verify: begin -->", "<!-- verify: end -->"
PROCESSES = ("vp-linear", "ve", "rectified-flow from -7")
HEAD = "| sampler | evaluations a step | order declared | measured VP / VE / flow | Gaussian law |"


def rows(verdict: Verdict) -> list[str]:
    """Markdown rows, samplers in the order of the verdict."""
    lines = [HEAD, "|---|---|---|---|---|"]
    for name in dict.fromkeys(check.sampler for check in verdict.checks):
        own = [check for check in verdict.checks if check.sampler == name]
        orders = {c.process: c for c in own if c.law in ("order, own start", "weak order")}
        law = [c for c in own if c.law in ("gaussian law", "limit law")]
        if not orders and not law:
            continue
        kind = "weak " if any(c.law == "weak order" for c in orders.values()) else ""
        declared = {f"{kind}{c.declared:g}" for c in orders.values()} or {"none"}
        measured = [f"{orders[p].measured:.2f}" for p in PROCESSES if p in orders]
        spent = [c for c in own if c.law == "evaluations"]
        cells = (
            f"`{name}`",
            f"{spent[0].measured:g}" if spent else "–",
            ", ".join(sorted(declared)),
            " / ".join(measured) or "–",
            _law(law) if law else "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    passed = sum(check.passed for check in verdict.checks)
    lines += ["", f"{passed} of {len(verdict.checks)} checks hold."]
    return lines


def _law(checks: list[Check]) -> str:
    """The largest error, marked where it is held to a limit and not to coefficients."""
    worst = max(checks, key=lambda check: check.measured)
    return f"{worst.measured:.0e}" + (" (limit)" if worst.bound > 1e-6 else "")


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    text = path.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{path} has no {BEGIN} ... {END}")
    torch.set_num_threads(1)
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + "\n".join([BEGIN, *rows(verify()), END]) + after)


if __name__ == "__main__":
    main()
