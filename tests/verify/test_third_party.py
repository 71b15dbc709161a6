"""Solvers from elsewhere: by class on the command line, by the adapter of two methods."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from scoresde.cli import run
from scoresde.errors import DataError, OptionError, PluginError
from scoresde.kernels import Noise
from scoresde.processes import RectifiedFlow, VarianceExploding, VPLinear
from scoresde.samplers import DDIM, Heun, sample, start
from scoresde.samplers.grids import Karras
from scoresde.verify import ThirdParty, named, verify
from scoresde.verify.batches import batch_checks
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.gaussian_law import limit_checks
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.order import order_checks
from scoresde.verify.settings import settings


class TheirHeun(ThirdParty):
    order = order_cold = 2
    evaluations = 2

    def prepare(self, sigmas):
        return torch.tensor(sigmas, dtype=torch.float64)

    def solve(self, sigmas, denoise, y, normals):
        for t, s in pairwise(sigmas):
            d = (y - denoise(y, t)) / t
            ahead = y + (s - t) * d
            if s > 0:
                d = 0.5 * (d + (ahead - denoise(ahead, s.repeat(len(y)))) / s)
            y = y + (s - t) * d
        return y


class TheirAncestral(ThirdParty):
    weak_order = 1
    stochastic = True

    def prepare(self, sigmas):
        return sigmas

    def solve(self, sigmas, denoise, y, normals):
        for t, s in pairwise(sigmas):
            x0 = denoise(y, t)
            up = (s * s * (t * t - s * s) / (t * t)) ** 0.5
            down = (s * s - up * up) ** 0.5
            y = x0 + (down / t) * (y - x0) + (up * normals() if s > 0 else 0.0)
        return y


class Hidden(TheirAncestral):
    """Draws from the global generator."""

    def solve(self, sigmas, denoise, y, normals):
        return super().solve(sigmas, denoise, y, lambda: torch.randn_like(y))


class Misshapen(TheirHeun):
    def solve(self, sigmas, denoise, y, normals):
        return y[:1]


@pytest.mark.parametrize("process", [VPLinear(), VarianceExploding(), RectifiedFlow()])
def test_the_adapter_runs_them_in_their_own_variables(process):
    """The same solver written here, to rounding: levels, start, noise and end carried over."""
    levels, ids, noise = Karras(steps=6).levels(process), torch.arange(5), Noise(3)
    x = start(levels[0], noise, ids, (2,))
    for theirs, ours in ((TheirHeun(), Heun()), (TheirAncestral(), DDIM(eta=1.0))):
        got = sample(MixtureScore(), theirs, levels, x, noise)
        want = sample(MixtureScore(), ours, levels, x, noise)
        torch.testing.assert_close(got.x, want.x, rtol=1e-10, atol=1e-12)
        assert got.nfe.tolist() == want.nfe.tolist()


def test_they_stand_before_the_same_laws():
    heun = TheirHeun()
    checks = order_checks("h", heun, where=settings()[:1], steps=(40, 80, 160))
    checks += evaluation_checks("h", heun) + batch_checks("h", heun)
    checks += limit_checks("a", TheirAncestral(), where=settings()[:1])
    checks += batch_checks("a", TheirAncestral())
    assert all(check.passed for check in checks), checks


def test_a_generator_of_their_own_is_found_out():
    failed = {check.law for check in batch_checks("hidden", Hidden()) if not check.passed}
    assert failed == {"stochastic", "batch states"}


def test_the_adapter_says_what_it_cannot_do():
    levels = RectifiedFlow().levels([1.0, 0.5, 0.1])
    x = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(OptionError, match="alpha = 0"):
        sample(MixtureScore(), TheirHeun(), levels, x)
    with pytest.raises(OptionError, match="last state"):
        sample(MixtureScore(), TheirHeun(), levels[1:], x, trajectory=True)
    with pytest.raises(DataError, match=r"gave \(1, 2\) for states \(2, 2\)"):
        sample(MixtureScore(), Misshapen(), levels[1:], x)


PLANTED = {  # a sigma_t/sigma_s bug, a dropped factor 2, a mis-declared order
    "SwappedDDIM": {"order, own start", "limit law", "mixture law"},
    "HalvedDiffusion": {"weak order", "limit law", "mixture law"},
    "SecondOrderDDIM": {"order, own start"},
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_makes_the_command_fail(bug, capsys):
    assert run(["verify", "--plugin", f"planted_samplers:{bug}", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert PLANTED[bug] <= {c["law"] for c in found["checks"] if not c["passed"]}


@pytest.mark.slow
def test_a_class_beside_a_name_in_workers(tmp_path, monkeypatch, capsys):
    (tmp_path / "theirs_alone.py").write_text(
        "from scoresde.langevin import ULA, MALA\n"
        "class Langevin(MALA):\n    pass\n"
        "class Dies(MALA):\n"
        "    def __call__(self, *a):\n        import os\n        os._exit(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    good = ["verify", "ula", "--plugin", "theirs_alone:Langevin(step_size=0.3)"]
    assert run([*good, "--workers", "2", "--json"]) == 0
    names = [check["sampler"] for check in json.loads(capsys.readouterr().out)["checks"]]
    assert names == ["ula"] * 3 + ["theirs_alone:Langevin(step_size=0.3)"] * 3
    dies = ["verify", "--plugin", "theirs_alone:Dies(step_size=0.3)", "--workers", "2"]
    assert run(dies) == 1
    assert "worker process died" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("planted_samplers", "module:Class"),
        ("no_such_module:X", "cannot be imported"),
        ("planted_samplers:NoSuch", "has no 'NoSuch'"),
        ("planted_samplers:SwappedDDIM(eta=7)", "cannot be made"),
        ("math:sqrt", "cannot be made"),
        ("math:pi", "float, neither a Sampler"),
    ],
)
def test_a_class_that_cannot_be_judged_is_named(text, says, capsys):
    assert run(["verify", "--plugin", text]) == 1
    assert says in capsys.readouterr().err


def test_a_class_is_named_in_python_too():
    assert isinstance(named("planted_samplers:Miscounted"), Heun)
    with pytest.raises(PluginError, match="cannot be imported"):
        named("no_such_module:X")


@pytest.mark.slow
def test_workers_change_nothing():
    names = ["ula", "mala"]
    assert verify(names, workers=2) == verify(names)
