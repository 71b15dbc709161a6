"""scoresde list"""

from __future__ import annotations

import click

from scoresde.cli.console import Console, common
from scoresde.errors import PluginError, UnknownNameError


@click.command("list")
@click.argument("family", required=False)
@common
def command(family, console: Console):
    """List the members of every family, or of FAMILY (samplers, processes, ...), plug-ins too."""
    families = _families()
    if family is not None:
        from scoresde.families import unknown

        if family not in families:
            raise UnknownNameError(unknown("family", family, list(families)))
        families = {family: families[family]}
    listing = {
        plural: {name: _summary(members, name) for name in members.names()}
        for plural, members in families.items()
    }
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for plural, members in listing.items():
        table.add_row(plural, "", style="bold")
        for name, summary in members.items():
            table.add_row(f"  {name}", summary)
    if family is not None:
        for alias, (own, options) in _families()[family].aliases.items():
            given = ", ".join(f"{key}={value}" for key, value in options.items())
            means = f"is {own} with {given}" if given else f"is {own}"
            table.add_row(f"  {alias}", means, style="dim")
    console.show(table)
    console.result(listing)


def _families() -> dict:
    from scoresde.compare import METRICS
    from scoresde.config import NESTED, SECTIONS
    from scoresde.families import Family

    found = [f for f in (*SECTIONS.values(), *NESTED.values(), METRICS) if isinstance(f, Family)]
    return {f.plural.replace(" ", "-"): f for f in found}


def _summary(family, name: str) -> str:
    """The first line of a member's docstring, or why there is no member."""
    try:
        return (family[name].__doc__ or "").strip().split("\n")[0].rstrip(".")
    except PluginError as error:
        return str(error)
