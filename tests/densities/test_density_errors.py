"""Densities: slips in their options and states are named."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import DENSITIES, Gaussian, GaussianMixture
from scoresde.errors import OptionError, UnknownNameError

BAD = [
    (Gaussian, {"mean": [0.0, 1.0]}, "covariance"),
    (Gaussian, {"mean": [0.0], "factor": [[1.0]]}, "variance"),
    (Gaussian, {"mean": [0.0, math.nan], "covariance": np.eye(2)}, "mean"),
    (Gaussian, {"mean": [0.0, 0.0], "covariance": np.eye(3)}, "(3, 3)"),
    (Gaussian, {"mean": [0.0, 0.0], "covariance": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
    (Gaussian, {"mean": [0.0, 0.0], "covariance": [[1.0, 2.0], [2.0, 1.0]]}, "-1"),
    (Gaussian, {"mean": [0.0], "factor": [[1.0]], "variance": -2.0}, "-2"),
    (Gaussian, {"mean": [0.0], "covariance": [[1.0]], "event_shape": (2,)}, "(2,)"),
    (Gaussian, {"mean": "zero", "covariance": [[1.0]]}, "mean"),
    (GaussianMixture, {"means": np.zeros((2, 2)), "covariances": np.ones(3)}, "(3,)"),
    (GaussianMixture, {"means": np.zeros((2, 2)), "covariances": [1.0, -1.0]}, "-1"),
    (GaussianMixture, {"means": np.zeros((0, 2)), "covariances": []}, "component"),
    (
        GaussianMixture,
        {"means": np.zeros((2, 2)), "covariances": [1.0, 1.0], "weights": [1.0, -1.0]},
        "weights",
    ),
    (
        GaussianMixture,
        {"means": np.zeros((1, 2)), "covariances": [[[1.0, 1.0], [0.0, 1.0]]]},
        "symmetric",
    ),
    (Gaussian, {"mean": [0.0], "factor": [[1.0]], "variance": math.nan}, "variance"),
    (Gaussian, {"mean": [0.0], "factor": [[1.0]], "variance": "small"}, "variance"),
    *(
        (GaussianMixture, {"means": np.zeros((3, 2)), **options}, named)
        for options, named in (
            ({}, "none of them"),
            ({"covariances": np.eye(2)}, "structure = 'tied'"),
            ({"covariances": np.eye(2), "structure": "diagonal"}, "(3, 2) diagonal"),
            ({"covariances": np.ones(3), "structure": "tied"}, "taken for tied"),
            ({"covariances": [[1.0, 0.1], [0.0, 1.0]], "structure": "tied"}, "symmetric"),
            ({"covariances": [[1.0, 2.0], [2.0, 1.0]], "structure": "tied"}, "variance, -1"),
            ({"covariances": np.eye(2) * [[[1.0]], [[1.0]], [[-1.0]]]}, "variance, -1"),
            ({"covariances": np.ones(3), "structure": "round"}, "'round'"),
            ({"covariances": np.ones(3), "structure": "low-rank"}, "takes factors and variances"),
            ({"factors": np.ones((3, 2, 1))}, "got factors"),
            ({"variances": np.ones(3)}, "got variances"),
            (
                {
                    "factors": np.ones((3, 2, 1)),
                    "variances": np.ones(3),
                    "covariances": np.ones(3),
                },
                "got covariances and factors and variances",
            ),
            (
                {"factors": np.ones((3, 2, 1)), "variances": np.ones(3), "structure": "full"},
                "a full mixture takes covariances",
            ),
            ({"factors": np.ones((3, 2, 3)), "variances": np.ones(3)}, "m from 1 to 2"),
            ({"factors": np.ones((3, 2, 0)), "variances": np.ones(3)}, "m from 1 to 2"),
            ({"factors": np.ones((2, 2, 1)), "variances": np.ones(3)}, "(2, 2, 1)"),
            ({"factors": np.ones((3, 2)), "variances": np.ones(3)}, "rank 2"),
            ({"factors": np.ones((3, 2, 1)), "variances": np.ones(2)}, "(2,), need (3,)"),
            ({"factors": np.ones((3, 2, 1)), "variances": [1.0, -0.5, 1.0]}, "-0.5"),
            ({"covariances": np.ones(3), "weights": np.zeros(3)}, "weights"),
            ({"covariances": np.ones(3), "weights": np.ones(2)}, "weights"),
            ({"covariances": [1.0, math.nan, 1.0]}, "NaN"),
        )
    ),
]


@pytest.mark.parametrize(("cls", "options", "named"), BAD)
def test_bad_options_are_named(cls, options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        cls(**options)
    assert named in str(caught.value)


def test_a_wrong_event_shape_is_named() -> None:
    for density in (
        Gaussian(mean=[0.0, 0.0], covariance=np.eye(2)),
        GaussianMixture(means=np.zeros((1, 2)), covariances=[1.0]),
    ):
        for ask in (density.log_prob, density.score, density.posterior):
            with pytest.raises(OptionError, match=r"\(2,\), got x of shape \(2, 9\)"):
                ask(torch.zeros(2, 9), 0.8, 0.6)


def test_a_misspelt_density_has_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        DENSITIES["gausian"]
