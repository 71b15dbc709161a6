"""Laws of generation: a sample is a function of seed and id; the dump is in the data's units."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scoresde import config
from scoresde.checkpointed import exact_source, open_source
from scoresde.data import Scaling
from scoresde.errors import CapabilityError, DumpError, NonFiniteError, OptionError, UsageError
from scoresde.generate import Generator, Request, generate
from scoresde.io import dump
from scoresde.kernels import Noise
from scoresde.runs import begin_folder, train_in_folder
from scoresde.samplers import start

MIXTURE = {
    "name": "gaussian-mixture",
    "means": [[2.0, 0.0], [-1.0, 1.0]],
    "covariances": [[[0.5, 0.2], [0.2, 0.3]], [[0.1, 0.0], [0.0, 0.4]]],
    "weights": [0.4, 0.6],
}
METHODS = {
    "dpmpp-2m": {"sampler": "dpmpp-2m", "grid": {"name": "karras", "steps": 6}},
    "churned heun": {
        "sampler": {"name": "heun", "churn": 4.0},
        "grid": {"name": "karras", "steps": 4},
    },
    "euler-maruyama": {"sampler": "euler-maruyama", "grid": {"name": "uniform-time", "steps": 8}},
    "flow": {
        "sampler": {"name": "torchdiffeq", "method": "midpoint"},
        "grid": {"name": "karras", "steps": 4},
    },
    "mala": {
        "kernel": {"name": "mala", "step_size": 0.1},
        "chain": {"draws": 3, "warm_up": 2, "thin": 2},
    },
}


@pytest.fixture(scope="module")
def exact():
    return exact_source(config.from_tables({"density": MIXTURE, "process": "vp-linear"}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A net trained for 20 steps on moons, whose scaling is not the identity."""
    chosen = config.from_tables(
        {
            "data": {"name": "moons", "n_train": 200, "n_test": 20},
            "process": "edm",
            "net": {"name": "mlp", "width": 8, "blocks": 1},
            "objective": "denoising",
            "training": {"steps": 20, "batch": 32},
        }
    )
    folder = begin_folder(tmp_path_factory.mktemp("generate") / "run", chosen)
    return train_in_folder(chosen, folder), chosen, folder


def _request(name="dpmpp-2m", **options):
    return Request(method=config.from_tables(METHODS[name]), **{"dtype": "float64", **options})


def _rows(source, request) -> dict[str, np.ndarray]:
    """The columns of a request, computed in its batches, without a file."""
    generator, ids = Generator(source, request), torch.arange(request.n)
    parts = [generator.rows(part) for part in ids.split(request.batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_the_same_in_batches_of_1_7_and_64(exact, method):
    made = {batch: _rows(exact, _request(method, n=64, batch=batch)) for batch in (1, 7, 64)}
    for batch in (1, 7):
        for name, column in made[64].items():
            assert np.abs(made[batch][name] - column).max() < 1e-12
    assert len(np.unique(made[64]["samples"], axis=0)) == 64


def test_the_noise_is_bit_equal_in_any_batch(exact):
    level, noise, ids = _levels(exact)[0], Noise(0), torch.arange(64)
    whole = start(level, noise, ids, (2,))
    for size in (1, 7):
        parts = torch.cat([start(level, noise, part, (2,)) for part in ids.split(size)])
        assert torch.equal(parts, whole)


def _levels(source):
    return Generator(source, _request()).levels


@pytest.mark.parametrize("method", ["dpmpp-2m", "euler-maruyama", "mala"])
def test_a_later_first_id_gives_the_same_samples(tmp_path, exact, method):
    whole = generate(exact, _request(method, n=20, batch=5), tmp_path / "whole.h5")
    part = generate(exact, _request(method, n=10, first_id=10, batch=5), tmp_path / "part.h5")
    assert part.sample_id.tolist() == list(range(10, 20))
    assert np.array_equal(part.samples, whole.samples[10:])
    odd = generate(exact, _request(method, n=6, first_id=13, batch=4), tmp_path / "odd.h5")
    assert np.abs(odd.samples - whole.samples[13:19]).max() < 1e-12


def test_another_seed_gives_other_samples(tmp_path, exact):
    a, b = (generate(exact, _request(n=8, seed=s), tmp_path / f"{s}.h5") for s in (0, 1))
    assert bool((a.samples != b.samples).all())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1"),
        ({"n": 9}, "rows is 8 there and 9"),
        ({"dtype": "float32"}, "dtype is 'float64' there and 'float32'"),
        ({"first_id": 3}, "first_id is 0 there and 3"),
        ({"trajectory": True}, "trajectory is None there and 7"),
        ({"log_prob": True}, "log_prob is False there and True"),
    ],
)
def test_resuming_another_request_is_refused_by_name_and_value(tmp_path, exact, change, named):
    path = tmp_path / "a.h5"
    generate(exact, _request(n=8), path)
    before = path.read_bytes()
    with pytest.raises(DumpError, match=named):
        generate(exact, _request(**{"n": 8, **change}), path, resume=True)
    assert path.read_bytes() == before


def test_resuming_with_another_grid_or_process_is_refused(tmp_path, exact):
    path = tmp_path / "a.h5"
    generate(exact, _request(n=8), path)
    longer = config.from_tables({**METHODS["dpmpp-2m"], "grid": {"name": "karras", "steps": 9}})
    with pytest.raises(DumpError, match=r"grid\.steps is 6 there and 9"):
        generate(exact, Request(method=longer, n=8, dtype="float64"), path, resume=True)
    other = exact_source(config.from_tables({"density": MIXTURE, "process": "vp-cosine"}))
    with pytest.raises(DumpError, match=r"process.* 'vp-linear' there and 'vp-cosine'"):
        generate(other, _request(n=8), path, resume=True)


def test_only_missing_blocks_are_computed_and_the_file_is_the_same(tmp_path, exact):
    whole, path = tmp_path / "whole.h5", tmp_path / "part.h5"
    generate(exact, _request(n=20, batch=4), whole)

    class Stop(Exception):
        pass

    def stop(done):
        if done == 12:
            raise Stop

    with pytest.raises(Stop):
        generate(exact, _request(n=20, batch=4), path, progress=stop)
    assert dump.read(path).rows_done == 12
    told = []
    generate(exact, _request(n=20, batch=4), path, resume=True, progress=told.append)
    assert told == [16, 20]
    assert path.read_bytes() == whole.read_bytes()


def test_a_dump_is_not_overwritten_unless_asked(tmp_path, exact):
    path = tmp_path / "a.h5"
    generate(exact, _request(n=4), path)
    before = path.read_bytes()
    with pytest.raises(DumpError, match="--force"):
        generate(exact, _request(n=4, seed=1), path)
    assert path.read_bytes() == before
    generate(exact, _request(n=4, seed=1), path, overwrite=True)
    assert dump.read(path).attributes["seed"] == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path, exact):
    with pytest.raises(DumpError, match=r"nowhere does not exist"):
        generate(exact, _request(n=4), tmp_path / "nowhere" / "a.h5")
    with pytest.raises(DumpError, match=r"exists|folder"):
        generate(exact, _request(n=4), tmp_path)


def test_samples_of_a_trained_net_are_in_the_units_of_the_data(tmp_path, trained):
    source, chosen, folder = trained
    scaling = chosen.build("data").load().scaling
    assert source.scaling == scaling
    assert scaling.scale != 1.0
    generator = Generator(source, _request(n=16, dtype="float32", trajectory=True))
    in_model_space = generator.draw(torch.arange(16))
    made = generate(
        open_source(folder), _request(n=16, dtype="float32", trajectory=True), tmp_path / "a.h5"
    )
    scale, shift = np.asarray(scaling.scale, np.float32), np.asarray(scaling.shift, np.float32)
    assert np.array_equal(made.samples, in_model_space.x.numpy() * scale + shift)
    assert np.array_equal(made.trajectory[:, -1], made.samples)
    assert np.array_equal(made.trajectory, in_model_space.trajectory.numpy() * scale + shift)
    assert made.attributes["scaling"] == scaling.to_dict()


def test_the_trajectory_begins_at_the_start_and_ends_at_the_sample(tmp_path, exact):
    made = generate(exact, _request(n=5, trajectory=True), tmp_path / "a.h5")
    assert made.trajectory.shape == (5, 7, 2)
    begun = start(_levels(exact)[0], Noise(0), torch.arange(5), (2,)).numpy()
    assert np.array_equal(made.trajectory[:, 0], begun)
    assert np.array_equal(made.trajectory[:, -1], made.samples)


def test_a_chain_ends_at_the_sample_and_tells_its_acceptance(tmp_path, exact):
    made = generate(exact, _request("mala", n=5), tmp_path / "a.h5")
    assert made.chain.shape == (5, 3, 2)
    assert np.array_equal(made.chain[:, -1], made.samples)
    assert made.nfe.tolist() == [1 + 2 + 3 * 2] * 5
    assert bool(((made.facts["acceptance"] > 0.3) & (made.facts["acceptance"] <= 1.0)).all())


def test_log_prob_is_the_density_s_at_the_sample(tmp_path, exact):
    made = generate(exact, _request(n=6, log_prob=True), tmp_path / "a.h5")
    expected = exact.model.density.log_prob(torch.from_numpy(made.samples))
    assert np.abs(made.log_prob - expected.numpy()).max() < 1e-12


@pytest.mark.parametrize("scale", [2.5, (2.5, 0.1)])
def test_log_prob_counts_the_volume_of_the_scaling(exact, scale):
    scaled = replace(exact, scaling=Scaling(shift=1.0, scale=scale))
    rows = Generator(scaled, _request(n=6, log_prob=True)).rows(torch.arange(6))
    # the density of raw = scale x + shift, put together from the mixture's own parameters
    both = scale if isinstance(scale, tuple) else (scale, scale)
    s = torch.diag(torch.tensor(both, dtype=torch.float64))
    law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor(MIXTURE["weights"], dtype=torch.float64)),
        torch.distributions.MultivariateNormal(
            torch.tensor(MIXTURE["means"], dtype=torch.float64) @ s + 1.0,
            s @ torch.tensor(MIXTURE["covariances"], dtype=torch.float64) @ s,
        ),
    )
    expected = law.log_prob(torch.from_numpy(rows["samples"]))
    assert np.abs(rows["log_prob"] - expected.numpy()).max() < 1e-12


def test_a_trained_net_has_no_log_density_and_says_so(trained):
    source, *_ = trained
    with pytest.raises(CapabilityError, match="--log-prob needs log_density"):
        Generator(source, _request(log_prob=True))
    with pytest.raises(CapabilityError, match="mala needs value_and_score"):
        Generator(source, _request("mala")).draw(torch.arange(2))


def test_unadjusted_langevin_runs_on_a_trained_net(trained):
    source, *_ = trained
    kernel = {"kernel": {"name": "ula", "step_size": 1e-6}, "chain": {"draws": 2, "warm_up": 0}}
    request = Request(method=config.from_tables(kernel), n=3)
    drawn = Generator(source, request).draw(torch.arange(3))
    x, level, score = start_of(source, request)
    z = Noise(0)(0, 3, torch.arange(3), (2,)).float()
    expected = x + 1e-6 * score + math.sqrt(2e-6) * z
    torch.testing.assert_close(drawn.chain[:, 0], expected, rtol=1e-6, atol=1e-6)
    assert level.sigma == source.process.at(0.0).sigma


def start_of(source, request):
    """Where its chains begin, at which level, and the score there."""
    (level,) = Generator(source, request).levels
    x = Noise(0)(0, 0, torch.arange(3), (2,)).float()
    with torch.no_grad():
        return x, level, source.model.predict(x, level, "score")


def test_a_chain_too_bold_is_an_error_that_names_it(trained):
    source, *_ = trained
    kernel = {"kernel": {"name": "ula", "step_size": 1e5}, "chain": {"draws": 2, "warm_up": 50}}
    with pytest.raises(NonFiniteError, match="step_size"):
        Generator(source, Request(method=config.from_tables(kernel), n=3)).draw(torch.arange(3))


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"n": 0}, OptionError, "n is at least 1, got 0"),
        ({"batch": 0}, OptionError, "batch is at least 1, got 0"),
        ({"first_id": -1}, OptionError, "first_id is at least 0, got -1"),
        ({"seed": 2**32}, OptionError, "seed"),
        ({"dtype": "float16"}, OptionError, "float16"),
        ({"method": {}}, UsageError, "one of the two"),
        ({"method": {**METHODS["mala"], **METHODS["dpmpp-2m"]}}, UsageError, "one of the two"),
        ({"method": METHODS["mala"], "trajectory": True}, UsageError, "trajectory"),
    ],
)
def test_requests_out_of_range_are_refused(options, error, named):
    method = config.from_tables(options.pop("method", METHODS["dpmpp-2m"]))
    with pytest.raises(error, match=named):
        Request(method=method, **options)
