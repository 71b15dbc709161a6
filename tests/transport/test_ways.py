"""Interpolation: ends that are samples, places that have the law they claim."""

import math

import pytest
import torch
from carried import moments_of_normals

from scoresde import config
from scoresde.checkpointed import exact_source
from scoresde.errors import CapabilityError, DataError, DumpError, OptionError, UsageError
from scoresde.generate import Generator, Request
from scoresde.kernels import Noise
from scoresde.transport import Call, Interpolation, Ways, arc, from_noise, line
from scoresde.transport.origin import Origin

SOURCE = exact_source(
    config.from_tables(
        {
            "density": {
                "name": "gaussian-mixture",
                "means": [[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]],
                "covariances": [0.1, 0.05, 0.2],
                "labels": [0, 1, 0],
            },
            "process": "rectified-flow",
        }
    )
)
TABLES = {
    "heun": {"sampler": "heun", "grid": {"name": "uniform-log-snr", "steps": 6}},
    "ddim, from alpha = 0": {"sampler": "ddim", "grid": {"name": "uniform-time", "steps": 6}},
    "rk4": {"sampler": {"name": "torchdiffeq", "method": "rk4"}, "grid": "uniform-time"},
    "guided": {"sampler": "heun", "grid": "karras", "guidance": {"name": "classifier-free"}},
}


def method(name: str):
    return config.from_tables(TABLES[name])


def ways(pairs, points=5, along="arc", name="heun", origin=None, **call):
    origin = origin or from_noise(2, (2,))
    call = Call(method=method(name), **call)
    return Interpolation(SOURCE, call, Ways(pairs=pairs, points=points, along=along), origin)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("along", ["arc", "line"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ends_are_the_samples_of_those_ids(name, along, dtype):
    label = 1 if name == "guided" else None
    job = ways(((3, 7), (11, 3)), 4, along, name, dtype=dtype, label=label)
    rows = job.rows(torch.arange(8))
    request = Request(method=method(name), seed=2, dtype=dtype, label=label)
    samples = Generator(SOURCE, request).rows(torch.tensor([3, 7, 11, 3]))["samples"]
    ends = rows["samples"][[0, 3, 4, 7]]
    assert ends.dtype == samples.dtype
    # equal starts to the bit; sums over a batch of another size may round otherwise
    assert abs(ends - samples).max() < (1e-5 if dtype == "float32" else 1e-12)
    assert torch.equal(
        job.latents(torch.tensor([0, 3])), Noise(2)(0, 0, torch.tensor([3, 7]), (2,))
    )
    assert rows["place"].tolist() == [0.0, 1 / 3, 2 / 3, 1.0] * 2
    assert rows["from_id"].tolist() == [3] * 4 + [11] * 4
    assert rows["to_id"].tolist() == [7] * 4 + [3] * 4


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.9])
def test_a_line_stays_standard_normal(place):
    ids = torch.arange(4000)
    a, b = (Noise(seed)(0, 0, ids, (3,)) for seed in (1, 2))
    w = line(a, b, torch.full((4000,), place, dtype=torch.float64))
    for power in (1, 2, 3, 4):
        mean, exact, error = moments_of_normals(w, power)
        assert float((mean - exact).abs().max()) < 4.5 * error


def test_an_arc_turns_evenly_and_its_radius_is_a_line():
    a = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    b = [[0.0, 5.0 * math.cos(0.2), -5.0 * math.sin(0.2)]]
    b = torch.tensor(b, dtype=torch.float64)
    for place in (0.0, 0.25, 0.5, 1.0):
        w = arc(a, b, torch.tensor([place], dtype=torch.float64))
        radius, angle = 2.0 + 3.0 * place, 0.5 * math.pi * place
        on_a, on_b = math.cos(angle), math.sin(angle)
        expected = radius * (on_a * a / 2.0 + on_b * b / 5.0)
        assert torch.allclose(w, expected, rtol=1e-14, atol=1e-14)


def test_an_arc_between_parallel_starts_is_their_segment():
    a = torch.tensor([[1.0, 2.0]]).double()
    for b, tolerance in ((3.0 * a, 1e-14), (3.0 * a + 1e-9, 1e-8)):
        w = arc(a, b, torch.tensor([0.5]).double())
        assert float((w - 2.0 * a).abs().max()) < tolerance


def test_an_arc_between_opposite_starts_is_refused():
    a = torch.tensor([[1.0, 2.0]]).double()
    with pytest.raises(DataError, match=r"opposite.*--along line"):
        arc(a, -2.0 * a, torch.tensor([0.5]).double())
    with pytest.raises(DataError, match="length 0"):
        arc(a, 0.0 * a, torch.tensor([0.5]).double())


def labelled(labels):
    """Latents 0, 1, 2 with own labels."""
    return Origin(
        name="x", identity="x", start="x", event_shape=(2,), count=len(labels),
        read=lambda ids: torch.eye(2).double().repeat(2, 1)[ids],
        label_of=lambda ids: torch.tensor(labels)[ids],
    )  # fmt: skip


def test_points_between_latents_take_their_common_label():
    origin = labelled([1, 1, 0])
    rows = ways(((0, 1),), origin=origin).rows(torch.arange(5))
    assert rows["label"].tolist() == [1] * 5
    with pytest.raises(UsageError, match="ends 1 and 2 have the labels 1 and 0"):
        ways(((1, 2),), origin=origin)
    rows = ways(((1, 2),), origin=origin, label="0").rows(torch.arange(5))
    assert rows["label"].tolist() == [0] * 5


REFUSED = {
    "stochastic": (lambda: Interpolation(
        SOURCE, Call(method=config.from_tables({"sampler": "ancestral", "grid": "karras"})),
        Ways(pairs=((0, 1),)), from_noise(0, (2,)),
    ), OptionError, "draws noise"),
    "kernel": (lambda: Call(method=config.from_tables(
        {"kernel": {"name": "ula", "step_size": 0.1}})), UsageError, "Langevin"),
    "no pair": (lambda: ways(()), UsageError, "--pair"),
    "negative": (lambda: ways(((0, -1),)), OptionError, "-1"),
    "points": (lambda: ways(((0, 1),), 1), OptionError, "got 1"),
    "along": (lambda: ways(((0, 1),), along="ark"), OptionError, "Did you mean 'arc'"),
    "no such latent": (lambda: ways(((0, 3),), origin=labelled([0, 0])), UsageError, "0 to 1"),
    "shape": (lambda: ways(((0, 1),), origin=from_noise(0, (3,))), DataError, r"\(3,\)"),
    "class": (lambda: ways(((0, 1),), label="4"), UsageError, "no class"),
    "batch": (lambda: ways(((0, 1),), batch=0), OptionError, "got 0"),
    "own class": (lambda: ways(((0, 1),), origin=labelled([5, 5])).rows(torch.arange(2)),
                  DataError, "0..1"),
    "level": (lambda: Interpolation(
        SOURCE, Call(method=method("heun")), Ways(pairs=((0, 1),)), from_noise(0, (2,)),
        {"noise_ratio": 80.0}), DumpError, "sigma/alpha = 80"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_slip_is_refused_with_a_way_out(case):
    make, error, reason = REFUSED[case]
    with pytest.raises(error, match=reason):
        make()
    assert not issubclass(error, CapabilityError)
