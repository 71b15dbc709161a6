"""`check` refuses, by size and shape alone, what `fit` refuses."""

import pytest
import torch

from scoresde.errors import ScoresdeError
from scoresde.estimators import ESTIMATORS

OPTIONS = {
    "gmm": ({"k": 1}, {"k": 4}, {"k": 2, "structure": "low-rank", "rank": 2}),
    "kde": ({}, {"bandwidth": 0.5}, {"bandwidth": "scott"}),
    "kmeans": ({"k": 1}, {"k": 4}),
    "kmedoids": ({"k": 1}, {"k": 4}),
    "pca": ({"components": 1}, {"components": 3}, {"components": 0.9}),
    "ppca": ({"components": 1}, {"components": 3}, {"components": 1, "method": "em"}),
}


def refusal(call) -> str | None:
    try:
        call()
    except ScoresdeError as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("name", ESTIMATORS.members)
def test_what_a_size_forbids_is_told_before_the_fit(name) -> None:
    refused = passed = 0
    for options in OPTIONS[name]:
        estimator = ESTIMATORS[name](**options)
        for rows in (1, 2, 3, 5, 12):
            for shape in ((1,), (3,), (1, 2, 2)):
                draw = torch.Generator().manual_seed(rows)
                x = torch.randn(rows, *shape, generator=draw, dtype=torch.float64)
                before = refusal(lambda e=estimator, x=x: e.check(len(x), tuple(x.shape[1:])))
                after = refusal(lambda e=estimator, x=x: e.fit(x))
                assert (before is None) == (after is None), (options, rows, shape, after)
                refused, passed = refused + (after is not None), passed + (after is None)
    assert refused > 0
    assert passed > 0
