"""Families: a visible dict of members, found by name, open to other packages.

A family is one plain dict in the package that owns it. A third party adds a member by an entry
point in the group ``scoresde.<plural>``; those groups are read only when a name is unknown or all
names are asked for, so that nothing foreign is imported on the way to a known member.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from scoresde.errors import PluginError, UnknownNameError


@dataclass(frozen=True)
class Family:
    """Members of one kind, by name."""

    noun: str  # "sampler"; its plural names the entry-point group: scoresde.samplers
    members: dict[str, type] = field(default_factory=dict)
    aliases: dict[str, tuple[str, dict]] = field(default_factory=dict)
    """Other names of members: alias -> (name, the options that make the member what it names)."""

    @property
    def plural(self) -> str:
        if self.noun.endswith("y"):
            return self.noun[:-1] + "ies"
        return self.noun + ("es" if self.noun.endswith("s") else "s")

    @property
    def group(self) -> str:
        return f"scoresde.{self.plural.replace(' ', '_')}"

    def _plugins(self) -> dict:
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Every name, the package's own first, then those of installed plug-ins."""
        return [*self.members, *sorted(self._plugins().keys() - self.members.keys())]

    def __contains__(self, name: str) -> bool:
        return name in self.members or name in self.aliases or name in self._plugins()

    def __getitem__(self, name: str) -> type:
        """The member of that name; raises `UnknownNameError` with the nearest names."""
        return self.find(name)[0]

    def find(self, name: str) -> tuple[type, dict]:
        """The member of a name, and the options that the name stands for if it is an alias."""
        if name in self.members:
            return self.members[name], {}
        plugins = self._plugins()
        if name in plugins:
            return _load(self.noun, plugins[name]), {}
        if name in self.aliases:
            own, options = self.aliases[name]
            return self.members[own], dict(options)
        known = [*self.members, *sorted(plugins)]
        raise UnknownNameError(unknown(self.noun, name, known, [*known, *self.aliases]))

    def name_of(self, member: object) -> str:
        """The name under which a member (a class or an instance of it) is listed."""
        cls = member if isinstance(member, type) else type(member)
        for name in self.members:
            if self.members[name] is cls:
                return name
        place = f"{cls.__module__}:{cls.__qualname__}"
        for name, point in self._plugins().items():
            if point.value == place:
                return name
        return cls.__name__


def _load(noun: str, point: EntryPoint) -> type:
    """The member behind an entry point; raises `PluginError` for whatever its import raises."""
    try:
        return point.load()
    except Exception as error:
        raise PluginError(
            f"the plug-in {noun} {point.name!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; mend or uninstall its package"
        ) from error


def unknown(noun: str, name: str, known: list[str], near: list[str] | None = None) -> str:
    """'unknown sampler 'dpmp-2m'; known: …. Did you mean 'dpmpp-2m'?'

    `near` are the names to guess among, where they are more than those listed.
    """
    close = difflib.get_close_matches(str(name), near or known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {noun} {name!r}; known: {', '.join(known)}.{hint}"
