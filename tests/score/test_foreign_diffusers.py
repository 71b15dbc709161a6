"""Laws against diffusers itself: the same chain, the same DDIM states, from a saved pipeline."""

import warnings

import pytest
import torch

from scoresde import config
from scoresde.checkpointed import foreign_source
from scoresde.errors import UsageError
from scoresde.processes import CLEAN
from scoresde.samplers import DDIM, sample
from scoresde.samplers.grids import Discrete
from scoresde.score import LearnedVarianceNetwork, from_diffusers, from_unet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

SCHEDULES = {
    "linear": {},
    "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},
    "squaredcos_cap_v2": {},
    "sigmoid": {},
}
PREDICTIONS = ("epsilon", "sample", "v_prediction")


def unet(**options):
    torch.manual_seed(0)
    options = {"in_channels": 1, "out_channels": 1, "sample_size": 8, **options}
    net = diffusers.UNet2DModel(
        block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=4, **options,
    )  # fmt: skip
    return net.eval().requires_grad_(False)


def scheduler(schedule="linear", prediction="epsilon", **options):
    return diffusers.DDIMScheduler(
        beta_schedule=schedule, prediction_type=prediction, clip_sample=False,
        timestep_spacing="leading", **SCHEDULES[schedule], **options,
    )  # fmt: skip


def theirs(net, steps_of, x, steps, labels=None):
    """diffusers' own DDIM loop."""
    steps_of.set_timesteps(steps)
    for t in steps_of.timesteps:
        out = net(x, t, class_labels=labels).sample
        x = steps_of.step(out, t, x).prev_sample
    return x


def start(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_chain_is_theirs(schedule) -> None:
    own = diffusers.DDPMScheduler(beta_schedule=schedule, **SCHEDULES[schedule])
    chain = from_unet(unet(), own.config).process
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    # theirs is a float32 product of 1000 factors: rounding of 1e-7 a factor, at random
    torch.testing.assert_close(
        chain.alpha(t).square().log(), own.alphas_cumprod.double().log(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("whole", [False, True])
def test_ddim_is_theirs(prediction, whole) -> None:
    """In float64, with their table replaced by its float64 value, to its rounding.

    In float32 their sigma^2 = 1 - abar is off by 6e-8 of 1e-4 near the data, so sigma by 3e-6,
    and the state by that times eps, whose largest here is about 4.
    """
    own, net = scheduler(prediction=prediction), unet()
    model = from_unet(net, own.config, whole=whole)
    chain = model.process
    levels = Discrete(steps=20).levels(chain)
    x = start(3, 1, 8, 8)
    expected = theirs(net, own, x, 20)
    got = sample(model, DDIM(), levels, x).x
    size = float(expected.abs().max())
    assert float((got - expected).abs().max()) < 2e-5 * max(1.0, size)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    own.alphas_cumprod = chain.alpha(t).square()
    own.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    net, x = net.double(), x.double()
    expected = theirs(net, own, x, 20)
    got = sample(from_unet(net, own.config, whole=whole), DDIM(), levels, x).x
    assert float((got - expected).abs().max()) < 1e-10 * max(1.0, size)


def test_a_saved_pipeline_is_opened(tmp_path) -> None:
    net, own = unet(), scheduler("squaredcos_cap_v2", "v_prediction")
    diffusers.DDIMPipeline(unet=net, scheduler=own).save_pretrained(tmp_path / "saved")
    net.save_pretrained(tmp_path / "net")
    x = start(2, 1, 8, 8, dtype=torch.float64)
    levels = Discrete(steps=5).levels(from_diffusers(tmp_path / "saved").process)
    expected = theirs(net, own, x.float(), 5)
    for model in (
        from_diffusers(tmp_path / "saved"),
        from_diffusers(tmp_path / "net", tmp_path / "saved" / "scheduler"),
        from_diffusers(tmp_path / "net", dict(own.config)),
    ):
        got = sample(model, DDIM(), levels, x).x
        assert got.dtype is torch.float64
        torch.testing.assert_close(got.float(), expected, rtol=1e-5, atol=1e-5)
    section = {"name": "diffusers", "path": str(tmp_path / "saved")}
    source = foreign_source(config.from_tables({"model": section}))
    assert source.process_table == {"name": "ddpm", "betas": "cosine", "steps": 1000}
    assert torch.equal(sample(source.model, DDIM(), levels, x).x, got)
    with torch.no_grad():
        net.conv_in.bias += 1.0
    diffusers.DDIMPipeline(unet=net, scheduler=own).save_pretrained(tmp_path / "other")
    other = {"name": "diffusers", "path": str(tmp_path / "other")}
    assert foreign_source(config.from_tables({"model": other})).identity != source.identity


def test_classes_are_passed_on() -> None:
    net, own = unet(num_class_embeds=4), scheduler()
    model = from_unet(net, own.config, null_label=3)
    assert model.classes == 3
    x, labels = start(3, 1, 8, 8), torch.tensor([2, -1, 0])
    levels = Discrete(steps=4).levels(model.process)
    expected = theirs(net, own, x, 4, torch.tensor([2, 3, 0]))
    got = sample(model.given(labels), DDIM(), levels, x).x
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert from_unet(net, own.config).classes == 4
    with pytest.raises(UsageError, match="null_label = 4 is none of the UNet's 4 classes"):
        from_unet(net, own.config, null_label=4)


def test_a_learned_range_is_a_variance_between_beta_and_beta_tilde() -> None:
    """Their DDPM scheduler's own variance, on the chain's grid of single steps."""
    own = diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False)
    net = unet(out_channels=2)
    model = from_unet(net, own.config)
    assert isinstance(model, LearnedVarianceNetwork)
    x, chain = start(2, 1, 8, 8), model.process
    for t in (5, 400, 999):
        u = net(x, torch.tensor(t)).sample[:, 1:]
        expected = own._get_variance(t, predicted_variance=u).exp()
        levels = chain.at((t + 1) / 1000), chain.at(t / 1000)
        _, got = model.predict_with_variance(x, *levels, "eps")
        # log beta-tilde from float32's differences of products near 1
        torch.testing.assert_close(got.log(), expected.log(), rtol=1e-3, atol=1e-3)
    _, last = model.predict_with_variance(x, chain.at(0.001), CLEAN, "eps")
    assert float(last.abs().max()) == 0.0
    other = diffusers.DDPMScheduler(variance_type="learned", clip_sample=False)
    assert not hasattr(from_unet(net, other.config), "predict_with_variance")


@pytest.mark.parametrize(("options", "named"), [
    ({"time_embedding_type": "fourier"}, "conditioned on log sigma"),
    ({"out_channels": 3}, "from 1 to 3 channels"),
    ({"sample_size": None}, "states no sample_size"),
    ({"class_embed_type": "timestep"}, "not conditioned on class labels"),
])  # fmt: skip
def test_unets_of_other_makes_are_refused(options, named) -> None:
    with pytest.raises(UsageError, match=named):
        from_unet(unet(**options), scheduler().config)
