"""The [model] section of a configuration: foreign models by name, with their identity."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from scoresde.errors import OptionError, PluginError, ScoresdeError, UsageError
from scoresde.families import Family, unknown
from scoresde.processes import EDM, Process
from scoresde.score.continuous import Denoiser, Preconditioned, VelocityField
from scoresde.score.diffusers_model import from_diffusers, places
from scoresde.score.foreign import module_of
from scoresde.score.indexed import DiscreteNetwork, LearnedVarianceNetwork
from scoresde.score.model import ScoreModel

CONVENTIONS = {
    "denoiser": Denoiser,
    "preconditioned": Preconditioned,
    "velocity": VelocityField,
    "discrete": DiscreteNetwork,
    "learned-variance": LearnedVarianceNetwork,
}

DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}


@dataclass(frozen=True)
class OpenedModel:
    """A model ready to be asked; `identity` names exactly this one."""

    model: ScoreModel
    process: Process
    identity: str
    description: str


@dataclass(frozen=True, kw_only=True)
class ModelSection(ABC):
    """Where a foreign model comes from. Samples are stored as x * scale + shift."""

    shift: float = 0.0
    scale: float = 1.0

    @abstractmethod
    def open(self, process: Process | None, device: str = "cpu") -> OpenedModel:
        """The model on a device; `process` is the configuration's own, if it states one."""


@dataclass(frozen=True, kw_only=True)
class DiffusersModel(ModelSection):
    """A UNet2DModel of the diffusers library, from a pipeline's folder (extra: diffusers).

    Its process is its scheduler's chain, unless the configuration states another to sample under.
    The identity is the SHA-256 of weights, network options and scheduler options.
    """

    path: str
    scheduler: str | None = None
    event_shape: tuple[int, ...] | None = None
    null_label: int | None = None
    whole: bool = False

    def open(self, process: Process | None, device: str = "cpu") -> OpenedModel:
        model = from_diffusers(
            self.path,
            self.scheduler,
            event_shape=self.event_shape,
            null_label=self.null_label,
            whole=self.whole,
        )
        model.function.to(device)
        folder, scheduler = places(self.path, self.scheduler)
        digest = hashlib.sha256(
            json.dumps([self.event_shape, self.null_label, self.whole]).encode()
        )
        for file in (folder / "config.json", scheduler, *sorted(folder.glob("*.safetensors"))):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return OpenedModel(
            model,
            process or model.process,
            "diffusers:" + digest.hexdigest(),
            f"diffusers UNet2DModel of {self.path} (clip_sample not applied)",
        )


@dataclass(frozen=True, kw_only=True)
class CallableModel(ModelSection):
    """A model made by Python code of yours.

    The factory is "package.module:function" or "file.py:function", and the code is run as it
    stands. It is called with `options` and returns a ScoreModel; or, with a `convention`
    (denoiser, preconditioned, velocity, discrete, learned-variance), the bare function or module,
    which is wrapped with `event_shape` and `settings`, the options of that convention. The
    identity is the SHA-256 of this section and of the state of the modules in the model; without
    a module the model is marked as unverified.
    """

    factory: str
    options: dict = field(default_factory=dict)
    convention: str | None = None
    event_shape: tuple[int, ...] | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        place, colon, name = self.factory.rpartition(":")
        if not (colon and place and name.isidentifier()):
            raise OptionError(
                f"factory is 'package.module:function' or 'file.py:function', got {self.factory!r}"
            )
        if self.convention is None:
            if self.event_shape is not None or self.settings:
                raise OptionError("event_shape and settings go with a convention; state which")
        elif self.convention not in CONVENTIONS:
            raise OptionError(unknown("convention", self.convention, list(CONVENTIONS)))
        elif self.event_shape is None:
            raise OptionError(f"the convention {self.convention!r} needs the event_shape")

    def open(self, process: Process | None, device: str = "cpu") -> OpenedModel:
        model = self._made(process)
        modules = dict(_modules(model))
        for module in modules.values():
            module.to(device).eval().requires_grad_(False)
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode())
        for name, module in sorted(modules.items()):
            for key, value in module.state_dict().items():
                if isinstance(value, torch.Tensor):
                    digest.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}".encode())
                    flat = value.detach().cpu().contiguous().reshape(-1)
                    digest.update(flat.view(torch.uint8).numpy().tobytes())
        unverified = "" if modules else ", unverified: it holds no module to hash"
        return OpenedModel(
            model,
            process or getattr(model, "process", None) or EDM(),
            "callable:" + digest.hexdigest(),
            f"{type(model).__name__} made by {self.factory}{unverified}",
        )

    def _made(self, process: Process | None) -> ScoreModel:
        made = _called(self.factory, _found(self.factory), self.options)
        if self.convention is None:
            if not isinstance(made, ScoreModel):
                raise UsageError(
                    f"{self.factory} returns a {type(made).__name__}; let it return a ScoreModel, "
                    f"or state its convention: {', '.join(CONVENTIONS)}"
                )
            return made
        if isinstance(made, ScoreModel):
            raise UsageError(
                f"{self.factory} returns a {type(made).__name__}, which has its convention: "
                "leave `convention` out"
            )
        member = CONVENTIONS[self.convention]
        bound = ()
        if self.convention in ("discrete", "learned-variance"):
            if process is None:
                raise UsageError(
                    f"the convention {self.convention!r} needs a [process] ddpm with the betas "
                    "that the network was trained with"
                )
            bound = (process,)
        elif self.convention == "velocity":
            bound = (process,)
        try:
            return member(made, self.event_shape, *bound, **self._settings())
        except TypeError as error:
            raise OptionError(f"settings {self.settings}: {error}") from None

    def _settings(self) -> dict:
        """The convention's options, with the dtype that a text names."""
        settings = dict(self.settings)
        if "dtype" in settings:
            if settings["dtype"] not in DTYPES:
                raise OptionError(unknown("dtype", settings["dtype"], list(DTYPES)))
            settings["dtype"] = DTYPES[settings["dtype"]]
        return settings


def _found(factory: str):
    """The object that 'package.module:name' or 'file.py:name' names."""
    place, _, name = factory.rpartition(":")
    try:
        if place.endswith(".py"):
            file = Path(place)
            if not file.is_file():
                raise UsageError(f"factory {factory!r}: no file {place} here ({Path.cwd()})")
            spec = importlib.util.spec_from_file_location(file.stem, file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except ScoresdeError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"factory {factory!r} cannot be imported: {_told(error)}") from error
    if not callable(getattr(module, name, None)):
        raise UsageError(f"factory {factory!r}: {place} has no function {name!r}")
    return getattr(module, name)


def _called(factory: str, function, options: dict):
    try:
        return function(**options)
    except ScoresdeError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"factory {factory!r} with {options} fails: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """The error's kind and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _modules(model: ScoreModel, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that a model holds, those of the models within it too, by attribute."""
    for name, value in vars(model).items():
        module = module_of(value)
        if module is not None:
            yield prefix + name, module
        elif isinstance(value, ScoreModel):
            yield from _modules(value, f"{prefix}{name}.")


MODELS = Family("model", {"callable": CallableModel, "diffusers": DiffusersModel})
