"""Moving averages of the weights, and those made afterwards from snapshots."""

import math

import numpy as np
import pytest
import tiny_run
import torch
from scipy import integrate

from scoresde.checkpointed import CHECKPOINT, open_source
from scoresde.errors import OptionError, UsageError
from scoresde.runs import begin_folder, reconstruct, train_in_folder
from scoresde.training import post_hoc
from scoresde.training.averages import Exponential, Power


def _profile(rule, steps: int) -> np.ndarray:
    """What each step's weights count in the average after the last: w_k prod_{j > k} (1 - w_j)."""
    weights = np.array([rule.weight(k) for k in range(1, steps + 1)])
    later = np.append(np.cumprod((1.0 - weights)[::-1])[::-1][1:], 1.0)
    return weights * later


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.2, 0.28])
def test_the_profile_of_a_power_average_has_its_length_and_forgets_the_start(length):
    steps = 20_000
    profile, places = _profile(Power(length), steps), np.arange(1, steps + 1) / steps
    assert profile.sum() == pytest.approx(1.0, abs=1e-12)  # the untrained weights count nothing
    mean = (profile * places).sum()
    deviation = math.sqrt((profile * (places - mean) ** 2).sum())
    assert deviation == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("half_life", [3.0, 700.0])
def test_an_exponential_average_halves_a_step_s_share_every_half_life(half_life):
    steps = int(40 * half_life) + 100
    profile = _profile(Exponential(half_life), steps)
    at = steps - 10
    ratio = profile[at - round(half_life)] / profile[at]
    assert ratio == pytest.approx(0.5, rel=1e-9)


def test_post_hoc_weights_are_the_least_squares_ones_of_sum_one():
    """The last weight is put in terms of the others; inner products by quadrature."""
    kept, target = [(40, 0.05), (40, 0.1), (100, 0.05), (100, 0.1)], (90, 0.07)

    def profile(step, length):
        gamma = Power(length).gamma
        return lambda tau: (gamma + 1) / step * (tau / step) ** gamma if tau <= step else 0.0

    def product(a, b):
        end = min(a[0], b[0])
        p, q = profile(*a), profile(*b)
        return integrate.quad(lambda tau: p(tau) * q(tau), 0.0, end, epsabs=1e-13)[0]

    matrix = np.array([[product(a, b) for b in kept] for a in kept])
    right = np.array([product(a, target) for a in kept])
    differences = np.vstack([np.eye(3), -np.ones(3)])  # x = (0, 0, 0, 1) + differences y
    last = np.array([0.0, 0.0, 0.0, 1.0])
    normal, rest = differences.T @ matrix @ differences, differences.T @ (right - matrix @ last)
    expected = last + differences @ np.linalg.solve(normal, rest)
    np.testing.assert_allclose(post_hoc(kept, *target), expected, rtol=1e-5, atol=1e-7)


def test_an_average_that_was_kept_is_given_back_and_others_sum_to_one():
    kept = [(s, length) for s in range(50, 501, 50) for length in (0.05, 0.1)]
    np.testing.assert_allclose(post_hoc(kept, 500, 0.1), np.eye(20)[-1], atol=1e-6)
    assert post_hoc(kept, 480, 0.075).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
def test_an_average_made_afterwards_is_that_of_training_with_it(tmp_path):
    training = {"steps": 120, "learning_rate": 0.01, "half_lives": []}
    kept = tiny_run.settings(training={**training, "lengths": [0.06, 0.12], "snapshot_steps": 12})
    direct = tiny_run.settings(training={**training, "lengths": [0.09]})
    for name, chosen in (("kept", kept), ("direct", direct)):
        train_in_folder(chosen, begin_folder(tmp_path / name, chosen))
    made = reconstruct(tmp_path / "kept", 0.09)
    assert made.step == 120

    def weights(path, which=""):
        net = open_source(path, weights=which).model.net
        return torch.cat([p.flatten() for p in net.parameters()])

    wanted = weights(tmp_path / "direct")
    near = min(
        float((weights(tmp_path / "kept" / CHECKPOINT, f"length-{s}") - wanted).norm())
        for s in (0.06, 0.12)
    )
    assert float((weights(made.path) - wanted).norm()) < 0.03 * near


def test_averages_that_cannot_be_made_are_refused(tmp_path):
    chosen = tiny_run.settings(training={"steps": 6, "lengths": [0.05, 0.1], "snapshot_steps": 3})
    train_in_folder(chosen, begin_folder(tmp_path / "run", chosen))
    with pytest.raises(OptionError, match="lie in"):
        reconstruct(tmp_path / "run", 0.4)
    with pytest.raises(OptionError, match="step 7 needs snapshots up to it; there are: 3, 6"):
        reconstruct(tmp_path / "run", 0.07, step=7)
    with pytest.raises(UsageError, match="holds no snapshots"):
        reconstruct(tmp_path, 0.07)
    with pytest.raises(UsageError, match=r"half-life-700, length-0\.05, length-0\.1, raw"):
        open_source(tmp_path / "run", weights="length-0.2")


def test_every_average_of_a_run_can_be_opened_and_differs(tmp_path):
    chosen = tiny_run.settings(training={"half_lives": [1.0, 40.0], "lengths": [0.1]})
    train_in_folder(chosen, begin_folder(tmp_path / "run", chosen))
    found = {
        which: open_source(tmp_path / "run", weights=which)
        for which in ("", "half-life-1", "half-life-40", "length-0.1", "raw")
    }
    outputs = {w: s.model.net(torch.ones(1, 2), torch.zeros(1)) for w, s in found.items()}
    assert torch.equal(outputs.pop(""), outputs["half-life-1"])
    values = [float(out.sum()) for out in outputs.values()]
    assert len(set(values)) == 4
    assert len({s.identity for s in found.values()}) == 5
