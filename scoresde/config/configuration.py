"""Configurations: a seed, and sections that are each looked up in their family.

A section is a table `{name, **options}`, or just the name where no option is given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoresde.config.families import SECTIONS
from scoresde.config.members import build, resolve
from scoresde.errors import OptionError, UsageError
from scoresde.families import unknown
from scoresde.kernels.noise import check_seed


@dataclass(frozen=True)
class Config:
    """A seed and sections as plain tables; `build` makes the object of one."""

    sections: dict[str, dict] = field(default_factory=dict)
    seed: int = 0

    def __contains__(self, section: str) -> bool:
        return section in self.sections

    def build(self, section: str, *supplied):
        """The object of a section; `supplied` are the positional arguments beside its options."""
        if section not in self.sections:
            raise UsageError(f"the configuration has no [{section}] section and needs one")
        return build(SECTIONS[section], self.sections[section], *supplied, where=f"[{section}]")

    def resolved(self) -> dict:
        """Every section with every option at its value, as plain data."""
        tables = {
            name: resolve(SECTIONS[name], table, where=f"[{name}]")
            for name, table in self.sections.items()
        }
        return {"seed": self.seed, **tables}

    def replace(self, section: str, table: dict | str) -> Config:
        """The same configuration with one section put in place of what stood there."""
        return from_tables({"seed": self.seed, **self.sections, section: table})


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file and apply overrides of the form `section.option=value`."""
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no configuration at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the configuration {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    return from_tables(override(tables, overrides))


def from_tables(tables: dict) -> Config:
    """A configuration from plain tables; every section is checked."""
    sections = {}
    for name, table in tables.items():
        if name == "seed":
            continue
        if name not in SECTIONS:
            raise OptionError(unknown("section", name, ["seed", *SECTIONS]))
        table = {"name": table} if isinstance(table, str) else table
        if not isinstance(table, dict):
            raise OptionError(f"[{name}] is a table or a name, got {table!r}")
        resolve(SECTIONS[name], table, where=f"[{name}]")
        sections[name] = dict(table)
    return Config(sections, check_seed(tables.get("seed", 0)))


def override(tables: dict, settings: Sequence[str]) -> dict:
    """Tables with `a.b=c` applied in order; c is TOML where it parses as such, else a string."""
    tables = {k: dict(v) if isinstance(v, dict) else v for k, v in tables.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set takes section.option=value, got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        table = tables
        for key in keys[:-1]:
            inner = table.get(key, {})
            inner = {"name": inner} if isinstance(inner, str) else inner
            if not isinstance(inner, dict):
                raise UsageError(f"--set {setting}: {key} is {inner!r} and has no options")
            table[key] = dict(inner)
            table = table[key]
        table[keys[-1]] = value
    return tables
