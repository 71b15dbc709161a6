"""What is to be fitted to what: a configuration with [data] and [fit]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py

from scoresde import config
from scoresde.config import Config
from scoresde.data import DATASETS
from scoresde.errors import DataError, UnknownNameError, UsageError
from scoresde.estimators import ESTIMATORS
from scoresde.families import unknown
from scoresde.io import dump

FILES = {".csv": "table", ".tsv": "table", ".txt": "table", ".npz": "npz"}
HDF5 = (".h5", ".hdf5", ".hdf")
FLAGS = ("k", "components", "bandwidth", "structure", "method")  # options with one of their own
KEPT = ("process", "sampler", "grid", "kernel", "chain")  # of a configuration: how to sample


def settings_of(
    name: str,
    data: str,
    options: Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
    *,
    seed: int | None = None,
) -> Config:
    """The configuration of a fit: the estimator `name` on `data`.

    data: a data set's name; a configuration (.toml) with [data], whose [fit] is taken where it
    has that name; a table (.csv, .tsv, .txt), an archive (.npz), an HDF5 file (.h5), or a dump
    of samples. `options` are the estimator's own, `overrides` of the form data.option=value and
    fit.option=value come last.

    Raises `UnknownNameError` for names of neither family, `UsageError` for other sections in an
    override, for files that cannot be meant and for a lack of an option that has no default, and
    `DataError` for a folder in place of a file.
    """
    member, _ = ESTIMATORS.find(name)
    tables = _tables(data)
    own = tables.pop("fit", {})
    own = {"name": own} if isinstance(own, str) else own
    fitted = own if own.get("name") == name else {"name": name}
    tables["fit"] = {**fitted, **(options or {})}
    if seed is not None:
        tables["seed"] = seed
    for setting in overrides:
        section = setting.split("=")[0].split(".")[0].strip()
        if section not in ("data", "fit", "process"):
            raise UsageError(f"--set {setting}: a fit has the sections data, fit and process")
        _name_default(member, tables["fit"], setting)
    tables = config.override(tables, overrides)
    _refuse_lack(name, member, tables["fit"])
    return config.from_tables(tables)


def _refuse_lack(name: str, member: type, fit: dict) -> None:
    """Names the flag of an option that has no default and was not given."""
    for key, parameter in config.options_of(member).items():
        if parameter.default is parameter.empty and key not in fit:
            way = f"--{key}" if key in FLAGS else f"--set fit.{key}=VALUE"
            raise UsageError(f"{name} needs the option {key!r}; give it by {way}")


def _name_default(member: type, fit: dict, setting: str) -> None:
    """Name the default of an option that is a member itself, where its own options are set."""
    section, option, inner = [*setting.partition("=")[0].strip().split("."), "", ""][:3]
    known = config.options_of(member)
    if section != "fit" or not inner or option in fit or option not in known:
        return
    for base, family in config.NESTED.items():
        if isinstance(known[option].default, base):
            fit[option] = family.name_of(known[option].default)


def _tables(data: str) -> dict:
    """Plain tables with [data], and what else of a configuration a fit keeps."""
    if not data.strip():
        raise UsageError("the data have no name: give a data set's, or a file")
    path = Path(data)
    suffix = path.suffix.lower()
    if suffix in (".toml", *FILES, *HDF5) and path.is_dir():
        raise DataError(f"{data} is a folder, where a file of data is wanted; name a file in it")
    if suffix == ".toml":
        settings = config.load(path)
        if "data" not in settings:
            raise UsageError(
                f"{data} has no [data] section; to fit a density's or a model's draws, sample it "
                "into a dump and give the dump"
            )
        kept = {k: v for k, v in settings.sections.items() if k in ("data", "fit", *KEPT)}
        return {"seed": settings.seed, **kept}
    if suffix in FILES:
        return {"data": {"name": FILES[suffix], "path": data}}
    if suffix in HDF5:
        key = _samples_key(path)
        return {"data": {"name": "hdf5", "path": data, **({"key": key} if key else {})}}
    if suffix == ".safetensors" or path.is_dir():
        raise UsageError(f"{data} is a model or a folder, not data; sample it into a dump first")
    if suffix == ".npy":
        raise UsageError(f"{data}: no reader of .npy files; write it by numpy.savez as an .npz")
    if data not in DATASETS:
        known = unknown("data set", data, DATASETS.names())
        raise UnknownNameError(f"{known} A file is .toml, .csv, .npz or .h5")
    return {"data": {"name": data}}


def _samples_key(path: Path) -> str:
    """'samples' for a dump of data, '' for another HDF5 file; `DataError` for a dump undone."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != dump.SCHEMA:
                return ""
    except OSError:
        return ""  # its reader tells what is wrong with it
    found = dump.describe(path)
    if found["attributes"].get("space", "data") != "data":
        raise DataError(f"the dump {path} holds latents, not data; decode them first")
    if found["rows_done"] < found["rows_total"]:
        raise DataError(
            f"{found['rows_done']} of {found['rows_total']} rows of the dump {path} are done; "
            "complete it first (--resume of the command that made it)"
        )
    return "samples"
