"""Encoding: a known map on Gaussians, the inverse of sampling, of the order that is claimed."""

import math

import numpy as np
import pytest
import torch
from carried import ENDS, EXACT, GAUSSIAN, MIXTURE, PosteriorMean, grid, moments_of_normals

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError, OptionError
from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import (
    DDIM,
    SAMPLERS,
    Ancestral,
    Heun,
    ProbabilityFlow,
    TorchdiffeqFlow,
    sample,
    start,
)
from scoresde.samplers.grids import UniformLogSNR
from scoresde.score import ExactScore
from scoresde.transport import decode, encode

IDS = torch.arange(100, 102)


@pytest.mark.parametrize(
    ("name", "final"), [*((name, "clean") for name in ENDS), ("vp-linear", "min")]
)
def test_the_encoder_of_a_gaussian_is_the_affine_map_of_its_flow(name, final):
    """w = (alpha_1 m + (s_1/s_0)(x - alpha_0 m))/scale_1 by axis, s^2 = alpha^2 c + sigma^2."""
    levels = grid(name, final=final)
    top, end = levels[0], levels[-1]
    x = GAUSSIAN.sample(IDS).clone()
    found = encode(ExactScore(GAUSSIAN), ProbabilityFlow(), levels, x)
    m = np.array([1.0, -2.0, 0.5])
    c, axes = np.linalg.eigh(np.array([[2.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 1.0]]))
    ratio = np.sqrt((top.alpha**2 * c + top.sigma**2) / (end.alpha**2 * c + end.sigma**2))
    along = (x.numpy() - end.alpha * m) @ axes
    z = top.alpha * m + (along * ratio) @ axes.T
    w = z / math.hypot(top.alpha, top.sigma)
    assert np.abs(found.x.numpy() - w).max() < 1e-6


@pytest.mark.parametrize("name", ENDS)
def test_decoding_undoes_encoding_and_encoding_decoding(name):
    flow, levels = ProbabilityFlow(), grid(name)
    x = MIXTURE.sample(IDS[:1])
    w = Noise(5)(0, 0, IDS[:1], (2,))
    there = decode(EXACT, flow, levels, encode(EXACT, flow, levels, x).x).x
    back = encode(EXACT, flow, levels, decode(EXACT, flow, levels, w).x).x
    assert float((there - x).abs().max()) < 1e-5
    assert float((back - w).abs().max()) < 1e-5


def test_latents_of_the_density_are_standard_normal():
    """Moments to the fourth and the correlation within 4.5 standard errors, n = 3000."""
    n = 3000
    x = MIXTURE.sample(torch.arange(n), seed=1)
    w = encode(EXACT, TorchdiffeqFlow(method="rk4"), grid("rectified-flow", 60), x).x
    for power in (1, 2, 3, 4):
        mean, exact, error = moments_of_normals(w, power)
        assert float((mean - exact).abs().max()) < 4.5 * error, power
    assert abs(float((w[:, 0] * w[:, 1]).mean())) < 4.5 * n**-0.5


# a step back undoes the first error term of a step of even order
ORDERS = {"euler": 1, "midpoint": 3, "heun2": 3, "heun3": 3, "rk4": 5, "ddim": 1}
SLOW = [pytest.param(m, marks=pytest.mark.slow) for m in ("euler", "heun2", "heun3")]


@pytest.mark.parametrize("method", ["midpoint", "rk4", "ddim", *SLOW])
def test_the_round_trip_has_its_order(method):
    sampler = DDIM() if method == "ddim" else TorchdiffeqFlow(method=method)
    x = MIXTURE.sample(torch.arange(8))
    errors = []
    for steps in (20, 40, 80):
        levels = UniformLogSNR(steps=steps, final="min", log_snr_min=-6.0, log_snr_max=6.0)
        levels = levels.levels(PROCESSES["vp-linear"]())
        up = encode(EXACT, sampler, levels, x)
        back = decode(EXACT, sampler, levels, up.x)
        assert up.nfe.tolist() == back.nfe.tolist() == [steps * sampler.evaluations] * 8
        errors.append(float((back.x - x).square().mean().sqrt()))
    slopes = -np.diff(np.log2(errors))
    assert slopes[-1] == pytest.approx(ORDERS[method], abs=0.2), errors


def test_ddim_upwards_is_its_formula():
    """x_t = (alpha_t/alpha_s) x_s + (sigma_t - sigma_s alpha_t/alpha_s) eps(x_s, s), by hand."""
    levels = grid("rectified-flow", 5)
    assert levels[0].alpha == 0.0
    x = z = MIXTURE.sample(IDS)
    found = encode(EXACT, DDIM(), levels, x, trajectory=True)
    for k, (s, t) in enumerate(zip(levels[::-1], levels[-2::-1], strict=False)):
        a_s, s_s, a_t, s_t = s.alpha, s.sigma, t.alpha, t.sigma
        eps = -s_s * MIXTURE.score(z, a_s, s_s)
        z = a_t / a_s * z + (s_t - s_s * a_t / a_s) * eps
        assert torch.allclose(found.trajectory[:, k + 1], z, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.x, z / levels[0].scale, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", [TorchdiffeqFlow(method="rk4"), DDIM(), Heun()])
def test_decoding_the_seeds_normals_is_sampling(sampler):
    levels = grid("edm", 8)
    w = Noise(3)(0, 0, IDS, (2,))
    x = start(levels[0], Noise(3), IDS, (2,))
    assert torch.equal(
        decode(EXACT, sampler, levels, w).x, sample(EXACT, sampler, levels, x, ids=IDS).x
    )


@pytest.mark.parametrize("sampler", [ProbabilityFlow(rtol=1e-4, atol=1e-4), DDIM()])
def test_a_latent_does_not_depend_on_its_batch(sampler):
    levels = grid("vp-linear", 10)
    x = MIXTURE.sample(torch.arange(4))
    whole = encode(EXACT, sampler, levels, x)
    for i in range(4):
        alone = encode(EXACT, sampler, levels, x[i : i + 1])
        if isinstance(sampler, ProbabilityFlow):
            assert float((alone.x[0] - whole.x[i]).abs().max()) < 1e-10
            assert alone.nfe[0] == whole.nfe[i]
        assert torch.allclose(alone.x[0], whole.x[i], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("flow", "tolerance"), [
    (TorchdiffeqFlow(method="rk4"), 0.0), (ProbabilityFlow(), 1e-6),
])  # fmt: skip
def test_the_way_up_passes_through_every_level(flow, tolerance):
    levels, x = grid("rectified-flow", 4), MIXTURE.sample(IDS[:1])
    up = encode(EXACT, flow, levels, x, trajectory=True).trajectory
    assert torch.equal(up[:, 0], x)
    for k in (1, 3):
        short = state_at_the_top(flow, levels[-1 - k :], x)
        assert float((up[:, k] - short).abs().max()) <= tolerance


def state_at_the_top(flow, levels, x):
    """The state at levels[0], not normalised."""
    return flow.rise(EXACT, levels, x, torch.arange(len(x))).x


def test_labels_bind_row_by_row():
    """A labelled mixture's encoder is, row by row, that of the row's own component."""
    means, variances = [[-2.0, 0.0], [1.0, 1.0]], [0.3, 0.1]
    both = GaussianMixture(means=means, covariances=variances, labels=(0, 1))
    x, labels = torch.tensor([[-2.1, 0.4], [1.2, 0.9], [-1.0, 0.1]]).double(), [0, 1, 0]
    levels = grid("rectified-flow")
    model = ExactScore(both).given(torch.tensor(labels))
    found = encode(model, ProbabilityFlow(), levels, x).x
    scale = torch.tensor(variances).double().sqrt()[labels]
    w = (x - torch.tensor(means).double()[labels]) / scale[:, None]
    assert float((found - w).abs().max()) < 1e-6


@pytest.mark.parametrize("name", SAMPLERS.members)
def test_only_flows_encode(name):
    x, levels = MIXTURE.sample(IDS), grid("edm", 3)
    if name in ("ddim", "probability-flow", "torchdiffeq", "scipy-flow"):
        encode(EXACT, SAMPLERS[name](), levels, x)
        return
    with pytest.raises(OptionError, match="cannot encode"):
        encode(EXACT, SAMPLERS[name](), levels, x)


def test_noise_on_the_way_is_refused():
    w, levels = Noise(0)(0, 0, IDS, (2,)), grid("edm", 3)
    with pytest.raises(OptionError, match="draws noise"):
        decode(EXACT, Ancestral(), levels, w)
    with pytest.raises(OptionError, match=r"eta=0\.3.*cannot encode"):
        encode(EXACT, DDIM(eta=0.3), levels, w)


@pytest.mark.parametrize("sampler", [ProbabilityFlow(), TorchdiffeqFlow(method="rk4"), DDIM()])
def test_a_kind_that_is_singular_at_the_data_needs_a_positive_end(sampler):
    x = MIXTURE.sample(IDS[:1])
    with pytest.raises(OptionError, match=r"x0 does not determine .* \(final='min'\)"):
        encode(PosteriorMean(), sampler, grid("edm", 6), x)
    levels = grid("edm", 6, final="min")
    own = encode(PosteriorMean(), sampler, levels, x).x
    assert torch.allclose(own, encode(EXACT, sampler, levels, x).x, atol=1e-6)


def test_an_empirical_density_cannot_be_encoded_from_sigma_zero():
    points = ExactScore(GaussianMixture(means=[[0.0, 1.0], [1.0, 0.0]], covariances=[0.0, 0.0]))
    x = torch.tensor([[0.5, 0.2]]).double()
    with pytest.raises(CapabilityError, match="no density at sigma = 0"):
        encode(points, ProbabilityFlow(), grid("edm", 6), x)
