"""Eigenvalues of many small matrices at once, against LAPACK."""

import numpy as np
import pytest
import torch

from qdflow import eigenvalues
from qdflow.eigenvalues import BLOCK, hessenberg_eigenvalues


def distance(H, found):
    """The most that an eigenvalue is away from the nearest of LAPACK's, or one of those from it."""
    matrices = torch.complex(*H.double()).permute(2, 0, 1).triu(-1).numpy()
    exact = np.linalg.eigvals(matrices)[:, :, None]
    apart = abs(exact - torch.complex(*found.double()).mT.numpy()[:, None, :])
    return max(apart.min(1).max(), apart.min(2).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("n", "size"), [(1, 3), (2, 100), (3, BLOCK), (20, 2 * BLOCK + 1)])
def test_they_are_those_of_lapack(n, size, dtype, tolerance, generator, monkeypatch):
    """And found without it."""
    monkeypatch.setattr(torch.linalg, "eigvals", None)
    H = torch.randn(2, n, n, size, dtype=dtype, generator=generator)
    before = H.clone()
    found = hessenberg_eigenvalues(H)
    assert (found.shape, found.dtype) == ((2, n, size), dtype)
    assert torch.equal(H, before)
    assert distance(H, found) < tolerance


@pytest.mark.parametrize("kind", ["zero", "diagonal", "decoupled", "jordan", "cyclic"])
def test_matrices_with_a_structure(kind, generator):
    """A cyclic shift, which QR steps leave as it is, is left to LAPACK."""
    H = torch.randn(2, 6, 6, 5, dtype=torch.float64, generator=generator)
    if kind == "decoupled":
        H[:, 3, 2] = 0
    else:
        H *= torch.eye(6)[:, :, None] * (kind == "diagonal")
    if kind == "jordan":
        H[0] += (torch.eye(6) + torch.ones(5).diag(1))[:, :, None]
    if kind == "cyclic":
        H[0] += torch.eye(6).roll(1, 0)[:, :, None]
    assert distance(H, hessenberg_eigenvalues(H)) < 1e-12


def test_what_does_not_converge_is_left_to_lapack(generator, monkeypatch):
    H = torch.randn(2, 5, 5, 3, dtype=torch.float64, generator=generator)
    monkeypatch.setattr(eigenvalues, "_triangularise", lambda *_: False)
    assert distance(H, hessenberg_eigenvalues(H)) < 1e-12
