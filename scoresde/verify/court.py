"""Every sampler, ours or a third party's, before the same laws."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping

from scoresde.errors import OptionError, PluginError, UnknownNameError
from scoresde.families import unknown
from scoresde.langevin import KERNELS, LangevinKernel
from scoresde.samplers import SAMPLERS, ProbabilityFlow, Sampler
from scoresde.verify.batches import batch_checks
from scoresde.verify.chains import chain_checks, kernel_named
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.flow import flow_checks, gaussian_flow_checks
from scoresde.verify.gaussian_law import limit_checks, reference_checks, weak_order_checks
from scoresde.verify.order import order_checks
from scoresde.verify.references import REFERENCES
from scoresde.verify.verdict import Check, Verdict, raised

Progress = Callable[[int, int, str], None]
Law = Callable[[str, Sampler], list[Check]]


def named(name: str) -> Sampler | LangevinKernel:
    """The member called `name`, or `name(option=value, ...)`, of samplers or Langevin kernels.

    Raises `UnknownNameError` for a name of neither family, `OptionError` for options that it does
    not take.
    """
    match = re.fullmatch(r"([^()]+)(?:\((.*)\))?", name.strip())
    if match is None:
        raise OptionError(f"cannot read {name!r}; write name or name(option=value, ...)")
    family, options = match.group(1).strip(), _options(name, match.group(2) or "")
    if family not in SAMPLERS and family not in KERNELS:
        known = [*SAMPLERS.names(), *KERNELS.names()]
        raise UnknownNameError(unknown("sampler or kernel", family, known))
    try:
        if family in SAMPLERS:
            member, preset = SAMPLERS.find(family)
            return member(**{**preset, **options})
        return kernel_named(family, **options)
    except TypeError as error:
        raise OptionError(f"{name}: {error}") from None


def _options(name: str, text: str) -> dict:
    options = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals:
            raise OptionError(f"cannot read {part!r} in {name!r}; write option=value")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options


def laws_of(sampler: Sampler | LangevinKernel) -> dict[str, Law]:
    """What a sampler must obey, by what it declares itself to be.

    Deterministic with fixed steps: an order. Adaptive (no fixed evaluations): the flow itself.
    Stochastic: a weak order, or the law in the limit. All: moments, batches, evaluations.
    """
    if isinstance(sampler, LangevinKernel):
        return {"stationary variance": chain_checks}
    laws: dict[str, Law] = {"batches": batch_checks, "nfe": evaluation_checks}
    adaptive = not sampler.stochastic and sampler.evaluations is None and sampler.order is None
    if adaptive or isinstance(sampler, ProbabilityFlow):
        laws["flow"] = flow_checks
    if adaptive:
        return {**laws, "gaussian law": gaussian_flow_checks}
    if type(sampler) in REFERENCES:
        laws["gaussian law"] = reference_checks
    if sampler.stochastic and sampler.weak_order is not None:
        laws["weak order"] = weak_order_checks
    if type(sampler) not in REFERENCES or (sampler.stochastic and sampler.weak_order is None):
        laws["limit law"] = limit_checks
    if not sampler.stochastic:
        laws["order"] = order_checks
    return laws


def default_names() -> list[str]:
    """Every listed sampler with its variants, plug-ins included, then the Langevin kernels."""
    names = []
    for name in SAMPLERS.names():
        names += [name, *variants_of(name)]
    return names + KERNELS.names()


def variants_of(name: str) -> list[str]:
    """A member under the options that it declares as `variants`: ["ddim(eta=1)"]."""
    try:
        return [f"{name}({options})" for options in SAMPLERS[name].variants]
    except PluginError:
        return []


def verify(
    names: Iterable[str] | str | None = None,
    *,
    samplers: Mapping[str, Sampler | LangevinKernel] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Measure what samplers declare, in float64 on exact scores, with fixed seeds.

    `names` are members of the families (`default_names()` if neither argument is given), each
    alone or with options, as in "ddim(eta=1)"; `samplers` are instances to judge under names of
    their own. A sampler that raises fails, and so does a plug-in that cannot be made with its
    defaults; a name or option given here that does not exist raises `UnknownNameError` or
    `OptionError`. `progress(done, total, label)` is called before each law.
    """
    defendants: dict[str, Sampler | LangevinKernel | Exception] = {}
    names = [names] if isinstance(names, str) else names
    if names is not None:
        defendants = {name: named(name) for name in names}
    elif not samplers:
        defendants = {name: _instance(name) for name in default_names()}
    defendants.update(samplers or {})
    cases = [
        (name, law, function)
        for name, sampler in defendants.items()
        for law, function in _laws(sampler).items()
    ]
    checks: list[Check] = []
    for done, (name, law, function) in enumerate(cases):
        if progress is not None:
            progress(done, len(cases), f"{name}: {law}")
        try:
            checks += function(name, defendants[name])
        except Exception as error:  # a foreign sampler may raise anything: that is its verdict
            checks.append(raised(name, law, error))
    if progress is not None:
        progress(len(cases), len(cases), "")
    return Verdict(tuple(checks))


def _instance(name: str) -> Sampler | LangevinKernel | Exception:
    """The member, or what kept a listed one (a foreign package's) from being made."""
    try:
        return named(name)
    except Exception as error:
        return error


def _laws(sampler) -> dict[str, Law]:
    if isinstance(sampler, Sampler | LangevinKernel):
        return laws_of(sampler)

    def refuse(name: str, what) -> list[Check]:
        if isinstance(what, Exception):
            raise what
        raise TypeError(f"{what!r} is neither a Sampler nor a LangevinKernel instance")

    return {"construction": refuse}
