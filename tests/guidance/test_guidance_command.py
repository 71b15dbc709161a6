"""Guidance on the command line: what is asked for, and what is refused."""

import tomllib
from pathlib import Path

import pytest
from guidance_tools import METHOD, MIXTURE

from scoresde import config
from scoresde.checkpointed import exact_source
from scoresde.io import dump
from scoresde.score import ExactScore


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a labelled mixture, a plain one, and one with guidance of its own."""
    text = config.to_toml({"density": MIXTURE, "process": {"name": "vp-linear"}, **{
        k: {"name": v} if isinstance(v, str) else v for k, v in METHOD.items()}})  # fmt: skip
    (tmp_path / "labelled.toml").write_text(text)
    (tmp_path / "bad.toml").write_text(text.replace("0.4, 0.15]", "0.9, 0.65]"))
    (tmp_path / "own.toml").write_text(
        text + '[guidance]\nname = "classifier-free"\nweight = 4.0\n[threshold]\nname = "static"\n'
    )
    assert tomllib.loads((tmp_path / "bad.toml").read_text()) != tomllib.loads(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys, *arguments) -> tuple[int, str]:
    from scoresde.cli import run

    capsys.readouterr()
    code = run(["sample", *map(str, arguments), "--n", "6", "--force", "--threads", "1"])
    return code, capsys.readouterr().err


ALL = ["labelled.toml", "--label", "all"]
CALLS = {
    "labels": (ALL, None, None),
    "weight": ([*ALL, "--guidance", "2"], {"name": "classifier-free", "weight": 2.0}, None),
    "interval": (
        [*ALL, "--guidance", "2", "--guidance-interval", "0.1", "2"],
        {"name": "classifier-free", "weight": 2.0, "interval": [0.1, 2.0]}, None,
    ),
    "set": (
        [*ALL, "--set", "guidance.name=classifier", "--set", "guidance.weight=3"],
        {"name": "classifier", "weight": 3.0}, None,
    ),
    "guide": (
        [*ALL, "--guide", "bad.toml", "--guidance", "1.5"],
        {"name": "autoguidance", "weight": 1.5}, None,
    ),
    "threshold": (
        [*ALL, "--threshold", "dynamic", "--set", "threshold.bound=3"], None,
        {"name": "dynamic", "bound": 3.0},
    ),
    "own": (
        ["own.toml", "--label", "1"], {"name": "classifier-free", "weight": 4.0},
        {"name": "static", "low": -1.0},
    ),
    "own, changed": (
        ["own.toml", "--label", "1", "--guidance", "2", "--threshold", "off"],
        {"name": "classifier-free", "weight": 2.0}, None,
    ),
    "off": (["own.toml", "--guidance", "off", "--threshold", "off"], None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_the_command_line_asks_for_what_it_says(here, capsys, case) -> None:
    arguments, guidance, threshold = CALLS[case]
    code, error = call(capsys, *arguments, "--out", "a.h5")
    assert (code, error) == (0, "")
    made = dump.read("a.h5")
    assert (made.label is not None) == ("--label" in arguments)
    for section, wanted in (("guidance", guidance), ("threshold", threshold)):
        found = made.attributes.get(section)
        assert (found is None) == (wanted is None)
        assert wanted is None or {**found, **wanted} == found
    assert ("guide" in made.attributes) == ("--guide" in arguments)


SLIPS = {
    "weight": ([*ALL, "--guidance", "much"], "or 'off', got 'much'"),
    "NaN": ([*ALL, "--guidance", "nan"], "NaN"),
    "interval alone": ([*ALL, "--guidance-interval", "1", "2"], "--guidance 2"),
    "off with a guide": ([*ALL, "--guidance", "off", "--guide", "bad.toml"], "--guidance 2"),
    "threshold": ([*ALL, "--threshold", "dynamyc"], "Did you mean 'dynamic'?"),
    "member": ([*ALL, "--set", "guidance.name=clasifier"], "Did you mean 'classifier'?"),
    "option": ([*ALL, "--guidance", "2", "--set", "guidance.wait=2"], "Did you mean 'weight'?"),
    "own without labels": (["own.toml"], "--guidance off"),
    "no guide": ([*ALL, "--guide", "nothing.toml"], "nothing.toml"),
    "section": ([*ALL, "--set", "net.width=1"], "guidance, threshold and process"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_slips_leave_with_2_and_a_hint_and_no_dump(here, capsys, case) -> None:
    arguments, hint = SLIPS[case]
    code, error = call(capsys, *arguments, "--out", "a.h5")
    assert code == 2, error
    assert hint in error
    assert "Traceback" not in error
    assert not (here / "a.h5").exists()


def test_the_repository_s_example_is_a_labelled_density() -> None:
    settings = config.load(Path(__file__).parents[2] / "configs" / "labelled_mixture.toml")
    model = exact_source(settings).model
    assert isinstance(model, ExactScore)
    assert model.classes == 2
