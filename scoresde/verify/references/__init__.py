r"""Each member's moments on Gaussian targets, from its paper and in its paper's variables.

None of it is shared with the samplers. A reference maps (sampler, process, levels, targets, law of
the start) to the law of the output, or to None where its paper's form does not reach. For a VP
process alpha-bar = alpha^2; any other is divided by sqrt(alpha^2 + sigma^2) first.
"""

from scoresde.verify.references import (
    adaptive,
    corrected,
    exponential,
    multistep,
    runge_kutta,
    stochastic,
    stochastic_exponential,
)

REFERENCES = {
    member: reference
    for kind in (
        runge_kutta,
        exponential,
        multistep,
        stochastic,
        stochastic_exponential,
        corrected,
        adaptive,
    )
    for member, reference in kind.REFERENCES.items()
}
"""By the very class: a subclass is a sampler of its own, and is judged by its limit."""

__all__ = ["REFERENCES"]
