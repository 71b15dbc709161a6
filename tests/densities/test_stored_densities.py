"""Densities in files: equal to the bit when read, and parts of others by their path."""

import math

import pytest
import torch
from density_cases import CASES, states

from scoresde.data import Scaling
from scoresde.densities import (
    KDE,
    Affine,
    Gaussian,
    GaussianMixture,
    MixtureOf,
    Product,
    Stored,
    load,
    save,
)
from scoresde.errors import CapabilityError, CheckpointError, OptionError
from scoresde.io import checkpoint


def same_to_the_bit(a, b) -> None:
    z = states(a, 0.8, 0.6)
    assert a.event_shape == b.event_shape
    assert torch.equal(a.sample(torch.arange(9), 4), b.sample(torch.arange(9), 4))
    assert torch.equal(a.log_prob(z, 0.8, 0.6), b.log_prob(z, 0.8, 0.6))
    assert torch.equal(a.score(z, 0.8, 0.6), b.score(z, 0.8, 0.6))


@pytest.mark.parametrize("case", CASES)
def test_a_density_is_read_as_it_was_written(case: str, tmp_path) -> None:
    path = tmp_path / "density.safetensors"
    save(path, CASES[case])
    same_to_the_bit(load(path), CASES[case])
    same_to_the_bit(Stored(path=str(path)), CASES[case])


def test_parameters_that_lie_column_by_column_come_back_to_the_bit(tmp_path) -> None:
    draw = torch.Generator().manual_seed(7)
    r = torch.randn(7, 90, generator=draw, dtype=torch.float64)
    turn = torch.linalg.qr(r[:, :7]).Q  # columns lie together, as LAPACK leaves them
    root = r[:, :35].reshape(7, 5, 7)[:, :, :5].mT
    covariances = (root @ root.mT + torch.eye(5)).mT
    for i, law in enumerate(
        (
            Affine(base=Gaussian(mean=r[0, :7], covariance=torch.eye(7)), matrix=turn),
            GaussianMixture(means=r[:5, :7].T, covariances=covariances),
            KDE(points=r.T, bandwidth=0.4),
        )
    ):
        save(tmp_path / f"{i}.safetensors", law)
        same_to_the_bit(load(tmp_path / f"{i}.safetensors"), law)


def test_a_file_can_be_a_part_and_then_needs_its_own_file_no_more(tmp_path) -> None:
    inner, outer = tmp_path / "inner.safetensors", tmp_path / "outer.safetensors"
    save(inner, CASES["full mixture"])
    part = Stored(path=str(inner))
    whole = Product(parts=(part, MixtureOf(parts=(part, CASES["full gaussian"]))))
    save(outer, whole)
    inner.unlink()
    read = load(outer)
    same_to_the_bit(read, whole)
    assert isinstance(read.parts[0], GaussianMixture)


def test_a_stored_law_offers_what_it_holds(tmp_path) -> None:
    path = tmp_path / "classes.safetensors"
    law = GaussianMixture(means=[[0.0], [3.0]], covariances=[1.0, 0.5], labels=(0, 1))
    save(path, law)
    stored = Stored(path=str(path))
    x = torch.tensor([[0.2], [1.0]], dtype=torch.float64)
    assert stored.classes == 2
    labels = torch.tensor([1, 0])
    assert torch.equal(stored.given(labels).score(x), law.given(labels).score(x))
    assert torch.equal(stored.class_log_prob(x), law.class_log_prob(x))
    image = Affine(base=stored, scale=2.0, shift=1.0)
    torch.testing.assert_close(image.log_prob(2 * x + 1), law.log_prob(x) - math.log(2.0))


def test_a_scaled_fit_is_read_in_the_units_of_its_data(tmp_path) -> None:
    path = tmp_path / "scaled.safetensors"
    scaling = Scaling(shift=(10.0, -5.0), scale=(2.0, 0.5))
    model = GaussianMixture(means=[[0.0, 1.0], [1.0, 0.0]], covariances=[0.3, 0.2])
    save(path, model, metadata={"scaling": scaling.to_dict()})
    x = model.sample(torch.arange(6))
    data = Stored(path=str(path))
    expected = model.log_prob(x) - scaling.log_volume((2,))
    torch.testing.assert_close(data.log_prob(scaling.undo(x)), expected)
    assert torch.equal(Stored(path=str(path), units="model").log_prob(x), model.log_prob(x))


def test_columns_that_cannot_be_undone_point_to_the_models_units(tmp_path) -> None:
    path = tmp_path / "product.safetensors"
    unit = Gaussian(mean=[0.0], covariance=[[1.0]])
    scaling = Scaling(shift=0.0, scale=(2.0, 0.5))
    save(path, Product(parts=(unit, unit)), metadata={"scaling": scaling.to_dict()})
    with pytest.raises(CapabilityError, match="units"):
        Stored(path=str(path))
    assert Stored(path=str(path), units="model").dim == 2


def test_another_file_than_the_one_named_is_refused(tmp_path) -> None:
    path = tmp_path / "density.safetensors"
    save(path, CASES["full gaussian"])
    named = Stored(path=str(path)).sha256
    assert named == checkpoint.sha256(path)
    save(path, CASES["low-rank gaussian"])
    with pytest.raises(CheckpointError, match="another file"):
        Stored(path=str(path), sha256=named)


def test_files_that_hold_no_density_are_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        Stored(path=str(tmp_path / "none.safetensors"))
    checkpoint.save(tmp_path / "net.safetensors", {"w": torch.zeros(2)}, {"config": {}})
    with pytest.raises(CheckpointError, match="not a density"):
        Stored(path=str(tmp_path / "net.safetensors"))
    with pytest.raises(OptionError, match="'metres'"):
        Stored(path=str(tmp_path / "net.safetensors"), units="metres")
