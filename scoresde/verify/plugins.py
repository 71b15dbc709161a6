"""Defendants that are not in the family: `module:Class`, with options if it has any."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys

from scoresde.errors import OptionError, PluginError
from scoresde.langevin import LangevinKernel
from scoresde.samplers import Sampler


def read(text: str) -> tuple[str, dict]:
    """'name(option=value, ...)' as the name and its options; raises `OptionError`."""
    match = re.fullmatch(r"([^()]+)(?:\((.*)\))?", text.strip())
    if match is None:
        raise OptionError(f"cannot read {text!r}; write name or name(option=value, ...)")
    return match.group(1).strip(), _options(text, match.group(2) or "")


def _options(whole: str, text: str) -> dict:
    options = {}
    for part in filter(None, (p.strip() for p in re.split(r",(?![^\[\(]*[\]\)])", text))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals:
            raise OptionError(f"cannot read {part!r} in {whole!r}; write option=value")
        if key in options:
            raise OptionError(f"{whole!r} gives {key} twice")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options


def plugin(text: str) -> Sampler | LangevinKernel:
    """The sampler that `module:Class` or `module:Class(option=value)` names.

    Looked for along the import path and in the working folder. Raises `PluginError` for what
    cannot be imported, made or judged, and says which.
    """
    place, options = read(text)
    module_name, colon, class_name = place.partition(":")
    if not colon or not module_name or not class_name:
        raise PluginError(f"--plugin takes module:Class, got {text!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a foreign module may raise anything
        raise PluginError(
            f"the plug-in module {module_name!r} cannot be imported: {type(error).__name__}: "
            f"{error}; give one on the import path or in the working folder"
        ) from error
    try:
        member = getattr(module, class_name)
    except AttributeError:
        raise PluginError(f"{module_name} has no {class_name!r}; give module:Class") from None
    try:
        made = member(**options) if callable(member) else member
    except Exception as error:
        raise PluginError(
            f"{text} cannot be made: {type(error).__name__}: {error}; give its options as "
            f"{module_name}:{class_name}(option=value)"
        ) from error
    if not isinstance(made, Sampler | LangevinKernel):
        raise PluginError(
            f"{place} is {type(made).__name__}, neither a Sampler nor a LangevinKernel; wrap it "
            "in scoresde.verify.ThirdParty"
        )
    return made
