"""scoresde fit ppca --method em: empty cells and NaN from the file to the marginal likelihood."""

import numpy as np
import pytest
from cli_tools import call, one_object
from scipy.stats import multivariate_normal

from scoresde.estimators import load
from scoresde.io import checkpoint

EM = ("--components", 1, "--method", "em", "--dtype", "float64")


@pytest.fixture
def gaps(here):
    """Rows of three columns of different scales, a quarter of whose entries are missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) @ [[1.0, 20.0, -0.03]] + rng.normal(size=(200, 3)) * [
        0.5,
        9.0,
        0.02,
    ]
    x[rng.random(x.shape) < 0.25] = np.nan
    x[7] = np.nan
    x[8] = [1.0, np.nan, np.nan]
    return x + np.array([5.0, -300.0, 1.0])


def fitted(capsys, *arguments) -> dict:
    code, out, error = call(capsys, "fit", "ppca", *arguments, *EM, "--json")
    assert (code, error) == (0, "")
    return one_object(out)


def marginals(law, rows: np.ndarray) -> list[float]:
    """log p of the observed entries of each row, by the Gaussian's own block."""
    values = []
    for row in rows:
        seen = ~np.isnan(row)
        if seen.any():
            block = law.cov[np.ix_(seen, seen)]
            values.append(multivariate_normal(law.mean[seen], block).logpdf(row[seen]))
    return values


def test_likelihoods_are_the_marginals_of_the_data_as_given(here, gaps, capsys):
    np.savez("gaps.npz", gaps)
    found = fitted(capsys, "gaps.npz", "--report", "p.png")
    assert (here / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert found["converged"]
    scaling = checkpoint.metadata(found["out"])["scaling"]
    shift, scale = np.array(scaling["shift"]), np.array(scaling["scale"])
    order = np.random.Generator(np.random.PCG64(0)).permutation(200)
    parts = gaps[order[:160]], gaps[order[160:]]
    assert shift == pytest.approx(np.nanmean(parts[0], axis=0), rel=1e-12)
    assert scale == pytest.approx(np.nanstd(parts[0], axis=0), rel=1e-12)
    density = load(found["out"]).density
    factor = scale[:, None] * density.arguments()["factor"].numpy()
    noise = np.diag(scale**2) * float(density.arguments()["variance"])
    mean = shift + scale * density.mean.numpy()
    law = multivariate_normal(mean, factor @ factor.T + noise)
    for key, rows in zip(("train", "held_out"), parts, strict=True):
        values, entries = marginals(law, rows), (~np.isnan(rows)).sum()
        assert found[key]["rows"] == len(values)
        # data in model space are float32
        assert found[key]["nats"] == pytest.approx(np.mean(values), abs=1e-5)
        bits = -np.sum(values) / entries / np.log(2.0)
        assert found[key]["bits_per_dim"] == pytest.approx(bits, abs=1e-5)


def test_a_table_with_empty_cells_is_the_array_with_nan(here, gaps, capsys):
    """But for rows without any entry, which a table passes over as blank lines."""
    gaps = gaps[~np.isnan(gaps).all(axis=1)]
    np.savez("gaps.npz", gaps)
    text = "\n".join(",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in gaps)
    (here / "gaps.csv").write_text(f"a,b,c\n{text}\n")
    told = [fitted(capsys, path, "-o", "m.safetensors", "--force")
            for path in ("gaps.npz", "gaps.csv")]  # fmt: skip
    assert told[0]["trace"] == told[1]["trace"]
    assert told[0]["digest"] == told[1]["digest"]
    # what carries rows through the flow takes none with gaps, and the model itself is sampled
    code, _, error = call(capsys, "encode", "m.safetensors", "--n", 4)
    assert code == 1
    assert "is missing" in error
    arguments = ("sample", "m.safetensors", "--n", 4, "--steps", 4, "--json")
    assert one_object(call(capsys, *arguments)[1])["rows"] == 4


def test_a_column_without_entries_and_infinities_are_refused(here, capsys):
    for value, hint in ((np.nan, "missing in every row"), (np.inf, "finite")):
        x = np.random.default_rng(1).normal(size=(30, 3))
        x[:, 1] = value
        np.savez("x.npz", x)
        np.savetxt("x.csv", x, delimiter=",")
        for path in ("x.npz", "x.csv"):
            code, _, error = call(capsys, "fit", "ppca", path, *EM)
            assert code == 1
            assert hint in error


def test_held_out_rows_without_entries_have_no_likelihood(here, capsys):
    x = np.random.default_rng(2).normal(size=(30, 3))
    np.savez("x.npz", a=x, b=np.full((4, 3), np.nan))
    told = fitted(capsys, "x.npz", "--set", "data.key=a", "--set", "data.test_key=b")["held_out"]
    assert (told["rows"], told["nats"]) == (0, None)
    assert "no row" in told["reason"]
