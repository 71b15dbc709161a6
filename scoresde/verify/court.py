"""Every sampler, ours or a third party's, before the same laws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from scoresde.config import build
from scoresde.errors import OptionError, PluginError, UnknownNameError
from scoresde.families import unknown
from scoresde.langevin import KERNELS, LangevinKernel
from scoresde.samplers import SAMPLERS, Sampler
from scoresde.verify.batches import batch_checks
from scoresde.verify.chains import chain_checks, kernel_named
from scoresde.verify.equivalences import equivalence_checks, pairs_of
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.flow import flow_checks, gaussian_flow_checks
from scoresde.verify.gaussian_law import limit_checks, reference_checks, weak_order_checks
from scoresde.verify.invariant_law import invariant_checks
from scoresde.verify.mixture_law import mixture_law_checks
from scoresde.verify.order import order_checks
from scoresde.verify.per_sample import per_sample_checks
from scoresde.verify.plugins import plugin, read
from scoresde.verify.precision import precision_checks
from scoresde.verify.references import REFERENCES
from scoresde.verify.strong import ONE_LIMIT, path_limit_checks, strong_order_checks
from scoresde.verify.verdict import Check, Verdict, raised
from scoresde.verify.workers import in_workers

Progress = Callable[[int, int, str], None]
Law = Callable[[str, Sampler], list[Check]]


def named(name: str) -> Sampler | LangevinKernel:
    """The member called `name`, or `name(option=value, ...)`, of samplers or Langevin kernels.

    `name` may be an alias, or `module:Class` of another package. Raises `UnknownNameError` for a
    name of neither family, `OptionError` for options that it does not take, `PluginError` for a
    class that cannot be imported or judged.
    """
    family, options = read(name)
    if ":" in family:
        return plugin(name)
    if family not in SAMPLERS and family not in KERNELS:
        known = [*SAMPLERS.names(), *KERNELS.names()]
        raise UnknownNameError(unknown("sampler or kernel", family, known))
    if family in SAMPLERS:
        return build(SAMPLERS, {"name": family, **options}, where=name)
    try:
        return kernel_named(family, **options)
    except TypeError as error:
        raise OptionError(f"{name}: {error}") from None


def laws_of(sampler: Sampler | LangevinKernel) -> dict[str, Law]:
    """What a sampler must obey, by what it declares itself to be.

    Deterministic with fixed steps: an order. Adaptive (no fixed evaluations): the flow itself.
    Stochastic: a weak order, or an invariant law where it has none. All: moments on Gaussians,
    the law on a mixture, batches, evaluations, precision.
    """
    if isinstance(sampler, LangevinKernel):
        return {"stationary variance": chain_checks}
    laws: dict[str, Law] = {
        "batches": batch_checks,
        "nfe": evaluation_checks,
        "precision": precision_checks,
        "mixture law": mixture_law_checks,
    }
    if not sampler.stochastic and sampler.evaluations is None and sampler.order is None:
        if not sampler.batched:
            del laws["mixture law"]  # thousands of samples; "flow" tells more, and of a few
        laws |= {"flow": flow_checks, "gaussian law": gaussian_flow_checks}
        return {**laws, "per sample": per_sample_checks}
    if type(sampler) in REFERENCES:
        laws["gaussian law"] = reference_checks
    if not sampler.stochastic:
        laws["order"] = order_checks
    elif sampler.weak_order is not None:
        laws["weak order"] = weak_order_checks
    else:
        laws["invariant law"] = invariant_checks
    if sampler.strong_order is not None:
        laws["strong order"] = strong_order_checks
    if type(sampler) not in REFERENCES and "invariant law" not in laws:
        laws["limit law"] = limit_checks
    return laws


def cases_of(name: str, sampler) -> dict[str, Law]:
    """The laws of a defendant, with what its name alone brings: equalities and a shared limit."""
    if not isinstance(sampler, Sampler | LangevinKernel):
        return {"construction": _refuse}
    laws = laws_of(sampler)
    if name in SAMPLERS.members and pairs_of(name):
        laws["equivalence"] = lambda name, sampler: equivalence_checks(name, named)
    if name in ONE_LIMIT:
        laws["path limit"] = path_limit_checks
    return laws


def _refuse(name: str, what) -> list[Check]:
    if isinstance(what, Exception):
        raise what
    raise TypeError(f"{what!r} is neither a Sampler nor a LangevinKernel instance")


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
    except (PluginError, AttributeError):
        return []


def verify(
    names: Iterable[str] | str | None = None,
    *,
    samplers: Mapping[str, Sampler | LangevinKernel] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Verdict:
    """Measure what samplers declare, in float64 on exact scores, with fixed seeds.

    `names` are members of the families (`default_names()` if neither argument is given), each
    alone or with options, as in "ddim(eta=1)", or classes elsewhere, "module:Class"; `samplers`
    are instances to judge under names of their own. A sampler that raises fails, and so does a
    listed plug-in that cannot be made with its defaults; a name or option given here that does not
    exist raises `UnknownNameError`, `OptionError` or `PluginError`. `progress(done, total, label)`
    is called before each law. With several `workers` (processes, for names alone) the checks and
    their order are the same.
    """
    defendants: dict[str, Sampler | LangevinKernel | Exception] = {}
    names = [names] if isinstance(names, str) else names
    if names is not None:
        defendants = {name: named(name) for name in names}
    elif not samplers:
        defendants = {name: _instance(name) for name in default_names()}
    given = dict(samplers or {})
    cases = [
        (name, law)
        for name, sampler in {**defendants, **given}.items()
        for law in cases_of(name, sampler)
    ]
    outcomes: Iterator[list[Check]]
    if workers > 1 and not given:
        outcomes = in_workers(judge_case, cases, workers)
    else:
        outcomes = map(partial(_judge, {**defendants, **given}), cases)
    checks: list[Check] = []
    for done, (name, law) in enumerate(cases):
        if progress is not None:
            progress(done, len(cases), f"{name}: {law}")
        checks += next(outcomes)
    if progress is not None:
        progress(len(cases), len(cases), "")
    return Verdict(tuple(checks))


def judge_case(case: tuple[str, str]) -> list[Check]:
    """One law for one named sampler, made here: what a worker process does."""
    return _judge({case[0]: _instance(case[0])}, case)


def _judge(defendants: Mapping, case: tuple[str, str]) -> list[Check]:
    name, law = case
    try:
        return cases_of(name, defendants[name])[law](name, defendants[name])
    except Exception as error:  # a foreign sampler may raise anything: that is its verdict
        return [raised(name, law, error)]


def _instance(name: str) -> Sampler | LangevinKernel | Exception:
    """The member, or what kept a listed one (a foreign package's) from being made."""
    try:
        return named(name)
    except Exception as error:
        return error
