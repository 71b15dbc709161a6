"""Laws of conditional nets: labels and vectors matter, what is not given is one thing, errors."""

import pytest
import torch

from scoresde.errors import OptionError
from scoresde.nets import NETS, Given

SMALL = {
    "mlp": ((3,), {"width": 16, "blocks": 1}),
    "unet": ((1, 4, 5), {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}),
    "dit": ((1, 4, 4), {"width": 16, "depth": 1, "heads": 2}),
}
CASES = [(name, kind) for name in NETS.members for kind in ("classes", "features")]
cases = pytest.mark.parametrize(("name", "kind"), CASES)


def awake(name, kind):
    """A conditional net whose zeroed layers were filled, and a batch of 5 that it is given."""
    torch.manual_seed(0)
    shape, options = SMALL[name]
    net = NETS[name](shape, **options, **{kind: 3}).double()
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(5, *shape, dtype=torch.float64, generator=rng)
    vectors = torch.randn(5, 3, dtype=torch.float64, generator=rng)
    given = torch.tensor([0, 1, 2, 0, 1]) if kind == "classes" else vectors
    return net.eval(), x, torch.linspace(-3, 3, 5, dtype=torch.float64), given


def blanked(given, rows):
    """`given` with nothing given in these rows."""
    given = given.clone()
    if given.is_floating_point():
        given[rows, 1] = torch.nan  # one NaN makes a row a null row
    else:
        given[rows] = -1
    return given


@cases
def test_what_is_given_matters_in_its_own_row_alone(name, kind):
    net, x, noise, given = awake(name, kind)
    other = given.clone()
    other[2] = 1 if kind == "classes" else -given[2]
    apart = (net(x, noise, given) - net(x, noise, other)).abs().flatten(1).amax(1)
    assert apart[2] > 1e-4
    assert torch.equal(apart[[0, 1, 3, 4]], torch.zeros(4, dtype=torch.float64))


@cases
def test_none_is_a_null_row_everywhere(name, kind):
    net, x, noise, given = awake(name, kind)
    nothing = net(x, noise, blanked(given, slice(None)))
    assert torch.equal(net(x, noise), nothing)
    assert torch.equal(net(x, noise, None), nothing)
    assert ((net(x, noise, given) - nothing).abs().flatten(1).amax(1) > 1e-4).all()


@cases
def test_null_rows_among_others_are_those_of_none(name, kind):
    net, x, noise, given = awake(name, kind)
    mixed = net(x, noise, blanked(given, [1, 3]))
    expected = net(x, noise, given)
    expected[[1, 3]] = net(x, noise)[[1, 3]]
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-12)


@cases
def test_a_conditional_sample_does_not_depend_on_its_batch_mates(name, kind):
    net, x, noise, given = awake(name, kind)
    given = blanked(given, [3])
    whole = net(x, noise, given)
    turned = net(x.flip(0), noise.flip(0), given.flip(0)).flip(0)
    alone = torch.cat([net(x[i : i + 1], noise[i : i + 1], given[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole, turned, rtol=0, atol=1e-12)


@cases
def test_null_rows_learn_the_null_alone(name, kind):
    net, x, noise, given = awake(name, kind)
    loss = net(x, noise, blanked(given, slice(None))).square().mean()
    loss.backward()
    told = net.told.given
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    if kind == "classes":
        assert told.table.weight.grad[-1].any()
        assert not told.table.weight.grad[:-1].any()
    else:
        assert told.null.grad.any()
        assert not any(p.grad.any() for p in told.layers.parameters())


@cases
def test_zero_before_training_whatever_is_given(name, kind):
    shape, options = SMALL[name]
    x, given = torch.randn(3, *shape), torch.tensor([0, -1, 2])
    if kind == "features":
        given = torch.full((3, 3), 0.5)
    net = NETS[name](shape, **options, **{kind: 3})
    assert (net.classes, net.features) == ((3, 0) if kind == "classes" else (0, 3))
    assert torch.equal(net(x, torch.zeros(3), given), torch.zeros_like(x))


def test_features_by_the_formula():
    torch.manual_seed(0)
    given = Given(6, features=2).double()
    c = torch.randn(4, 2, dtype=torch.float64)
    first, _, second = given.layers
    inner = c @ first.weight.T + first.bias
    expected = (inner * torch.sigmoid(inner)) @ second.weight.T + second.bias
    torch.testing.assert_close(given(c, 4), expected)


def test_labels_of_any_whole_dtype_are_rows_of_the_table():
    given = Given(6, classes=4)
    for dtype in (torch.int64, torch.int32, torch.int8):
        label = torch.tensor([3, -1, 0], dtype=dtype)
        assert torch.equal(given(label, 3), given.table.weight[[3, 4, 0]])
    assert given(torch.zeros(0, dtype=torch.int64), 0).shape == (0, 6)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (
            "classes",
            torch.tensor([0, 1, 3]),
            "labels lie in 0 to 2, or are -1 for none given; got",
        ),
        ("classes", torch.tensor([0, -2, 1]), "got -2"),
        ("classes", torch.tensor([0.0, 1.0, 2.0]), "labels (whole numbers), got torch.float32"),
        ("classes", torch.tensor([True, False, True]), "got torch.bool"),
        ("classes", torch.tensor([0, 1]), "for 3 samples have the shape (3,), got (2,)"),
        ("classes", torch.tensor([[0], [1], [2]]), "got (3, 1)"),
        ("classes", [0, 1, 2], "labels (whole numbers) as a tensor, got [0, 1, 2]"),
        ("features", torch.zeros(3, 3, dtype=torch.int64), "vectors (floating point), got"),
        ("features", torch.zeros(3, 3, dtype=torch.complex64), "got torch.complex64"),
        ("features", torch.zeros(3, 2), "have the shape (3, 3), got (3, 2)"),
        ("features", torch.zeros(1, 3), "have the shape (3, 3), got (1, 3)"),
        ("features", torch.tensor([[0.0, 0.0, torch.inf]] * 3), "features are finite"),
    ],
)
def test_a_condition_that_cannot_be_taken_is_named(kind, given, words):
    net = NETS["mlp"]((2,), width=4, blocks=1, **{kind: 3})
    with pytest.raises(OptionError) as caught:
        net(torch.zeros(3, 2), torch.zeros(3), given)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", NETS.members)
def test_a_net_without_conditions_refuses_one(name):
    shape, options = SMALL[name]
    net = NETS[name](shape, **options)
    with pytest.raises(OptionError, match="not conditional; make it with classes or features"):
        net(torch.zeros(2, *shape), torch.zeros(2), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("name", NETS.members)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 2, "features": 2}, "not both; got classes 2, features 2"),
        ({"classes": -1}, "classes is a whole number >= 0, got -1"),
        ({"features": 1.5}, "features is a whole number >= 0, got 1.5"),
    ],
)
def test_conditions_out_of_range_are_named(name, options, words):
    with pytest.raises(OptionError, match=words):
        NETS[name](SMALL[name][0], **SMALL[name][1], **options)
