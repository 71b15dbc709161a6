"""The best linear denoiser of a Gaussian, under every objective and every weighting.

x0_hat = a z + b at all levels at once. On N(m, v) its best (a, b) solves E_t w(t) M(t) (a, b) =
E_t w(t) (E zx, E x), M = [[E z^2, E z], [E z, 1]], a Wiener filter averaged over the levels. The
integrals are taken by quadrature, the weights written here anew.
"""

import numpy as np
import pytest
import torch
from toy_models import Formula, slopes

from scoresde.densities import Gaussian
from scoresde.kernels import Noise
from scoresde.objectives import OBJECTIVES, WEIGHTINGS, Draws, UniformTimes
from scoresde.processes import VPLinear

MEAN, VARIANCE, STEPS = 0.6, 0.5, 5
DENSITY = Gaussian(mean=[MEAN] * 2, covariance=[[VARIANCE, 0.0], [0.0, VARIANCE]])
VP = VPLinear(beta_min=0.5, beta_max=4.0, t_min=0.1)
SLICED = ["sliced", "sliced-vr", "finite-difference"]


def _log_alpha(t):
    return -0.875 * t * t - 0.25 * t


def _snr(t):
    return 1.0 / np.expm1(-2.0 * _log_alpha(t))


def _rate(t):
    """-SNR'(t) = 2 beta/2 exp(-2 log alpha) SNR^2, beta/2 = -d log alpha/dt."""
    return 2.0 * (1.75 * t + 0.25) * np.exp(-2.0 * _log_alpha(t)) * _snr(t) ** 2


WEIGHTS = {  # of |x0_hat - x|^2
    "simple": _snr,
    "edm": lambda t: _snr(t) + 1.0,
    "velocity": lambda t: (_rate(t) / 2.0) ** 2 / _snr(t) * (1.0 - np.exp(2.0 * _log_alpha(t))),
    "min-snr": lambda t: np.minimum(_snr(t), 5.0),
    "p2": lambda t: _snr(t) / (1.0 + _snr(t)),
    "sigmoid": lambda t: 0.5 * _rate(t) / (1.0 + _snr(t)),
    "snr-rate": lambda t: 0.5 * _rate(t),
    "uncertainty": lambda t: _snr(t) + 1.0,  # EDM's, at its start
}
CASES = [
    *(("denoising", weighting) for weighting in WEIGHTINGS.members),
    *(("implicit", weighting) for weighting in WEIGHTINGS.members if weighting != "uncertainty"),
    *((name, weighting) for name in SLICED for weighting in ("simple", "vlb")),
    ("flow-matching", None),
    ("ncsn", None),
]


def _nodes(name, weighting):
    """Times and their total weights."""
    if name == "ncsn":
        low, high = (_snr(end) ** -0.5 for end in (VP.t_min, 1.0))
        snr = np.geomspace(low, high, 5) ** -2.0
        minus = 0.5 * np.log1p(1.0 / snr)  # -log alpha = 0.875 t^2 + 0.25 t
        t = (-0.25 + np.sqrt(0.0625 + 3.5 * minus)) / 1.75
        return t, snr
    if weighting == "vlb":
        t = VP.t_min + (1.0 - VP.t_min) * np.arange(STEPS + 1) / STEPS
        return t[1:], _snr(t[:-1]) - _snr(t[1:])
    t = VP.t_min + (1.0 - VP.t_min) * (np.arange(20_000) + 0.5) / 20_000  # midpoints
    return t, WEIGHTS[weighting or "velocity"](t)


def _closed_form(name, weighting) -> torch.Tensor:
    t, weight = _nodes(name, weighting)
    alpha = np.exp(_log_alpha(t))
    second = alpha**2 * (VARIANCE + MEAN**2) + 1.0 - alpha**2
    matrix = [
        [(weight * second).sum(), (weight * alpha * MEAN).sum()],
        [(weight * alpha * MEAN).sum(), weight.sum()],
    ]
    right = [(weight * alpha * (VARIANCE + MEAN**2)).sum(), weight.sum() * MEAN]
    return torch.tensor(np.linalg.solve(matrix, right))


def _objective(name, weighting):
    if name == "ncsn":
        return OBJECTIVES[name](kind="x0", levels=5, stratified=False)
    options = {"kind": "x0", "times": UniformTimes(), "stratified": False}
    if weighting is not None:
        weights = {"steps": STEPS} if weighting == "vlb" else {}
        options["weighting"] = WEIGHTINGS[weighting](**weights)
    return OBJECTIVES[name](**options)


@pytest.mark.parametrize(("name", "weighting"), CASES)
def test_the_minimiser_over_linear_denoisers_is_the_closed_form(name, weighting):
    count = 4000
    objective, best = _objective(name, weighting), _closed_form(name, weighting)
    x, draws = DENSITY.sample(torch.arange(count), 5), Draws.whole(Noise(8), 1, count)

    def losses(theta):
        model = Formula("x0", lambda z: theta[0] * z + theta[1])
        return objective.losses(model, VP, x, draws).detach()

    gradient = slopes(losses, best)  # (count, 2); the mean vanishes at the minimiser
    other = slopes(losses, best + torch.tensor([1.0, 0.0]))
    third = slopes(losses, best + torch.tensor([0.0, 1.0]))
    curvature = torch.stack([(other - gradient).mean(0), (third - gradient).mean(0)], dim=1)
    torch.testing.assert_close(curvature, curvature.T, rtol=1e-6, atol=1e-9)
    assert bool((torch.linalg.eigvalsh(curvature) > 0.0).all())
    inverse = torch.linalg.inv(curvature)
    found = best - inverse @ gradient.mean(0)  # the normal equations' solution
    error = (inverse @ gradient.T.cov() @ inverse / count).diag().sqrt()
    assert bool(((found - best).abs() < 4.0 * error).all()), (found, best, error)
    assert float(error.max()) < 0.1


def test_the_closed_forms_differ_so_that_a_wrong_weight_is_seen():
    slope = {case: float(_closed_form(*case)[0]) for case in CASES}
    assert slope["denoising", "snr-rate"] - slope["denoising", "p2"] > 0.1
    assert len({round(a, 4) for a in slope.values()}) >= 8
