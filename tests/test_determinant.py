"""The determinant of a chain of matrices in closed form, against slogdet and autograd."""

from itertools import pairwise

import pytest
import torch

from qdflow import compiled, flows
from qdflow.flows._dense import DenseFlow
from qdflow.flows._determinant import inverted, log_det, log_dets
from qdflow.system import System

CHAINS = [(4, 4, 4), (6, 9, 6), (6, 12, 9, 6), (5, 7, 8, 6, 5), (40, 64, 64, 40)]


def random_chain(sizes, size, generator):
    """Weights, slopes and a weight for each sample."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    weights = [normal(o, i) for i, o in pairwise(sizes)]
    slopes = [normal(size, width) for width in sizes[1:-1]]
    return weights, slopes, normal(size).detach()


def by_product(weights, slopes):
    """ln |det| and sign, factor by factor."""
    J = weights[0]
    for W, d in zip(weights[1:], slopes, strict=True):
        J = W @ (d.unsqueeze(2) * J)
    sign, ladj = torch.linalg.slogdet(J)
    return ladj, sign


@pytest.mark.parametrize("sizes", CHAINS)
def test_value_sign_and_gradients(sizes, generator):
    weights, slopes, share = random_chain(sizes, 70, generator)
    exact, exact_sign = by_product(weights, slopes)
    ladj, sign = log_det(weights, slopes)
    torch.testing.assert_close(ladj, exact, rtol=1e-10, atol=1e-10)
    assert torch.equal(sign, exact_sign)
    assert set(sign.tolist()) == {-1.0, 1.0}  # both occur, so that the sign is tested
    variables = [*weights, *slopes]
    mine = torch.autograd.grad((share * ladj).sum(), variables)
    theirs = torch.autograd.grad((share * exact).sum(), variables)
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() < 1e-8 * b.abs().max()


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 40, 66])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-2)])
def test_inverse_of_every_size(d, dtype, tolerance, generator):
    A = torch.randn(30, d, d, generator=generator, dtype=torch.float64)
    A[0] = torch.eye(d)[torch.randperm(d, generator=generator)]  # every pivot is elsewhere
    transposed, ladj, sign = inverted(A.to(dtype))
    exact = torch.linalg.slogdet(A)
    assert torch.equal(sign.double(), exact.sign)
    torch.testing.assert_close(ladj.double(), exact.logabsdet, rtol=tolerance, atol=tolerance)
    identity = torch.eye(d, dtype=torch.float64).expand(30, d, d)
    torch.testing.assert_close(transposed.mT.double() @ A, identity, rtol=0, atol=tolerance)


def test_gradients_of_single_matrices(generator):
    A = torch.randn(20, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    share = torch.randn(20, generator=generator, dtype=torch.float64)
    exact = torch.linalg.slogdet(A)
    ladj, sign = log_dets(A)
    torch.testing.assert_close(ladj, exact.logabsdet)
    assert torch.equal(sign, exact.sign)
    mine, theirs = (torch.autograd.grad((share * v).sum(), A)[0] for v in (ladj, exact.logabsdet))
    torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        assert torch.equal(log_dets(A)[0], exact.logabsdet)


def test_rows_are_inverted_one_by_one_whatever_the_threads(generator):
    A = torch.randn(300, 6, 6, generator=generator, dtype=torch.float64)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(inverted(A))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert torch.equal(found[0][0][200:201], inverted(A[200:201])[0])


def test_a_singular_matrix_has_no_density():
    A = torch.stack([torch.zeros(4, 4), torch.ones(4, 4), torch.eye(4)])
    _, ladj, sign = inverted(A)
    assert ladj.tolist() == [-torch.inf, -torch.inf, 0.0]
    assert sign.tolist() == [0.0, 0.0, 1.0]


def test_nan_stays_nan(generator):
    A = torch.randn(5, 6, 6, generator=generator, dtype=torch.float64)
    A[2, 3, 1] = torch.nan
    ladj = inverted(A)[1]
    assert ladj.isnan().tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("hidden", [[12], [16, 13], [12, 14, 12]])
def test_the_mlp_is_its_full_jacobian(hidden, generator):
    flow = flows.build("mlp", System(6), generator, hidden=hidden)
    z = flow.base.sample(50, generator, like=flow.weights[0])
    fast, slow = flow.transform(z), DenseFlow.transform(flow, z)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    mine, theirs = (
        torch.autograd.grad((x.square().sum() + ladj.exp().sum()), list(flow.parameters()))
        for x, ladj, _ in (fast, slow)
    )
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_a_single_matrix_is_refused():
    with pytest.raises(ValueError, match="a single matrix has one determinant"):
        log_det([torch.eye(2)], [])


def test_threads_share_the_samples(generator):
    """Each thread sees its own, all are seen, and what fails in a thread fails outside."""
    seen = []

    def loop(part, out):
        seen.append(len(part))
        out[:] = 2 * part

    x = torch.randn(1000, 3, generator=generator)
    out = torch.empty_like(x)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        compiled.in_threads(loop, x, out)
        with pytest.raises(ZeroDivisionError):
            compiled.in_threads(lambda *_: 1 / 0, x, out)
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 3
    assert sum(seen) == 1000
    assert torch.equal(out, 2 * x)
