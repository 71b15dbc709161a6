"""Kernel density estimates: slips are named, and what cannot be told is refused."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import KDE
from scoresde.errors import CapabilityError, OptionError


@pytest.mark.parametrize(("options", "named"), [
    ({"bandwidth": -0.1}, "-0.1"),
    ({"bandwidth": math.nan}, "nan"),
    ({"bandwidth": True}, "True"),
    ({"bandwidth": "scott"}, "'scott'"),
    ({"points": np.zeros((0, 3))}, "at least one"),
    ({"points": [[math.nan]]}, "points holds NaN"),
    ({"points": [[1e200], [-1e200]]}, "too far apart"),
    ({"points": np.zeros((4, 3)), "event_shape": (2,)}, "(2,)"),
    ({"weights": [1.0, 0.0]}, "weight zero"),
    ({"weights": [1.0]}, "2 numbers"),
    ({"labels": (0, 2)}, "without a gap"),
    ({"labels": (0.0, 1.0)}, "whole numbers"),
    ({"labels": (0,)}, "each of 2 points"),
])  # fmt: skip
def test_slips_are_named(options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        KDE(**{"points": [[0.0], [1.0]], "bandwidth": 1.0, **options})
    assert named in str(caught.value)


def test_what_cannot_be_told_is_refused() -> None:
    empirical = KDE(points=np.eye(3), bandwidth=0.0)
    x = torch.zeros(2, 3)
    zero = torch.zeros(2, 1)
    for ask in (empirical.log_prob, empirical.score, empirical.posterior, empirical.neighbours):
        for sigma in (0.0, zero):
            with pytest.raises(CapabilityError, match="no density at sigma = 0"):
                ask(x, 1.0, sigma)
    with pytest.raises(CapabilityError, match="labels = "):
        empirical.given(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(CapabilityError, match="no classes"):
        empirical.class_log_prob(x, 1.0, 0.5)
    with pytest.raises(OptionError, match="-1 to 3"):
        KDE(points=np.eye(3), bandwidth=1.0, labels=(0, 1, 2)).given(torch.tensor([-1, 3]))
    with pytest.raises(CapabilityError, match="leaves nothing"):
        KDE(points=[[1.0]], bandwidth=1.0).leave_one_out()
    with pytest.raises(OptionError, match="> 0, got"):
        empirical.leave_one_out()
