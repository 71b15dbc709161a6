"""A classifier of noisy states trained by cross-entropy approaches Bayes' rule."""

import math
from dataclasses import dataclass

import pytest
import torch
from guidance_tools import LABELS, log_prob, states
from torch import Tensor, nn

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.errors import CapabilityError, OptionError
from scoresde.guidance import ClassifierGuidance
from scoresde.kernels import Noise
from scoresde.nets import CLASSIFIERS
from scoresde.objectives import OBJECTIVES, Classification, Draws
from scoresde.processes import PROCESSES, NoiseLevel, VPLinear
from scoresde.score import ExactClassifier, ExactScore, NetworkClassifier

TWO = GaussianMixture(
    means=[[-1.5, 0.0], [1.5, 0.5], [0.0, 1.5]], covariances=[0.3, 0.2, 0.1], labels=(0, 1, 1)
)


@dataclass
class Bayes:
    """The exact classifier beside the labels of its rows."""

    density: GaussianMixture
    condition: Tensor | None

    def log_prob(self, z, level):
        return self.density.class_log_prob(z, level.alpha, level.sigma)


class Small(nn.Module):
    """Two hidden layers on state and noise."""

    def __init__(self, classes: int = 2, width: int = 48):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, classes),
        )  # fmt: skip

    def forward(self, x, noise):
        return self.layers(torch.cat([x, noise[:, None]], 1))


@pytest.mark.parametrize("name", ["vp-linear", "edm", "ddpm"])
def test_the_loss_is_the_cross_entropy_at_the_drawn_levels(name) -> None:
    """Each datum's own -log p(c|z), with z and t made from the same draws by hand."""
    from guidance_tools import DENSITY

    from scoresde.kernels import Purpose

    process, objective = PROCESSES[name](), Classification()
    draws = Draws.whole(Noise(1), 5, 8)
    x = DENSITY.given(LABELS).sample(torch.arange(8), 2)
    losses = objective.losses(Bayes(DENSITY, LABELS), process, x, draws)
    t, _ = objective.times.draw(draws.stratified(Purpose.TIME), process)
    eps = draws.normal(Purpose.TRAIN, (2,))
    for i, c in enumerate(LABELS.tolist()):
        level = process.at(float(t[i]))
        z = level.alpha * x[i : i + 1] + level.sigma * eps[i : i + 1]
        prior = math.log([0.4, 0.35, 0.25][c])
        joint = prior + log_prob(z, level, LABELS[i : i + 1]) - log_prob(z, level)
        assert float(losses[i]) == pytest.approx(-float(joint) if c >= 0 else 0.0, abs=1e-8)


def test_no_classifier_has_a_lower_loss_than_bayes() -> None:
    ids = torch.arange(4000)
    labels = (ids % 3 > 0).long()  # the priors of TWO
    x = TWO.given(labels).sample(ids, 1)
    draws, objective = Draws.whole(Noise(0), 0, 4000), Classification()
    best = objective.losses(Bayes(TWO, labels), VPLinear(), x, draws)
    # an excess of k nats has a deviation of about sqrt(2 k), so 4000 data tell k > 0.005 by 3 SE
    for means in ([[0.0, 0.0], [1.5, 0.5], [0.0, 1.5]], [[-1.5, 0.0], [3.0, 0.5], [0.0, 1.5]]):
        other = GaussianMixture(means=means, covariances=[0.3, 0.2, 0.1], labels=(0, 1, 1))
        worse = objective.losses(Bayes(other, labels), VPLinear(), x, draws) - best
        assert float(worse.mean()) > 3 * float(worse.std()) / math.sqrt(4000)


def trained(steps: int, batch: int = 256) -> NetworkClassifier:
    """A small net trained by the objective on draws from TWO."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Small()
    model, objective, process = NetworkClassifier(net, (2,), 1.5), Classification(), VPLinear()
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        ids = torch.arange(step * batch, (step + 1) * batch)
        labels = (ids % 3 > 0).long()
        x = TWO.given(labels).sample(ids, 7).float()
        draws = Draws.whole(Noise(7), step, batch)
        loss = objective.losses(model.given(labels), process, x, draws).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return model


@pytest.mark.slow
def test_a_trained_classifier_approaches_bayes_and_guides_as_it() -> None:
    model = trained(500)
    ids = torch.arange(20_000)
    labels = (ids % 3 > 0).long()
    x = TWO.given(labels).sample(ids, 11)
    draws, objective = Draws.whole(Noise(99), 0, len(ids)), Classification()
    with torch.no_grad():
        ours = objective.losses(model.given(labels), VPLinear(), x.float(), draws).double()
    best = objective.losses(Bayes(TWO, labels), VPLinear(), x, draws)
    excess = ours - best
    blind = -sum(p * math.log(p) for p in (1 / 3, 2 / 3))  # knows the prior alone
    # of what there is to learn, blind - best, at most 3% is left, standard error included
    left = float(excess.mean()) + 3 * float(excess.std()) / math.sqrt(len(ids))
    assert left < 0.03 * (blind - float(best.mean()))
    # the guided score's root-mean-square error against the exact one, beside the guidance itself
    level = VPLinear().at(0.4)
    z = level.alpha * x[:2000] + level.sigma * Noise(5)(0, 0, ids[:2000], (2,))
    exact = ClassifierGuidance(ExactScore(TWO), ExactClassifier(TWO)).given(labels[:2000])
    net = ClassifierGuidance(ExactScore(TWO), model).given(labels[:2000])
    wanted = exact.predict(z.float(), level, "eps")
    error = (net.predict(z.float(), level, "eps") - wanted).square().mean().sqrt()
    shift = (wanted - ExactScore(TWO).predict(z.float(), level, "eps")).square().mean().sqrt()
    assert float(error) < 0.3 * float(shift)


def test_what_cannot_be_trained_or_guided_by_is_named() -> None:
    x, draws = torch.zeros(2, 2), Draws.whole(Noise(0), 0, 2)
    classifier = NetworkClassifier(Small(), (2,))
    with pytest.raises(CapabilityError, match="was given none: take data with labels"):
        Classification().losses(classifier, VPLinear(), x, draws)
    score = ExactScore(TWO).given(torch.tensor([0, 1]))
    with pytest.raises(CapabilityError, match="ExactScore is none"):
        Classification().losses(score, VPLinear(), x, draws)
    with pytest.raises(OptionError, match="classes >= 2, got 1"):
        NetworkClassifier(Small(1), (2,))
    with pytest.raises(OptionError, match="sigma_data"):
        NetworkClassifier(Small(), (2,), 0.0)
    net = Small(3)
    net.classes = 2
    with pytest.raises(OptionError, match=r"gives \(2, 3\) for 2 states, needs \(2, 2\)"):
        NetworkClassifier(net, (2,)).log_prob(x, VPLinear().at(0.5))
    with pytest.raises(CapabilityError, match="no classes"):
        ExactClassifier(GaussianMixture(means=[[0.0]], covariances=[1.0]))


@pytest.mark.parametrize("name", CLASSIFIERS.members)
def test_a_net_before_training_knows_no_class_and_guides_nowhere(name) -> None:
    shape = (1, 8, 8) if name == "unet" else (2,)
    with torch.random.fork_rng():
        net = CLASSIFIERS[name](shape, classes=3).double()
    density = Gaussian(mean=torch.zeros(shape), factor=torch.ones(math.prod(shape), 1), variance=1)
    classifier, level = NetworkClassifier(net, shape, 1.4), VPLinear().at(0.5)
    z = density.sample(torch.arange(4))
    even = torch.full((4, 3), -math.log(3.0), dtype=torch.float64)
    torch.testing.assert_close(classifier.log_prob(z, level), even)
    guided = ClassifierGuidance(ExactScore(density), classifier, weight=5.0)
    got = guided.given(torch.tensor([0, 1, 2, -1])).predict(z, level, "v")
    assert torch.equal(got, ExactScore(density).predict(z, level, "v"))


def test_rows_and_labels_of_a_classifier_go_together() -> None:
    classifier = NetworkClassifier(Small(), (2,)).given(torch.tensor([0, 1, 1]))
    assert classifier.at_rows(slice(1, 3)).condition.tolist() == [1, 1]
    assert classifier.given(None).at_rows(slice(1)).condition is None
    z = states(VPLinear().at(0.5), 3).float()
    free = classifier.given(None).log_prob(z, VPLinear().at(0.5))
    assert torch.equal(classifier.log_prob(z, VPLinear().at(0.5)), free)
    assert OBJECTIVES["classification"]().kind == classifier.kind == "class"


def test_a_network_guides_no_x0_where_the_data_are_below_its_input() -> None:
    """x0 changes by (sigma^2/alpha) g: at alpha = 6e-17, cos(pi/2), it would be g's rounding."""
    torch.manual_seed(0)
    model = ExactScore(Gaussian(mean=[0.0, 0.0], covariance=[[1.0, 0.0], [0.0, 1.0]]))
    guided = ClassifierGuidance(model, NetworkClassifier(Small(), (2,))).given(torch.tensor([0]))
    z = torch.ones(1, 2)
    process = PROCESSES["rectified-flow"]()
    for level in (process.at_log_snr(-24.5), NoiseLevel.at_phi(math.pi / 2.0)):
        assert level.alpha > 0.0
        assert guided.predict(z, level, "eps").abs().max() < 10.0
        for kind in ("x0", "v"):
            with pytest.raises(OptionError, match=r"start the grid .*log_snr_min"):
                guided.predict(z, level, kind)
    level = process.at_log_snr(-23.5)
    assert guided.predict(z, level, "v").isfinite().all()
