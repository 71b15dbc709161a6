"""Laws of denoising score matching: kinds, weights, bounds, minimisers, gradients."""

import math

import pytest
import torch
from scipy import stats
from toy_models import ExactKind, Formula

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.kernels import Noise, Purpose, normal
from scoresde.objectives import TIMES, WEIGHTINGS, Denoising, Draws, LogNormalTimes, UniformTimes
from scoresde.objectives.denoising import weighted_errors
from scoresde.processes import EDM, PROCESSES, NoiseLevel, VarianceExploding, VPLinear
from scoresde.score import KINDS

MIXTURE = GaussianMixture(
    means=[[1.0, -0.5], [-1.5, 0.3]], covariances=[0.2, 0.05], weights=[0.3, 0.7]
)


def _batch(density, count, seed=3):
    ids = torch.arange(count)
    return density.sample(ids, seed), ids


@pytest.mark.parametrize("weighting", WEIGHTINGS.members)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_the_loss_is_the_same_in_every_kind(name, weighting):
    x, ids = _batch(MIXTURE, 64)
    process, laws = PROCESSES[name](), list(TIMES.members)
    place = list(PROCESSES.members).index(name) + list(WEIGHTINGS.members).index(weighting)
    law = laws[place % len(laws)] if name != "learned" else "uniform"  # others solve for t
    kinds = KINDS
    if weighting == "vlb" and process.at(1.0).alpha == 0.0:
        kinds = [kind for kind in KINDS if kind not in ("eps", "score")]
    found = []
    for kind in kinds:
        objective = Denoising(kind=kind, weighting=WEIGHTINGS[weighting](), times=TIMES[law]())
        model = ExactKind(MIXTURE, kind, sigma_data=0.7)
        found.append(objective.losses(model, process, x, Draws.whole(Noise(1), 4, len(ids))))
    for kind, losses in zip(kinds, found, strict=True):
        torch.testing.assert_close(
            losses, found[0], rtol=1e-6, atol=1e-9, msg=lambda m, k=kind: f"{k}: {m}"
        )


def _drawn(process, times, ids, shape, seed, step):
    """Times' levels and noise, put together from the kernels alone."""
    noise = Noise(seed)
    t, _ = times.draw(noise.uniform(step, Purpose.TIME, ids, (1,))[:, 0], process)
    return t[:, None], noise(step, Purpose.TRAIN, ids, shape)


def test_edm_weights_make_the_residual_of_f_count_once():
    d, process = 0.6, EDM()
    x, ids = _batch(MIXTURE, 100)
    objective = Denoising(kind="F", stratified=False)
    loss = objective.losses(
        Formula("F", torch.sin, d), process, x, Draws.whole(Noise(5), 2, len(ids))
    )
    t, eps = _drawn(process, LogNormalTimes(), ids, (2,), 5, 2)
    r = process.sigma(t)
    z = x + r * eps
    skip, out = d**2 / (r**2 + d**2), r * d / (r**2 + d**2).sqrt()
    target = (x - skip * z) / out  # Karras et al. 2022, eq. 8
    torch.testing.assert_close(loss, (z.sin() - target).square().mean(1), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_simple_weights_give_the_mean_square_error_of_eps(kind):
    process, times = VPLinear(), UniformTimes()
    x, ids = _batch(MIXTURE, 100)
    simple = WEIGHTINGS["simple"]()
    objective = Denoising(kind=kind, weighting=simple, times=times, stratified=False)
    loss = objective.losses(
        Formula(kind, torch.sin), process, x, Draws.whole(Noise(5), 2, len(ids))
    )
    t, eps = _drawn(process, times, ids, (2,), 5, 2)
    alpha, sigma = process.alpha(t), process.sigma(t)
    z = alpha * x + sigma * eps
    eps_hat = z.sin() if kind == "eps" else alpha * z.sin() + sigma * z
    torch.testing.assert_close(loss, (eps_hat - eps).square().mean(1), rtol=1e-7, atol=0.0)


def _bound(process, variances) -> float:
    """L_inf of N(m, diag v): sum log(1 + SNR v)/2 between the process's ends, in nats."""
    ends = [math.exp(process.at(t).log_snr) for t in (process.t_min, 1.0)]
    return sum(0.5 * (math.log1p(ends[0] * v) - math.log1p(ends[1] * v)) for v in variances)


VP = VPLinear(t_min=0.05)
VE_OF_EQUAL_ENDS = VarianceExploding(
    sigma_min=VP.at(VP.t_min).noise_ratio, sigma_max=VP.at(1.0).noise_ratio
)


@pytest.mark.parametrize("times", [UniformTimes(), LogNormalTimes(mean=-1.0, std=3.0)])
@pytest.mark.parametrize("process", [VP, VE_OF_EQUAL_ENDS], ids=["vp", "ve"])
def test_the_snr_rate_weights_estimate_the_bound_under_either_law_of_times(process, times):
    variances = (2.0, 0.3)
    density = Gaussian(mean=[1.0, -1.0], covariance=[[2.0, 0.0], [0.0, 0.3]])
    x, ids = _batch(density, 60_000)
    rate = WEIGHTINGS["snr-rate"]()
    objective = Denoising(kind="v", weighting=rate, times=times, stratified=False)
    losses = objective.losses(
        ExactKind(density, "v"), process, x, Draws.whole(Noise(2), 0, len(ids))
    )
    standard_error = float(losses.std()) / math.sqrt(len(losses))
    exact = _bound(process, variances)
    assert _bound(VP, variances) == pytest.approx(_bound(VE_OF_EQUAL_ENDS, variances), rel=1e-9)
    assert standard_error < 0.02 * exact  # else the test could not fail
    assert abs(float(losses.mean()) - exact) < 4.0 * standard_error


def test_the_best_linear_denoiser_of_a_gaussian_is_the_wiener_filter():
    variance = 0.5
    level = NoiseLevel(
        *(torch.full((1, 1), v, dtype=torch.float64) for v in (0.5, 0.8, 0.6, 0, 0))
    )
    x, ids = _batch(Gaussian(mean=[0.0], covariance=[[variance]]), 200_000)
    eps = normal(9, Purpose.TRAIN, 0, ids, (1,))
    weight = torch.ones(1, 1, dtype=torch.float64)

    def slope(at: float) -> float:
        a = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        losses = weighted_errors(Formula("x0", lambda z: a * z), "x0", x, eps, level, weight)
        return float(torch.autograd.grad(losses.mean(), a)[0])

    found = slope(0.0) / (slope(0.0) - slope(1.0))  # the loss is a parabola in a
    wiener = 0.8 * variance / (0.64 * variance + 0.36)
    z = 0.8 * x + 0.6 * eps
    spread = float((z * (wiener * z - x)).std()) / float(z.square().mean())
    assert abs(found - wiener) < 4.0 * spread / math.sqrt(len(x))
    assert abs(wiener - 1.0 / 0.8) > 100.0 * spread / math.sqrt(len(x))  # not the plain inverse


def test_explicit_and_denoising_score_matching_have_one_gradient():
    """s_theta(z) = a z + b tanh(3 z): d/d(a, b) of both losses, paired by sample."""
    alpha, sigma = 0.9, 0.4
    x, ids = _batch(MIXTURE, 200_000)
    eps = normal(4, Purpose.TRAIN, 0, ids, (2,))
    theta = torch.tensor([-0.7, 0.2], dtype=torch.float64, requires_grad=True)
    level = NoiseLevel(
        *(torch.full((1, 1), v, dtype=torch.float64) for v in (0.5, alpha, sigma, 0, 0))
    )
    model = Formula("score", lambda z: theta[0] * z + theta[1] * torch.tanh(3.0 * z))
    weight = torch.full((1, 1), (alpha / sigma**2) ** 2, dtype=torch.float64)  # |s_hat - s|^2
    denoising = weighted_errors(model, "score", x, eps, level, weight).mean()
    (found,) = torch.autograd.grad(denoising, theta)

    z = alpha * x + sigma * eps
    features = torch.stack([z, torch.tanh(3.0 * z)])
    score = MIXTURE.score(z, alpha, sigma)
    model_score = (theta.detach()[:, None, None] * features).sum(0)
    explicit = (2.0 * (model_score - score) * features).mean(-1)  # (2, n)
    difference = (2.0 * (eps / sigma + score) * features).mean(-1)
    error = difference.std(1) / math.sqrt(len(x))
    assert bool(((found - explicit.mean(1)).abs() < 4.0 * error).all())
    wrong_sign = (2.0 * (model_score - eps / sigma) * features).mean(-1).mean(1)
    assert bool(((wrong_sign - explicit.mean(1)).abs() > 20.0 * error).any())


def test_a_datum_s_loss_depends_on_seed_step_and_place_alone():
    x, ids = _batch(MIXTURE, 12)
    objective, model = Denoising(kind="eps", stratified=False), ExactKind(MIXTURE, "eps")

    def losses(seed=0, step=0, rows=slice(None)):
        draws = Draws(Noise(seed), step, ids[rows], len(ids))
        return objective.losses(model, VP, x[rows], draws)

    whole = losses()
    for rows in (slice(0, 5), slice(5, 12), slice(3, 4)):
        torch.testing.assert_close(losses(rows=rows), whole[rows], rtol=1e-12, atol=0.0)
    assert torch.equal(losses(), whole)
    for other in (losses(seed=1), losses(step=1)):
        assert bool((other != whole).all())


class Recorded(LogNormalTimes):
    """Log-normal times that keep the uniform numbers they were given."""

    def draw(self, u, process):
        self.given.append(u)
        return super().draw(u, process)


def test_stratified_times_fall_one_in_each_stratum_and_are_uniform_over_steps():
    times = Recorded()
    object.__setattr__(times, "given", [])
    x, ids = _batch(MIXTURE, 24)
    objective, model = Denoising(kind="eps", times=times), ExactKind(MIXTURE, "eps")
    for step in range(250):
        objective.losses(model, VP, x, Draws.whole(Noise(0), step, len(ids)))
    u = torch.stack(times.given)
    assert u.dtype == torch.float64  # in float32 a number rounds to 1, whose quantile is infinite
    assert bool(((u * 24).floor().sort(1).values == torch.arange(24)).all())
    assert stats.kstest(u[:, 5].numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(u[:, 0].numpy(), "uniform").pvalue > 0.01


def test_stratified_times_lower_the_variance_of_the_batch_and_keep_its_mean():
    """The loss of one fixed answer to one datum is a function of the time alone."""
    x, ids, means = torch.ones(16, 2, dtype=torch.float64), torch.arange(16), {}
    model = Formula("x0", torch.zeros_like)
    for stratified in (False, True):
        objective = Denoising(
            kind="x0",
            weighting=WEIGHTINGS["simple"](),
            times=UniformTimes(),
            stratified=stratified,
        )
        batches = [
            objective.losses(model, VP, x, Draws.whole(Noise(0), k, len(ids))).mean()
            for k in range(300)
        ]
        means[stratified] = torch.stack(batches)
    assert float(means[True].var()) < 0.5 * float(means[False].var())
    error = math.sqrt(sum(float(m.var()) for m in means.values()) / 300)
    assert abs(float(means[True].mean() - means[False].mean())) < 4.0 * error
