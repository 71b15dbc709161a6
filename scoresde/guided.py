"""A source's model under guidance, and the labels of its samples."""

from __future__ import annotations

from scoresde.checkpointed import Source
from scoresde.config import Config
from scoresde.data import Scaling
from scoresde.errors import UsageError
from scoresde.guidance import GUIDANCE, Labels, Vector
from scoresde.score import ExactClassifier, ExactScore, ScoreModel


def guided(source: Source, method: Config, guide: Source | None = None) -> ScoreModel:
    """The source's model under the method's [guidance] and [threshold].

    `guide` is the classifier, or the bad model of autoguidance. Raises `UsageError` for one that
    the guidance does not take, lacks, or that sees the data in another scaling.
    """
    model, parts = source.model, ()
    if model.kind == "class":
        raise UsageError("this model is a classifier and has no score; it can be a --guide")
    if guide is not None and guide.scaling != source.scaling:
        raise UsageError(
            f"the guide sees the data as (raw - {guide.scaling.shift})/{guide.scaling.scale}, the "
            f"model as (raw - {source.scaling.shift})/{source.scaling.scale}: train both on the "
            "same data"
        )
    if "guidance" in method:
        name = method.sections["guidance"]["name"]
        needed = GUIDANCE[name].guide
        if needed:
            parts = (_second(source, guide, needed, name),)
        elif guide is not None:
            raise UsageError(f"{name} guidance takes no --guide; leave it out")
        model = method.build("guidance", model, *parts)
    elif guide is not None:
        raise UsageError("a guide is for [guidance] classifier or autoguidance; ask for one")
    return method.build("threshold", model) if "threshold" in method else model


def _second(source: Source, guide: Source | None, needed: str, name: str):
    """What a guidance is made of beside the model: a classifier or a score model."""
    given = source if guide is None and needed == "classifier" else guide
    if given is not None and (given.model.kind == "class") == (needed == "classifier"):
        if given.identity == source.identity and needed != "classifier":
            raise UsageError(
                f"{name} away from the model itself changes nothing: give a smaller or less "
                "trained one by --guide, or another average of its weights by --guide-weights"
            )
        return given.model
    if needed == "classifier":
        if isinstance(given.model, ExactScore) and given.model.classes:
            return ExactClassifier(given.model.density)
        raise UsageError(
            f"{name} guidance needs a classifier of noisy states: train one (objective "
            "'classification') and give it by --guide"
        )
    raise UsageError(
        f"{name} guidance needs a second score model: give a smaller or less trained one of the "
        "same data by --guide"
    )


def conditions_of(
    model: ScoreModel,
    method: Config,
    label: int | str | tuple[int, ...] | None,
    vector: tuple[float, ...] | None,
    scaling: Scaling,
) -> Labels | Vector | None:
    """What a request's samples are given of the (guided) model; None is unconditional.

    `scaling` leads from the units of a vector (raw) to the model's. Raises `UsageError` for what
    the model does not take, and for guidance that does nothing without it.
    """
    if vector is not None:
        if label is not None:
            raise UsageError("a sample is given a label or a vector, not both")
        return Vector.of(vector, model.features, scaling)
    return labels_of(model, method, label)


def labels_of(
    model: ScoreModel, method: Config, label: int | str | tuple[int, ...] | None
) -> Labels | None:
    """The labels of a request's samples for the (guided) model; None is unconditional.

    Raises as `conditions_of`.
    """
    if label is None:
        table = method.sections.get("guidance")
        if table is not None and GUIDANCE[table["name"]].needs_labels:
            raise UsageError(
                f"{table['name']} guidance needs labels: give --label a class, a list or 'all', "
                "--given a vector, or sample without it (--guidance off)"
            )
        return None
    if not model.classes:
        vectors = f" (it takes vectors of {model.features} numbers)" if model.features else ""
        raise UsageError(
            f"the label {label!r} is for a model of classes and this one has none{vectors}: leave "
            "labels out, train a net with `classes`, give a density's components `labels`, or "
            "guide by a classifier"
        )
    return Labels.of(label, model.classes)
