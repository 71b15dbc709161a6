"""Predictor-corrector against its authors' code, written again in numpy."""

import itertools
import math

import numpy as np
import pytest
import torch
from sampling_tools import Recorded, Written, denoiser

from scoresde.errors import NonFiniteError, OptionError
from scoresde.kernels import Noise, Purpose
from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM
from scoresde.samplers import (
    Ancestral,
    AnnealedLangevin,
    EulerMaruyama,
    PredictorCorrector,
    sample,
)
from scoresde.samplers.grids import Discrete, Explicit, Karras, UniformLogSNR
from scoresde.score import ScoreModel

ANY_PROCESS = pytest.mark.parametrize("name", PROCESSES.members)


def begin(level, rows: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((rows, 2)) * level.scale


def run(sampler, levels, noise=None, rows: int = 1) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0], rows))
    result = sample(Recorded(), sampler, levels, x, noise or Written(), trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def score(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    return (alpha * denoiser(x, alpha, sigma) - x) / sigma**2


STEPS = 12
BETAS = np.linspace(0.1 / STEPS, 8.0 / STEPS, STEPS)  # discrete_betas of its VP
SIGMAS = np.exp(np.linspace(np.log(0.01), np.log(50.0), STEPS))  # discrete_sigmas of its VE


def pc_sampler(kind, predictor, corrector, snr, corrections, noise, x, norm="drawn", denoise=True):
    """score_sde's loop for a batch of one: x at every level, with denoise x_mean at the end."""
    abar, states = np.cumprod(1.0 - BETAS), [x]
    for i, step in enumerate(range(STEPS - 1, -1, -1)):
        beta, sigma = BETAS[step], SIGMAS[step]
        below = SIGMAS[step - 1] if step > 0 else 0.0
        if kind == "vp":
            alpha, std, a = math.sqrt(abar[step]), math.sqrt(1.0 - abar[step]), 1.0 - beta
        else:
            alpha, std, a = 1.0, sigma, 1.0
        for k in range(corrections if corrector != "none" else 0):
            grad, z = score(x, alpha, std), noise.number(i + (k << 20), Purpose.CORRECT, 1)
            size = (snr * std) ** 2 * 2 * a
            if corrector == "langevin":
                length = np.linalg.norm(z) if norm == "drawn" else math.sqrt(z.size)
                size = (snr * length / np.linalg.norm(grad)) ** 2 * 2 * a
            x = x + size * grad + math.sqrt(2 * size) * z
        grad, z = score(x, alpha, std), noise.number(i, Purpose.STEP, 1)
        if predictor == "reverse-diffusion":
            f, g2 = (math.sqrt(1 - beta) - 1) * x, beta
            if kind == "ve":
                f, g2 = 0.0, sigma**2 - below**2
            mean, spread = x - (f - g2 * grad), math.sqrt(g2)
        elif kind == "vp":
            mean, spread = (x + beta * grad) / math.sqrt(1 - beta), math.sqrt(beta)
        else:
            mean = x + (sigma**2 - below**2) * grad
            spread = math.sqrt(below**2 * (sigma**2 - below**2) / sigma**2)
        x = mean + spread * z if step > 0 or not denoise else mean
        states.append(x)
    return np.array(states)


@pytest.mark.parametrize("kind", ["vp", "ve"])
@pytest.mark.parametrize("predictor", ["reverse-diffusion", "ancestral"])
@pytest.mark.parametrize(
    ("corrector", "corrections", "norm"),
    [
        ("none", 1, "drawn"),
        ("langevin", 1, "drawn"),
        ("langevin", 2, "expected"),
        ("annealed-langevin", 3, "drawn"),
    ],
)
def test_the_loop_of_score_sde(kind, predictor, corrector, corrections, norm) -> None:
    """All N levels of its chain, the clean end its x_mean at the first instant."""
    if kind == "vp":
        levels = Discrete(steps=STEPS).levels(DiscreteDDPM(betas=tuple(BETAS)))
    else:
        levels = Explicit(noise_ratios=(*SIGMAS[::-1], 0.0)).levels(PROCESSES["ve"]())
    options = {"snr": 0.16, "corrections": corrections}
    noise = Written(3)
    sampler = PredictorCorrector(
        predictor=predictor, corrector=corrector, noise_norm=norm, **options
    )
    expected = pc_sampler(
        kind, predictor, corrector, *options.values(), noise, begin(levels[0], 1), norm
    )
    np.testing.assert_allclose(run(sampler, levels, noise), expected, rtol=1e-9, atol=1e-11)
    drawn = Written(3)
    run(sampler, levels, drawn)
    corrected = corrections * STEPS if corrector != "none" else 0
    assert len(drawn.calls) == STEPS - 1 + corrected
    assert len(set(drawn.calls)) == len(drawn.calls)


@pytest.mark.parametrize("kind", ["vp", "ve"])
@pytest.mark.parametrize("predictor", ["reverse-diffusion", "ancestral"])
def test_without_its_denoising_it_ends_on_x(kind: str, predictor: str) -> None:
    """score_sde's denoise = False; ancestral under VE has no noise at its last level."""
    levels = Discrete(steps=STEPS).levels(DiscreteDDPM(betas=tuple(BETAS)))
    if kind == "ve":
        levels = Explicit(noise_ratios=(*SIGMAS[::-1], 0.0)).levels(PROCESSES["ve"]())
    x, noise = begin(levels[0], 1), Written(3)
    expected = pc_sampler(kind, predictor, "none", 0.16, 1, noise, x, denoise=False)
    sampler = PredictorCorrector(predictor=predictor, corrector="none", denoise=False)
    np.testing.assert_allclose(run(sampler, levels, Written(3)), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("denoise", [True, False])
@pytest.mark.parametrize("name", ["vp-linear", "sub-vp", "ve"])
def test_euler_maruyama_may_take_its_own_last_step(name: str, denoise: bool) -> None:
    """score_sde's EulerMaruyamaPredictor with eps = 1/N: dt = -1/N from every level, to t = 0."""
    process, noise = PROCESSES[name](), Written()
    times = [1.0 - i / STEPS for i in range(STEPS)]
    levels = (*process.levels(times), CLEAN)
    x = begin(levels[0], 1)
    expected = [x]
    for i, t in enumerate(times):
        level, beta = levels[i], 0.1 + 19.9 * t
        bar = math.exp(-2.0 * (0.1 * t + 0.5 * 19.9 * t * t))
        f, g2 = {
            "vp-linear": (-0.5 * beta, beta),
            "sub-vp": (-0.5 * beta, beta * (1.0 - bar)),
            "ve": (0.0, 2.0 * level.sigma**2 * math.log(5000.0)),
        }[name]
        mean = x - (f * x - g2 * score(x, level.alpha, level.sigma)) / STEPS
        x = mean + math.sqrt(g2 / STEPS) * noise.number(i, Purpose.STEP, 1)
        expected.append(x)
    expected[-1] = mean if denoise else x
    options = {"predictor": "euler-maruyama", "corrector": "none", "last": "step"}
    got = run(PredictorCorrector(**options, denoise=denoise), levels)
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / size, np.array(expected) / size, rtol=0.0, atol=1e-10)
    if denoise:
        assert np.array_equal(got, run(EulerMaruyama(last="step"), levels))


@ANY_PROCESS
def test_reverse_diffusion_reverses_the_forward_kernel(name: str) -> None:
    """x_t = x_s + f + G z, so x_s = x - f + G^2 score + G z; under alpha_t = 0 as well."""
    process, noise = PROCESSES[name](), Written()
    levels = process.levels([1.0, 0.7, 0.3, 0.1])
    x = begin(levels[0], 1)
    expected = [x]
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        kept = t.alpha / s.alpha
        g2 = t.sigma**2 - (kept * s.sigma) ** 2
        x = x - (kept - 1.0) * x + g2 * score(x, t.alpha, t.sigma)
        x = x + math.sqrt(g2) * noise.number(i, Purpose.STEP, 1)
        expected.append(x)
    got = run(PredictorCorrector(corrector="none"), levels)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@ANY_PROCESS
@pytest.mark.parametrize("final", ["clean", "min"])
def test_without_a_corrector_it_is_its_predictor(name: str, final: str) -> None:
    levels = UniformLogSNR(steps=7, final=final, log_snr_min=-6.0).levels(PROCESSES[name]())
    keeps = all(abs(level.scale - 1.0) < 1e-9 for level in levels)
    ancestral = Ancestral(variance="forward" if keeps else "posterior")
    assert keeps == (name in ("vp-linear", "vp-cosine", "ddpm", "learned"))
    for predictor, same in (("ancestral", ancestral), ("euler-maruyama", EulerMaruyama())):
        sampler = PredictorCorrector(predictor=predictor, corrector="none")
        assert np.array_equal(run(sampler, levels, rows=4), run(same, levels, rows=4))


@pytest.mark.parametrize("final", ["clean", "min"])
def test_the_corrector_alone_is_annealed_langevin(final: str) -> None:
    """Under VE: d = 2 (snr sigma)^2 where Song and Ermon's is step_size sigma^2."""

    class OnePurpose(Written):
        def __call__(self, step, purpose, ids, shape):
            return super().__call__(step, 0, ids, shape)

    levels = Explicit(noise_ratios=(3.0, 1.0, 0.3), final=final).levels(PROCESSES["ve"]())
    alone = PredictorCorrector(predictor="none", snr=0.2, corrections=4)
    langevin = AnnealedLangevin(step_size=0.08, corrections=4)
    got, expected = (run(s, levels, OnePurpose(), rows=3) for s in (alone, langevin))
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


class Isotropic(ScoreModel):
    """N(0, 1) in eight coordinates, at a level of alpha = 1."""

    kind, event_shape = "eps", (8,)

    def forward(self, x, level):
        return level.sigma * x / (1.0 + level.sigma**2)


@pytest.mark.parametrize("norm", ["expected", "drawn"])
def test_one_step_in_few_dimensions_has_its_known_bias(norm: str) -> None:
    """E|x|^2 grows by (8 r^2 + 4 r^4 n)/(n - 2), n dimensions: 21 per cent at r = 0.4, n = 8.

    With the drawn norm by -4 r^2 + 4 (r^2 + r^4)(n + 2)/(n - 2).
    """
    n, r, rows = 8, 0.4, 15_000
    level = PROCESSES["ve"]().at(0.6)
    near = PROCESSES["ve"]().at(0.6 - 1e-9)
    sampler = PredictorCorrector(predictor="none", corrector="langevin", snr=r, noise_norm=norm)
    scale = math.sqrt(1.0 + level.sigma**2)
    ids = torch.arange(rows)
    x = scale * Noise(3)(0, Purpose.DATA, ids, (n,))
    plan = sampler.plan((level, near))
    noise, (first, _) = Noise(4), plan.programs
    (apply,) = (op for op in first.instructions if hasattr(op, "function"))
    z = noise(0, Purpose.CORRECT, ids, (n,))
    out = apply.function(x, Isotropic().forward(x, level), z)
    grown = out.square().sum(1) / (n * scale**2)
    exact = 1.0 + (8 * r**2 + 4 * r**4 * n) / (n - 2)
    if norm == "drawn":
        exact = 1.0 - 4 * r**2 + 4 * (r**2 + r**4) * (n + 2) / (n - 2)
    assert abs(float(grown.mean()) - exact) < 4 * float(grown.std()) / math.sqrt(rows)


@pytest.mark.parametrize("norm", ["expected", "drawn"])
def test_a_samples_own_norm_knows_nothing_of_its_batch(norm: str) -> None:
    sampler = PredictorCorrector(corrector="langevin", noise_norm=norm, corrections=2)
    levels = UniformLogSNR(steps=3, log_snr_min=-4.0).levels(PROCESSES["vp-linear"]())
    ids = torch.arange(5) * 2**33 + 7
    x = torch.from_numpy(begin(levels[0], 5))

    def together(rows: torch.Tensor) -> torch.Tensor:
        return sample(Recorded(), sampler, levels, x[rows], Noise(2), ids=ids[rows]).x

    whole = together(torch.arange(5))
    apart = torch.cat([together(torch.tensor([row])) for row in range(5)])
    torch.testing.assert_close(apart, whole, rtol=1e-12, atol=1e-12)
    turned = together(torch.arange(5).flip(0))
    torch.testing.assert_close(turned.flip(0), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_shape_of_event_keeps_its_dtype(shape, dtype) -> None:
    class Shrinks(ScoreModel):
        kind, event_shape = "x0", shape

        def forward(self, x, level):
            return 0.3 * x

    levels = Karras(steps=3).levels(PROCESSES["edm"]())
    x = torch.ones(2, *shape, dtype=dtype)
    for norm in ("expected", "drawn"):
        sampler = PredictorCorrector(corrector="langevin", noise_norm=norm)
        out = sample(Shrinks(), sampler, levels, x).x
        assert out.shape == x.shape
        assert out.dtype == dtype


def test_a_score_of_zero_has_no_signal_to_noise_and_is_named() -> None:
    class Flat(ScoreModel):
        kind, event_shape = "eps", (2,)

        def forward(self, x, level):
            return torch.where(torch.arange(len(x))[:, None] == 1, 0.0 * x, x)

    levels = Explicit(noise_ratios=(2.0, 1.0), final="min").levels(PROCESSES["ve"]())
    with pytest.raises(NonFiniteError, match="ids 1"):
        sample(Flat(), PredictorCorrector(corrector="langevin"), levels, torch.ones(3, 2))


@pytest.mark.parametrize(("options", "named"), [
    ({"predictor": "reverse"}, "Did you mean 'reverse-diffusion'"),
    ({"corrector": "ald"}, "annealed-langevin"),
    ({"predictor": "none", "corrector": "none"}, "neither"),
    ({"snr": math.nan}, "nan"),
    ({"snr": 1.0}, "1.0"),
    ({"corrections": 0}, "corrector='none'"),
    ({"corrections": 1.5}, "1.5"),
    ({"noise_norm": "batch"}, "expected, drawn"),
    ({"denoise": 0}, "denoise"),
    ({"last": "euler"}, "posterior-mean, step"),
    ({"last": "step"}, "euler-maruyama"),
    ({"predictor": "none", "denoise": False}, "posterior mean"),
    ({"predictor": "euler-maruyama", "denoise": False}, "last='step'"),
])  # fmt: skip
def test_bad_options_are_named(options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        PredictorCorrector(**options)
