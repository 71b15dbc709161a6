"""The family of estimators, by name."""

from __future__ import annotations

from scoresde.families import Family

ESTIMATORS = Family("estimator", {})
