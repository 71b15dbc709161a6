"""Laws of the scaling: undo inverts apply, in both array libraries, through JSON."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scoresde.data import Scaling
from scoresde.data.moments import Moments
from scoresde.errors import DataError

shifts = st.floats(-1e3, 1e3)
scales = st.floats(1e-3, 1e3)


@given(shift=shifts, scale=scales)
def test_undo_inverts_apply(shift, scale):
    raw = np.random.default_rng(0).normal(size=(50, 3)) * scale + shift
    for scaling in (Scaling(shift=shift, scale=scale), Scaling(shift=(shift,) * 3, scale=scale)):
        back = scaling.undo(scaling.apply(raw))
        # each of the four operations rounds once, at the size of raw or of shift
        bound = 4 * np.finfo(float).eps * (np.abs(raw) + abs(shift))
        assert (np.abs(back - raw) <= bound).all()


def test_columns_are_the_last_axis_in_numpy_and_torch_alike():
    scaling = Scaling(shift=(1.0, -2.0), scale=(0.5, 4.0))
    raw = np.array([[[1.5, 2.0], [0.0, -2.0]]])
    model = np.array([[[1.0, 1.0], [-2.0, 0.0]]])
    np.testing.assert_array_equal(scaling.apply(raw), model)
    assert torch.equal(scaling.apply(torch.from_numpy(raw)), torch.from_numpy(model))
    assert torch.equal(scaling.undo(torch.from_numpy(model)), torch.from_numpy(raw))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_array_is_kept(dtype):
    scaling = Scaling(shift=0.1, scale=(3.0, 7.0))
    x = np.ones((4, 2), dtype=dtype)
    assert scaling.undo(x).dtype == dtype
    assert scaling.undo(torch.from_numpy(x)).numpy().dtype == dtype


@pytest.mark.parametrize("scaling", [Scaling(), Scaling(shift=(0.1, 1 / 3), scale=1e-7)])
def test_record_survives_json_exactly(scaling):
    assert Scaling.from_dict(json.loads(json.dumps(scaling.to_dict()))) == scaling


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"shift": 0.0}, "has the keys shift and scale"),
        ([], "has the keys shift and scale"),
        ({"shift": 0.0, "scale": 0.0}, "scale is positive"),
        ({"shift": 0.0, "scale": [1.0, -1.0]}, "scale is positive"),
        ({"shift": float("nan"), "scale": 1.0}, "shift is a finite number"),
        ({"shift": [], "scale": 1.0}, "shift is a finite number"),
        ({"shift": "0", "scale": 1.0}, "shift is a finite number"),
    ],
)
def test_records_that_are_no_scaling(record, words):
    with pytest.raises(DataError, match=words):
        Scaling.from_dict(record)


def moments(raw: np.ndarray) -> Moments:
    found = Moments(raw.shape[1:])
    for block in np.array_split(raw, 3):
        found.add(block)
    return found


def test_standardising_by_column_or_by_one_scale():
    raw = np.random.default_rng(1).normal(size=(400, 2)) * (3.0, 0.01) + (1e4, -5.0)
    columns = moments(raw).standardising().apply(raw)
    np.testing.assert_allclose(columns.mean(0), 0.0, atol=1e-10)
    np.testing.assert_allclose(columns.std(0), 1.0, rtol=1e-10)
    one = Scaling.standardising(raw)
    assert isinstance(one.scale, float)
    np.testing.assert_allclose(np.square(one.apply(raw)).mean(), 1.0, rtol=1e-10)


def test_a_constant_column_is_shifted_and_not_blown_up():
    raw = np.random.default_rng(2).normal(size=(1000, 3)) * (1.0, 0.0, 1e-9) + (0.0, 0.1, 0.0)
    scaling = moments(raw).standardising()
    assert scaling.scale[1] == 1.0
    np.testing.assert_allclose(scaling.apply(raw).std(0), (1.0, 0.0, 1.0), atol=1e-10)
    assert moments(raw).to_unit_range().scale[1] == 1.0


def test_unit_range_is_reached_at_both_ends():
    raw = np.random.default_rng(3).normal(size=(30, 2)) * (1.0, 50.0)
    x = moments(raw).to_unit_range().apply(raw)
    np.testing.assert_allclose([x.min(0), x.max(0)], [(-1, -1), (1, 1)], rtol=1e-12)
    images = raw.reshape(5, 1, 3, 4)
    whole = moments(images).to_unit_range()
    assert isinstance(whole.scale, float)
    np.testing.assert_allclose([whole.apply(images).min(), whole.apply(images).max()], [-1, 1])
