"""Nets in the shapes of papers: published sizes, resampling, patches, recomputation."""

import pytest
import torch

from scoresde.nets import NETS, DiT, UNet
from scoresde.nets.dit import patchify, positions, unpatchify
from scoresde.nets.unet.resample import blur, double, halve

DDPM = {"layout": "ddpm", "groups": 32}
ADM = DDPM | {"resample": "block", "head_width": 64, "classes": 1000}


@pytest.mark.slow  # the meta device loads for seconds
@pytest.mark.parametrize(
    ("make", "millions"),
    [  # Ho et al. 2020 appendix B; Dhariwal & Nichol 2021 table 11; Peebles & Xie 2023 table 4
        (lambda: UNet((3, 32, 32), channels=128, multipliers=(1, 2, 2, 2), attention=(1,),
                      scale_shift=False, head_width=256, **DDPM), 35.7),
        (lambda: UNet((3, 64, 64), channels=192, multipliers=(1, 2, 3, 4), blocks=3,
                      attention=(1, 2, 3), **ADM), 296),
        (lambda: UNet((3, 128, 128), channels=256, multipliers=(1, 1, 2, 3, 4),
                      attention=(2, 3, 4), **ADM), 422),
        (lambda: UNet((3, 256, 256), channels=256, multipliers=(1, 1, 2, 2, 4, 4),
                      attention=(3, 4, 5), **ADM), 554),
        (lambda: DiT((4, 32, 32), width=384, depth=12, heads=6, classes=1000), 33),
        (lambda: DiT((4, 32, 32), width=768, depth=12, heads=12, classes=1000), 130),
        (lambda: DiT((4, 32, 32), width=1024, depth=24, heads=16, classes=1000), 458),
        (lambda: DiT((4, 32, 32), width=1152, depth=28, heads=16, classes=1000), 675),
    ],
    ids=["DDPM", "ADM-64", "ADM-128", "ADM-256", "DiT-S/2", "DiT-B/2", "DiT-L/2", "DiT-XL/2"],
)  # fmt: skip
def test_parameters_are_those_published(make, millions):
    # their embeddings of noise and learned variances are other: under 1 % of the weights
    with torch.device("meta"):
        count = sum(p.numel() for p in make().parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_parameter_count_of_the_default_unet():
    assert sum(p.numel() for p in UNet((1, 8, 8)).parameters()) == 2_910_337


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (2, 3), (1, 4)])
def test_resampling_preserves_constants_and_halves_and_doubles(size, filtered):
    ones = torch.full((2, 3, *size), 1.7, dtype=torch.float64)
    small = halve(ones, filtered)
    assert small.shape[2:] == tuple((n + 1) // 2 for n in size)
    torch.testing.assert_close(small, torch.full_like(small, 1.7))
    torch.testing.assert_close(double(small, size, filtered), ones)
    torch.testing.assert_close(blur(ones), ones)


def test_the_filter_is_1331():
    point = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    point[0, 0, 3, 3] = 1.0
    tap = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    down = torch.outer(tap, tap)[[0, 2]][:, [0, 2]].flip(0, 1) / 64
    torch.testing.assert_close(halve(point, True)[0, 0, 1:3, 1:3], down)
    torch.testing.assert_close(blur(point)[0, 0, 1:5, 1:5], torch.outer(tap, tap) / 64)
    up = double(point, (16, 16), True)
    torch.testing.assert_close(up[0, 0, 5:9, 5:9], torch.outer(tap, tap) / 16)
    torch.testing.assert_close(up.sum(), torch.tensor(4.0, dtype=torch.float64))


def test_resampling_maps_a_ramp_to_a_ramp():
    """Halving and doubling keep a pixel's place: x_i = i goes to 2i + 1/2 and back."""
    ramp = torch.arange(16, dtype=torch.float64).expand(1, 1, 16, 16)
    small = halve(ramp, True)
    torch.testing.assert_close(small[0, 0, 0, 1:-1], 2 * torch.arange(1.0, 7).double() + 0.5)
    torch.testing.assert_close(double(small, (16, 16), True)[0, 0, 5, 3:-3], ramp[0, 0, 0, 3:-3])


@pytest.mark.parametrize(("shape", "patch"), [((2, 4, 6), 2), ((3, 9, 3), 3), ((1, 5, 2), 1)])
def test_patches_and_back(shape, patch):
    x = torch.arange(2 * shape[0] * shape[1] * shape[2]).reshape(2, *shape)
    tokens = patchify(x, patch)
    assert tokens.shape == (2, shape[1] * shape[2] // patch**2, shape[0] * patch**2)
    assert torch.equal(tokens[0, 0], x[0, :, :patch, :patch].flatten())
    assert torch.equal(unpatchify(tokens, shape, patch), x)


def test_positions_by_the_formula_and_apart():
    table = positions(3, 5, 8).double()
    rate = 10000.0**-0.5
    row, column = 2, 4
    angles = torch.tensor([row, row * rate, column, column * rate], dtype=torch.float64)
    halves = [angles[:2].sin(), angles[:2].cos(), angles[2:].sin(), angles[2:].cos()]
    torch.testing.assert_close(table[row * 5 + column], torch.cat(halves), rtol=0, atol=1e-6)
    assert (torch.cdist(table, table) + torch.eye(15)).min() > 0.5


SMALL = {
    "mlp": ((3,), {"width": 16, "blocks": 2}),
    "unet": ((2, 7, 5), {"channels": 8, "blocks": 1, "attention": (1,), "resample": "block"}),
    "dit": ((2, 4, 4), {"width": 16, "depth": 2, "heads": 2}),
}


def _gradients(net, x, noise, given):
    """The gradients of one step, and the bytes that autograd keeps for it."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    net.zero_grad()
    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = net(x, noise, given).sin().sum()
    loss.backward()
    return [p.grad.clone() for p in net.parameters()], sum(kept.values())


@pytest.mark.parametrize("name", NETS.members)
def test_recomputed_gradients_are_the_same_for_less_memory(name):
    shape, options = SMALL[name]
    options = options | {"classes": 3, "dropout": 0.3}
    torch.manual_seed(0)
    plain = NETS[name](shape, **options).double()
    with torch.no_grad():
        for p in plain.parameters():
            if not p.any():
                p.normal_(std=0.1)
    lean = NETS[name](shape, **options, recompute=True).double()
    lean.load_state_dict(plain.state_dict())
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(64, *shape, dtype=torch.float64, generator=rng)
    noise, given = torch.linspace(-3, 3, 64, dtype=torch.float64), torch.arange(64) % 4 - 1
    expected, full = _gradients(plain, x, noise, given)
    got, less = _gradients(lean, x, noise, given)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)
    assert less < 0.5 * full
