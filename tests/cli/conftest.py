from pathlib import Path

import numpy as np
import pytest
from cli_tools import GAUSSIAN, TINY
from normal_estimator import Doubtful, Normal

from scoresde.estimators import ESTIMATORS


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder with a density and a tiny training configuration."""
    (tmp_path / "gaussian.toml").write_text(GAUSSIAN)
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture
def there(here, monkeypatch):
    """The working folder, with an estimator of ours in the family and data in files."""
    monkeypatch.setitem(ESTIMATORS.members, "normal", Normal)
    monkeypatch.setitem(ESTIMATORS.members, "doubtful", Doubtful)
    x = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 10.0, 0.01] + [5.0, -3.0, 0.0]
    np.savetxt("data.csv", x, delimiter=",")
    np.savez("data.npz", x)
    np.save("data.npy", x)
    (here / "fit.toml").write_text(
        'seed = 3\nnet = "mlp"\nprocess = "vp-cosine"\n'
        'data = {name = "moons", n_train = 300, n_test = 100}\n'
        'fit = {name = "normal", floor = 0.5}\n'
    )
    return here
