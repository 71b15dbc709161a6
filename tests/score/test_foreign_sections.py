"""A [model] section makes a foreign model: for the command line, with identity and refusals."""

import json

import numpy as np
import pytest
import torch

from scoresde import config
from scoresde.checkpointed import foreign_source, open_source
from scoresde.cli import run
from scoresde.errors import PluginError, ScoresdeError, UsageError
from scoresde.io import dump
from scoresde.processes import PROCESSES, DiscreteDDPM
from scoresde.score import Denoiser, DiscreteNetwork, VelocityField, chain_of

CODE = '''
import torch
from torch import nn
from scoresde.score import Denoiser


class Linear(nn.Module):
    """The best denoiser of N(centre, I)."""

    def __init__(self, centre):
        super().__init__()
        self.centre = nn.Parameter(torch.tensor(centre, dtype=torch.float64))

    def forward(self, y, sigma):
        return self.centre + (y - self.centre) / (1.0 + sigma.square()[:, None])


def module(centre=(1.0, 2.0)):
    return Linear(tuple(centre))


def model(centre=(1.0, 2.0)):
    return Denoiser(module(centre), (2,))


def bare():
    return lambda z, t: 0.0 * z


def number():
    return 3


def fails():
    raise ValueError("no such weights")


value = 3
'''
EXACT = """
[density]
name = "gaussian"
mean = [1.0, 2.0]
covariance = [[1.0, 0.0], [0.0, 1.0]]
"""
DENOISER = {"name": "callable", "factory": "made.py:model"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "made.py").write_text(CODE)
    (tmp_path / "exact.toml").write_text(EXACT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(model: dict, **sections):
    return foreign_source(config.from_tables({"model": model, **sections}))


def test_samples_are_those_of_the_exact_density(folder, capsys) -> None:
    wraps = {"convention": "denoiser", "event_shape": [2]}
    for name, table in (
        ("a", DENOISER),
        ("b", {"name": "callable", "factory": "made.py:module", **wraps}),
        ("c", {**DENOISER, "options": {"centre": [0.5, 0.0]}, "shift": 2.0, "scale": 0.5}),
    ):
        text = config.to_toml({"model": table, "process": {"name": "vp-linear"}})
        (folder / f"{name}.toml").write_text(text)
    shared = [
        "--n",
        "6",
        "--steps",
        "5",
        "--threads",
        "1",
        "--dtype",
        "float64",
        "-q",
        "--process",
        "vp-linear",
    ]
    (folder / "elsewhere.toml").write_text(EXACT.replace("[1.0, 2.0]", "[0.5, 0.0]"))
    for name in ("a", "b", "c", "exact", "elsewhere"):
        assert run(["sample", f"{name}.toml", *shared, "--out", f"{name}.h5"]) == 0
    exact = dump.read("exact.h5").samples
    np.testing.assert_allclose(dump.read("a.h5").samples, exact, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dump.read("b.h5").samples, exact, rtol=1e-12, atol=1e-12)
    elsewhere = dump.read("elsewhere.h5").samples
    np.testing.assert_allclose(
        dump.read("c.h5").samples, 0.5 * elsewhere + 2.0, rtol=1e-12, atol=1e-12
    )
    capsys.readouterr()
    assert run(["inspect", "a.toml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["identity"] == open_source("a.toml").identity
    assert facts["event_shape"] == [2]
    assert facts["config"]["process"]["name"] == "vp-linear"


def test_the_identity_is_that_of_weights_and_section(folder) -> None:
    first, again = opened(DENOISER), opened(DENOISER)
    assert first.identity == again.identity
    assert "unverified" not in first.description
    (folder / "made.py").write_text(CODE.replace("centre=(1.0, 2.0)", "centre=(1.0, 2.5)"))
    assert opened(DENOISER).identity != first.identity  # the same section, other weights
    bare = {"name": "callable", "factory": "made.py:bare", "event_shape": [2]}
    flow = opened({**bare, "convention": "velocity", "settings": {"data_at": 1}})
    assert "unverified" in flow.description
    assert isinstance(flow.model, VelocityField)
    settings = {"data_at": 0, "dtype": "float32"}
    other = opened({**bare, "convention": "velocity", "settings": settings})
    assert other.model.dtype is torch.float32
    assert flow.identity != other.identity


def test_a_model_brings_its_process_and_a_section_overrules(folder) -> None:
    bare = {"name": "callable", "factory": "made.py:bare", "event_shape": [2]}
    chain = {"name": "ddpm", "betas": "cosine", "steps": 50}
    source = opened({**bare, "convention": "discrete"}, process=chain)
    assert isinstance(source.model, DiscreteNetwork)
    assert source.process == source.model.process == DiscreteDDPM(betas="cosine", steps=50)
    flow = opened({**bare, "convention": "velocity", "settings": {"data_at": 0}})
    assert flow.process_table["name"] == "rectified-flow"
    assert opened(DENOISER).process_table["name"] == "edm"
    assert isinstance(opened(DENOISER).model, Denoiser)
    assert opened(DENOISER, process="vp-cosine").process == PROCESSES["vp-cosine"]()


@pytest.mark.parametrize(("table", "kind", "named"), [
    ({"factory": "made"}, UsageError, "factory is 'package.module:function'"),
    ({"factory": "made.py:nothing"}, UsageError, "has no function 'nothing'"),
    ({"factory": "made.py:value"}, UsageError, "has no function 'value'"),
    ({"factory": "gone.py:model"}, UsageError, "no file gone.py here"),
    ({"factory": "no_such_package:model"}, PluginError, "cannot be imported: ModuleNotFound"),
    ({"factory": "made.py:fails"}, PluginError, "fails: ValueError: no such weights"),
    ({"factory": "made.py:model", "options": {"center": 1}}, PluginError, "TypeError.*center"),
    ({"factory": "made.py:number"}, UsageError, "returns a int; let it return a ScoreModel"),
    ({"factory": "made.py:bare"}, UsageError, "state its convention: denoiser, "),
    ({"factory": "made.py:bare", "convention": "denoiser"}, UsageError, "needs the event_shape"),
    ({"factory": "made.py:bare", "event_shape": [2]}, UsageError, "go with a convention"),
    ({"factory": "made.py:bare", "convention": "discret", "event_shape": [2]}, UsageError,
     "Did you mean 'discrete'"),
    ({"factory": "made.py:bare", "convention": "discrete", "event_shape": [2]}, UsageError,
     r"needs a \[process\] ddpm"),
    ({"factory": "made.py:bare", "convention": "velocity", "event_shape": [2]}, UsageError,
     "settings.*data_at"),
    ({"factory": "made.py:bare", "convention": "denoiser", "event_shape": [2],
      "settings": {"dtype": "float"}}, UsageError, "unknown dtype 'float'"),
    ({"factory": "made.py:bare", "convention": "denoiser", "event_shape": [2],
      "settings": {"sigma": 1.0}}, UsageError, "settings.*'sigma'"),
    ({"factory": "made.py:model", "convention": "denoiser", "event_shape": [2]}, UsageError,
     "leave `convention` out"),
])  # fmt: skip
def test_a_section_that_makes_no_model_is_refused(folder, table, kind, named) -> None:
    with pytest.raises(kind, match=named):
        opened({"name": "callable", **table})


def test_a_configuration_is_one_model(folder) -> None:
    with pytest.raises(UsageError, match="two models"):
        opened(DENOISER, density={"name": "gaussian", "mean": [0.0], "covariance": [[1.0]]})


UNET = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1}
LINEAR = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 1000,
          "beta_start": 0.0001, "beta_end": 0.02}  # fmt: skip


def pipeline(folder, unet=UNET, scheduler=LINEAR, index=None, weights=b"x"):
    """The files of a saved pipeline, with weights that nothing here reads."""
    for name in ("unet", "scheduler"):
        (folder / "saved" / name).mkdir(parents=True)
    index = index or {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "A"]}
    (folder / "saved" / "model_index.json").write_text(json.dumps(index))
    (folder / "saved" / "unet" / "config.json").write_text(json.dumps(unet))
    (folder / "saved" / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    if weights:
        (folder / "saved" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(weights)


@pytest.mark.parametrize(("made", "named"), [
    ({"unet": {**UNET, "_class_name": "UNet2DConditionModel"}}, "is a UNet2DConditionModel"),
    ({"weights": b""}, "no .safetensors weights"),
    ({"index": {"unet": ["d", "u"], "vae": ["d", "v"]}}, "has vae beside"),
    ({"unet": [1]}, "holds no options, but a list"),
])  # fmt: skip
def test_pipelines_of_other_makes_are_refused(folder, made, named) -> None:
    pipeline(folder, **made)
    with pytest.raises(UsageError, match=named):
        opened({"name": "diffusers", "path": "saved"})


def test_without_diffusers_the_extra_is_named(folder, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    pipeline(folder)
    with pytest.raises(UsageError, match=r'pip install "scoresde\[diffusers\]"'):
        opened({"name": "diffusers", "path": "saved"})
    with pytest.raises(UsageError, match="no diffusers model in elsewhere"):
        opened({"name": "diffusers", "path": "elsewhere"})
    with pytest.raises(UsageError, match="needs a scheduler"):
        opened({"name": "diffusers", "path": "saved/unet"})
    with pytest.raises(UsageError, match="no scheduler at saved/none"):
        opened({"name": "diffusers", "path": "saved/unet", "scheduler": "saved/none"})


def test_chains_of_schedulers_are_their_formulas() -> None:
    known = {
        DiscreteDDPM(): LINEAR,
        DiscreteDDPM(betas="cosine", steps=100): {
            "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100},
        DiscreteDDPM(betas="scaled-linear"): {
            "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        DiscreteDDPM(betas=(0.1, 0.2, 0.3)): {
            "beta_schedule": "linear", "trained_betas": [0.1, 0.2, 0.3]},
    }  # fmt: skip
    for chain, scheduler in known.items():
        assert chain_of(scheduler) == chain
    i = torch.arange(40, dtype=torch.float64)
    short = {**LINEAR, "num_train_timesteps": 40, "beta_end": 0.2}
    expected = 1e-4 + (0.2 - 1e-4) * i / 39
    torch.testing.assert_close(chain_of(short).table, expected, rtol=1e-12, atol=0.0)
    chain = chain_of({**short, "beta_schedule": "sigmoid"})
    expected = 1e-4 + (0.2 - 1e-4) / (1.0 + torch.exp(6.0 - 12.0 * i / 39))
    torch.testing.assert_close(chain.table, expected, rtol=1e-12, atol=0.0)


def test_a_zero_terminal_snr_is_a_shifted_root() -> None:
    """sqrt(abar) is affine in the old one, unchanged at the first instant; last beta 0.999."""
    zero = {**LINEAR, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    new, old = chain_of(zero), chain_of(LINEAR)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    a, b = old.alpha(t), new.alpha(t)
    expected = a[0] * (a - a[-1]) / (a[0] - a[-1])
    torch.testing.assert_close(b[:-1], expected[:-1], rtol=1e-9, atol=1e-12)
    assert float(new.table[-1]) == 0.999


@pytest.mark.parametrize(("scheduler", "named"), [
    ({**LINEAR, "rescale_betas_zero_snr": True, "prediction_type": "flow"},
     "unknown prediction_type 'flow'"),
    ({**LINEAR, "beta_schedule": "linaer"}, "Did you mean 'linear'"),
    ({"_class_name": "KarrasVeScheduler"}, "KarrasVeScheduler states no betas"),
    ({**LINEAR, "rescale_betas_zero_snr": True}, "epsilon says nothing"),
    ({**LINEAR, "beta_start": 0.0}, "beta 1 lies strictly between"),
])  # fmt: skip
def test_schedulers_of_other_makes_are_refused(scheduler, named) -> None:
    with pytest.raises(ScoresdeError, match=named):
        chain_of(scheduler)
