"""A user's slip: exit code 2, a hint, no traceback, nothing written."""

import os

import pytest
from cli_tools import call

SLIPS = {
    "command": (["smaple"], "Did you mean 'sample'?"),
    "option": (["sample", "gaussian.toml", "--sampelr", "ddim"], "--sampler"),
    "sampler": (["sample", "gaussian.toml", "--sampler", "dpmp-2m"], "Did you mean 'dpmpp-2m'?"),
    "grid": (["sample", "gaussian.toml", "--grid", "karas"], "Did you mean 'karras'?"),
    "process": (["sample", "gaussian.toml", "--process", "vp-liner"], "mean 'vp-linear'?"),
    "set": (["sample", "gaussian.toml", "--sampler", "ddim", "--set", "sampler.ta=1"], "eta"),
    "set section": (["sample", "gaussian.toml", "--set", "net.width=1"], "net.width=1"),
    "set form": (["sample", "gaussian.toml", "--set", "sampler"], "--set"),
    "number": (["sample", "gaussian.toml", "--n", "many"], "--n"),
    "none": (["sample", "gaussian.toml", "--n", "0"], "n is at least 1, got 0"),
    "steps": (["sample", "gaussian.toml", "--steps", "0"], "got 0"),
    "seed": (["sample", "gaussian.toml", "--seed", "-1"], "seed"),
    "id": (["sample", "gaussian.toml", "--first-id", str(2**63 - 1)], "too large"),
    "dtype": (["sample", "gaussian.toml", "--dtype", "float8"], "float8"),
    "device": (["sample", "gaussian.toml", "--device", "gpu"], "--device cpu"),
    "hollow device": (["sample", "gaussian.toml", "--device", "meta"], "--device cpu"),
    "both": (["sample", "gaussian.toml", "--resume", "--force"], "exclude"),
    "both to train": (["train", "tiny.toml", "--resume", "--force"], "exclude"),
    "loud and quiet": (["list", "-q", "-v"], "exclude"),
    "no model": (["sample", "nothing.toml"], "nothing.toml"),
    "no checkpoint": (["sample", "."], "train one first"),
    "no density": (["sample", "tiny.toml"], "[density]"),
    "grid of a chain": (["sample", "gaussian.toml", "--sampler", "ula", "--steps", "3"], "grid"),
    "kernel option": (["sample", "gaussian.toml", "--sampler", "ula"], "step_size"),
    "family": (["list", "sampler"], "Did you mean 'samplers'?"),
    "no file": (["inspect", "nothing.h5"], "nothing.h5"),
    "no configuration": (["train", "nothing.toml"], "nothing.toml"),
    "section": (["train", "gaussian.toml"], "[data]"),
    "member": (["train", "tiny.toml", "--set", "net.name=mlpp"], "Did you mean 'mlp'?"),
    "range": (["train", "tiny.toml", "--set", "training.learning_rate=-1"], "-1"),
    "NaN": (["train", "tiny.toml", "--set", "training.clip=nan"], "NaN"),
    "nothing to resume": (["train", "tiny.toml", "--resume"], "go on from"),
    "demo": (["demo", "--data", "moon"], "Did you mean 'moons'?"),
    "one dump": (["compare", "a.h5"], "CANDIDATES"),
    "twice": (["compare", "a.h5", "a.h5"], "twice"),
    "bootstrap seed": (["compare", "a.h5", "b.h5", "--seed", "-1"], "--seed"),
    "verify": (["verify", "ddimm"], "Did you mean 'ddim'?"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_leaves_with_2_and_a_hint_and_writes_nothing(here, capsys, case):
    arguments, hint = SLIPS[case]
    before = sorted(here.rglob("*"))
    code, out, error = call(capsys, *arguments)
    assert code == 2, error
    assert hint in error
    assert "Traceback" not in error
    assert out == ""
    assert sorted(here.rglob("*")) == before


FAILURES = {
    "dump there": (["sample", "gaussian.toml", "--out", "taken.h5"], "--force"),
    "no folder": (["sample", "gaussian.toml", "--out", "no/a.h5"], "does not exist"),
    "foreign dump": (["inspect", "taken.h5"], "not a readable dump"),
    "foreign resume": (["sample", "gaussian.toml", "--out", "taken.h5", "--resume"], "dump"),
    "foreign model": (["sample", "taken.h5"], "not a readable checkpoint"),
    "missing dump": (["compare", "a.h5", "b.h5"], "a.h5"),
    "no room": (["sample", "gaussian.toml", "--n", str(10**14), "--out", "big.h5"], "big.h5"),
    "folder is a file": (["train", "tiny.toml", "--out", "taken.h5"], "taken.h5"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_leaves_with_1_and_says_why(here, capsys, case):
    arguments, reason = FAILURES[case]
    (here / "taken.h5").write_text("not a dump")
    code, out, error = call(capsys, *arguments)
    assert code == 1, error
    assert reason in error
    assert "Traceback" not in error
    assert out == ""
    assert (here / "taken.h5").read_text() == "not a dump"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(here, capsys):
    (here / "closed").mkdir(mode=0o500)
    for arguments in (
        ["sample", "gaussian.toml", "--out", "closed/a.h5"],
        ["train", "tiny.toml", "--out", "closed/run"],
    ):
        code, _, error = call(capsys, *arguments)
        assert code == 1
        assert "closed" in error


def test_a_file_system_that_refuses_is_named(here, capsys):
    """/proc takes no new files, not even from root."""
    for arguments in (
        ["sample", "gaussian.toml", "--out", "/proc/a.h5"],
        ["train", "tiny.toml", "--out", "/proc/run"],
    ):
        code, _, error = call(capsys, *arguments)
        assert code == 1
        assert "/proc" in error
        assert "Traceback" not in error


def test_figures_and_pictures_that_cannot_be_written_are_errors_of_one_line(here, capsys):
    for seed in (0, 1):
        call(capsys, "sample", "gaussian.toml", "--n", 8, "--seed", seed, "--out", f"{seed}.h5")
    for option in ("--out", "--report"):
        code, _, error = call(capsys, "compare", "0.h5", "1.h5", option, "no/where", "-q")
        assert code in (1, 2)
        assert "no/where" in error
        assert len(error.strip().splitlines()) == 1
