"""Laws of the classifiers of noisy samples."""

import pytest
import torch

from scoresde.errors import OptionError
from scoresde.nets import CLASSIFIERS

SMALL = {
    "mlp": ((3,), {"width": 16, "blocks": 1}),
    "unet": ((2, 7, 5), {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}),
}
every = pytest.mark.parametrize("name", CLASSIFIERS.members)


def batch(name):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(6, *SMALL[name][0], dtype=torch.float64, generator=rng)
    return x, torch.linspace(-3, 3, 6, dtype=torch.float64)


def made(name, std=0.1):
    torch.manual_seed(0)
    net = CLASSIFIERS[name](SMALL[name][0], classes=4, **SMALL[name][1]).double()
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.normal_(std=std)
    return net.eval()


@every
def test_uniform_before_training(name):
    for dtype in (torch.float32, torch.float64):
        x, noise = (v.to(dtype) for v in batch(name))
        net = CLASSIFIERS[name](SMALL[name][0], classes=4, **SMALL[name][1]).to(dtype)
        assert torch.equal(net(x, noise).softmax(1), torch.full((6, 4), 0.25, dtype=dtype))


@every
def test_a_sample_does_not_depend_on_its_batch_mates(name):
    net, (x, noise) = made(name), batch(name)
    whole = net(x, noise)
    alone = torch.cat([net(x[i : i + 1], noise[i : i + 1]) for i in range(6)])
    assert whole.std() > 1e-3
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)
    assert ((net(x, noise + 0.5) - whole).abs().amax(1) > 1e-5).all()


@every
def test_gradient_in_x_agrees_with_finite_differences(name):
    net, (x, noise) = made(name), batch(name)
    x.requires_grad_()
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))

    def log_probability(x):
        return net(x, noise).log_softmax(1)[:, 1].sum()

    (slope,) = torch.autograd.grad(log_probability(x), x)
    up, down = (log_probability(x + sign * 1e-5 * direction) for sign in (1, -1))
    torch.testing.assert_close((slope * direction).sum(), (up - down) / 2e-5, rtol=1e-6, atol=0)


@every
def test_learns_two_classes_apart(name):
    torch.manual_seed(0)
    net = CLASSIFIERS[name](SMALL[name][0], classes=2, **SMALL[name][1])
    label = torch.arange(64) % 2
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(64, *SMALL[name][0], generator=rng)
    x += (2.0 * label - 1.0).reshape(-1, *[1] * (x.ndim - 1))  # apart by 2 in every element
    noise = torch.zeros(64)
    step = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):
        step.zero_grad()
        torch.nn.functional.cross_entropy(net(x, noise), label).backward()
        step.step()
    assert (net.eval()(x, noise).argmax(1) == label).float().mean() > 0.95


@pytest.mark.parametrize(
    ("name", "shape", "options", "words"),
    [
        ("mlp", (2,), {"classes": 1}, "classes is a whole number >= 2, got 1"),
        ("mlp", (2,), {"classes": 2, "width": 0}, "width is a whole number >= 2, got 0"),
        ("unet", (2,), {"classes": 2}, "classifier 'unet' takes images"),
        ("unet", (1, 8, 8), {"classes": 2, "channels": 12}, "groups 8 does not divide"),
        ("unet", (1, 8, 8), {"classes": 2, "attention": (5,)}, "attention names levels 0 to 1"),
    ],
)
def test_options_out_of_range_are_named(name, shape, options, words):
    with pytest.raises(OptionError, match=words):
        CLASSIFIERS[name](shape, **options)
