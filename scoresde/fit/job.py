"""The fit itself: data in model space, the model, and how well it does on both splits."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from scoresde.config import Config
from scoresde.data import Dataset
from scoresde.estimators import Fitted
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.choose import Choice, OnCandidate, choose
from scoresde.fit.likelihood import Likelihood, likelihood
from scoresde.fit.plan import Plan
from scoresde.io.provenance import provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """A fitted model, what it was fitted to, and its likelihood on both splits of the data."""

    settings: Config
    data: Dataset
    rows: int  # of the training split that were fitted to
    model: Fitted
    train: Likelihood
    held_out: Likelihood
    seconds: float  # of the fit alone
    device: torch.device | str = "cpu"
    choice: Choice | None = None  # where k was chosen among several

    @property
    def name(self) -> str:
        return self.settings.sections["fit"]["name"]

    def figures(self) -> dict:
        """The fit in plain data: what a file keeps of it, and what a report tells."""
        model, choice = self.model, {}
        if self.choice is not None:
            table = [asdict(candidate) for candidate in self.choice.table]
            choice = {"choice": {"criterion": self.choice.criterion, "candidates": table}}
        return {
            "rows": self.rows,
            "held_out": asdict(self.held_out),
            "train": asdict(self.train),
            "iterations": model.iterations,
            "converged": model.converged,
            "objective": model.trace[-1] if model.trace else None,
            "facts": model.facts(),
            **choice,
        }

    def metadata(self) -> dict:
        """What a file must carry beside the model, for `open_source` and for a reader."""
        data = self.data
        return {
            "config": self.settings.resolved(),
            "data": data.name,
            "event_shape": list(data.event_shape),
            "scaling": data.scaling.to_dict(),
            "class_names": list(data.class_names),
            "attribution": data.attribution,
            "data_fingerprint": data.fingerprint,
            "figures": self.figures(),
            "threads": torch.get_num_threads(),
            "provenance": provenance(),
        }


def carry_out(
    plan: Plan,
    *,
    on_iteration: OnIteration | None = None,
    on_candidate: OnCandidate | None = None,
) -> Fitting:
    """Fit the plan's estimator to its rows of the training split, and judge it on the other.

    The fit is in model space, as a network's training is. Of several sizes the criterion chooses
    (`choose`), on the training split. Raises as the estimator's `fit`.
    """
    settings, estimator, data, x = plan.settings, plan.estimator, plan.data, plan.x
    begun, choice, seed = time.perf_counter(), None, settings.seed
    if plan.ks:
        rule = {
            "ks": plan.ks,
            "criterion": plan.criterion,
            "seed": seed,
            "on_candidate": on_candidate,
        }
        choice = choose(estimator, x, **rule)
        model = choice.model
        settings = settings.replace("fit", {**settings.sections["fit"], "k": choice.k})
    else:
        model = estimator.fit(x, seed=seed, on_iteration=on_iteration, **plan.given)
    seconds = time.perf_counter() - begun
    device = x.device if isinstance(x, Tensor) else "cpu"
    where = {
        "scaling": data.scaling,
        "device": device,
        "partial": model.log_prob if estimator.takes_missing else None,
    }
    return Fitting(
        settings=settings,
        data=data,
        rows=len(x),
        model=model,
        train=likelihood(model.density, x, **where),
        held_out=likelihood(model.density, data.test, **where),
        seconds=seconds,
        device=device,
        choice=choice,
    )
