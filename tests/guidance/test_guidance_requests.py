"""Guidance in requests: labels by id, identities, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from guidance_tools import MEANS, METHOD, MIXTURE, SPREADS
from scipy import stats

from scoresde import config
from scoresde.checkpointed import exact_source
from scoresde.data import Scaling
from scoresde.errors import CapabilityError, DumpError, OptionError, UsageError
from scoresde.generate import Generator, Request, generate
from scoresde.guidance import GUIDANCE, Interval
from scoresde.score import NetworkClassifier

CFG = {**METHOD, "guidance": {"name": "classifier-free", "weight": 2.0}}
BY_CLASS = {**METHOD, "guidance": {"name": "classifier", "weight": 2.0}}
AUTO = {**METHOD, "guidance": {"name": "autoguidance", "weight": 2.0}}


def source(**changes):
    table = {**MIXTURE, **changes}
    return exact_source(config.from_tables({"density": table, "process": "vp-linear"}))


EXACT = source()
PLAIN = exact_source(config.from_tables({"density": {
    "name": "gaussian", "mean": [1.0, 2.0], "covariance": [[4.0, 0.0], [0.0, 1.0]]
}}))  # fmt: skip
WORSE = source(covariances=[v + 0.5 for v in SPREADS])


def request(method, **options) -> Request:
    return Request(method=config.from_tables(method), **{"dtype": "float64", "n": 12, **options})


@pytest.mark.parametrize(("label", "cycle"), [
    ("all", [0, 1, 2]), (1, [1]), ("0,2,2,1", [0, 2, 2, 1]),
])  # fmt: skip
def test_a_sample_s_label_is_a_function_of_its_id(tmp_path, label, cycle) -> None:
    whole = generate(EXACT, request(CFG, label=label, batch=5), tmp_path / "a.h5")
    assert whole.label.tolist() == [cycle[i % len(cycle)] for i in range(12)]
    part = generate(EXACT, request(CFG, label=label, first_id=7, n=4), tmp_path / "b.h5")
    assert part.label.tolist() == whole.label[7:11].tolist()
    assert np.abs(part.samples - whole.samples[7:11]).max() < 1e-12


@pytest.mark.parametrize("method", [METHOD, CFG, BY_CLASS, AUTO], ids=["none", *GUIDANCE.members])
def test_samples_are_those_of_the_wrapped_model(method) -> None:
    guide = WORSE if method is AUTO else None
    made = Generator(EXACT, request(method, label="all"), guide)
    ids = torch.arange(6)
    by_hand = {
        "none": lambda: EXACT.model,
        **{name: lambda name=name: GUIDANCE[name](
            EXACT.model, *made_of[name], weight=2.0) for name in GUIDANCE.members},
    }  # fmt: skip
    from scoresde.kernels import Noise
    from scoresde.samplers import sample, start
    from scoresde.score import ExactClassifier

    made_of = {
        "classifier-free": (),
        "classifier": (ExactClassifier(EXACT.model.density),),
        "autoguidance": (WORSE.model,),
    }
    name = method.get("guidance", {"name": "none"})["name"]
    model = by_hand[name]().given(ids % 3)
    x = start(made.levels[0], Noise(0), ids, (2,))
    wanted = sample(model, made.sampler, made.levels, x, Noise(0), ids=ids).x
    assert torch.equal(made.draw(ids).x, wanted)


CHANGES = {
    "weight": ({"guidance": {"name": "classifier-free", "weight": 3.0}}, {}, "guidance.weight is"),
    "interval": (
        {"guidance": {**CFG["guidance"], "interval": [0.1, 2.0]}}, {}, r"interval.* None there",
    ),
    "member": ({"guidance": BY_CLASS["guidance"]}, {}, "guidance.name is 'classifier-free' there"),
    "threshold": ({"threshold": "static"}, {}, "threshold is '.absent.' there"),
    "label": ({}, {"label": "0,1"}, "labels is 'all 3' there and '0,1'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_another_guidance_is_not_resumed(tmp_path, case) -> None:
    tables, options, named = CHANGES[case]
    path = tmp_path / "a.h5"
    generate(EXACT, request(CFG, label="all"), path)
    before = path.read_bytes()
    changed = request({**CFG, **tables}, **{"label": "all", **options})
    with pytest.raises(DumpError, match=named):
        generate(EXACT, changed, path, resume=True)
    assert path.read_bytes() == before
    generate(EXACT, request(CFG, label="all"), path, resume=True)
    assert path.read_bytes() == before


def test_another_guide_is_not_resumed(tmp_path) -> None:
    path = tmp_path / "a.h5"
    made = generate(EXACT, request(AUTO, label="all"), path, guide=WORSE)
    assert made.attributes["guide"] == WORSE.identity
    assert made.attributes["evaluations_per_call"] == 2
    other = source(covariances=[v + 0.6 for v in SPREADS])
    with pytest.raises(DumpError, match=r"guide is 'density:"):
        generate(EXACT, request(AUTO, label="all"), path, guide=other, resume=True)


def test_log_prob_is_that_of_the_sample_s_own_class() -> None:
    rows = Generator(EXACT, request(METHOD, label="all", log_prob=True)).rows(torch.arange(6))
    labels = torch.arange(6) % 3
    wanted = EXACT.model.density.given(labels).log_prob(torch.from_numpy(rows["samples"]))
    assert np.abs(rows["log_prob"] - wanted.numpy()).max() < 1e-12
    with pytest.raises(CapabilityError, match="--log-prob needs log_density"):
        Generator(EXACT, request(CFG, label="all", log_prob=True))


CLASSIFIER = replace(
    EXACT, model=NetworkClassifier(type("Net", (torch.nn.Module,), {"classes": 3})(), (2,))
)
REFUSED = {
    "range": (EXACT, METHOD, "3", None, r"label 3 is no class .* 0\.\.2"),
    "negative": (EXACT, METHOD, "0,-1", None, "leave labels out"),
    "word": (EXACT, METHOD, "cat", None, "'all', got 'cat'"),
    "empty": (EXACT, METHOD, "", None, "got ''"),
    "no labels": (EXACT, METHOD, (), None, "one label or more"),
    "bool": (EXACT, METHOD, True, None, "label True is no class"),
    "unconditional": (PLAIN, METHOD, "0", None, "this one has none: leave labels out"),
    "guided without labels": (EXACT, CFG, None, None, "--label a class, a list or 'all'"),
    "classifier without labels": (EXACT, BY_CLASS, None, None, "--guidance off"),
    "unconditional guided": (PLAIN, CFG, "0", None, "needs a conditional model"),
    "no classifier": (PLAIN, BY_CLASS, "0", None, "train one .*--guide"),
    "no bad model": (EXACT, AUTO, "0", None, "second score model.*--guide"),
    "classifier as bad model": (EXACT, AUTO, "0", CLASSIFIER, "second score model.*--guide"),
    "guide of classifier-free": (EXACT, CFG, "0", WORSE, "takes no --guide"),
    "guide of nothing": (EXACT, METHOD, "0", WORSE, "classifier or autoguidance"),
    "classifier as model": (CLASSIFIER, METHOD, "0", None, "is a classifier"),
    "another scaling": (
        EXACT, AUTO, "0", replace(WORSE, scaling=Scaling(scale=2.0)), "same data",
    ),
    "another shape": (
        EXACT, AUTO, "0", source(means=[[m[0]] for m in MEANS]), r"shape \(1,\), the model \(2,\)",
    ),
    "other classes": (EXACT, AUTO, "0", source(labels=[0, 1, 0, 1, 1]), "has 2 classes"),
    "weight": (
        EXACT, {**METHOD, "guidance": {"name": "classifier-free", "weight": float("inf")}}, "0",
        None, "finite number, got inf",
    ),
    "interval": (
        EXACT, {**METHOD, "guidance": {"name": "classifier-free", "interval": [2.0, 1.0]}}, "0",
        None, "0 <= low < high, got 2.0 and 1.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_a_usage_error_with_the_way_out(case) -> None:
    model, method, label, guide, named = REFUSED[case]
    with pytest.raises(UsageError, match=named):
        Generator(model, request(method, label=label), guide)


@pytest.mark.parametrize("ends", [(-1.0, 2.0), (1.0, 1.0), (float("nan"), 2.0), (1.0,)])
def test_intervals_out_of_range_are_refused(ends) -> None:
    with pytest.raises(OptionError, match="interval of guidance"):
        Interval.of(ends)


class Halves:
    """Whether the first coordinate of PLAIN, N(1, 4), is positive: p(x > 0 | z) exactly."""

    kind, classes, event_shape = "class", 2, (2,)

    def log_prob(self, z, level):
        total = 4.0 * level.alpha**2 + level.sigma**2
        mean = 1.0 + 4.0 * level.alpha / total * (z[:, 0] - level.alpha)
        ratio = mean / (2.0 * level.sigma / total**0.5)
        return torch.stack([torch.special.log_ndtr(ratio), torch.special.log_ndtr(-ratio)], 1)


def test_a_classifier_makes_an_unconditional_model_conditional() -> None:
    """At w = 1 a Gaussian under an exact classifier of halves is a truncated Gaussian."""
    guide, n = replace(CLASSIFIER, model=Halves()), 2000
    method = {"sampler": "dpmpp-2m", "grid": {"name": "karras", "steps": 60},
              "guidance": {"name": "classifier", "weight": 1.0}}  # fmt: skip
    made = Generator(PLAIN, request(method, label="all", n=n), guide).rows(torch.arange(n))
    for label, ends in ((0, (-0.5, np.inf)), (1, (-np.inf, -0.5))):
        law, x = stats.truncnorm(*ends, 1.0, 2.0), made["samples"][made["label"] == label]
        assert abs(x[:, 0].mean() - law.mean()) < 4.5 * law.std() / len(x) ** 0.5 + 0.01
        assert abs(x[:, 0].std() / law.std() - 1.0) < 4.5 * (2 * len(x)) ** -0.5 + 0.01
        assert abs(x[:, 1].mean() - 2.0) < 4.5 / len(x) ** 0.5
