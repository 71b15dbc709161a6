"""scoresde fit"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli.console import (
    Console,
    check_device,
    common,
    device_option,
    set_threads,
    settings_option,
    threads_option,
)
from scoresde.cli.stopping import stoppable
from scoresde.errors import counted

MOST = 1000  # sizes among which one call may choose


@click.command("fit")
@click.argument("name")
@click.argument("data")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File [default: NAME-DATA].")
@click.option("--k", help="Clusters or components; 2..8 or 2,4,8 chooses among them.")
@click.option("--components", help="Principal axes; for pca a share of the variance, too.")
@click.option("--bandwidth", help="A kernel's width, or the rule that chooses it.")
@click.option("--structure", help="Of a mixture's covariances: diagonal, full, ...")
@click.option("--method", help="How a mixture is climbed (see: scoresde list).")
@click.option("--criterion", help="Which k is chosen: bic (default), aic, held-out.")
@click.option("--start", type=click.Path(path_type=Path), help="Begin at this fitted model.")
@click.option("--n", type=int, help="The first N rows of the training split alone.")
@click.option("--seed", type=int, help="Seed of random starts  [default: 0].")
@click.option("--dtype", default="float32", show_default=True, help="Of the data: float64, too.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a picture (.png).")
@click.option("--force", is_flag=True, help="Replace the fitted model in the file.")
@click.option("--dry-run", is_flag=True, help="Check all that can be told before a fit, and stop.")
@settings_option
@device_option
@threads_option
@common
def command(name, data, out, force, dry_run, report, device, threads, console: Console, **options):
    """Fit the classical model NAME to DATA, into a file that every command takes for a model.

    NAME: see `scoresde list estimators`. DATA: a data set's name, a .toml with [data] (and [fit]),
    a table (.csv), an array (.npz, .h5), or a dump of samples. The training split is fitted to,
    the test split judges. Options of the model: --set fit.OPTION=VALUE.
    """
    again = "the same call begins the fit anew"
    with stoppable(f"no model was written; {again}") as stopping:
        from scoresde.fit import carry_out, check_place, planned, write
        from scoresde.jobs import dtype_named

        sizes = sizes_of(options["k"])
        settings = _settings(name, data, sizes, options)
        out = out or Path(f"{name}-{Path(data).stem}.safetensors")
        check_place(out, force=force, report=report)
        check_device(device)
        plan = planned(
            settings,
            start=options["start"],
            n=options["n"],
            dtype=dtype_named(options["dtype"]),
            device=device,
            ks=sizes if len(sizes) > 1 else (),
            criterion=options["criterion"] or "bic",
        )
        if dry_run:
            from scoresde import config

            console.show(config.to_toml(settings.resolved()).rstrip())
            console.show(f"# {plan.told()}, into {out}")
            console.result({"out": str(out), **settings.resolved(), **plan.facts()})
            return
        set_threads(threads, console)
        total = len(plan.ks) or bound_of(plan.estimator)
        with console.progress("fitting", total) as bar:
            fitting = carry_out(
                plan,
                on_iteration=_counted(bar, console),
                on_candidate=_candidates(bar, console),
            )
        stopping.told = f"the model was about to be written: {out}, if there, is whole; {again}"
        written = write(out, fitting, force=force)
        undrawn = "" if report is None else ", and the picture was not drawn"
        stopping.told = f"the model is in {out}{undrawn}"
        if fitting.data.features:
            console.warn("the data's given columns are left out: the model is of p(x) alone")
        if report is not None:
            from scoresde.fit.picture import draw_fit

            draw_fit(report, fitting, force=force)
            stopping.told = f"the model is in {out}, the picture in {report}"
        _tell_all(fitting, out, report, written, console)


def _settings(name: str, data: str, sizes: list[int], options: dict):
    """The configuration of a command line."""
    from scoresde.fit import settings_of

    if options["criterion"] is not None and len(sizes) < 2:
        raise click.UsageError("--criterion chooses among several k; give them by --k 2..8")
    twice = [s for s in options["settings"] if s.replace(" ", "").startswith("fit.k=")]
    if len(sizes) > 1 and twice:
        raise click.UsageError(f"--k {options['k']} and --set {twice[0]} exclude each other")
    given = given_of(name, options, sizes)
    return settings_of(name, data, given, options["settings"], seed=options["seed"])


def _tell_all(fitting, out: Path, report: Path | None, written: dict, console: Console) -> None:
    tell(fitting, out, report, console)
    console.result(
        {
            "out": str(out),
            "estimator": fitting.name,
            "data": fitting.data.name,
            "options": fitting.settings.resolved()["fit"],
            "seed": fitting.settings.seed,
            **fitting.figures(),
            "trace": list(fitting.model.trace),
            "seconds": fitting.seconds,
            **written,
        }
    )


def _counted(bar, console: Console):
    """What an estimator tells of its iterations, those of all restarts counted."""
    done = 0

    def on_iteration(i: int, objective: float) -> None:
        nonlocal done
        done += 1
        bar(done, f"iteration {i}  {objective:.6g}")
        console.detail(f"iteration {i}: {objective:.8g}")

    return on_iteration


def _candidates(bar, console: Console):
    """What is told of each k that was tried."""
    done = 0

    def on_candidate(candidate) -> None:
        nonlocal done
        done += 1
        bar(done, f"k = {candidate.k}")
        console.detail(f"k = {candidate.k}: {candidate.value:.8g}")

    return on_candidate


def given_of(name: str, options: dict, sizes: list[int]) -> dict:
    """The estimator's options that have a flag of their own, where they were given."""
    from scoresde.config import options_of
    from scoresde.estimators import ESTIMATORS
    from scoresde.fit import FLAGS

    known = options_of(ESTIMATORS[name])
    given = {key: options[key] for key in FLAGS if key != "k" and options[key] is not None}
    if sizes:
        given["k"] = sizes[0]  # of several, the one chosen takes its place
    for key in given:
        if key not in known:
            raise click.UsageError(f"{name} has no option {key}; it has {', '.join(known)}")
    return {key: _number(value) for key, value in given.items()}


def _number(value):
    """A text that is a number, as that number."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def sizes_of(text: str | None) -> list[int]:
    """The numbers of '8', '2..8' and '2,4,8'."""
    if text is None:
        return []
    try:
        first, dots, last = text.partition("..")
        if dots:
            between = range(int(first), int(last) + 1)
            if len(between) > MOST:
                raise click.UsageError(f"--k {text} asks for {len(between)} fits; at most {MOST}")
            sizes = list(between)
        else:
            sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise click.UsageError(f"--k takes a number from 1 on, 2..8 or 2,4,8, got {text!r}")
    return sizes


def bound_of(estimator) -> float:
    """The iterations that a fit may take, as far as its options tell."""
    for options in (estimator, vars(estimator).get("method")):
        if (bound := vars(options).get("max_iterations") if options else None) is not None:
            return float(bound) * float(vars(estimator).get("restarts") or 1)
    return 1.0


def tell(fitting, out: Path, report: Path | None, console: Console) -> None:
    """What came of it, in words."""
    model, data = fitting.model, fitting.data
    shape = "x".join(map(str, data.event_shape))
    ended = "" if not model.iterations else f", {counted(model.iterations, 'iteration')}"
    if model.trace:
        ended += f" to an objective of {model.trace[-1]:.6g}"
    if not model.converged:
        ended += ", not converged (max_iterations allows more)"
    console.say(
        f"{fitting.name} fitted to {counted(fitting.rows, 'row')} of {data.name} ({shape}) in "
        f"{fitting.seconds:.3g} s{ended}"
    )
    console.say(f"log-likelihood of a datum, held out: {fitting.held_out.told()}")
    console.say(f"                           training: {fitting.train.told()}")
    if fitting.choice is not None:
        console.say(f"chosen by {fitting.choice.criterion}, in model space:")
        for row in fitting.choice.table:
            chosen = "  chosen" if row.k == fitting.choice.k else ""
            gap = f"{row.gap:+.4g} +- {row.gap_error:.2g}" if row.gap else "best"
            console.say(f"  k = {row.k:<4}{row.value:<12.7g}{gap}{chosen}")
    facts = {k: v for k, v in model.facts().items() if not isinstance(v, list | tuple | dict)}
    if facts:
        told = (f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
        console.say(f"in model space: {', '.join(told)}")
    if report is not None:
        console.say(f"picture: {report}")
    console.say(f"model in {out}; sample it with: scoresde sample {out}")
