"""Write the README's table of measured orders: `python tools/verify_table.py verdict.json`.

The file is what `scoresde verify --json` prints. The table, between its two marks in README.md,
has one row for each of the samplers below; docs/solvers.md has them all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scoresde.verify.verdict import Check

BEGIN, END = "<!-- verify: begin -->", "<!-- verify: end -->"
MAIN = (
    "ddim",
    "heun",
    "dpmpp-2m",
    "unipc",
    "unipc(solver_order=3)",
    "rk4",
    "probability-flow",
    "ancestral",
    "euler-maruyama",
    "dpmpp-2m-sde",
    "stochastic-runge-kutta",
    "predictor-corrector",
    "restart",
)
ORDERS = ("order, accurate start", "order, own start", "weak order")
HEAD = "| sampler | evaluations a step | order declared | measured VP / VE / flow | Gaussian law |"


def rows(checks: list[Check]) -> list[str]:
    """Markdown rows of the main samplers, and how many checks of all hold."""
    lines = [HEAD, "|---|---|---|---|---|"]
    for name in MAIN:
        own = [check for check in checks if check.sampler == name]
        orders = next((found for law in ORDERS if (found := [c for c in own if c.law == law])), [])
        law = [c for c in own if c.law in ("gaussian law", "limit law")]
        if not orders and not law:
            continue
        kind = "weak " if any(c.law == "weak order" for c in orders) else ""
        declared = {f"{kind}{c.declared:g}" for c in orders} or {"none"}
        cold = {f"{c.declared:g}" for c in own if c.law == "order, own start"}
        if cold and cold != declared:
            declared = {f"{text} ({', '.join(cold)} own start)" for text in declared}
        measured = [f"{c.measured:.2f}" for c in orders]
        spent = [c for c in own if c.law == "evaluations"]
        cells = (
            f"`{name}`",
            f"{spent[0].measured:g}" if spent else "–",
            ", ".join(sorted(declared)),
            " / ".join(measured) or "–",
            _law(law) if law else "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    passed, samplers = sum(check.passed for check in checks), {c.sampler for c in checks}
    lines += [
        "",
        f"{passed} of {len(checks)} checks hold, of {len(samplers)} samplers and variants.",
    ]
    return lines


def _law(checks: list[Check]) -> str:
    """The largest error, marked where it is held to a limit and not to coefficients."""
    worst = max(checks, key=lambda check: check.measured)
    return f"{worst.measured:.0e}" + (" (limit)" if worst.bound > 1e-6 else "")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    checks = [Check(**check) for check in found["checks"]]
    path = Path("README.md")
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + "\n".join([BEGIN, *rows(checks), END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
