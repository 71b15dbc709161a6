"""TOML to objects: sections looked up in their families, resolved to every option's value."""

from scoresde.config.configuration import Config, from_tables, load, override
from scoresde.config.families import NESTED, SECTIONS
from scoresde.config.members import build, options_of, resolve, table_of
from scoresde.config.toml import to_toml

__all__ = [
    "NESTED",
    "SECTIONS",
    "Config",
    "build",
    "from_tables",
    "load",
    "options_of",
    "override",
    "resolve",
    "table_of",
    "to_toml",
]
