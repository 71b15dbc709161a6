r"""Networks and functions of other code as score models, usable under any process.

Each class states one convention in full: what the function is given and what it returns. A model
asked at a level finds the level of the function's own home that has the same log SNR, hands it
the state rescaled to that level, and reads its output there:

    home: log SNR(home) = log SNR(level),   z_home = z scale(home)/scale(level),

after which the affine table gives any kind. Where the function's range does not reach the level,
it is asked at the nearest end of its range, and its output is carried over as v, which is regular
at both ends.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from scoresde.errors import CapabilityError, OptionError, PluginError, ScoresdeError
from scoresde.processes import NoiseLevel
from scoresde.score.model import ScoreModel
from scoresde.score.parametrization import INVARIANT_KINDS, check_kind, convert


class Foreign(ScoreModel):
    """A function in its own convention; a member says where it is asked and of what.

    Args:
        function: called with (z, noise), or (z, noise, labels) where `classes` > 0; z (batch,
            *event), noise (batch,), labels (batch,) int64. A module is used as it is: call its
            `eval()` first.
        event_shape: the shape of one state.
        classes: labels 0..classes-1 can be given; 0 is an unconditional function.
        null_label: what the function takes for "no label"; without one it needs labels.
        dtype: what the function is given. Default: that of the parameters for a module or its
            method, and of the states for any other callable. Outputs come back in the dtype of
            the states, so a float64 request of a float32 network has float32's rounding in its
            predictions.

    Devices are left to torch. Raises `OptionError` for an output that is no tensor of the states'
    shape, and `CapabilityError` where a label is needed or refused.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        event_shape: tuple[int, ...],
        *,
        classes: int = 0,
        null_label: int | None = None,
        dtype: torch.dtype | None = None,
    ):
        if not callable(function):
            raise OptionError(f"a function or module is needed, got {type(function).__name__}")
        self.function = function
        self.event_shape = tuple(event_shape)
        if not all(isinstance(size, int) and size > 0 for size in self.event_shape):
            raise OptionError(f"event_shape is of positive whole numbers, got {event_shape}")
        if classes < 0:
            raise OptionError(f"classes is at least 0, got {classes}")
        if null_label is not None and not classes:
            raise OptionError(f"null_label = {null_label} needs classes; state how many there are")
        self.classes, self.null_label = classes, null_label
        if dtype is not None and not dtype.is_floating_point:
            raise OptionError(f"dtype of a function is a floating one, got {dtype}")
        self.dtype = dtype or _dtype_of(function)
        self.labels: Tensor | None = None

    @abstractmethod
    def home(self, log_snr: Tensor) -> tuple[NoiseLevel, Tensor]:
        """Where the function is asked for log SNRs (n,) float64: (levels, its noise argument).

        Levels are the nearest that the function's range allows, with fields (n,) like the
        argument.
        """

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        check_kind(kind)
        return self._read(x, level, *self._evaluate(x, level), kind)

    def _read(
        self, x: Tensor, level: NoiseLevel, home: NoiseLevel, z: Tensor, out: Tensor, kind: str
    ) -> Tensor:
        """An output for the state z at home, as a kind's prediction for x at the level."""
        d = self.sigma_data
        if self._is_home(level, home):
            return convert(out, x, level, self.kind, kind, d)
        v = convert(out, z, home, self.kind, "v", d)
        return convert(v, x, level, "v", kind, d)

    def given(self, condition: Tensor | None) -> Foreign:
        if condition is not None and not self.classes:
            return super().given(condition)
        bound = copy.copy(self)
        bound.labels = None if condition is None else self._checked(condition)
        return bound

    def at_rows(self, index: slice | Tensor) -> Foreign:
        return self if self.labels is None else self.given(self.labels[index])

    def _is_home(self, level: NoiseLevel, home: NoiseLevel) -> bool:
        """Whether the kind's value at the level is that at home, so that nothing is carried."""
        if isinstance(level.alpha, Tensor) or self.kind not in INVARIANT_KINDS:
            return False  # for a batch of levels the answer would have to be one for all
        return math.isclose(level.log_snr, home.log_snr, rel_tol=1e-12, abs_tol=1e-12)

    def _evaluate(self, x: Tensor, level: NoiseLevel) -> tuple[NoiseLevel, Tensor, Tensor]:
        """(the level at which the function was asked, the state there, its output)."""
        log_snr = level.log_snr
        single = not isinstance(log_snr, Tensor)
        flat = torch.as_tensor(log_snr, dtype=torch.float64).reshape(-1)
        home, noise = self.home(flat)
        fields = (home.t, home.alpha, home.sigma, home.alpha_rate, home.sigma_rate)
        if single:
            fields = [f.item() if isinstance(f, Tensor) else f for f in fields]
        else:
            fields = [
                f.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) if isinstance(f, Tensor) else f
                for f in fields
            ]
        home = NoiseLevel(*fields, process=home.process)
        z = x * (home.scale / level.scale)
        return home, z, self._call(z, noise, home)

    def _call(self, z: Tensor, noise: Tensor, home: NoiseLevel) -> Tensor:
        """The function's output for states at their home level, checked, in the states' dtype."""
        dtype = self.dtype or z.dtype
        noise = noise.to(z.device, dtype if noise.is_floating_point() else noise.dtype)
        arguments = (z.to(dtype), noise.expand(len(z)))
        if self.classes:
            arguments += (self._labels(z),)
        try:
            out = self.function(*arguments)
        except (ScoresdeError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            narrow = self.dtype is not None or z.dtype == torch.float32
            if isinstance(error, RuntimeError) and not narrow:
                raise OptionError(
                    f"the function fails for states of {z.dtype}: {text}; if it computes in "
                    "float32, state dtype=torch.float32 and they are cast"
                ) from error
            shapes = ", ".join(str(tuple(argument.shape)) for argument in arguments)
            raise PluginError(
                f"the function fails for arguments of shapes {shapes}: {text}"
            ) from error
        if not isinstance(out, Tensor):
            raise OptionError(
                f"the function gives a {type(out).__name__}, not a tensor; wrap it in a function "
                "that returns the prediction alone"
            )
        wanted = self._output_shape(z)
        if out.shape != wanted:
            raise OptionError(
                f"the function gives {tuple(out.shape)} for states of shape {tuple(z.shape)}, "
                f"where {tuple(wanted)} is needed"
            )
        return out.to(z.dtype)

    def _output_shape(self, z: Tensor) -> tuple[int, ...]:
        return tuple(z.shape)

    def _labels(self, z: Tensor) -> Tensor:
        if self.labels is None:
            if self.null_label is None:
                raise CapabilityError(
                    "the function needs labels and has no null label: take model.given(labels), "
                    "or state null_label"
                )
            return torch.full((len(z),), self.null_label, dtype=torch.int64, device=z.device)
        if len(self.labels) != len(z):
            raise OptionError(
                f"the model is given {len(self.labels)} labels and asked with {len(z)} states"
            )
        labels = self.labels.to(z.device)
        if self.null_label is None:
            return labels
        return torch.where(labels < 0, self.null_label, labels)

    def _checked(self, labels: Tensor) -> Tensor:
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.dtype != torch.int64:
            found = (
                f"{tuple(labels.shape)} of {labels.dtype}"
                if isinstance(labels, Tensor)
                else type(labels).__name__
            )
            raise OptionError(f"labels are (batch,) of int64, got {found}")
        least = 0 if self.null_label is None else -1
        if bool(((labels < least) | (labels >= self.classes)).any()):
            none = "" if least else ", and -1 (no label) needs a null_label"
            raise OptionError(
                f"labels lie in {least}..{self.classes - 1}{none}; got {labels.min().item()} to "
                f"{labels.max().item()}"
            )
        return labels


def module_of(function: object) -> nn.Module | None:
    """The module that a function is, or whose method it is."""
    owner = getattr(function, "__self__", function)
    return owner if isinstance(owner, nn.Module) else None


def _dtype_of(function) -> torch.dtype | None:
    module = module_of(function)
    parameters = () if module is None else module.parameters()
    return next((p.dtype for p in parameters if p.is_floating_point()), None)
