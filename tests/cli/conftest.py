from pathlib import Path

import pytest
from cli_tools import GAUSSIAN, TINY


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder with a density and a tiny training configuration."""
    (tmp_path / "gaussian.toml").write_text(GAUSSIAN)
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path
