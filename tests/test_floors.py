"""The layout: who may import whom, how long a file may be, and what a bare import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scoresde"
FLOORS = [  # from the ground; a file imports from lower floors or from its own folder
    {"errors"},
    {"families", "threads"},
    {"io", "nets", "kernels", "processes"},
    {"densities", "result"},
    {"score", "data", "compare"},
    {"langevin", "guidance", "estimators"},
    {"samplers", "objectives"},
    {"training"},
    {"config"},
    {"checkpointed"},
    {"guided", "jobs"},
    {"generate", "runs", "likelihood", "classify", "fit", "transport"},
    {"verify", "study", "demo"},
    {"cli"},
]
FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}
FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The top-level module or folder that a file belongs to; '' for the package's own init."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imported_units(source: str, path: Path) -> set[str]:
    """Top-level units of scoresde that a file imports anywhere, in functions too."""
    package = ("scoresde", *path.relative_to(PACKAGE).parent.parts)
    units = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join((*package[: len(package) - node.level + 1], base)).strip(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "scoresde" and len(parts) > 1 and not parts[1].startswith("__"):
                units.add(parts[1])
    return units


def offences(source: str, path: Path) -> list[str]:
    own = unit_of(path)
    if own and own not in FLOOR:
        return [f"{own} stands on no floor; give it one in FLOORS of {__file__}"]
    out = []
    for unit in sorted(imported_units(source, path) - {own}):
        if unit not in FLOOR:
            out.append(f"{path.name} imports {unit}, which stands on no floor; give it one")
        elif own == "" or FLOOR[unit] >= FLOOR[own]:
            out.append(f"{own or 'scoresde'} ({FLOOR.get(own)}) imports {unit} ({FLOOR[unit]})")
    return out


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_from_lower_floors_alone(path: Path) -> None:
    assert offences(path.read_text(), path) == []


@pytest.mark.parametrize(("file", "source"), [
    ("kernels/noise.py", "from scoresde.processes import CLEAN"),
    ("processes/base.py", "def f():\n    import scoresde.score.model"),
    ("compare/report.py", "from scoresde import data"),
    ("score/exact.py", "from ..samplers import DDIM"),
    ("errors.py", "from . import families"),
    ("__init__.py", "from scoresde.errors import DataError"),
    ("brand_new/thing.py", ""),
    ("cli/main.py", "from scoresde.brand_new import thing"),
])  # fmt: skip
def test_an_offence_is_seen(file: str, source: str) -> None:
    assert len(offences(source, PACKAGE / file)) == 1


@pytest.mark.parametrize(("file", "source"), [
    ("score/exact.py", "from scoresde.score.model import ScoreModel\nfrom .model import ask"),
    ("samplers/heun.py", "from scoresde.kernels import Purpose\nimport torch.nn.functional"),
    ("cli/main.py", "from scoresde import __version__, config"),
])  # fmt: skip
def test_what_is_allowed_is_not_an_offence(file: str, source: str) -> None:
    assert offences(source, PACKAGE / file) == []


def test_no_unit_has_two_floors() -> None:
    assert sum(map(len, FLOORS)) == len(FLOOR)


@pytest.mark.parametrize("folder", ["scoresde", "tests", "tools"])
def test_no_file_is_longer_than_300_lines(folder: str) -> None:
    lengths = {
        str(path): len(path.read_text().splitlines())
        for path in (PACKAGE.parent / folder).rglob("*.py")
    }
    assert lengths or folder == "tools"
    assert {path: n for path, n in lengths.items() if n > 300} == {}


def test_a_bare_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, scoresde, scoresde.errors, scoresde.families; "
        "print(scoresde.__version__, *sorted(sys.modules.keys() & "
        "{'torch', 'numpy', 'scipy', 'h5py', 'matplotlib', 'msgspec', 'rich', 'click'}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    ).stdout.split()
    assert len(printed) == 1, printed[1:]
