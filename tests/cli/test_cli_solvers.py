"""Solvers from the command line: slips in their names and options, and what a slip must spare."""

import h5py
import numpy as np
import pytest
from cli_tools import call


def sampled(capsys, *arguments):
    return call(capsys, "sample", "gaussian.toml", "--threads", 1, "--n", 3, *arguments)


@pytest.mark.parametrize("option", ["--sampler", "--grid"])
def test_an_empty_name_is_no_default(here, capsys, option: str) -> None:
    """As a shell leaves behind for a variable that is not set."""
    code, _, error = sampled(capsys, option, "", "--steps", 2)
    assert code == 2
    assert f"unknown {option[2:]} ''" in error
    assert not (here / "samples.h5").exists()


@pytest.mark.parametrize(
    ("sampler", "setting"),
    [("dpmpp-sde", "r=1e-300"), ("restart", "rho=1e-13"), ("euler-maruyama", "eta=1e300")],
)
def test_an_option_out_of_proportion_is_one_line_and_spares_the_dump(
    here, capsys, sampler: str, setting: str
) -> None:
    assert sampled(capsys, "--steps", 2)[0] == 0
    before = (here / "samples.h5").read_bytes()
    code, _, error = sampled(
        capsys, "--sampler", sampler, "--steps", 3, "--set", f"sampler.{setting}", "--force"
    )
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "coefficient" in error
    assert "(34," not in error
    assert (here / "samples.h5").read_bytes() == before


@pytest.mark.parametrize("sampler", ["probability-flow", "dpm-adaptive"])
def test_facts_are_kept_and_come_back_on_resume(here, capsys, sampler: str) -> None:
    options = ("--sampler", sampler, "--batch", 1)
    assert sampled(capsys, *options)[0] == 0
    with h5py.File(here / "samples.h5", "r+") as stream:
        whole = {name: stream["facts"][name][()] for name in stream["facts"]}
        assert set(whole) == {"error_estimate", "rejected"}
        stream["done"][1], stream["facts/error_estimate"][1] = 0, np.nan
    assert sampled(capsys, *options, "--resume")[0] == 0
    with h5py.File(here / "samples.h5") as stream:
        for name, values in whole.items():
            assert np.array_equal(stream["facts"][name][()], values)


def test_a_path_is_not_changed_by_the_steps(here, capsys) -> None:
    """Samples in 40 and in 160 steps: near one another on one path, apart without."""
    found = {}
    for path in ((), ("--path",)):
        for steps in (40, 160):
            options = ("--sampler", "dpmpp-2m-sde", "--steps", steps, "--force", *path)
            assert sampled(capsys, *options)[0] == 0
            with h5py.File(here / "samples.h5") as file:
                found[bool(path), steps] = file["samples"][:]
    apart = {p: np.abs(found[p, 40] - found[p, 160]).max() for p in (False, True)}
    assert apart[True] < 0.2 * apart[False]
    code, _, error = sampled(capsys, "--sampler", "heun", "--path", "--force")
    assert code == 2
    assert "draws no noise along it" in error
