"""Densities within densities in a configuration: built, resolved, refused by their place."""

import json
import tomllib

import pytest
import torch

from scoresde import config
from scoresde.densities import (
    Affine,
    Gaussian,
    GaussianMixture,
    MixtureOf,
    Product,
    Stored,
    condition,
    save,
)
from scoresde.errors import UsageError

UNIT = {"name": "gaussian", "mean": [0.0], "covariance": [[1.0]]}
WELLS = {"name": "gaussian-mixture", "means": [[-2.0], [2.0]], "covariances": [0.1, 0.2]}
NESTED = {
    "name": "product",
    "parts": [
        {"name": "mixture", "parts": [UNIT, {"name": "affine", "base": WELLS, "scale": 3}]},
        {"name": "conditioned", "base": WELLS, "matrix": [[1]], "y": [0.5], "noise": 1},
    ],
}


def test_nested_tables_build_what_the_constructors_do():
    built = config.from_tables({"density": NESTED}).build("density")
    unit = Gaussian(mean=[0.0], covariance=[[1.0]])
    wells = GaussianMixture(means=[[-2.0], [2.0]], covariances=[0.1, 0.2])
    parts = (
        MixtureOf(parts=(unit, Affine(base=wells, scale=3.0))),
        condition(wells, [[1.0]], 0.5, 1.0),
    )
    direct, x = Product(parts=parts), torch.tensor([[0.3, 1.0], [-4.0, 0.1]], dtype=torch.float64)
    assert torch.equal(built.log_prob(x), direct.log_prob(x))


def test_the_resolved_configuration_shows_every_table_and_makes_the_same():
    resolved = config.from_tables({"density": NESTED}).resolved()
    inner = resolved["density"]["parts"][0]["parts"][1]
    assert inner["name"] == "affine"
    assert inner["shift"] is None
    assert inner["base"]["means"] == [[-2.0], [2.0]]
    read = tomllib.loads(config.to_toml(json.loads(json.dumps(resolved))))
    again = config.from_tables(read)
    assert again.resolved() == resolved
    x = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
    expected = config.from_tables({"density": NESTED}).build("density").log_prob(x)
    assert torch.equal(again.build("density").log_prob(x), expected)


def test_a_setting_reaches_into_a_base():
    tables = {"density": {"name": "affine", "base": UNIT}}
    built = config.from_tables(config.override(tables, ["density.base.mean=[7.0]"]))
    assert float(built.build("density").density.mean) == 7.0


def test_a_stored_density_is_named_by_its_contents(tmp_path):
    path = tmp_path / "density.safetensors"
    save(path, Gaussian(mean=[0.0], covariance=[[1.0]]))
    tables = {"density": {"name": "product", "parts": [{"name": "stored", "path": str(path)}]}}
    settings = config.from_tables(tables)
    (part,) = settings.build("density").parts
    assert isinstance(part, Stored)
    assert settings.resolved()["density"]["parts"][0]["sha256"] == part.sha256


def _within(part) -> dict:
    return {"density": {"name": "product", "parts": [UNIT, part]}}


REFUSED = {
    "range": (
        _within({"name": "gaussian", "mean": [0.0], "covariance": [[-1.0]]}),
        "[density] parts.1: covariance has a negative eigenvalue",
    ),
    "name": (_within({"name": "gausian"}), "[density] parts.1: unknown density 'gausian'"),
    "no name": (_within({"mean": [0.0]}), "[density] parts.1 needs a name"),
    "option": (_within({**UNIT, "men": 1}), "[density] parts.1: unknown option 'men'"),
    "missing": (_within("affine"), "[density] parts.1: Affine needs the option 'base'"),
    "deeper": (
        _within({"name": "affine", "base": {"name": "affine", "base": {"name": "gaussian"}}}),
        "[density] parts.1 base base: Gaussian needs the option 'mean'",
    ),
    "no list": ({"density": {"name": "product", "parts": 3}}, "[density] parts is a list of"),
    "a table for a list": (
        {"density": {"name": "product", "parts": UNIT}},
        "[density] parts is a list of tables",
    ),
    "a number in a list": (_within(3), "[density] parts is a list of tables"),
    "a list for a table": ({"density": {"name": "affine", "base": [UNIT]}}, "base is a table"),
    "fit": (
        {"density": {"name": "affine", "base": UNIT, "scale": [1.0, 2.0]}},
        "[density]: scale has 2 numbers, needs one or 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_slip_is_told_with_its_place(case):
    tables, message = REFUSED[case]
    with pytest.raises(UsageError) as refusal:
        config.from_tables(tables)
    assert message in str(refusal.value)
