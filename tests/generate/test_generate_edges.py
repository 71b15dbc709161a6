"""Chains in the data's units, identities that name what was used, failed first blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresde import config
from scoresde.checkpointed import Source
from scoresde.data import Scaling
from scoresde.errors import DumpError, NonFiniteError
from scoresde.generate import Generator, Request, generate
from scoresde.processes import VPLinear
from scoresde.score import ScoreModel


class _Constant(ScoreModel):
    """E[x|z] = 5 whatever z: the law of a point at 5."""

    kind = "x0"
    event_shape = (1,)

    def forward(self, x, level):
        return torch.full_like(x, 5.0)


def _source() -> Source:
    settings = config.from_tables({"process": "vp-linear"})
    table = settings.resolved()["process"]
    scaling = Scaling(shift=1.0, scale=2.0)
    return Source(_Constant(), VPLinear(), table, scaling, settings, "test", "a point at 5")


def _method(step_size: float) -> config.Config:
    chain = {"draws": 20, "warm_up": 200, "log_snr": 0.0}
    kernel = {"name": "ula", "step_size": step_size}
    return config.from_tables({"kernel": kernel, "chain": chain})


def test_a_chain_at_a_noise_level_is_dumped_in_the_units_of_the_data(tmp_path) -> None:
    """z = alpha x + sigma eps at alpha = sigma: z/alpha has mean 5 and variance 1/(1 - d/2v) 4."""
    request = Request(method=_method(0.1), n=400, dtype="float64")
    made = generate(_source(), request, tmp_path / "a.h5")
    variance = 0.5 / (1 - 0.1 / (2 * 0.5))  # of z, ULA's on N(5 alpha, 1/2)
    expected = 2.0 * np.sqrt(variance / 0.5)
    last = made.samples[:, 0]
    assert abs(last.mean() - 11.0) < 4 * last.std() / 20
    assert abs(last.std() / expected - 1) < 4 / np.sqrt(2 * 400)


def test_a_first_block_that_fails_leaves_no_dump_behind(tmp_path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(NonFiniteError, match=r"2 sigma\^2 = 2"):
        generate(_source(), Request(method=_method(1e6), n=4), path)
    assert not path.exists()
    assert generate(_source(), Request(method=_method(0.1), n=4), path).complete


def test_a_resume_in_other_blocks_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "a.h5"
    generate(_source(), Request(method=_method(0.1), n=8, batch=4), path)
    with pytest.raises(DumpError, match="batch is 4 there and 2"):
        generate(_source(), Request(method=_method(0.1), n=8, batch=2), path, resume=True)


def test_the_identity_names_the_steps_that_were_made() -> None:
    grid = {"name": "explicit", "steps": 7, "noise_ratios": [10.0, 1.0, 0.1, 0.0]}
    method = config.from_tables({"sampler": "ddim", "grid": grid})
    attributes = Generator(_source(), Request(method=method)).attributes()
    assert attributes["identity"]["grid"]["steps"] == 3
    betas = config.from_tables({"process": {"name": "ddpm", "betas": [0.1, 0.2, 0.3]}})
    assert betas.resolved()["process"]["steps"] == 3


def test_a_start_that_is_not_noise_is_told() -> None:
    def share(low: float) -> float:
        grid = {"name": "karras", "log_snr_min": low}
        method = config.from_tables({"sampler": "ddim", "grid": grid})
        return Generator(_source(), Request(method=method)).start_share()

    assert share(0.0) == pytest.approx(0.5)
    assert share(-10.0) < 1e-4
