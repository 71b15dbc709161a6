"""Many starts of a search for modes: in blocks, told of, and refused beyond memory."""

import sys

import pytest
import torch

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.errors import OptionError
from scoresde.langevin import modes

WELLS = GaussianMixture(means=[[-2.0, 0.0], [2.0, 1.0]], covariances=[0.3, 0.2])


def test_blocks_of_starts_change_nothing_and_are_told(monkeypatch):
    whole = modes(WELLS, n=50)
    monkeypatch.setattr(sys.modules["scoresde.langevin.modes"], "_BLOCK", 2 * 12)
    told = []
    found = modes(WELLS, n=50, on_climbed=lambda done, of: told.append((done, of)))
    assert told == [(12, 52), (24, 52), (36, 52), (48, 52), (52, 52)]
    torch.testing.assert_close(found.x, whole.x)
    torch.testing.assert_close(found.log_density, whole.log_density)
    assert found.basin.tolist() == whole.basin.tolist()


def test_more_starts_than_memory_holds_are_refused():
    with pytest.raises(OptionError, match=r"take 240\.0 GB .* at most 22369621 "):
        modes(
            Gaussian(
                mean=[0.0] * 3, covariance=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
            ),
            n=10**10,
        )
