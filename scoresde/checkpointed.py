"""From a file to a score model: a checkpoint, a fitted density, or a configuration of one."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from scoresde import config
from scoresde.config import Config
from scoresde.data import Dataset, Scaling
from scoresde.densities import DENSITIES, stored
from scoresde.errors import CheckpointError, DataError, UsageError
from scoresde.io import checkpoint
from scoresde.processes import PROCESSES, Process
from scoresde.score import ExactScore, NetworkClassifier, NetworkScore, ScoreModel
from scoresde.training import load_weights

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Source:
    """A score model with all that sampling from it needs to know.

    `identity` names the exact model: the checkpoint's SHA-256, or that of the density's section.
    """

    model: ScoreModel
    process: Process
    process_table: dict
    scaling: Scaling
    config: Config
    identity: str
    description: str
    given_scaling: Scaling = field(default_factory=Scaling)  # of vectors to be given
    data_fingerprint: str = ""  # of the data that the model was made of, where it has some

    @property
    def exact(self) -> bool:
        return isinstance(self.model, ExactScore)


def open_source(
    path: str | Path, *, dtype=torch.float32, device: str = "cpu", weights: str = ""
) -> Source:
    """Open a run folder, a checkpoint or fitted density (.safetensors), or a configuration
    (.toml) with a [density] or a [model].

    `weights` names the average of a network's weights to take ("half-life-700", "length-0.05",
    "raw" for none of them); by default the first that the training kept.

    Raises `UsageError` for a path that is none of these and for the average of a model that keeps
    none, `CheckpointError` for a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        path = path / CHECKPOINT
        if not path.exists():
            raise UsageError(f"the folder {path.parent} holds no {CHECKPOINT}; train one first")
    if not path.exists():
        raise UsageError(f"no model at {path}; give a run folder, a checkpoint or a .toml file")
    if path.suffix == ".toml":
        settings = config.load(path)
        if weights:
            raise UsageError(
                f"the weights {weights!r} are an average that a training kept, and {path} names "
                "no training; leave them out, or give a run folder or a checkpoint"
            )
        if "model" in settings:
            return foreign_source(settings, device)
        return exact_source(settings, device)
    metadata = checkpoint.metadata(path)
    if stored.KEY in metadata:
        if weights:
            raise UsageError(
                f"{path} holds a density, which has no averages of weights; leave {weights!r} out"
            )
        return _fitted(path, metadata, device)
    return _trained(path, metadata, dtype, device, weights)


def exact_source(settings: Config, device: str = "cpu") -> Source:
    """The exact score of a configuration's density; its process defaults to EDM."""
    if "density" not in settings:
        raise UsageError(
            "a configuration is a model only if it has a [density] or a [model] section; train "
            "the one that it describes (scoresde train) and give the checkpoint"
        )
    if "process" not in settings:
        settings = settings.replace("process", "edm")
    resolved = settings.resolved()
    text = json.dumps(resolved["density"], sort_keys=True)
    return Source(
        ExactScore(settings.build("density")).to(device),
        settings.build("process"),
        resolved["process"],
        Scaling(),
        settings,
        "density:" + hashlib.sha256(text.encode()).hexdigest(),
        f"exact score of {resolved['density']['name']}",
    )


def foreign_source(settings: Config, device: str = "cpu") -> Source:
    """The model of a configuration's [model] section; its process defaults to the model's own."""
    if "density" in settings:
        raise UsageError("a configuration with both a [density] and a [model] is two models")
    section = settings.build("model")
    stated = settings.build("process") if "process" in settings else None
    opened = section.open(stated, device)
    if stated is None:
        settings = settings.replace("process", config.table_of(PROCESSES, opened.process))
    return Source(
        opened.model,
        opened.process,
        settings.resolved()["process"],
        Scaling(shift=section.shift, scale=section.scale),
        settings,
        opened.identity,
        opened.description,
    )


def _fitted(path: Path, metadata: dict, device: str) -> Source:
    """The exact score of a density in a file; its process defaults to EDM.

    A density without a record of its fitting is sampled as it is, and names no data.
    """
    density = stored.load(path)
    try:
        settings = config.from_tables(metadata.get("config", {}))
        if "process" not in settings:
            settings = settings.replace("process", "edm")
        resolved, process = settings.resolved(), settings.build("process")
        scaling = Scaling.from_dict(metadata.get("scaling", Scaling().to_dict()))
        described = f"exact score of {DENSITIES.name_of(density)}"
        if "fit" in resolved:
            described = f"{resolved['fit']['name']} fitted to {metadata['data']}"
    except KeyError as error:
        raise CheckpointError(f"the checkpoint {path} lacks {error} among its metadata") from None
    except (AttributeError, DataError, TypeError, ValueError, UsageError) as error:
        raise CheckpointError(
            f"the record of the fit in {path} cannot be read here: {error}; a member of another "
            "package needs that package"
        ) from None
    return Source(
        ExactScore(density).to(device),
        process,
        resolved["process"],
        scaling,
        settings,
        "sha256:" + checkpoint.sha256(path),
        described,
        data_fingerprint=str(metadata.get("data_fingerprint", "")),
    )


def _trained(path: Path, metadata: dict, dtype: torch.dtype, device: str, weights: str) -> Source:
    try:
        settings = config.from_tables(metadata["config"])
        resolved = settings.resolved()
        shape, sigma_data = tuple(metadata["event_shape"]), float(metadata["sigma_data"])
        scaling = Scaling.from_dict(metadata["scaling"])
        step, data = int(metadata["step"]), resolved["data"]["name"]
        net, process = build_net(settings, shape), settings.build("process")
        model = model_over(net, settings, shape, sigma_data, process)
    except KeyError as error:
        raise CheckpointError(f"the checkpoint {path} lacks {error} among its metadata") from None
    except (AttributeError, DataError, TypeError, ValueError, UsageError) as error:
        raise CheckpointError(
            f"the checkpoint {path} describes a model that cannot be made here: {error}; a member "
            "of another package needs that package"
        ) from None
    described = f"{resolved['net']['name']}" if "net" in resolved else "classifier"
    modules = {"net": net}
    if isinstance(process, nn.Module):
        modules["process"] = process
    load_weights(path, modules, weights)
    for module in modules.values():
        module.to(device=device).eval().requires_grad_(False)
    net.to(dtype=dtype)
    return Source(
        model,
        process,
        resolved["process"],
        scaling,
        settings,
        "sha256:" + checkpoint.sha256(path) + (f" {weights}" if weights else ""),
        f"{described} trained {step} steps on {data}",
        Scaling.from_dict(metadata["given_scaling"]),
        str(metadata.get("data_fingerprint", "")),
    )


def build_net(settings: Config, event_shape: tuple[int, ...]) -> nn.Module:
    """The network of a configuration: its [classifier] under such an objective, else its [net]."""
    classifies = settings.build("objective").kind == "class"
    return settings.build("classifier" if classifies else "net", event_shape)


def model_over(
    net: nn.Module,
    settings: Config,
    event_shape: tuple[int, ...],
    sigma_data: float,
    process: Process,
) -> ScoreModel | NetworkClassifier:
    """A network as what its objective trains: a score, or a classifier of noisy states."""
    kind = settings.build("objective").kind
    if kind == "class":
        return NetworkClassifier(net, event_shape, sigma_data)
    return NetworkScore(net, event_shape, kind, sigma_data, process)


def training_metadata(settings: Config, data: Dataset, model: ScoreModel) -> dict:
    """What a checkpoint must carry for `open_source` to make the model again."""
    return {
        "config": settings.resolved(),
        "event_shape": list(data.event_shape),
        "sigma_data": model.sigma_data,
        "scaling": data.scaling.to_dict(),
        "given_scaling": data.given_scaling.to_dict(),
        "class_names": list(data.class_names),
        "attribution": data.attribution,
        "data_fingerprint": data.fingerprint,
    }


def sigma_data_of(data: Dataset) -> float:
    """The deviation of the data's elements from their common mean, EDM's sigma_data.

    Raises `DataError` where it is 0 or not finite.
    """
    value = data.std
    if not 0.0 < value < math.inf:
        raise DataError(
            f"the training data have the deviation {value}; a network can be trained on finite "
            "data that are not constant"
        )
    return value
