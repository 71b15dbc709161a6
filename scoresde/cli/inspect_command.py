"""scoresde inspect"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli.console import Console, common


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@common
def command(path, console: Console):
    """Tell what PATH holds: a dump, a checkpoint, a run folder or a model's configuration."""
    facts = _facts(path)
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(facts):
        table.add_row(name, str(value))
    console.show(table)
    console.result(facts)


def _facts(path: Path) -> dict:
    from scoresde.errors import UsageError
    from scoresde.io import checkpoint, dump

    if path.is_dir():
        path = path / "checkpoint.safetensors"
    if not path.exists():
        raise UsageError(f"nothing at {path}; give a dump, a checkpoint or a run folder")
    if path.suffix == ".toml":
        return {"file": str(path), **_described(path)}
    if path.suffix == ".safetensors":
        metadata = checkpoint.metadata(path)
        return {
            "file": str(path),
            "sha256": checkpoint.sha256(path),
            "digest": checkpoint.digest(path),
            **(_fitted(path, metadata) if "density" in metadata else metadata),
        }
    return {"file": str(path), **dump.describe(path)}


def _described(path: Path) -> dict:
    from scoresde.checkpointed import open_source

    source = open_source(path)
    return {
        "model": source.description,
        "identity": source.identity,
        "event_shape": list(source.model.event_shape),
        "kind": source.model.kind,
        "classes": source.model.classes,
        "scaling": source.scaling.to_dict(),
        "config": source.config.resolved(),
    }


def _fitted(path: Path, metadata: dict) -> dict:
    """The record of a fit, with the shapes of its tensors in place of how they are packed."""
    from scoresde.io import checkpoint

    packed = {"density", "fitted"}
    tensors, _ = checkpoint.load(path)
    return {
        "density": metadata["density"].get("$density"),
        **{key: value for key, value in metadata.items() if key not in packed},
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
    }


def _flat(facts: dict, prefix: str = "") -> list[tuple[str, object]]:
    rows = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + str(name), value))
    return rows
