"""Resolving is idempotent, and what is written as TOML reads back the same."""

import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoresde import config
from scoresde.config import NESTED, SECTIONS
from scoresde.densities import GaussianMixture, save
from scoresde.families import Family
from scoresde.score import ExactClassifier, ExactScore

FOLDER = tempfile.TemporaryDirectory()
STORED = f"{FOLDER.name}/density.safetensors"
save(STORED, GaussianMixture(means=[[0.0], [1.0]], covariances=[0.5, 0.1]))
UNIT = {"name": "gaussian", "mean": [0.0], "covariance": [[1.0]]}
REQUIRED = {
    # options without a default
    "gaussian": {"mean": [1.0, -2.0], "covariance": [[2.0, 0.5], [0.5, 1.0]]},
    "gaussian-mixture": {"means": [[0.0], [1.0]], "covariances": [0.5, 0.1]},
    "kde": {"points": [[0.0], [1.0]], "bandwidth": 0.3},
    "mixture": {"parts": [UNIT, {"name": "product", "parts": [UNIT]}], "weights": [1, 3]},
    "product": {"parts": [UNIT, {"name": "affine", "base": UNIT, "scale": 2}]},
    "affine": {"base": UNIT, "matrix": [[1.0], [2.0]], "shift": [0.5, 0]},
    "conditioned": {"base": UNIT, "matrix": [[2.0]], "y": [1.0], "noise": 0.1},
    "stored": {"path": STORED},
    "ula": {"step_size": 0.01},
    "mala": {"step_size": 0.01},
    "npz": {"path": 'a "b"\\c.npz'},
    "hdf5": {"path": "a.h5"},
    "idx": {"folder": "a"},
    "images": {"path": "a"},
    "table": {"path": "a.csv"},
    "callable": {"factory": "package.module:function", "options": {"path": "a.npz"}},
    "diffusers": {"path": "a/pipeline"},
    "explicit": {"noise_ratios": [3.0, 1.0, 0.0]},
}
FITTED = {"pca": {"components": 2}, "ppca": {"components": 2}} | {
    name: {"k": 3} for name in ("gmm", "kmeans", "kmedoids")
}
FAMILIES = {k: f for k, f in SECTIONS.items() if isinstance(f, Family)}
MEMBERS = [(section, name) for section, family in FAMILIES.items() for name in family.members]
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def _table(section: str, name: str) -> dict:
    if section == "classifier":
        return {"name": name, "classes": 3}
    required = FITTED if section == "fit" else REQUIRED
    return {"name": name, **required.get(name, {})}


def _holds(tables: dict) -> None:
    settings = config.from_tables(tables)
    resolved = settings.resolved()
    again = config.from_tables(resolved)
    assert again.resolved() == resolved
    read = tomllib.loads(config.to_toml(resolved))
    assert config.from_tables(read).resolved() == resolved


@pytest.mark.parametrize(("section", "name"), MEMBERS)
def test_every_member_resolves_to_a_fixed_point_and_round_trips(section, name):
    _holds({"seed": 7, section: _table(section, name)})


@pytest.mark.parametrize("section", [k for k, f in SECTIONS.items() if not isinstance(f, Family)])
def test_every_plain_section_does(section):
    _holds({section: {}})


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (option, name)
        for option, family in (("weighting", 0), ("times", 1))
        for name in list(NESTED.values())[family].members
    ],
)
def test_every_nested_member_does(option, name):
    _holds({"objective": {"name": "denoising", option: name}})


def _supplied(section: str, name: str) -> tuple:
    """What a member is made of beside its options."""
    if section in ("net", "classifier"):
        return ((2,),) if name == "mlp" else ((1, 8, 8),)
    if section not in ("guidance", "threshold"):
        return ()
    density = GaussianMixture(means=[[0.0], [1.0]], covariances=[1.0, 1.0], labels=(0, 1))
    seconds = {"score model": ExactScore(density), "classifier": ExactClassifier(density)}
    needed = getattr(SECTIONS[section][name], "guide", "")
    return (ExactScore(density), *([seconds[needed]] if needed else []))


@pytest.mark.parametrize(("section", "name"), MEMBERS)
def test_resolving_changes_nothing_that_is_built(section, name):
    tables = {section: _table(section, name)}
    first = config.from_tables(tables)
    second = config.from_tables(first.resolved())
    supplied = _supplied(section, name)
    a, b = first.build(section, *supplied), second.build(section, *supplied)
    if hasattr(a, "__dataclass_fields__"):
        assert a == b
    else:
        assert type(a) is type(b)


def test_a_table_of_betas_and_infinite_options_survive():
    _holds({"process": {"name": "ddpm", "betas": [0.1, 0.2, 0.3]}})
    _holds({"training": {"clip": float("inf"), "seconds": float("inf"), "learning_rate": 1e-30}})


@given(path=st.text(st.characters(codec="utf-8"), min_size=1), seed=st.integers(0, 2**32 - 1))
def test_any_text_is_written_as_toml_that_reads_back(path, seed):
    read = tomllib.loads(config.to_toml({"seed": seed, "data": {"path": path}}))
    assert read == {"seed": seed, "data": {"path": path}}


@given(value=st.floats(allow_nan=False))
def test_any_number_is_written_exactly(value):
    assert tomllib.loads(config.to_toml({"a": value}))["a"] == value


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_resolves(path):
    settings = config.load(path)
    _holds(settings.resolved())
    trains = {"data", "process", "objective", "training"} <= settings.sections.keys() and (
        "net" in settings or "classifier" in settings
    )
    assert trains or any(section in settings for section in ("density", "model", "fit"))
