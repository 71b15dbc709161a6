"""encode, decode, interpolate, perturb: what they leave, say, and refuse."""

import json

import numpy as np
import pytest
from cli_tools import call, one_object

from scoresde.io import dump

ENCODE = ["encode", "gaussian.toml", "--dtype", "float64", "--n", "4", "--method", "rk4"]
LABELLED = """
[density]
name = "gaussian-mixture"
means = [[-3.0, 0.0], [3.0, 0.0]]
covariances = [0.1, 0.1]
labels = [0, 1]

[process]
name = "rectified-flow"
"""


def made(capsys, *arguments) -> dict:
    """The JSON of a command that succeeds."""
    code, out, error = call(capsys, *arguments, "--json")
    assert (code, error) == (0, "")
    return one_object(out)


def test_data_go_up_and_come_back(here, capsys):
    """The dump's own error is that of its decoding; data, latents and decodings keep their ids."""
    made(capsys, "sample", "gaussian.toml", "--n", 6, "--dtype", "float64", "--out", "data.h5")
    told = made(
        capsys, *ENCODE, "--data", "data.h5", "--first-id", 2, "--trajectory", "--report", "a.png"
    )
    back = made(capsys, "decode", "gaussian.toml", "latents.h5", "--dtype", "float64")
    data, up, down = (dump.read(name) for name in ("data.h5", "latents.h5", "decoded.h5"))
    assert up.sample_id.tolist() == down.sample_id.tolist() == [2, 3, 4, 5]
    assert up.trajectory.shape == (4, 21, 2)
    assert np.allclose(up.trajectory[:, 0], data.samples[2:], rtol=1e-15)
    gap = down.samples - data.samples[2:]
    error = np.sqrt(np.square(gap).mean(axis=1))
    assert np.allclose(error, up.facts["roundtrip_rms"], rtol=1e-6, atol=1e-15)
    assert told["roundtrip_rms_max"] == up.facts["roundtrip_rms"].max() < 1e-3
    assert told["nfe"] == told["nfe_decode"] == back["nfe"] == 80
    assert up.facts["nfe_decode"].tolist() == up.nfe.tolist() == [80] * 4
    assert np.allclose(up.facts["latent_rms"], np.sqrt(np.square(up.samples).mean(axis=1)))
    assert up.attributes["space"] == "latent"
    # the reconstruction is judged against the data, pair by pair
    assert down.attributes["start"] == data.attributes["start"]
    judged = made(capsys, "compare", "data.h5", "decoded.h5", "--metric", "paired-rms")
    found = judged["rows"][0]["entries"]["paired-rms"]["estimate"]["value"]
    assert found == pytest.approx(np.sqrt(np.square(gap).mean()), rel=1e-6)
    assert (here / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_gaussians_latents_are_the_standardised_data(here, capsys):
    """alpha = 0 at the start of a flow, so w = (x - m)/s exactly."""
    made(capsys, *ENCODE, "--process", "rectified-flow", "--grid", "uniform-time", "--steps", 100)
    from scoresde.densities import Gaussian

    up = dump.read("latents.h5")
    import torch

    x = Gaussian(mean=[1.0, 2.0], covariance=[[4.0, 0.0], [0.0, 1.0]]).sample(torch.arange(4))
    assert np.abs(up.samples - (x.numpy() - [1.0, 2.0]) / [2.0, 1.0]).max() < 1e-6


def test_a_trained_network_encodes_its_test_split(here, capsys):
    assert call(capsys, "train", "tiny.toml", "--out", "run", "-q")[0] == 0
    told = made(capsys, "encode", "run", "--method", "rk4", "--steps", 12, "--data", "test")
    assert told["rows"] == 20  # the whole split
    assert told["origin"].startswith("moons test sha256:")
    up = dump.read("latents.h5")
    assert up.facts["roundtrip_rms"].max() < 1e-2
    rows = ["--data", "train", "--n", 3, "--steps", 2]
    made(capsys, "perturb", "run", *rows, "--out", "p.h5")
    made(capsys, "perturb", "tiny.toml", *rows, "--out", "q.h5")
    run, settings = dump.read("p.h5"), dump.read("q.h5")
    assert np.array_equal(run.trajectory, settings.trajectory)
    code, _, error = call(capsys, "encode", "run", "--n", 21, "--out", "b.h5")
    assert code == 2
    assert "has 0 to 19" in error


def test_ways_between_samples_end_in_those_samples(here, capsys):
    options = ["--steps", 7, "--seed", 3, "--sampler", "heun", "--dtype", "float64"]
    made(capsys, "sample", "gaussian.toml", *options, "--n", 8, "--out", "s.h5")
    told = made(
        capsys, "interpolate", "gaussian.toml", *options, "--pair", 3, 7, "--pair", 0, 1,
        "--points", 4, "--report", "w.png",
    )  # fmt: skip
    samples, ways = dump.read("s.h5").samples, dump.read("ways.h5")
    assert np.abs(ways.samples[[0, 3, 4, 7]] - samples[[3, 7, 0, 1]]).max() < 1e-13
    assert ways.facts["pair"].tolist() == [0] * 4 + [1] * 4
    assert told["pairs"] == [[3, 7], [0, 1]]
    assert (here / "w.png").exists()


def test_ways_between_data_end_in_the_data(here, capsys):
    made(capsys, *ENCODE, "--steps", 80, "--out", "l.h5")
    made(
        capsys, "interpolate", "gaussian.toml", "--latents", "l.h5", "--pair", 1, 2,
        "--dtype", "float64",
    )  # fmt: skip
    made(capsys, "decode", "gaussian.toml", "l.h5", "--dtype", "float64")
    ends = dump.read("ways.h5").samples[[0, -1]]
    assert np.abs(ends - dump.read("decoded.h5").samples[[1, 2]]).max() < 1e-13


def test_decoding_under_another_label_moves_data_to_its_class(here, capsys):
    (here / "two.toml").write_text(LABELLED)
    flow = ["--method", "rk4", "--grid", "uniform-time", "--steps", 60]
    made(capsys, "sample", "two.toml", "--label", "0", "--n", 5, "--out", "zero.h5")
    made(capsys, "encode", "two.toml", "--data", "zero.h5", *flow)
    own = made(capsys, "decode", "two.toml", "latents.h5")
    other = made(capsys, "decode", "two.toml", "latents.h5", "--label", "1", "--out", "one.h5")
    zero, back, one = (dump.read(f"{n}.h5") for n in ("zero", "decoded", "one"))
    assert (own["given"], other["given"]) == ("own", "1")
    assert back.label.tolist() == [0] * 5
    assert one.label.tolist() == [1] * 5
    assert np.abs(back.samples - zero.samples).max() < 1e-3
    assert np.abs(one.samples - (zero.samples + np.array([6.0, 0.0]))).max() < 1e-3


@pytest.mark.slow
def test_a_finer_grid_sees_more_of_the_same_paths(here, capsys):
    for steps, out in ((2, "few.h5"), (4, "many.h5")):
        made(
            capsys, "perturb", "gaussian.toml", "--grid", "explicit", "--n", 3, "--out", out,
            "--process", "rectified-flow", "--dtype", "float64", "--report", "p.png",
            "--set", f"grid.given_times={[1 - k / steps for k in range(steps)]}",
            "--set", "grid.final=clean",
        )  # fmt: skip
    few, many = dump.read("few.h5"), dump.read("many.h5")
    assert few.trajectory.shape == (3, 3, 2)
    assert np.array_equal(few.trajectory, many.trajectory[:, ::2])
    assert np.array_equal(few.samples, few.trajectory[:, -1])
    assert [level["t"] for level in few.attributes["levels"]] == [0, 0.5, 1]


@pytest.mark.parametrize("name", ["encode", "perturb", "interpolate"])
def test_a_resumed_dump_is_the_whole_one_and_another_request_is_refused(here, capsys, name):
    lines = {
        "encode": ENCODE,
        "perturb": ["perturb", "gaussian.toml", "--n", "5", "--steps", "4"],
        "interpolate": ["interpolate", "gaussian.toml", "--pair", "0", "1"],
    }[name]
    line = [*lines, "--batch", "2", "--out", "d.h5"]
    told = made(capsys, *line)
    whole = (here / "d.h5").read_bytes()
    assert made(capsys, *line, "--resume") == told
    assert (here / "d.h5").read_bytes() == whole
    assert call(capsys, *line)[0] == 1
    code, _, error = call(capsys, *line, "--resume", "--steps", 2)
    assert (code, "steps" in error) == (1, True) or "trajectory" in error
    made(capsys, *line, "--force")
    assert json.loads(json.dumps(told)) == told


SLIPS = {
    "method": (["encode", "gaussian.toml", "--method", "rk5"], "Did you mean 'rk4'?"),
    "no flow": (["encode", "gaussian.toml", "--set", "sampler.name=heun"], "cannot encode"),
    "noisy flow": (
        ["encode", "gaussian.toml", "--method", "ddim", "--set", "sampler.eta=1.0"], "eta=1.0"),
    "no data": (["encode", "gaussian.toml", "--data", "test"], "no data set"),
    "n": (["encode", "gaussian.toml", "--n", "0"], "at least 1"),
    "batch": (["encode", "gaussian.toml", "--batch", "0"], "got 0"),
    "dtype": (["encode", "gaussian.toml", "--dtype", "float8"], "float8"),
    "label": (["encode", "gaussian.toml", "--label", "1"], "leave labels out"),
    "seed": (["encode", "gaussian.toml", "--seed", "-1"], "seed"),
    "no model": (["encode", "tiny.toml"], "[density]"),
    "both": (["encode", "gaussian.toml", "--resume", "--force"], "exclude"),
    "noise": (
        ["interpolate", "gaussian.toml", "--pair", "0", "1", "--sampler", "ancestral"],
        "draws noise"),
    "chain": (
        ["interpolate", "gaussian.toml", "--pair", "0", "1", "--sampler", "ula",
         "--set", "kernel.step_size=0.1"], "deterministic"),
    "no pair": (["interpolate", "gaussian.toml"], "--pair A B"),
    "points": (["interpolate", "gaussian.toml", "--pair", "0", "1", "--points", "1"], "got 1"),
    "along": (["interpolate", "gaussian.toml", "--pair", "0", "1", "--along", "arch"], "'arc'"),
    "alpha 0": (
        ["interpolate", "gaussian.toml", "--pair", "0", "1", "--sampler", "heun", "--process",
         "rectified-flow", "--grid", "uniform-time"], "log_snr_min"),
    "section": (["perturb", "gaussian.toml", "--set", "sampler.eta=1"], "sampler.eta"),
    "seed of a path": (["perturb", "gaussian.toml", "--seed", "-1"], "seed"),
    "no path": (["perturb", "nothing.toml"], "nothing.toml"),
    "both of perturb": (["perturb", "gaussian.toml", "--resume", "--force"], "exclude"),
}  # fmt: skip


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


def test_dumps_that_do_not_fit_are_refused(here, capsys):
    made(capsys, "sample", "gaussian.toml", "--n", 4, "--out", "data.h5")
    made(capsys, *ENCODE, "--out", "l.h5")
    (here / "flat.toml").write_text(
        '[density]\nname = "gaussian"\nmean = [0.0]\ncovariance = [[1.0]]\n'
    )
    for arguments, reason in (
        (["encode", "gaussian.toml", "--data", "l.h5"], "holds latents, not data"),
        (["decode", "gaussian.toml", "data.h5"], "does not hold latents"),
        (["decode", "gaussian.toml", "nothing.h5"], "nothing.h5"),
        (["encode", "flat.toml", "--data", "data.h5"], "the model has (1,)"),
        (["decode", "flat.toml", "l.h5"], "the model has (1,)"),
        (["decode", "gaussian.toml", "l.h5", "--grid", "karras", "--set", "grid.log_snr_min=-4"],
         "take the grid and process of the encoding"),
        (["interpolate", "gaussian.toml", "--latents", "data.h5", "--pair", 0, 1],
         "does not hold latents"),
        (["interpolate", "flat.toml", *(w for k in range(1, 9) for w in ("--pair", 0, k))],
         "--along line"),
    ):  # fmt: skip
        code, out, error = call(capsys, *arguments, "--out", "new.h5")
        assert (code, out) == (1, ""), error
        assert reason in error
        assert not (here / "new.h5").exists()
