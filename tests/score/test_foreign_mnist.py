"""Somebody else's MNIST network, wrapped by tools/pretrained_mnist.py, against its own records."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde.checkpointed import open_source
from scoresde.kernels import Noise
from scoresde.samplers import DDIM, DPMSolverPP2M, Heun, sample, start
from scoresde.samplers.grids import Explicit, Karras, UniformLogSNR, UniformTime

ROOT = Path(__file__).parents[2]
MODELS = ROOT.parent / "shared" / "data" / "models"
RECORDS = MODELS / "yichizz_ddpm_mnist_starter_reference.npz"
pytestmark = pytest.mark.skipif(
    not RECORDS.exists(), reason="the pretrained network is not in ../shared/data/models"
)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "pretrained_mnist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def records():
    with np.load(RECORDS) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def test_its_chain_and_its_predictions_are_reproduced(tool, records) -> None:
    model, chain = tool.model(), tool.CHAIN
    i = torch.arange(1, 1002, dtype=torch.float64)
    alpha_bar = chain.alpha(i / 1001).square()
    torch.testing.assert_close(alpha_bar.float(), records["alpha_bar"], rtol=1e-5, atol=1e-6)
    for k, index in enumerate(records["t"].tolist()):
        eps = model.predict(records["x_t"][k], chain.at((index + 1) / 1001), "eps")
        torch.testing.assert_close(eps, records["eps"][k], rtol=0.0, atol=1e-4)


def test_its_authors_ddim_is_reproduced(tool, records) -> None:
    times = tuple((i + 1) / 1001 for i in records["ddim_t"].tolist())
    levels = Explicit(given_times=times).levels(tool.CHAIN)
    got = sample(tool.model(), DDIM(), levels, records["noise"])
    assert int(got.nfe[0]) == len(times) == 50
    torch.testing.assert_close(got.x, records["ddim_x0"], rtol=0.0, atol=1e-4)


def test_its_configuration_is_a_model(tool, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    source = open_source("configs/pretrained_mnist.toml")
    assert source.process == tool.CHAIN
    assert "unverified" not in source.description
    assert source.scaling.undo(torch.tensor([-0.5, 0.5])).tolist() == [0.0, 255.0]


@pytest.mark.slow
def test_our_solvers_sample_it_better_at_equal_evaluations(tool) -> None:
    """Nearer to a fine solution from the same starts than DDIM, by more than 5 standard errors."""
    model, ids, noise = tool.model(), torch.arange(8), Noise(0)
    x = start(tool.CHAIN.at(1.0), noise, ids, (1, 28, 28)).float()

    def error(solver, grid):
        made = sample(model, solver, grid.levels(tool.CHAIN), x, noise, ids=ids)
        assert int(made.nfe[0]) <= 20
        return tool.paired_rms(made.x, fine).double()

    fine = sample(model, Heun(), Karras(steps=60).levels(tool.CHAIN), x, noise, ids=ids).x
    ddim = error(DDIM(), UniformTime(steps=20))
    for solver, grid in (
        (DPMSolverPP2M(), UniformLogSNR(steps=20)),
        (DPMSolverPP2M(), Karras(steps=20)),
    ):
        gain = ddim - error(solver, grid)
        assert float(gain.mean()) > 5.0 * float(gain.std()) / math.sqrt(len(gain))
