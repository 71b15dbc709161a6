"""Thresholds hold x0 to a range, change nothing within it, and keep all kinds one score."""

import math

import numpy as np
import pytest
import torch
from guidance_tools import DENSITY, close, levels_of, states

from scoresde.errors import OptionError
from scoresde.guidance import THRESHOLDS, DynamicThreshold, StaticThreshold
from scoresde.processes import CLEAN, PROCESSES, NoiseLevel
from scoresde.score import KINDS, ExactScore, NetworkScore, ScoreModel

EXACT = ExactScore(DENSITY)
EVERY = pytest.mark.parametrize("name", THRESHOLDS.members)
WIDE = {"static": {"low": -1e3, "high": 1e3}, "dynamic": {"bound": 1e3}}


class Linear(torch.nn.Module):
    def forward(self, x, noise):
        return 0.3 * x.flip(-1) + noise.reshape(-1, *[1] * (x.ndim - 1))


@EVERY
@pytest.mark.parametrize("native", ["x0", "eps", "v", "F"])
def test_within_bounds_a_network_s_prediction_is_bit_by_bit_its_own(name, native) -> None:
    model = NetworkScore(Linear(), (2,), native, 0.6)
    free = THRESHOLDS[name](model, **WIDE[name])
    for level in levels_of("rectified-flow")[:-1]:
        z = states(level).to(torch.float32)
        for kind in KINDS:
            assert torch.equal(free.predict(z, level, kind), model.predict(z, level, kind))


def expected_x0(name: str, x0: torch.Tensor) -> np.ndarray:
    """Bounds [-0.5, 0.8], and 0.5 with the 0.7 quantile, written with numpy."""
    x = x0.numpy()
    if name == "static":
        return np.clip(x, -0.5, 0.8)
    flat = np.abs(x).reshape(len(x), -1)
    s = np.maximum(np.quantile(flat, 0.7, axis=1), 0.5).reshape(-1, *[1] * (x.ndim - 1))
    return np.clip(x, -s, s) / s * 0.5


TIGHT = {"static": {"low": -0.5, "high": 0.8}, "dynamic": {"bound": 0.5, "quantile": 0.7}}


@EVERY
@pytest.mark.parametrize("process", ["vp-linear", "ve", "rectified-flow"])
def test_the_bounded_x0_stands_in_every_kind(name, process) -> None:
    held = THRESHOLDS[name](EXACT, **TIGHT[name])
    for level in levels_of(process)[1:]:
        z = states(level)
        x0 = torch.from_numpy(expected_x0(name, EXACT.predict(z, level, "x0")))
        eps = (z - level.alpha * x0) / level.sigma
        s = math.hypot(level.alpha, level.sigma)
        expected = {
            "x0": x0,
            "eps": eps,
            "score": -eps / level.sigma,
            "v": (level.alpha * eps - level.sigma * x0) / s,
            "velocity": level.alpha_rate * x0 + level.sigma_rate * eps,
            "F": (level.sigma * x0 - level.alpha * eps) / s,
        }
        for kind, wanted in expected.items():
            close(held.predict(z, level, kind), wanted, rtol=1e-8)
        rows = NoiseLevel(*(torch.full((len(z), 1), v, dtype=torch.float64) for v in (
            level.t, level.alpha, level.sigma, level.alpha_rate, level.sigma_rate)))  # fmt: skip
        close(held.predict(z, rows, "v"), expected["v"], rtol=1e-8)


@EVERY
def test_images_are_bounded_one_by_one(name) -> None:
    class Given(ScoreModel):
        kind, event_shape = "x0", (3, 4, 5)

        def forward(self, x, level):
            return x

    generator = torch.Generator().manual_seed(3)
    sizes = torch.tensor([0.1, 1.0, 5.0]).double().reshape(-1, 1, 1, 1)
    z = torch.randn(3, 3, 4, 5, generator=generator, dtype=torch.float64) * sizes
    held = THRESHOLDS[name](Given(), **TIGHT[name])
    level = PROCESSES["vp-linear"]().at(0.5)
    got = held.predict(z, level, "x0")
    np.testing.assert_allclose(got, expected_x0(name, z), rtol=1e-13)
    for i in range(3):
        assert torch.equal(held.predict(z[i : i + 1], level, "x0")[0], got[i])


@EVERY
def test_both_ends_are_defined(name) -> None:
    """At the data nothing is predicted; at pure noise eps and score do not depend on x0."""
    held = THRESHOLDS[name](EXACT, **TIGHT[name])
    z = states(CLEAN)
    for kind in ("score", "v", "x0"):
        assert torch.equal(held.predict(z, CLEAN, kind), EXACT.predict(z, CLEAN, kind))
    noise = PROCESSES["rectified-flow"]().at(1.0)
    z = states(noise)
    for kind in ("eps", "score"):
        assert torch.equal(held.predict(z, noise, kind), EXACT.predict(z, noise, kind))
    x0 = torch.from_numpy(expected_x0(name, EXACT.predict(z, noise, "x0")))
    close(held.predict(z, noise, "x0"), x0)
    close(held.predict(z, noise, "v"), -x0)


@EVERY
def test_a_network_of_the_score_is_thresholded_under_its_process(name) -> None:
    process = PROCESSES["vp-linear"]()
    model = NetworkScore(Linear(), (2,), "score", 0.6, process)
    held = THRESHOLDS[name](model, **TIGHT[name])
    for level in levels_of("vp-linear")[1:]:
        z = states(level)
        x0 = torch.from_numpy(expected_x0(name, model.predict(z, level, "x0")))
        close(held.predict(z, level, "score"), (level.alpha * x0 - z) / level.sigma**2, 1e-8)


@pytest.mark.parametrize(("make", "named"), [
    (lambda: StaticThreshold(EXACT, low=1.0, high=1.0), "low < high, got 1.0 and 1.0"),
    (lambda: StaticThreshold(EXACT, low=math.nan), "low < high"),
    (lambda: DynamicThreshold(EXACT, quantile=0.0), "quantile"),
    (lambda: DynamicThreshold(EXACT, quantile=1.1), "1.1"),
    (lambda: DynamicThreshold(EXACT, bound=0.0), "bound"),
    (lambda: DynamicThreshold(EXACT, bound=math.inf), "inf"),
])  # fmt: skip
def test_options_out_of_range_are_refused(make, named) -> None:
    with pytest.raises(OptionError, match=named):
        make()
