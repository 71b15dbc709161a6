"""A member from its table, and the table of a member with every option at its value.

Options are the keyword-only parameters of the member's constructor, checked by name and type here
and by range in the member itself. An option annotated as a member of `NESTED`, or as a tuple of
them, is such a table in turn, or a list of them, to any depth.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import msgspec

from scoresde.config.families import NESTED
from scoresde.errors import OptionError, UnknownNameError, UsageError
from scoresde.families import Family, unknown


def options_of(member: type) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a member's constructor."""
    parameters = inspect.signature(member).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def build(family: Family | type, table: dict | str, *supplied, where: str):
    """The member that a table names, made with its options."""
    member, options = _read(family, table, where)
    return _made(member, supplied, options, where)


def _made(member: type, supplied: Sequence, options: dict, where: str):
    try:
        return member(*supplied, **options)
    except UsageError as error:
        raise OptionError(f"{where}: {error}") from None
    except (TypeError, ValueError) as error:  # of an option that the member leaves untyped
        raise OptionError(f"{where} cannot be made of {options}: {error}") from error


def resolve(family: Family | type, table: dict | str, *, where: str) -> dict:
    """The table with every option at its value, as the member itself has it.

    Where a member needs more than its options (a net its event shape), values are as given.
    """
    member, options = _read(family, table, where)
    parameters = options_of(member)
    positional = len(inspect.signature(member).parameters) > len(parameters)
    values = {name: options.get(name, _default(member, p)) for name, p in parameters.items()}
    if not positional:
        made = _made(member, (), options, where)
        if is_dataclass(member):
            values = {name: getattr(made, name) for name in parameters}
    hints, given = _hints(member), table if isinstance(table, dict) else {}
    for key, value in values.items():
        nested = _nested(hints.get(key)) if key in given else None  # by its own table
        values[key] = (
            _each(resolve, nested, given[key], f"{where} {key}") if nested else _plain(value)
        )
    name = {"name": family.name_of(member)} if isinstance(family, Family) else {}
    return {**name, **values}


def table_of(family: Family, member) -> dict:
    """The section that makes a member whose options are its attributes."""
    options = {name: _plain(getattr(member, name)) for name in options_of(type(member))}
    return {"name": family.name_of(member), **options}


def _default(member: type, parameter: inspect.Parameter):
    if is_dataclass(member):
        for f in fields(member):
            if f.name == parameter.name and callable(f.default_factory):
                return f.default_factory()
    return parameter.default


def _read(family: Family | type, table: dict | str, where: str) -> tuple[type, dict]:
    """The member and its converted options; unknown and missing options are errors."""
    table = {"name": table} if isinstance(table, str) else dict(table)
    member = family
    if isinstance(family, Family):
        if "name" not in table:
            raise OptionError(f"{where} needs a name: one of {', '.join(family.names())}")
        name = table.pop("name")
        if not isinstance(name, str):
            raise OptionError(f"{where}: a name is text, got {name!r}")
        try:
            member, preset = family.find(name)
        except UnknownNameError as error:
            raise UnknownNameError(f"{where}: {error}") from None
        table = {**preset, **table}
    parameters = options_of(member)
    hints = _hints(member)
    for key in table:
        if not parameters:
            raise OptionError(f"{where}: {member.__name__} takes no options, got {key!r}")
        if key not in parameters:
            raise OptionError(f"{where}: " + unknown("option", key, list(parameters)))
    for key, p in parameters.items():
        if p.default is inspect.Parameter.empty and key not in table:
            raise OptionError(f"{where}: {member.__name__} needs the option {key!r}")
    return member, {k: _convert(v, hints.get(k, object), f"{where} {k}") for k, v in table.items()}


def _hints(member: type) -> dict:
    target = member if is_dataclass(member) else member.__init__
    return typing.get_type_hints(target)


def _nested(kind) -> tuple[Family, bool] | None:
    """The family that an annotation names, and whether it is a tuple of members; else None."""
    many = typing.get_origin(kind) is tuple and typing.get_args(kind)[1:] == (...,)
    base = typing.get_args(kind)[0] if many else kind
    return (NESTED[base], many) if isinstance(base, type) and base in NESTED else None


def _each(function, nested: tuple[Family, bool], value, where: str):
    """`function` of a nested table, or the list of what it makes of each table of a list."""
    family, many = nested
    tables = value if many else [value]
    if not isinstance(tables, list | tuple) or not all(isinstance(t, str | dict) for t in tables):
        wanted = "a list of tables" if many else "a table"
        raise OptionError(f"{where} is {wanted} {{name = ...}}, got {value!r}")
    if not many:
        return function(family, value, where=where)
    return [function(family, t, where=f"{where}.{i}") for i, t in enumerate(tables)]


def _convert(value, kind, where: str):
    """A plain value as the annotated type, with NaN refused."""
    if isinstance(value, float) and math.isnan(value):
        raise OptionError(f"{where} is NaN")
    if nested := _nested(kind):
        made = _each(build, nested, value, where)
        return tuple(made) if isinstance(made, list) else made
    if kind in (object, inspect.Parameter.empty, typing.Any):
        return value
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        names = [name for name in _literals(kind) if isinstance(name, str)]
        if names and isinstance(value, str):
            raise OptionError(f"{where}: " + unknown("value", value, names)) from None
        raise OptionError(f"{where} = {value!r}: {error}") from None


def _literals(kind) -> tuple:
    """The values that an annotation names, its unions' too."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return tuple(value for inner in typing.get_args(kind) for value in _literals(inner))


def _plain(value):
    """An option's value as plain data: nested members as tables, paths as strings."""
    for base, family in NESTED.items():
        if isinstance(value, base):
            inner = {name: _plain(getattr(value, name)) for name in options_of(type(value))}
            return {"name": family.name_of(value), **inner}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
