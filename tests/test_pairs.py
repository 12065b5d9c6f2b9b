"""Sums over pairs by compiled loops, against arrays of all pairs and automatic differentiation."""

import pytest
import torch

from qdflow import pairs

SUMS = {
    "inverse_distances": lambda r2: r2.rsqrt().sum(-1),
    "log_squares": lambda r2: r2.log().sum(-1),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_sum_and_gradient(name, n, generator):
    """Of more samples than a loop takes at a time."""
    x = torch.randn(2, 150, n, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    share = torch.randn(2, 150, dtype=torch.float64, generator=generator)
    i, j = torch.triu_indices(n, n, 1)
    exact = SUMS[name]((x[..., i, :] - x[..., j, :]).square().sum(-1))
    found = getattr(pairs, name)(x)
    torch.testing.assert_close(found, exact)
    mine, theirs = (torch.autograd.grad((share * total).sum(), x)[0] for total in (found, exact))
    torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        torch.testing.assert_close(getattr(pairs, name)(x), exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_and_near_neither_overflow_nor_vanish(dtype):
    x = torch.tensor([[0.0, 0.0], [1e-8, 0.0], [1e4, 0.0], [0.0, 1e4]], dtype=dtype).expand(9, 4, 2)
    r = (x.double().unsqueeze(2) - x.double().unsqueeze(1)).norm(dim=-1)
    i, j = torch.triu_indices(4, 4, 1)
    for name, f in SUMS.items():
        exact = f(r[:, i, j].square())
        torch.testing.assert_close(getattr(pairs, name)(x).double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coincidence_is_infinite(dtype):
    x = torch.zeros(2, 3, 2, dtype=dtype)
    assert pairs.inverse_distances(x).tolist() == [torch.inf] * 2
    assert pairs.log_squares(x).tolist() == [-torch.inf] * 2
