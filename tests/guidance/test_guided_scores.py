"""Guided scores equal their closed forms, in every kind and at every level."""

import math

import pytest
import torch
from guidance_tools import (
    BAD,
    DENSITY,
    LABELS,
    MEANS,
    SPREADS,
    close,
    gradient,
    levels_of,
    log_prob,
    states,
)

from scoresde.guidance import (
    Autoguidance,
    ClassifierFree,
    ClassifierGuidance,
    Guided,
    StaticThreshold,
)
from scoresde.processes import CLEAN, PROCESSES, NoiseLevel
from scoresde.score import KINDS, ExactClassifier, ExactScore, NetworkClassifier, NetworkScore

EXACT, WORSE = ExactScore(DENSITY), ExactScore(BAD)
EVERY_PROCESS = pytest.mark.parametrize("name", PROCESSES.members)
WEIGHT = pytest.mark.parametrize("weight", [-0.5, 0.0, 1.0, 3.0])


def made(name: str, weight: float = 3.0, interval=None) -> Guided:
    """A member over exact scores, given LABELS."""
    options = {"weight": weight, "interval": interval}
    guided = {
        "classifier-free": lambda: ClassifierFree(EXACT, **options),
        "classifier": lambda: ClassifierGuidance(EXACT, ExactClassifier(DENSITY), **options),
        "autoguidance": lambda: Autoguidance(EXACT, WORSE, **options),
    }[name]()
    return guided.given(LABELS)


def log_class(z, level):
    """log p(c|z) up to a constant in z, of each row's own class; 0 for rows without one."""
    both = log_prob(z, level, LABELS) - log_prob(z, level)
    return torch.where(LABELS >= 0, both, torch.zeros_like(both))


def closed_form(name: str, level: NoiseLevel, w: float):
    worse = [v + 0.5 for v in SPREADS]
    return {
        "classifier-free": lambda z: (1 - w) * log_prob(z, level) + w * log_prob(z, level, LABELS),
        "classifier": lambda z: log_prob(z, level) + w * log_class(z, level),
        "autoguidance": lambda z: (
            (1 - w) * log_prob(z, level, LABELS, MEANS, worse) + w * log_prob(z, level, LABELS)
        ),
    }[name]


MEMBER = pytest.mark.parametrize("member", ["classifier-free", "classifier", "autoguidance"])


@MEMBER
@EVERY_PROCESS
@WEIGHT
def test_the_guided_score_is_a_gradient_in_closed_form(member, name, weight) -> None:
    guided = made(member, weight)
    for level in levels_of(name):
        z = states(level)
        close(guided.predict(z, level, "score"), gradient(closed_form(member, level, weight), z))


@MEMBER
@pytest.mark.parametrize("name", ["vp-linear", "edm", "rectified-flow"])
def test_every_kind_is_the_kind_of_that_score(member, name) -> None:
    """x0 = (z + sigma^2 s)/alpha and eps = -sigma s, put together by each kind's own row."""
    guided = made(member)
    for level in levels_of(name)[1:]:
        z = states(level)
        score = gradient(closed_form(member, level, 3.0), z)
        x0, eps = (z + level.sigma**2 * score) / level.alpha, -level.sigma * score
        d = math.hypot(level.sigma, level.alpha)  # sigma_data = 1
        expected = {
            "score": score,
            "eps": eps,
            "x0": x0,
            "v": (level.alpha * eps - level.sigma * x0) / d,
            "velocity": level.alpha_rate * x0 + level.sigma_rate * eps,
            "F": (level.sigma * x0 - level.alpha * eps) / d,
        }
        assert set(expected) == set(KINDS)
        for kind, wanted in expected.items():
            close(guided.predict(z, level, kind), wanted, rtol=1e-7)
        close(guided.forward(z, level), expected[guided.kind], rtol=1e-7)


@pytest.mark.parametrize("member", ["classifier-free", "classifier"])
def test_at_weight_one_both_are_the_exact_conditional_score(member) -> None:
    for level in (CLEAN, *levels_of("vp-cosine")):
        z = states(level)
        wanted = EXACT.given(LABELS).predict(z, level, "score")
        close(made(member, 1.0).predict(z, level, "score"), wanted)


def test_a_conditional_model_is_guided_by_a_classifier_too() -> None:
    guided = ClassifierGuidance(EXACT, ExactClassifier(DENSITY), weight=2.0, conditional=True)
    for level in levels_of("vp-linear"):
        z = states(level)
        wanted = gradient(lambda z, at=level: log_prob(z, at, LABELS) + 2.0 * log_class(z, at), z)
        close(guided.given(LABELS).predict(z, level, "score"), wanted)


class Counted(ExactScore):
    """An exact score that counts its evaluations, over all that were made of it."""

    def __init__(self, density):
        super().__init__(density)
        self.count = [0]

    def predict(self, x, level, kind):
        self.count[0] += 1
        return super().predict(x, level, kind)


@MEMBER
def test_outside_the_interval_the_model_is_alone_and_run_once(member) -> None:
    model, worse, judge = Counted(DENSITY), Counted(BAD), ExactClassifier(DENSITY)
    options = {"weight": 3.0, "interval": (0.2, 2.0)}
    guided = {
        "classifier-free": lambda: ClassifierFree(model, **options),
        "classifier": lambda: ClassifierGuidance(model, judge, **options),
        "autoguidance": lambda: Autoguidance(model, worse, **options),
    }[member]().given(LABELS)
    process = PROCESSES["edm"]()
    alone = EXACT if member == "classifier" else EXACT.given(LABELS)
    for ratio, inside in ((0.1, False), (0.2, False), (0.21, True), (2.0, True), (3.0, False)):
        level = NoiseLevel(0.5, 1.0, ratio)
        z = states(level)
        model.count[0] = worse.count[0] = 0
        got = guided.predict(z, level, "v")
        free = made(member).predict(z, level, "v")
        assert torch.equal(got, free if inside else alone.predict(z, level, "v"))
        runs = 2 if inside and member != "classifier" else 1
        assert model.count[0] + worse.count[0] == runs
    # levels as tensors, one a row
    ratios = [0.05, 0.2, 0.21, 1.0, 1.9, 2.0, 2.1, 9.0]
    one, ratios = (torch.tensor(v, dtype=torch.float64)[:, None] for v in ([1.0] * 8, ratios))
    rows = NoiseLevel(one, one, ratios)
    z = states(process.at(0.5))
    got = guided.predict(z, rows, "x0")
    for i in range(8):
        level = NoiseLevel(0.5, 1.0, float(rows.sigma[i]))
        one = made(member, 3.0, (0.2, 2.0)).at_rows(slice(i, i + 1))
        close(got[i : i + 1], one.predict(z[i : i + 1], level, "x0"))


@MEMBER
def test_a_row_is_the_same_alone_and_among_others(member) -> None:
    guided = StaticThreshold(made(member), low=-2.0, high=2.0)
    level = PROCESSES["vp-linear"]().at(0.4)
    z = states(level)
    whole = guided.predict(z, level, "v")
    for index in (slice(2, 3), slice(5, 8), torch.tensor([7, 0, 6])):
        close(guided.at_rows(index).predict(z[index], level, "v"), whole[index], rtol=1e-13)


def test_unlabelled_rows_and_models_are_not_guided() -> None:
    level = PROCESSES["vp-linear"]().at(0.3)
    z, none = states(level), torch.full((8,), -1)
    wanted = EXACT.predict(z, level, "v")
    for guided in (
        ClassifierFree(EXACT, weight=4.0),
        ClassifierGuidance(EXACT, ExactClassifier(DENSITY), weight=4.0),
    ):
        for free in (guided, guided.given(none), guided.given(LABELS).given(None)):
            close(free.predict(z, level, "v"), wanted, rtol=1e-14)


def test_a_model_bound_before_it_is_wrapped_is_guided_too() -> None:
    level = PROCESSES["vp-linear"]().at(0.3)
    z = states(level)
    wrapped = ClassifierFree(EXACT.given(LABELS), weight=3.0)
    wanted = made("classifier-free").predict(z, level, "v")
    assert torch.equal(wrapped.predict(z, level, "v"), wanted)


class Labelled(torch.nn.Module):
    """A net of one layer that adds a vector of its own for each class, the null class last."""

    classes = 3

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(3, 2).double()
            self.table = torch.nn.Embedding(4, 2).double()

    def forward(self, x, noise, given=None):
        given = torch.full((len(x),), -1) if given is None else given
        return self.layer(torch.cat([x, noise[:, None]], 1)) + self.table(given % 4)


@pytest.mark.parametrize("sigma_data", [1.0, 0.4])
def test_a_network_guides_itself_and_a_network_of_another_scale(sigma_data) -> None:
    net = Labelled()
    good = NetworkScore(net, (2,), "F", 0.7)
    bad = NetworkScore(Labelled(), (2,), "v", sigma_data)
    level = PROCESSES["vp-linear"]().at(0.4)
    z = states(level)
    with torch.no_grad():
        for kind in KINDS:
            c, u = (good.given(g).predict(z, level, kind) for g in (LABELS, None))
            guided = ClassifierFree(good, weight=2.5).given(LABELS)
            close(guided.predict(z, level, kind), u + 2.5 * (c - u), rtol=1e-12)
        guided = Autoguidance(good, bad, weight=2.5).given(LABELS)
        g, b = (m.given(LABELS).predict(z, level, "score") for m in (good, bad))
        close(guided.predict(z, level, "score"), b + 2.5 * (g - b), rtol=1e-12)
        # F in the good model's sigma_data, by its definition from x0 and eps
        x0 = guided.predict(z, level, "x0")
        eps = (z - level.alpha * x0) / level.sigma
        s = math.hypot(level.sigma, 0.7 * level.alpha)
        wanted = (level.sigma * x0 / 0.7 - 0.7 * level.alpha * eps) / s
        close(guided.predict(z, level, "F"), wanted, rtol=1e-10)


class Logits(torch.nn.Module):
    """Keeps what it is given; its logits are linear in it."""

    classes = 2

    def forward(self, x, noise):
        self.seen = (x, noise)
        return torch.stack([x.flatten(1).sum(1), noise], 1)


def test_a_classifier_network_sees_what_a_score_network_sees() -> None:
    """Unit variance and -log_snr/8, whether the level is a number or a tensor; clamped at 3."""
    net = Logits()
    classifier = NetworkClassifier(net, (2,), 0.5)
    for level in levels_of("edm"):
        z = states(level)
        got = classifier.log_prob(z, level)
        x, noise = net.seen
        torch.testing.assert_close(x, z / math.hypot(0.5 * level.alpha, level.sigma))
        expected = math.log(level.sigma / level.alpha) / 4
        torch.testing.assert_close(noise, torch.full((8,), expected, dtype=torch.float64))
        torch.testing.assert_close(got.exp().sum(1), torch.ones(8, dtype=torch.float64))
        wide = NoiseLevel(*(torch.full((8, 1), v, dtype=torch.float64)
                            for v in (0.5, level.alpha, level.sigma)))  # fmt: skip
        torch.testing.assert_close(classifier.log_prob(z, wide), got)
    classifier.log_prob(states(CLEAN), CLEAN)
    assert net.seen[1].unique().tolist() == [-3.0]
    ends = torch.tensor([1e-9, 1e9], dtype=torch.float64).repeat(4)[:, None]
    classifier.log_prob(states(CLEAN), NoiseLevel(ends, torch.ones_like(ends), ends))
    assert net.seen[1].tolist() == [-3.0, 3.0] * 4


def test_the_cost_of_a_call_is_told() -> None:
    exact = ExactClassifier(DENSITY)
    costs = {
        ClassifierFree(EXACT, weight=2.0): 2,
        ClassifierFree(EXACT, weight=1.0): 1,
        ClassifierFree(EXACT, weight=0.0): 1,
        ClassifierGuidance(EXACT, exact, weight=2.0): 2,
        ClassifierGuidance(EXACT, exact, weight=0.0): 1,
        Autoguidance(ClassifierFree(EXACT, weight=2.0), WORSE, weight=2.0): 3,
        StaticThreshold(ClassifierFree(EXACT, weight=2.0)): 2,
    }
    assert all(model.evaluations_per_call == cost for model, cost in costs.items())


def test_a_classifier_cannot_guide_x0_at_pure_noise_and_says_so() -> None:
    from scoresde.errors import OptionError

    level = PROCESSES["rectified-flow"]().at(1.0)
    z, guided = states(level), made("classifier")
    for kind in ("eps", "score"):
        close(guided.predict(z, level, kind), EXACT.predict(z, level, kind), rtol=1e-14)
    for kind in ("x0", "v", "velocity"):
        with pytest.raises(OptionError, match=r"alpha = 0; start the grid .*log_snr_min"):
            guided.predict(z, level, kind)
    ended = made("classifier", 3.0, (0.0, 50.0))
    assert torch.equal(ended.predict(z, level, "v"), EXACT.predict(z, level, "v"))
