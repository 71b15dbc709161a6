"""A fitted file is a model like any other: its law, its scaling, its identity, its device."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from scoresde import config
from scoresde.checkpointed import exact_source, open_source
from scoresde.densities import GaussianMixture, load, save
from scoresde.errors import CheckpointError, UsageError
from scoresde.fit import carry_out, planned, settings_of, write
from scoresde.generate import Request, generate
from scoresde.io import checkpoint
from scoresde.processes import NoiseLevel
from scoresde.transport import Call, Encoding, origin_of

MOONS = ("data.n_train=1500", "data.n_test=200")
FITS = {
    "gmm": ("gmm", "moons", {"k": 4}, MOONS),
    "kde": ("kde", "moons", {}, ("data.n_train=300", "data.n_test=50")),
    "ppca": ("ppca", "digits", {"components": 8}, ()),
}
SOLVER = {"sampler": "dpmpp-2m", "grid": {"name": "karras", "steps": 40}}
FLOW = {"sampler": "probability-flow", "grid": {"name": "karras", "steps": 10}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each fit, written when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("fitted"), {}

    def file(name: str):
        if name not in made:
            estimator, data, options, overrides = FITS[name]
            settings = settings_of(estimator, data, options, overrides)
            path = folder / f"{name}.safetensors"
            write(path, carry_out(planned(settings)))
            made[name] = path
        return made[name]

    return file


def raw_mixture(source):
    """(weights, means, covariances) of the fitted mixture in the units of the data, as numpy."""
    density = source.model.density
    shift, scale = (np.asarray(v) for v in (source.scaling.shift, source.scaling.scale))
    means = density.means.numpy() * scale + shift
    covariances = density.arguments()["covariances"].numpy() * scale**2
    return density.weights.numpy(), means, covariances


def test_samples_of_a_fitted_mixture_have_its_moments_and_log_prob(files, tmp_path):
    """Mean and covariance within 5 standard errors; log p against scipy on the raw samples."""
    source = open_source(files("gmm"))
    n = 1500
    request = Request(method=config.from_tables(SOLVER), n=n, batch=500, log_prob=True)
    made = generate(source, request, tmp_path / "samples.h5")
    w, means, covariances = raw_mixture(source)
    mean = w @ means
    spread = means - mean
    covariance = np.einsum("k,kij->ij", w, covariances) + (w * spread.T) @ spread
    x = made.samples.astype(np.float64)
    errors = np.sqrt(np.diag(covariance) / n)
    assert (np.abs(x.mean(0) - mean) < 5.0 * errors).all()
    centred = x - mean
    products = centred[:, :, None] * centred[:, None, :]
    found = products.mean(0)
    assert (np.abs(found - covariance) < 5.0 * products.std(0) / math.sqrt(n)).all()
    parts = [multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)]
    # float32 samples beside the float64 ones whose density was asked for
    assert np.abs(made.log_prob - logsumexp(np.log(w)[:, None] + parts, axis=0)).max() < 1e-3


@pytest.mark.parametrize("name", FITS)
def test_data_go_to_latents_and_back(files, name):
    source = open_source(files(name))
    origin = origin_of(source.config, None, seed=0)
    assert "test split" in origin.name
    call = Call(method=config.from_tables(FLOW), n=8, dtype="float64")
    rows = Encoding(source, call, origin).rows(torch.arange(8))
    # tolerances of the flow are 1e-5 relative; latents of data outside the law are far out
    assert rows["roundtrip_rms"].max() < 1e-2 * float(np.max(source.scaling.scale))


@pytest.mark.parametrize("name", FITS)
def test_what_a_source_of_a_fitted_file_tells(files, name):
    source = open_source(files(name))
    estimator, data, _, _ = FITS[name]
    assert source.exact
    assert source.identity == "sha256:" + checkpoint.sha256(files(name))
    assert source.description == f"{estimator} fitted to {data}"
    assert source.process_table["name"] == "edm"
    loaded = source.config.build("data").load()
    assert source.scaling == loaded.scaling
    assert source.config.build("fit") is not None
    x = loaded.test[:5].double()
    assert source.model.log_density(x).equal(load(files(name)).log_prob(x))


def tensors_in(value, seen: set[int]) -> list[torch.Tensor]:
    """Every tensor that an object holds, at any depth."""
    if isinstance(value, torch.Tensor):
        return [value]
    if id(value) in seen or isinstance(value, type):
        return []
    seen.add(id(value))
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple):
        inner = vars(value).values() if hasattr(value, "__dict__") else ()
    return [tensor for part in inner for tensor in tensors_in(part, seen)]


@pytest.mark.parametrize("name", FITS)
def test_a_source_is_opened_on_its_device_and_makes_its_tensors_there(files, name):
    """Nothing stays behind; and where tensors made without a word go to another device, to meta,
    whose numbers nobody can read, the score is the same to the bit."""
    moved = open_source(files(name), device="meta").model
    assert {tensor.device.type for tensor in tensors_in(moved, set())} == {"meta"}
    model = open_source(files(name)).model
    shape = (3, *model.event_shape)
    x = torch.linspace(-1.0, 1.0, math.prod(shape), dtype=torch.float64).reshape(shape)
    column = torch.full((3, *[1] * (len(shape) - 1)), 0.5, dtype=torch.float64)
    ids = torch.arange(3)
    levels = [
        NoiseLevel(t=0.5, alpha=0.8, sigma=0.6),
        NoiseLevel(t=0.5, alpha=column, sigma=column),
    ]

    def answers() -> list[torch.Tensor]:
        found = [model.predict(x, le, kind) for le in levels for kind in ("x0", "eps", "score")]
        found += [model.log_density(x, level) for level in levels]
        return [*found, model.density.sample(ids)]

    expected = answers()
    with torch.device("meta"):
        found = answers()
    assert all(one.equal(other) for one, other in zip(found, expected, strict=True))


def test_a_density_without_a_fit_opens_too(tmp_path):
    path = tmp_path / "density.safetensors"
    save(path, GaussianMixture(means=[[0.0, 1.0], [2.0, 0.0]], covariances=[0.3, 0.1]))
    source = open_source(path)
    assert source.description == "exact score of gaussian-mixture"
    x = torch.randn(4, 2, dtype=torch.float64)
    assert source.model.log_density(x).equal(load(path).log_prob(x))
    with pytest.raises(UsageError, match="names no data"):
        origin_of(source.config, None, seed=0)
    with pytest.raises(UsageError, match="no averages"):
        open_source(path, weights="raw")


def test_a_record_that_cannot_be_read_is_named(files, tmp_path):
    tensors, metadata = checkpoint.load(files("gmm"))
    path = tmp_path / "other.safetensors"
    for change in (
        {"config": {**metadata["config"], "fit": {"name": "of-another-package"}}},
        {"scaling": {"shift": 0.0}},
        {"config": 3},
    ):
        checkpoint.save(path, tensors, {**metadata, **change})
        with pytest.raises(CheckpointError, match=r"other\.safetensors"):
            open_source(path)


def test_chains_at_the_clean_level_sample_the_fit(files, tmp_path):
    """MALA's mean over 64 chains, each started at noise, lies within 5 of their own errors."""
    source = open_source(files("gmm"))
    method = {"kernel": {"name": "mala", "step_size": 0.05}, "chain": {"draws": 40}}
    method["chain"]["warm_up"] = 100
    request = Request(method=config.from_tables(method), n=64, dtype="float64")
    made = generate(source, request, tmp_path / "chains.h5")
    w, means, _ = raw_mixture(source)
    each = made.chain.mean(1)
    error = each.std(0, ddof=1) / 8.0
    assert (np.abs(each.mean(0) - w @ means) < 5.0 * error).all()
    assert 0.2 < made.facts["acceptance"].mean() < 1.0


def test_an_exact_density_of_a_configuration_opens_on_a_device():
    table = {"name": "gaussian-mixture", "means": [[0.0, 1.0]], "covariances": [1.0]}
    source = exact_source(config.from_tables({"density": table}), device="meta")
    assert {tensor.device.type for tensor in tensors_in(source.model, set())} == {"meta"}
