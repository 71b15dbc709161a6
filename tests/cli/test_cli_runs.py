"""Commands do their work, tell it as JSON, are quiet when asked; dry runs write nothing."""

import tomllib

import numpy as np
import pytest
from cli_tools import call, one_object

from scoresde import config
from scoresde.io import checkpoint, dump
from scoresde.samplers import SAMPLERS

SAMPLE = ["sample", "gaussian.toml", "--n", "8", "--steps", "5"]


def _prepared(capsys):
    """A trained folder and two dumps."""
    assert call(capsys, "train", "tiny.toml", "--out", "tiny", "-q")[0] == 0
    for seed in (0, 1):
        assert call(capsys, *SAMPLE, "--seed", seed, "--out", f"{seed}.h5", "-q")[0] == 0


def test_json_is_one_object_on_standard_output_for_every_command(here, capsys):
    _prepared(capsys)
    found = {}
    for arguments in (
        ["demo", "--data", "moons", "--dry-run"],
        ["train", "tiny.toml", "--out", "tiny2"],
        ["sample", "tiny", "--n", "4", "--steps", "3", "--out", "c.h5"],
        ["compare", "0.h5", "1.h5", "--resamples", "40"],
        ["verify", "ddim"],
        ["inspect", "tiny"],
        ["inspect", "0.h5"],
        ["list"],
        ["doctor"],
    ):
        code, out, error = call(capsys, *arguments, "--json")
        assert (code, error) == (0, "")
        assert out.count("\n") == 1
        found[arguments[0]] = one_object(out)
    assert found["demo"]["data"]["name"] == "moons"
    assert found["train"]["step"] == 6
    assert found["sample"]["rows"] == 4
    assert found["compare"]["rows"][0]["name"] == "1"
    assert found["verify"]["passed"] is True
    assert found["inspect"]["rows_done"] == 8
    assert set(found["list"]["samplers"]) >= set(SAMPLERS.members)
    assert {found["doctor"][trial] for trial in ("noise", "sampling", "dump")} == {"works"}


def test_json_holds_infinite_options_as_text(here, capsys):
    arguments = ["train", "tiny.toml", "--set", "training.clip=inf"]
    _, out, _ = call(capsys, *arguments, "--dry-run", "--json")
    assert one_object(out)["training"]["clip"] == "inf"
    call(capsys, *arguments, "--out", "run")
    _, out, _ = call(capsys, "inspect", "run", "--json")
    assert one_object(out)["config"]["training"]["clip"] == "inf"


@pytest.mark.parametrize(
    "arguments", [["train", "tiny.toml"], SAMPLE, ["demo", "--data", "moons"]], ids=lambda a: a[0]
)
@pytest.mark.parametrize("flags", [[], ["--json"], ["-q"], ["--force"]])
def test_a_dry_run_writes_nothing_and_says_what_it_would_do(here, capsys, arguments, flags):
    before = sorted(here.rglob("*"))
    code, out, _ = call(capsys, *arguments, "--dry-run", *flags)
    assert code == 0
    assert out.strip()
    assert sorted(here.rglob("*")) == before


def test_a_dry_run_prints_a_configuration_that_can_be_used(here, capsys):
    betas = [0.001 * (i + 1) for i in range(60)]  # longer than any terminal's line
    arguments = ["train", "tiny.toml", "--set", "process.name=ddpm", "--set"]
    _, out, _ = call(capsys, *arguments, f"process.betas={betas}", "--dry-run")
    (here / "again.toml").write_text(out)
    assert tomllib.loads(out)["process"]["betas"] == betas
    _, again, _ = call(capsys, "train", "again.toml", "--dry-run")
    assert again == out


def test_quiet_commands_say_nothing_but_the_result(here, capsys):
    assert call(capsys, "train", "tiny.toml", "--out", "tiny", "-q") == (0, "", "")
    assert call(capsys, *SAMPLE, "--out", "0.h5", "-q") == (0, "", "")
    assert "0.h5" in call(capsys, *SAMPLE, "--out", "0.h5", "--force")[1]
    assert "samples" in call(capsys, "inspect", "0.h5", "-q")[1]


def test_samples_do_not_depend_on_the_batch(here, capsys):
    made = {}
    for batch in (1, 7, 64):
        path = f"{batch}.h5"
        arguments = ["--n", 64, "--steps", 8, "--dtype", "float64", "--batch", batch]
        assert call(capsys, "sample", "gaussian.toml", *arguments, "--out", path, "-q")[0] == 0
        made[batch] = dump.read(path).samples
    assert np.abs(made[1] - made[64]).max() < 1e-12
    assert np.abs(made[7] - made[64]).max() < 1e-12


def test_a_model_is_sampled_under_another_process(here, capsys):
    """A Gaussian's flow lands on one law from every process; from equal starts, on one point."""
    ends = {}
    for process in ("edm", "vp-linear", "rectified-flow"):
        out = f"{process}.h5"
        arguments = ["--process", process, "--steps", 40, "--dtype", "float64", "--out", out]
        assert call(capsys, "sample", "gaussian.toml", *arguments, "-q")[0] == 0
        found = dump.read(out)
        assert found.attributes["process"]["name"] == process
        ends[process] = found.samples
    for process in ("vp-linear", "rectified-flow"):
        assert np.abs(ends[process] - ends["edm"]).max() < 0.2
        assert not np.array_equal(ends[process], ends["edm"])


def test_options_of_a_process_are_set_by_name(here, capsys):
    call(capsys, *SAMPLE, "--set", "process.sigma_max=10.0", "--out", "a.h5")
    assert dump.read("a.h5").attributes["process"]["sigma_max"] == 10.0
    assert dump.read("a.h5").attributes["start"].endswith("sigma/alpha 10")


def test_a_configuration_s_own_kernel_and_chain_are_used(here, capsys):
    text = (here / "gaussian.toml").read_text()
    chain = '[kernel]\nname = "mala"\nstep_size = 0.5\n[chain]\ndraws = 3\nwarm_up = 4\n'
    (here / "chain.toml").write_text(text + chain)
    for flags in ([], ["--sampler", "mala"]):
        arguments = ["sample", "chain.toml", "--n", 2, *flags, "--force", "--out", "a.h5"]
        assert call(capsys, *arguments)[0] == 0
        made = dump.read("a.h5")
        assert made.chain.shape == (2, 3, 2)
        assert made.attributes["kernel"] == {"name": "mala", "step_size": 0.5}


def test_langevin_on_a_trained_net(here, capsys):
    call(capsys, "train", "tiny.toml", "--out", "tiny", "-q")
    ula = ["--set", "kernel.step_size=1e-6", "--set", "chain.draws=3", "--set", "chain.warm_up=2"]
    arguments = ["sample", "tiny", "--n", 2, *ula, "--out", "a.h5"]
    assert call(capsys, *arguments, "--sampler", "ula")[0] == 0
    assert dump.read("a.h5").chain.shape == (2, 3, 2)
    code, _, error = call(capsys, *arguments, "--sampler", "mala", "--force")
    assert code == 1
    assert "mala needs value_and_score" in error
    assert "Traceback" not in error
    code, _, error = call(capsys, "sample", "tiny", "--log-prob", "--out", "b.h5")
    assert code == 1
    assert "--log-prob needs log_density" in error


def test_a_dump_of_another_request_is_not_resumed(here, capsys):
    call(capsys, *SAMPLE, "--out", "a.h5")
    before = (here / "a.h5").read_bytes()
    for change, named in ((["--seed", 1], "seed is 0 there and 1"), (["--n", 9], "rows is 8")):
        code, _, error = call(capsys, *SAMPLE, *change, "--out", "a.h5", "--resume")
        assert code == 1
        assert named in error
    assert call(capsys, *SAMPLE, "--out", "a.h5", "--resume")[0] == 0
    assert (here / "a.h5").read_bytes() == before


def test_training_again_needs_force_and_going_on_needs_the_same_configuration(here, capsys):
    arguments = ["train", "tiny.toml", "--out", "tiny", "-q"]
    assert call(capsys, *arguments)[0] == 0
    before = (here / "tiny" / "checkpoint.safetensors").read_bytes()
    code, _, error = call(capsys, *arguments)
    assert code == 2
    assert "--force" in error
    code, _, error = call(capsys, *arguments, "--resume", "--set", "net.width=16")
    assert code == 2
    assert "net.width is 8 there and 16" in error
    assert (here / "tiny" / "checkpoint.safetensors").read_bytes() == before
    assert call(capsys, *arguments, "--force")[0] == 0
    assert (here / "tiny" / "checkpoint.safetensors").read_bytes() == before
    assert call(capsys, *arguments, "--resume", "--set", "training.steps=9")[0] == 0
    assert checkpoint.metadata("tiny/checkpoint.safetensors")["step"] == 9


def test_inspect_tells_what_a_folder_a_checkpoint_and_a_dump_hold(here, capsys):
    _prepared(capsys)
    _, folder, _ = call(capsys, "inspect", "tiny")
    _, file, _ = call(capsys, "inspect", "tiny/checkpoint.safetensors")
    assert folder == file
    assert "config.net.width" in folder
    digest = checkpoint.sha256("tiny/checkpoint.safetensors")
    assert digest in folder
    _, out, _ = call(capsys, "inspect", "0.h5", "--json")
    assert one_object(out)["attributes"]["seed"] == 0


def test_comparison_round_trip(here, capsys):
    _prepared(capsys)
    arguments = ["compare", "0.h5", "1.h5", "0.h5", "--resamples", "40"]
    code, _, error = call(capsys, *arguments)
    assert code == 2
    assert "twice" in error
    arguments = ["compare", "0.h5", "1.h5", "--resamples", "40", "--out", "figures.json"]
    code, out, _ = call(capsys, *arguments, "--report", "picture.png", "--json")
    assert code == 0
    assert one_object((here / "figures.json").read_text()) == one_object(out)
    assert (here / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_list_shows_every_member_and_one_family_alone(here, capsys):
    _, out, _ = call(capsys, "list")
    for section, family in config.SECTIONS.items():
        for name in getattr(family, "members", ()):
            assert name in out, section
    _, alone, _ = call(capsys, "list", "samplers")
    assert "ddim" in alone
    assert "vp-linear" not in alone
