"""What the court hands down: checks, each a measurement against a declaration."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """One law, one sampler: it holds where |measured - declared| <= bound.

    `declared` is what the sampler claims (an order, evaluations a step) or what the law demands
    (an error of 0); None where the sampler should have declared and did not. `measured` is NaN
    where the sampler raised before anything could be measured. `detail` says how, in words.
    """

    sampler: str
    law: str
    process: str
    measured: float
    declared: float | None
    bound: float
    passed: bool
    detail: str = ""

    def to_dict(self) -> dict:
        """Fields by name, numbers that JSON has no word for as None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Verdict:
    """All checks of a run, and whether every one of them passed."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if there was something to check and nothing failed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def to_dict(self) -> dict:
        """{"passed": bool, "checks": [...]}, ready for JSON."""
        return {"passed": self.passed, "checks": [check.to_dict() for check in self.checks]}


def _plain(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(
    sampler: str,
    law: str,
    process: str,
    measured: float,
    declared: float | None,
    bound: float,
    detail: str = "",
) -> Check:
    """The check of one measurement; without a declaration, or not finite, it fails."""
    measured = float(measured)
    passed = declared is not None and abs(measured - declared) <= bound
    return Check(sampler, law, process, measured, declared, bound, passed, detail)


def worst_of(numbers) -> float:
    """The largest of numbers or arrays; NaN if any is NaN, which the built-in max may lose."""
    return float(np.max(np.asarray(numbers, dtype=np.float64)))


def raised(sampler: str, law: str, error: Exception) -> Check:
    """The check of a sampler that raised instead of sampling."""
    detail = f"raised {type(error).__name__}: {error}"
    return Check(sampler, law, "", math.nan, None, 0.0, False, detail)
