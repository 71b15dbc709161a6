"""Laws of every net: shape and dtype, independence from batch-mates, gradients, sizes."""

import pytest
import torch

from scoresde.errors import OptionError
from scoresde.nets import MLP, NETS, Embedding, UNet

SMALL = {
    "mlp": ((3,), {"width": 16, "blocks": 2}),
    "unet": ((2, 7, 5), {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}),
    "dit": ((2, 4, 6), {"width": 16, "depth": 2, "heads": 2}),
}
TINY = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}
CASES = [(name, *SMALL[name]) for name in NETS.members] + [
    ("mlp", (2, 3, 4), {"width": 16, "blocks": 1}),
    ("unet", (1, 8, 8), {"channels": 8, "multipliers": (1, 1, 2), "attention": (2,), "groups": 2}),
    ("unet", (3, 9, 6), {"channels": 4, "multipliers": (1, 2, 3, 3), "blocks": 1, "groups": 1}),
    ("unet", (1, 2, 3), {"channels": 8, "multipliers": (1,), "attention": (0,), "groups": 1}),
    ("unet", (1, 5, 6), TINY | {"layout": "ddpm", "scale_shift": False, "attention": (1,)}),
    ("unet", (2, 7, 5), TINY | {"resample": "block", "head_width": 2, "attention": (1,)}),
    ("unet", (2, 7, 5), TINY | {"resample": "fir", "rescale": True, "progressive": True}),
    ("unet", (1, 6, 5), TINY | {"progressive": True, "layout": "ddpm"}),
    ("dit", (1, 3, 3), {"patch": 3, "width": 8, "depth": 1, "heads": 1, "mlp_ratio": 1}),
    ("dit", (3, 4, 2), {"patch": 1, "width": 8, "depth": 1, "heads": 2}),
]
cases = pytest.mark.parametrize(("name", "shape", "options"), CASES)


def awake(name, shape, options, dtype=torch.float64):
    """A net whose zeroed layers were filled, so that its output depends on everything."""
    torch.manual_seed(0)
    net = NETS[name](shape, **options).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return net


def batch(shape, n=6, dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(n, *shape, dtype=dtype, generator=rng)
    return x, torch.linspace(-3, 3, n, dtype=dtype)


@cases
def test_zero_before_training_in_the_dtype_and_shape_of_x(name, shape, options):
    for dtype in (torch.float32, torch.float64):
        x, c = batch(shape, dtype=dtype)
        out = NETS[name](shape, **options).to(dtype)(x, c)
        assert out.dtype == dtype
        assert torch.equal(out, torch.zeros_like(x))


@cases
def test_a_sample_does_not_depend_on_its_batch_mates(name, shape, options):
    net = awake(name, shape, options).eval()
    x, c = batch(shape)
    whole = net(x, c)
    alone = torch.cat([net(x[i : i + 1], c[i : i + 1]) for i in range(len(x))])
    assert whole.std() > 0.01
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)


@cases
def test_output_depends_on_the_noise(name, shape, options):
    net = awake(name, shape, options).eval()
    x, c = batch(shape)
    assert ((net(x, c) - net(x, c + 0.5)).abs().flatten(1).amax(1) > 1e-4).all()


@cases
def test_gradient_reaches_every_parameter_after_leaving_zero(name, shape, options):
    torch.manual_seed(0)
    net = NETS[name](shape, **options).double()
    x, c = batch(shape)
    target = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    step = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(4):  # zeroed layers lie deep: each step wakes what stands behind one more
        step.zero_grad()
        (net(x, c) - target).square().mean().backward()
        step.step()
    assert [key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@cases
def test_gradient_agrees_with_finite_differences(name, shape, options):
    net = awake(name, shape, options).eval()
    x, c = batch(shape, n=2)
    x.requires_grad_()
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    (slope,) = torch.autograd.grad(net(x, c).sin().sum(), x)
    h = 1e-5
    up, down = (net(x + sign * h * direction, c).sin().sum() for sign in (1, -1))
    torch.testing.assert_close((slope * direction).sum(), (up - down) / (2 * h), rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", NETS.members)
def test_autocast_returns_the_dtype_of_x(name):
    shape, options = SMALL[name]
    net = awake(name, shape, options, torch.float32).eval()
    x, c = batch(shape, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x, c)
    assert rough.dtype == torch.float32
    error = (rough - net(x, c)).square().mean().sqrt() / net(x, c).square().mean().sqrt()
    assert 1e-5 < error < 0.05  # bfloat16 did take part, and at its own precision (2^-8)


def test_parameter_count_of_the_mlp():
    d, w, blocks, f = 3, 16, 2, 16
    embedding = (2 * f * w + w) + (w * w + w)
    block = 2 * (w * w + w) + (2 * w * w + 2 * w)
    ends = (d * w + w) + 2 * w + (w * d + d)
    count = sum(p.numel() for p in MLP((d,), width=w, blocks=blocks).parameters())
    assert count == embedding + blocks * block + ends


def test_parameter_count_of_the_unet():
    c, f = 8, 16

    def conv(a, b, k=3):
        return a * b * k * k + b

    def block(a, b):
        film = 4 * c * 2 * b + 2 * b
        return 2 * a + conv(a, b) + film + 2 * b + conv(b, b) + (conv(a, b, 1) if a != b else 0)

    embedding = (2 * f * 4 * c + 4 * c) + (4 * c * 4 * c + 4 * c)
    ends = conv(2, c) + 2 * c + conv(c, 2)
    down, middle = block(c, c) + conv(c, 2 * c) + block(2 * c, 2 * c), block(2 * c, 2 * c)
    up = block(4 * c, 2 * c) + conv(2 * c, c) + block(2 * c, c)
    net = UNet((2, 8, 8), channels=c, multipliers=(1, 2), blocks=1, groups=4)
    assert sum(p.numel() for p in net.parameters()) == embedding + ends + down + middle + up


def test_unet_sees_the_whole_image():
    net = awake("unet", (1, 8, 8), {"channels": 8, "multipliers": (1, 1, 1), "groups": 2}).eval()
    x, c = batch((1, 8, 8), n=1)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(net(x, c)[0, 0, 0, 0], x)
    assert (slope != 0).all()


def test_weights_survive_a_round_trip_whatever_the_layout():
    one, two = (awake("unet", *SMALL["unet"]).eval() for _ in range(2))
    two.load_state_dict({k: v.contiguous() * 0 for k, v in one.state_dict().items()})
    two.load_state_dict({k: v.contiguous() for k, v in one.state_dict().items()})
    x, c = batch(SMALL["unet"][0])
    assert torch.equal(one(x, c), two(x, c))


def test_embedding_tells_noise_apart_smoothly():
    torch.manual_seed(0)
    embedding = Embedding(16).double()
    c = torch.linspace(-3, 3, 601, dtype=torch.float64)
    angle = c[:, None] * embedding.frequencies.double()
    features = torch.cat([angle.cos(), angle.sin()], 1)
    apart = torch.cdist(features, features) + 10 * torch.eye(601, dtype=torch.float64)
    step = (features[1:] - features[:-1]).norm(dim=1)
    frequencies = embedding.frequencies.double()
    # |f(c) - f(c + h)|^2 = sum 4 sin^2(f_k h / 2)
    torch.testing.assert_close(step, (2 * (frequencies * 0.005).sin()).norm().expand(600))
    assert apart.min() > 0.99 * step.min()


@pytest.mark.parametrize(
    ("name", "shape", "options", "words"),
    [
        ("mlp", (2,), {"width": 1}, "width is a whole number >= 2, got 1"),
        ("mlp", (2,), {"blocks": 0}, "blocks is a whole number >= 1, got 0"),
        ("mlp", (2,), {"dropout": 1.0}, "dropout lies in [0, 1), got 1.0"),
        ("mlp", (), {}, "event_shape has one or more positive sizes"),
        ("unet", (2,), {}, "takes images (channels, height, width), got events of shape (2,)"),
        ("unet", (1, 8, 8), {"channels": 12}, "groups 8 does not divide the 12 features"),
        ("unet", (1, 8, 8), {"multipliers": ()}, "one entry a resolution"),
        ("unet", (1, 8, 8), {"multipliers": (1, 0)}, "multipliers is a whole number >= 1, got 0"),
        ("unet", (1, 8, 8), {"multipliers": (1,) * 5}, "give at most 4"),
        ("unet", (1, 5, 9), {"multipliers": (1,) * 5}, "give at most 4"),
        ("unet", (1, 8, 8), {"attention": (2,)}, "attention names levels 0 to 1, got 2"),
        ("unet", (1, 8, 8), {"blocks": 1.5}, "blocks is a whole number >= 1, got 1.5"),
        ("unet", (1, 8, 8), {"layout": "adm"}, "layout is one of lean, ddpm, got 'adm'"),
        ("unet", (1, 8, 8), {"resample": "x"}, "resample is one of convolution, block, fir"),
        ("unet", (1, 8, 8), {"rescale": 1}, "rescale is true or false, got 1"),
        ("unet", (1, 8, 8), {"head_width": 0}, "head_width is a whole number >= 1, got 0"),
        ("dit", (2,), {}, "takes images (channels, height, width), got events of shape (2,)"),
        ("dit", (1, 28, 27), {"patch": 2}, "patch 2 does not divide images of 28x27"),
        ("dit", (1, 4, 4), {"width": 18, "heads": 3}, "a multiple of 4 and of heads 3, got 18"),
        ("dit", (1, 4, 4), {"depth": 0}, "depth is a whole number >= 1, got 0"),
    ],
)
def test_options_out_of_range_are_named(name, shape, options, words):
    with pytest.raises(OptionError) as caught:
        NETS[name](shape, **options)
    assert words in str(caught.value)
