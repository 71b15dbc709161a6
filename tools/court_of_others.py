"""Other people's solvers before the court: `python tools/court_of_others.py`.

Needs diffusers or k-diffusion beside scoresde (in an environment of its own: neither is a
dependency), judges those that are there under what they claim, and writes the table of what holds
and what fails between the marks of docs/third_party.md (or of the page given).
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import court_diffusers
import court_k_diffusion
import torch

from scoresde.verify import ThirdParty, Verdict, verify
from scoresde.verify.verdict import Check

BEGIN, END = "<!-- others: begin -->", "<!-- others: end -->"
PACKAGES = {"diffusers": court_diffusers, "k-diffusion": court_k_diffusion}
ORDERS = ("order, own start", "order, accurate start", "weak order")


def row(name: str, checks: list[Check]) -> str:
    cells = []
    for law in ORDERS:
        own = [c for c in checks if c.law == law]
        measured = " / ".join(
            "–" if c.measured != c.measured else f"{c.measured:.2f}" for c in own
        )
        cells.append(f"{own[0].declared:g}: {measured}" if own and own[0].declared else "")
    failed = dict.fromkeys(c.law for c in checks if not c.passed)
    return f"| `{name}` | {' | '.join(cells)} | {', '.join(failed) or 'none'} |"


def judged(name: str, sampler: ThirdParty) -> list[Check]:
    verdict: Verdict = verify(samplers={name: sampler})
    print(f"{name}: {len(verdict.failures)} of {len(verdict.checks)} failed", file=sys.stderr)
    for check in verdict.failures:
        print(f"    {check.law}, {check.process}: {check.measured:.3g} {check.detail}",
              file=sys.stderr)  # fmt: skip
    return list(verdict.checks)


def section(package: str) -> list[str]:
    try:
        found = version(package)
        claims = PACKAGES[package].claims()
    except (PackageNotFoundError, ImportError) as error:
        return ["", f"{package}: not judged here ({error})."]
    lines = [
        "",
        f"**{package} {found}**, each under the order that its options or its paper name "
        "(declared: measured under VP / VE / rectified flow)",
        "",
        "| solver | own start | accurate start | weak order | laws that fail |",
        "|---|---|---|---|---|",
    ]
    return lines + [row(name, judged(name, sampler)) for name, sampler in claims.items()]


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/third_party.md")
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"{path} has no {BEGIN} ... {END}")
    torch.set_num_threads(1)
    lines = [line for package in PACKAGES for line in section(package)]
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + "\n".join([BEGIN, *lines, "", END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
