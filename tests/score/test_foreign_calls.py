"""How foreign functions are called: labels, dtypes, and what is refused."""

import math

import pytest
import torch
from torch import nn

from scoresde.errors import CapabilityError, NonFiniteError, OptionError
from scoresde.processes import EDM, DiscreteDDPM, VPLinear
from scoresde.samplers import DDIM, sample
from scoresde.samplers.grids import Karras
from scoresde.score import (
    Denoiser,
    DiscreteNetwork,
    LearnedVarianceNetwork,
    Preconditioned,
    ScoreModel,
    VelocityField,
)

CHAIN = DiscreteDDPM()
CENTRES = torch.tensor([[-3.0, 0.0], [1.0, 2.0], [0.0, 5.0], [0.0, 0.0]], dtype=torch.float64)
LEVEL = VPLinear().at(0.5)


def x0_given(y, sigma, labels):
    """The best denoiser of N(centre, I), a centre a label; the last is that of no label."""
    share = 1.0 / (1.0 + sigma.square()[:, None])
    return CENTRES[labels] + share * (y - CENTRES[labels])


def by_kind(**options) -> dict[str, ScoreModel]:
    """One conditional model of each convention, made of the same denoiser."""

    def edm(u, c_noise, labels):  # sigma_data = 1: c_skip = 1/(s^2 + 1), c_out = s/sqrt(s^2 + 1)
        s = torch.exp(4.0 * c_noise)[:, None]
        y = u * (s * s + 1.0).sqrt()
        return (x0_given(y, s[:, 0], labels) - y / (s * s + 1.0)) * (s * s + 1.0).sqrt() / s

    def eps(z, index, labels):
        abar = torch.cumprod(1.0 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[
            index.long()
        ]
        a, s = abar.sqrt()[:, None], (1.0 - abar).sqrt()[:, None]
        return (z - a * x0_given(z / a, (s / a)[:, 0], labels)) / s

    def flow(z, tau, labels):
        t = (1.0 - tau)[:, None]
        x0 = x0_given(z / (1.0 - t), (t / (1.0 - t))[:, 0], labels)
        return x0 - (z - (1.0 - t) * x0) / t

    return {
        "denoiser": Denoiser(x0_given, (2,), **options),
        "preconditioned": Preconditioned(edm, (2,), sigma_data=1.0, **options),
        "discrete": DiscreteNetwork(eps, (2,), CHAIN, whole=True, **options),
        "velocity": VelocityField(flow, (2,), data_at=1, **options),
    }


def expected(z, level, labels):
    share = level.alpha**2 / (level.alpha**2 + level.sigma**2)
    return CENTRES[labels] + share * (z / level.alpha - CENTRES[labels])


CONDITIONAL = by_kind(classes=3, null_label=3)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_labels_reach_the_function_row_by_row(name) -> None:
    model, level = CONDITIONAL[name], CHAIN.at(0.4)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([2, 0, -1, 1, 2])
    told = torch.tensor([2, 0, 3, 1, 2])
    given = model.given(labels)
    for asked in (given, given.given(None).given(labels)):
        got = asked.predict(z, level, "x0")
        torch.testing.assert_close(got, expected(z, level, told), rtol=1e-9, atol=1e-9)
    part = given.at_rows(slice(1, 4)).predict(z[1:4], level, "x0")
    torch.testing.assert_close(part, got[1:4], rtol=1e-12, atol=1e-12)
    part = given.at_rows(torch.tensor([4, 0])).predict(z[[4, 0]], level, "x0")
    torch.testing.assert_close(part, got[[4, 0]], rtol=1e-12, atol=1e-12)
    none = torch.full((5,), 3)
    for asked in (model, model.at_rows(slice(2)), given.given(None)):
        got = asked.predict(z, level, "x0")
        torch.testing.assert_close(got, expected(z, level, none), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("labels", "named"), [
    (torch.tensor([0, 3]), r"lie in -1\.\.2; got 0 to 3"),
    (torch.tensor([0, -2]), r"got -2 to 0"),
    (torch.tensor([0.0, 1.0]), r"int64, got \(2,\) of torch.float32"),
    (torch.tensor([[0], [1]]), r"got \(2, 1\)"),
    ([0, 1], "got list"),
])  # fmt: skip
def test_labels_of_another_make_are_refused(labels, named) -> None:
    with pytest.raises(OptionError, match=named):
        CONDITIONAL["denoiser"].given(labels)


def test_labels_that_are_missing_are_asked_for() -> None:
    z = torch.zeros(2, 2, dtype=torch.float64)
    bare = Denoiser(x0_given, (2,), classes=3)
    with pytest.raises(CapabilityError, match="needs labels and has no null label"):
        bare.predict(z, LEVEL, "x0")
    with pytest.raises(OptionError, match=r"-1 .* needs a null_label"):
        bare.given(torch.tensor([0, -1]))
    with pytest.raises(OptionError, match="given 3 labels and asked with 2 states"):
        bare.given(torch.tensor([0, 1, 2])).predict(z, LEVEL, "x0")
    with pytest.raises(CapabilityError, match="Denoiser is not conditional"):
        Denoiser(lambda y, s: y, (2,)).given(torch.tensor([0, 1]))


class Half(nn.Module):
    """Takes float32 alone, and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.seen = []

    def forward(self, z, noise):
        self.seen.append((z, noise))
        return self.layer(z)


def test_states_are_cast_in_and_predictions_out() -> None:
    net = Half()
    model = Denoiser(net, (2,))
    y = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = EDM().at(0.4)
    got = model.predict(y, level, "x0")
    ((z, sigma),) = net.seen
    assert got.dtype is torch.float64
    assert z.dtype is sigma.dtype is torch.float32
    assert torch.equal(got, net.layer(y.float()).double())
    assert torch.equal(sigma, torch.tensor(level.sigma).expand(3))
    assert model.predict(y.float(), level, "score").dtype is torch.float32
    plain = Denoiser(lambda z, sigma: net(z, sigma), (2,))
    with pytest.raises(OptionError, match=r"fails for states of torch.float64.*dtype=torch.float"):
        plain.predict(y, level, "x0")
    told = Denoiser(lambda z, sigma: net(z, sigma), (2,), dtype=torch.float32)
    for model in (told, Denoiser(net.forward, (2,))):
        assert torch.equal(model.predict(y, level, "x0"), got)


def test_a_prediction_can_be_differentiated() -> None:
    """x0 = y/(1 + sigma^2) has the Jacobian I/(alpha (1 + sigma^2)) in z."""
    model = Denoiser(lambda y, s: y / (1.0 + s.square()[:, None]), (2,))
    z = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    model.predict(z, LEVEL, "x0").sum().backward()
    share = 1.0 / (LEVEL.alpha * (1.0 + LEVEL.noise_ratio**2))
    torch.testing.assert_close(z.grad, torch.full((3, 2), share).double())


@pytest.mark.parametrize(("function", "named"), [
    (lambda z, s: z[:, :1], r"gives \(3, 1\) for states of shape \(3, 2\), where \(3, 2\)"),
    (lambda z, s: z.mean(), r"gives \(\) for states"),
    (lambda z, s: (z, s), "gives a tuple, not a tensor"),
    (lambda z, s: None, "gives a NoneType"),
])  # fmt: skip
def test_an_output_of_another_make_is_refused(function, named) -> None:
    with pytest.raises(OptionError, match=named):
        Denoiser(function, (2,)).predict(torch.zeros(3, 2), LEVEL, "x0")


def test_a_learned_variance_needs_its_channels() -> None:
    model = LearnedVarianceNetwork(lambda z, i: z, (2,), CHAIN)
    with pytest.raises(OptionError, match=r"gives \(3, 2\).*where \(3, 4\) is needed"):
        model.predict(torch.zeros(3, 2), LEVEL, "x0")


def test_a_function_that_gives_nan_stops_the_sampler() -> None:
    model = Denoiser(lambda y, s: torch.where(s[:, None] < 1.0, math.nan, y), (2,))
    levels = Karras(steps=6).levels(EDM())
    first = next(i for i, level in enumerate(levels) if level.sigma < 1.0)
    with pytest.raises(NonFiniteError, match=f"after step {first}.*3 of 3 samples"):
        sample(model, DDIM(), levels, torch.ones(3, 2))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(OptionError, match="unknown kind of prediction 'noise'"):
        Denoiser(lambda y, s: y, (2,)).predict(torch.zeros(3, 2), LEVEL, "noise")


@pytest.mark.parametrize(("make", "named"), [
    (lambda f: Denoiser(3, (2,)), "a function or module is needed, got int"),
    (lambda f: Denoiser(f, (2,), sigma_data=0.0), "sigma_data"),
    (lambda f: Denoiser(f, (2,), sigma_min=2.0, sigma_max=1.0), "0 < sigma_min < sigma_max"),
    (lambda f: Denoiser(f, (2,), sigma_max=math.inf), "0 < sigma_min < sigma_max < inf"),
    (lambda f: Preconditioned(f, (2,), sigma_data=math.nan), "sigma_data is positive.*nan"),
    (lambda f: Denoiser(f, (2, 0)), r"event_shape is of positive whole numbers, got \(2, 0\)"),
    (lambda f: Denoiser(f, (2,), classes=-1), "classes is at least 0"),
    (lambda f: Denoiser(f, (2,), null_label=0), "null_label = 0 needs classes"),
    (lambda f: Denoiser(f, (2,), dtype=torch.int64), "dtype"),
    (lambda f: DiscreteNetwork(f, (2,), CHAIN, kind="score"), "unknown kind.*'score'"),
    (lambda f: DiscreteNetwork(f, (2,), VPLinear()), "needs the DiscreteDDPM chain.*VPLinear"),
    (lambda f: DiscreteNetwork(f, (2,), CHAIN, first_index=0.5), "first_index is a whole number"),
    (lambda f: VelocityField(f, (2,), data_at=2), "data_at is 0 or 1"),
    (lambda f: VelocityField(f, (2,), data_at=0, towards="x"), "towards is 'noise' or 'data'"),
])  # fmt: skip
def test_bad_options_are_named(make, named) -> None:
    with pytest.raises(OptionError, match=named):
        make(lambda z, s: z)
