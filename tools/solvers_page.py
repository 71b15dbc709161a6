"""Write docs/solvers.md: `python tools/solvers_page.py verdict.json errors.json`.

The first file is what `scoresde verify --json` prints, the second what `tools/solver_errors.py`
writes. Equations are the samplers' own, from their docstrings; what to use when is said here.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

from solver_errors import STARTS_AND_ENDS

from scoresde.samplers import SAMPLERS
from scoresde.samplers.aliases import TOOLS
from scoresde.verify import named

KINDS = {
    "runge_kutta": "Runge–Kutta on the probability flow",
    "exponential": "Exponential integrators of the flow",
    "multistep": "Linear multistep on the flow",
    "stochastic": "Reverse SDE",
    "corrected": "Correctors, and going back up",
    "adaptive": "Adaptive",
}
WHEN = {
    "euler": 'To teach, and as a baseline; `variable="time"` is flow matching\'s own sampler.',
    "heun": "Robust second order at any process; with churn, EDM's stochastic sampler.",
    "midpoint": "Second order like Heun's, without an evaluation at the step's end.",
    "dpm-2": "Second order with its inner point at the geometric mean of the noise levels.",
    "rk4": "A reference that needs no tolerance: fine grids, fourth order, both ends regular.",
    "ddim": "One evaluation, no memory, any start and end; eta = 1 is the ancestral sampler.",
    "dpm-solver": "Networks that predict noise, few steps, no memory of the past.",
    "dpmpp-1": "DDIM under the name of its paper; for comparisons of names.",
    "dpmpp-2s": "Like DPM-Solver with x0 interpolated: steadier under guidance.",
    "dpmpp-3s": "Third order without memory, where evaluations are not the limit.",
    "dpmpp-2m": "The default: second order at one evaluation a step, steady from 10 steps on.",
    "dpmpp-3m": "Third order at one evaluation a step from about 15 steps on.",
    "deis": "Noise prediction with memory, few steps.",
    "unipc": "The most accurate at one evaluation a step where the score is smooth.",
    "exp-rk4": "A fourth-order reference in the variables of the exponential methods.",
    "lms": "Many evaluations in sigma; smooth scores.",
    "ipndm": "5 to 10 evaluations on a grid that is even in its variable.",
    "ancestral": 'DDPM as published; the model\'s own variances with `variance="learned"`.',
    "euler-maruyama": "The reverse SDE taken literally; the baseline of the stochastic ones.",
    "euler-ancestral": "DDIM with eta = 1 in EDM's variables.",
    "dpm-2-ancestral": "Two evaluations a step, noise added after each.",
    "dpmpp-2s-ancestral": "Second order between doses of noise.",
    "dpmpp-sde": "Weak order 2 with two evaluations on one path: many steps, stochastic.",
    "dpmpp-2m-sde": "The stochastic default: weak order 2 at one evaluation a step.",
    "dpmpp-3m-sde": "As 2M-SDE, smoother scores and more steps.",
    "er-sde": "Between flow and SDE by a noise scale of one's choice.",
    "sa-solver": "Stochastic Adams with predictor and corrector; tau sets the noise.",
    "seeds": "Exponential in the noise prediction, weakly exact linear part.",
    "stochastic-runge-kutta": "Weak order 2 with nothing special assumed of the process.",
    "annealed-langevin": "Historic, and where nothing but a score at noise levels is known.",
    "predictor-corrector": "Imperfect networks: Langevin steps take out errors of the marginals.",
    "restart": "Imperfect networks at moderate budgets: noise added in bulk contracts errors.",
    "probability-flow": "The flow itself to a tolerance, each sample at its own pace.",
    "torchdiffeq": "Another hand's integrators on the same flow.",
    "scipy-flow": "The float64 reference; slow, for checks.",
    "dpm-adaptive": "Few evaluations to a loose tolerance, each sample by itself.",
    "adaptive-sde": "The reverse SDE with steps by tolerance, each sample by itself.",
}
HEAD = """# Solvers

Every sampler of `scoresde list samplers`: what it does, when to use it, what `scoresde verify`
measured. Tables and equations are written by `python tools/solvers_page.py`, not by hand. t is
where a step begins and s where it ends, λ is half the log SNR, h a step's length, z fresh noise.
[grids](grids.md) tells where the steps lie, [third parties](third_party.md) how other people's
solvers fare before the same court.

## Which one

| you have | take |
|---|---|
| a network, 10 to 30 evaluations | `dpmpp-2m`, `unipc`; `deis`, `ipndm` if x0 is not clipped |
| 5 to 8 evaluations | `deis`, `ipndm`, `dpmpp-2m` |
| a stochastic sampler wanted (imperfect network) | `dpmpp-2m-sde`; `heun` with churn; `restart` |
| encoding, likelihoods, a reference | `probability-flow`, `rk4`, `scipy-flow` |
| one noise path at any step count | an SDE solver with `--path` (`kernels.BrownianNoise`) |
| a chain of 1,000 instants as published | `ancestral` on the grid `discrete` |
"""


def orders(sampler) -> str:
    """'3 (2 from its own start)', 'weak 2, strong 1', 'none'."""
    parts = []
    if sampler.order is not None:
        cold = sampler.order_cold
        parts.append(
            f"{sampler.order}" + (f" ({cold} own start)" if cold != sampler.order else "")
        )
    if sampler.weak_order is not None:
        parts.append(f"weak {sampler.weak_order}")
    if sampler.strong_order is not None:
        parts.append(f"strong {sampler.strong_order:g}")
    return ", ".join(parts) or "none"


def measured(name: str, checks: list[dict]) -> str:
    """The slopes of the laws of order, by process."""
    laws = {
        "order, own start": "own start",
        "order, accurate start": "accurate start",
        "weak order": "weak",
        "strong order": "strong",
    }
    parts = []
    for law, word in laws.items():
        own = [c["measured"] for c in checks if c["sampler"] == name and c["law"] == law]
        if own:
            slopes = " / ".join("–" if m is None else f"{m:.2f}" for m in own)
            parts.append(f"{word} {slopes}")
    return "; ".join(parts) or "–"


def equation(member: type) -> str:
    """The first paragraph of the docstring."""
    return inspect.cleandoc(member.__doc__ or "").split("\n\n")[0]


def chapter(kind: str) -> list[str]:
    lines = [f"### {KINDS[kind]}", ""]
    for name, member in SAMPLERS.members.items():
        if member.__module__.split(".")[2] != kind:
            continue
        sampler = member()
        evaluations = "–" if sampler.evaluations is None else sampler.evaluations
        lines += [f"**`{name}`** {WHEN[name]}", "", "```", equation(member), "```"]
        count = "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"
        facts = f"{count} a step; order {orders(sampler)}"
        if sampler.order is not None or sampler.weak_order is not None:
            facts += f", on the grid `{sampler.order_grid}`"
        lines += [facts + ".", ""]
    return lines


def orders_table(checks: list[dict]) -> list[str]:
    lines = [
        "| sampler | declared | measured (VP / VE / rectified flow) | checks |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(check["sampler"] for check in checks):
        own = [check for check in checks if check["sampler"] == name]
        passed = sum(check["passed"] for check in own)
        if name.split("(")[0] in SAMPLERS.members:
            declared = orders(named(name))
            lines.append(
                f"| `{name}` | {declared} | {measured(name, checks)} | {passed} of {len(own)} |"
            )
    return lines


def starts_table(found: dict) -> list[str]:
    """What the options `start` and `end` of multistep samplers change, beside their defaults."""
    lines = []
    for density in ("plane", "digits"):
        head = " | ".join(map(str, found["budgets"]))
        lines += [f"| {density} | {head} |", "|---|" + "---|" * len(found["budgets"])]
        bases = dict.fromkeys(text.split("(")[0] for text in STARTS_AND_ENDS)
        for base in bases:
            for name in (base, *(t for t in found["rows"] if t.startswith(base + "("))):
                cells = found["rows"][name]["errors"][density]
                lines.append(f"| `{name}` | " + " | ".join(_error(c) for c in cells) + " |")
        lines.append("")
    return lines


def errors_table(found: dict, density: str) -> list[str]:
    budgets = found["budgets"]
    head = " | ".join(map(str, budgets))
    lines = [f"| sampler | error of | {head} |", "|---|---|" + "---|" * len(budgets)]
    adaptive = []
    for name, row in found["rows"].items():
        if name in STARTS_AND_ENDS:
            continue
        cells = row["errors"].get(density, [])
        if len(cells) < 2:
            if cells and cells[0]:
                adaptive.append(f"`{name}` {_error(cells[0])} at {cells[0][1]:.0f} evaluations")
            continue
        text = " | ".join(_error(cell) for cell in cells)
        lines.append(f"| `{name}` | {row['kind']} | {text} |")
    return [*lines, "", "Adaptive ones, at their own tolerances: " + "; ".join(adaptive) + "."]


def _error(cell) -> str:
    return "–" if cell is None else f"{cell[0]:.1e}" if cell[0] < 0.01 else f"{cell[0]:.3f}"


def costs_table(found: dict) -> list[str]:
    base = found["rows"]["ddim"]["microseconds"]
    lines = ["| sampler | times DDIM's |", "|---|---|"]
    for name, row in found["rows"].items():
        if row["microseconds"] and "(" not in name:
            lines.append(f"| `{name}` | {row['microseconds'] / base:.1f} |")
    return lines


def aliases() -> list[str]:
    lines = ["| tool | name there | here |", "|---|---|---|"]
    for tool, names in TOOLS.items():
        for alias, (name, options) in names.items():
            given = ", ".join(f"{k}={v}" for k, v in options.items())
            lines.append(f"| {tool} | {alias} | `{name}`{f' with {given}' if given else ''} |")
    return lines


def page(verdict: dict, found: dict) -> str:
    checks = verdict["checks"]
    held = sum(check["passed"] for check in checks)
    titles = {
        "plane": "three wide components in the plane",
        "ring": "eight narrow components on a ring",
        "digits": "ten Gaussians in 64 dimensions, fitted to digits",
    }
    lines = [HEAD, "## What each does", ""]
    for kind in KINDS:
        lines += chapter(kind)
    lines += ["## Orders", "", f"`scoresde verify`: {held} of {len(checks)} checks hold.", ""]
    lines += orders_table(checks)
    lines += ["", "## Error at 5, 10, 20 and 50 evaluations", "", ERRORS]
    for density, title in titles.items():
        lines += ["", f"### {title[0].upper()}{title[1:]}", "", *errors_table(found, density)]
    lines += ["", "## Starts and ends of multistep samplers", "", STARTS, "", *starts_table(found)]
    lines += ["", "## Cost of a step beside its evaluations", "", COST, "", *costs_table(found)]
    lines += ["", "## Names elsewhere", "", NAMES, "", *aliases(), ""]
    return "\n".join(lines)


ERRORS = """\
VP linear, Karras's grid down to the data, exact scores, starts of the exact law. *flow*: root mean
square distance of 200 samples to the exact flow's, in units of the data's spread. *path*: the same
to the limit of the reverse SDE on the same Brownian path. *law*: largest deviation of a mean or
(co)variance of 2,000 samples, in the data's units; 0.05 in the plane and 0.1 in 64 dimensions are
its noise. So columns compare within a kind. – where the budget allows no step."""
STARTS = """\
`start="single-step"` gives the first steps the full order at further evaluations, which count
here; `end="lower"` lets the order fall to 1 at the last step. Errors as above, two densities."""
COST = """\
CPU time a step, (64, 2) float32 states, a model that returns its input and noise that costs
nothing, one thread, as a multiple of DDIM's. [benchmarks](../benchmarks/README.md) has the figures
beside other packages."""
NAMES = 'Any of these is accepted wherever a sampler is named: `--sampler "DPM++ 2M SDE"`.'


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    verdict, found = (json.loads(Path(p).read_text(encoding="utf-8")) for p in sys.argv[1:3])
    path = Path(sys.argv[3] if len(sys.argv) > 3 else "docs/solvers.md")
    path.write_text(page(verdict, found), encoding="utf-8")


if __name__ == "__main__":
    main()
