"""lincomb: the sum, its dtype, and its inputs left alone."""

import numpy as np
import pytest
import torch

from scoresde.kernels import lincomb

SHAPES = [(1,), (7, 3), (5, 1, 8, 8), (33, 17)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "eps"), [(torch.float64, 2.3e-16), (torch.float32, 1.2e-7)])
@pytest.mark.parametrize("terms", [1, 2, 5])
@pytest.mark.parametrize("kind", ["float", "sample", "elementwise", "mixed"])
def test_it_is_the_sum(shape, dtype, eps, terms, kind) -> None:
    rng = np.random.default_rng(3)
    xs = [rng.standard_normal(shape) for _ in range(terms)]
    sizes = {"float": (), "sample": (shape[0], *[1] * (len(shape) - 1)), "elementwise": shape}
    kinds = [kind if kind != "mixed" else list(sizes)[(i + 1) % 3] for i in range(terms)]
    cs = [rng.standard_normal(sizes[k]) for k in kinds]
    tensors = [torch.from_numpy(x).to(dtype) for x in xs]
    coefficients = [
        float(c) if k == "float" else torch.from_numpy(c) for c, k in zip(cs, kinds, strict=True)
    ]
    before = [t.clone() for t in tensors]
    coefficients_before = [c if isinstance(c, float) else c.clone() for c in coefficients]
    out = lincomb(coefficients, tensors)
    exact = sum(c * x for c, x in zip(cs, xs, strict=True))
    bound = 3 * terms * eps * sum(np.abs(c * x) for c, x in zip(cs, xs, strict=True))
    assert out.shape == torch.Size(shape)
    assert out.dtype == dtype
    assert bool((np.abs(out.double().numpy() - exact) <= bound).all())
    for now, then in zip(tensors, before, strict=True):
        assert torch.equal(now, then)
        assert now.data_ptr() != out.data_ptr()
    for now, then in zip(coefficients, coefficients_before, strict=True):
        assert now == then if isinstance(now, float) else torch.equal(now, then)


def test_an_unequal_number_of_terms_is_refused() -> None:
    for coefficients, terms in (([1.0], 2), ([1.0, 2.0], 1), ([], 0)):
        with pytest.raises(ValueError, match=f"{len(coefficients)} coefficients for {terms} "):
            lincomb(coefficients, [torch.zeros(1)] * terms)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_is_the_chain_of_single_operations_bit_for_bit(dtype) -> None:
    """Also where the first coefficient is 1, 0 or -0, or too small for the dtype."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = (
        torch.randn(5, 3, generator=generator, dtype=torch.float64).to(dtype) for _ in "xyz"
    )
    x[0, 0] = 0.0
    for first in (1.0, -1.0, 0.0, -0.0, 0.3, 1e-50, 1e30):
        expected = (x * first).add(y, alpha=0.7).add(z, alpha=-1.3)
        got = lincomb([first, 0.7, -1.3], [x, y, z])
        assert torch.equal(got, expected)
        alone = lincomb([first], [x])
        assert torch.equal(alone, x * first)
        assert torch.equal(alone.signbit(), (x * first).signbit())


def test_gradients_pass_through_it() -> None:
    x, y = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in "xy")
    with torch.inference_mode():
        lincomb([0.12345, 2.0], [x, y])  # what it remembers must serve a backward pass too
    lincomb([0.12345, 2.0], [x, y]).sum().backward()
    assert x.grad.tolist() == [0.12345] * 3
    assert y.grad.tolist() == [2.0] * 3
