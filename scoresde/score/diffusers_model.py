r"""Unconditional and class-conditional UNets of the diffusers library, from a local folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError, UsageError
from scoresde.families import unknown
from scoresde.processes import DiscreteDDPM
from scoresde.processes.discrete import BETA_TABLES
from scoresde.score.indexed import DiscreteNetwork, LearnedVarianceNetwork

PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
LARGEST_BETA = 0.999  # in place of 1 at a zero terminal SNR; Nichol & Dhariwal's cap


def from_diffusers(
    folder: str | Path,
    scheduler: str | Path | Mapping | None = None,
    *,
    event_shape: tuple[int, ...] | None = None,
    null_label: int | None = None,
    whole: bool = False,
) -> DiscreteNetwork | LearnedVarianceNetwork:
    """The model of a saved pipeline (DDPMPipeline, DDIMPipeline, ...), or of a UNet2DModel.

    Nothing is downloaded and no pickle is read: the weights are safetensors in `folder/unet`, or
    in `folder` for a UNet alone, which needs a scheduler: its folder, its JSON file, or its
    options. The result's `process` is the scheduler's chain. Of the scheduler no more is used
    than its betas and its prediction_type: grid and solver are scoresde's own, and clip_sample
    and thresholding are not applied.

    Raises `UsageError` without diffusers (the extra `scoresde[diffusers]`) and for folders and
    networks of other makes.
    """
    unet_folder, scheduler_file = places(folder, scheduler)
    options = scheduler if isinstance(scheduler, Mapping) else _json(scheduler_file)
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise UsageError(
            f"models of diffusers need the library, which cannot be imported ({error}); "
            'pip install "scoresde[diffusers]"'
        ) from None
    chain_of(options)  # a scheduler that cannot be used is refused before the weights are read
    try:
        unet = UNet2DModel.from_pretrained(
            unet_folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"the UNet in {unet_folder} cannot be loaded: {error}") from None
    return from_unet(
        unet.eval().requires_grad_(False),
        options,
        event_shape=event_shape,
        null_label=null_label,
        whole=whole,
    )


def from_unet(
    unet: nn.Module,
    scheduler: Mapping,
    *,
    event_shape: tuple[int, ...] | None = None,
    null_label: int | None = None,
    whole: bool = False,
) -> DiscreteNetwork | LearnedVarianceNetwork:
    """The model of a UNet2DModel in memory, with its scheduler's options.

    Timestep 0 is the chain's first instant. `null_label` is the class embedding of "no class"; if
    it is the last, the classes are those before it. Twice as many output channels as input ones
    are a learned variance: a `LearnedVarianceNetwork` for variance_type learned_range.
    """
    settings = unet.config
    shape = event_shape or _event_shape(settings)
    if settings.get("time_embedding_type") == "fourier":
        raise UsageError(
            "a UNet with a Fourier embedding is conditioned on log sigma, not on timesteps; wrap "
            "it in a Denoiser or Preconditioned"
        )
    classes = settings.get("num_class_embeds") or 0
    if settings.get("class_embed_type") is not None:
        raise UsageError(
            f"a UNet with class_embed_type {settings['class_embed_type']!r} is not conditioned on "
            "class labels; wrap it in a DiscreteNetwork with a function of your own"
        )
    if null_label is not None and not 0 <= null_label < classes:
        raise OptionError(f"null_label = {null_label} is none of the UNet's {classes} classes")
    if null_label is not None and null_label == classes - 1:
        classes -= 1
    channels, out = shape[0], settings["out_channels"]
    if out not in (channels, 2 * channels):
        raise UsageError(
            f"a UNet from {channels} to {out} channels predicts neither eps, x0 nor v"
        )
    doubled = out != channels and scheduler.get("variance_type") == "learned_range"
    member = LearnedVarianceNetwork if doubled else DiscreteNetwork
    return member(
        _Prediction(unet, channels, doubled),
        shape,
        chain_of(scheduler),
        kind=kind_of(scheduler),
        whole=whole or settings.get("time_embedding_type") == "learned",
        classes=classes,
        null_label=null_label,
    )


class _Prediction(nn.Module):
    """The UNet's output as a tensor; of a variance that cannot be read, without it."""

    def __init__(self, unet: nn.Module, channels: int, doubled: bool):
        super().__init__()
        self.unet, self.channels, self.doubled = unet, channels, doubled

    def forward(self, z: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        out = self.unet(z, index, class_labels=labels, return_dict=False)[0]
        return out if self.doubled else out[:, : self.channels]


def chain_of(scheduler: Mapping) -> DiscreteDDPM:
    """The chain of a scheduler's options, in float64, by its name where scoresde has the table."""
    name = scheduler.get("_class_name", "the scheduler")
    if "beta_schedule" not in scheduler and scheduler.get("trained_betas") is None:
        raise UsageError(
            f"{name} states no betas (no beta_schedule, no trained_betas); a network of sigma is "
            "a Denoiser or Preconditioned, one of a flow a VelocityField"
        )
    steps = int(scheduler.get("num_train_timesteps", 1000))
    betas = _betas(scheduler, steps)
    if scheduler.get("rescale_betas_zero_snr"):
        betas = _zero_terminal_snr(betas, kind_of(scheduler))
    for table, formula in BETA_TABLES.items():
        if steps > 20 and len(betas) == steps and torch.equal(formula(steps), betas):
            return DiscreteDDPM(betas=table, steps=steps)
    return DiscreteDDPM(betas=tuple(betas.tolist()))


def kind_of(scheduler: Mapping) -> str:
    """eps, x0 or v, by prediction_type."""
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise OptionError(unknown("prediction_type", prediction, list(PREDICTIONS)))
    return PREDICTIONS[prediction]


def _betas(scheduler: Mapping, steps: int) -> Tensor:
    if scheduler.get("trained_betas") is not None:
        return torch.tensor(scheduler["trained_betas"], dtype=torch.float64)
    schedule = scheduler["beta_schedule"]
    first, last = scheduler.get("beta_start", 1e-4), scheduler.get("beta_end", 0.02)
    if schedule == "linear":
        return torch.linspace(first, last, steps, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square()
    if schedule == "squaredcos_cap_v2":
        return BETA_TABLES["cosine"](steps)
    if schedule == "sigmoid":
        ramp = torch.linspace(-6.0, 6.0, steps, dtype=torch.float64).sigmoid()
        return ramp * (last - first) + first
    raise OptionError(unknown("beta_schedule", schedule, list(SCHEDULES)))


def _zero_terminal_snr(betas: Tensor, kind: str) -> Tensor:
    """Betas with sqrt(abar) shifted to end at 0 and scaled to begin where it did.

    (Lin et al. 2024, Common diffusion noise schedules, algorithm 1.) The last beta, which would be
    1, is 0.999, so that every level has a finite log SNR.
    """
    if kind == "eps":
        raise UsageError(
            "rescale_betas_zero_snr ends at a signal of zero, where epsilon says nothing of the "
            "data; such a network has prediction_type v_prediction or sample"
        )
    root = torch.cumprod(1.0 - betas, 0).sqrt()
    alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    return (1.0 - alpha_bar / before).clamp(max=LARGEST_BETA)


def places(
    folder: str | Path, scheduler: str | Path | Mapping | None = None
) -> tuple[Path, Path | None]:
    """(the UNet's folder, the scheduler's file or None for options given), both checked."""
    folder = Path(folder)
    if (folder / "model_index.json").exists():
        index = _json(folder / "model_index.json")
        others = {k for k, v in index.items() if isinstance(v, list) and v and v[0]}
        others -= {"unet", "scheduler"}
        if others:
            raise UsageError(
                f"the pipeline {folder} has {', '.join(sorted(others))} beside its UNet; only "
                "pipelines of a UNet2DModel and a scheduler are models here"
            )
        scheduler = folder / "scheduler" if scheduler is None else scheduler
        folder = folder / "unet"
    if not (folder / "config.json").exists():
        raise UsageError(
            f"no diffusers model in {folder}: give a saved pipeline's folder (with a "
            "model_index.json) or a UNet2DModel's (with a config.json)"
        )
    made = _json(folder / "config.json").get("_class_name")
    if made != "UNet2DModel":
        raise UsageError(f"the network in {folder} is a {made}; only a UNet2DModel is known here")
    if not list(folder.glob("*.safetensors")):
        raise UsageError(f"no .safetensors weights in {folder}; save it with safe_serialization")
    if scheduler is None:
        raise UsageError(f"the UNet in {folder} needs a scheduler: its folder, file or options")
    if isinstance(scheduler, Mapping):
        return folder, None
    scheduler = Path(scheduler)
    file = scheduler / "scheduler_config.json" if scheduler.is_dir() else scheduler
    if not file.exists():
        raise UsageError(f"no scheduler at {file}")
    return folder, file


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no options, but a {type(found).__name__}")
    return found


def _event_shape(settings: Mapping) -> tuple[int, ...]:
    size = settings.get("sample_size")
    if size is None:
        raise UsageError("the UNet states no sample_size; give event_shape = (channels, h, w)")
    height, width = (size, size) if isinstance(size, int) else size
    return (settings["in_channels"], height, width)
