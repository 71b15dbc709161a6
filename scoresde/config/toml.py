"""Plain tables as TOML text, which the standard library reads but does not write."""

from __future__ import annotations

import json
import math


def to_toml(tables: dict) -> str:
    """Plain tables as TOML text; options that are None are left out."""
    top = [f"{k} = {_toml(v)}" for k, v in tables.items() if not isinstance(v, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            rows = [f"{k} = {_toml(v)}" for k, v in table.items() if v is not None]
            top += ["", f"[{name}]", *rows]
    return "\n".join(top) + "\n"


def _toml(value) -> str:
    if isinstance(value, dict):
        inner = (f"{k} = {_toml(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # not raw in TOML
