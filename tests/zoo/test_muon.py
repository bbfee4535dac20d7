"""Muon: its updates are all but orthogonal, as large as AdamW's, and go downhill."""

import pytest
import torch

from minidiff.zoo.recipes.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(24, 216), (96, 96), (96, 24), (3, 8, 72)])
def test_the_singular_values_become_alike(shape):
    G = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    U, S, Vh = torch.linalg.svd(G, full_matrices=False)
    S = torch.linspace(1, 0.02, S.shape[-1]).expand(S.shape)  # one direction outweighs the others
    update = orthogonalized(U @ torch.diag_embed(S) @ Vh)
    assert update.shape == shape
    assert torch.linalg.svdvals(update).sub(1).abs().max() < 0.35
    aligned = U.mT @ update @ Vh.mT  # the same directions as before
    assert (aligned - torch.diag_embed(aligned.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4


def test_an_update_is_as_large_as_one_of_adamw():
    W = torch.zeros(48, 24, 3, 3, requires_grad=True)
    muon = Muon([W], lr=0.5, weight_decay=0)
    W.grad = 1e-3 * torch.randn(W.shape, generator=torch.Generator().manual_seed(0))
    muon.step()
    assert W.square().mean().sqrt().item() == pytest.approx(0.5 * 0.2, rel=0.15)
    assert (W * W.grad).sum() < 0


def test_it_goes_down_where_one_direction_is_a_hundred_times_as_steep():
    g = torch.Generator().manual_seed(0)
    wanted, steepness = torch.randn(8, 8, generator=g), torch.logspace(0, -2, 8)[:, None]
    W = torch.zeros(8, 8, requires_grad=True)
    muon = Muon([W], lr=0.2, weight_decay=0)
    for k in range(500):
        muon.param_groups[0]["lr"] = 0.2 * (1 - k / 500)
        muon.zero_grad()
        (steepness * (W - wanted) ** 2).sum().backward()
        muon.step()
    assert (W - wanted).abs().max() < 0.1


def test_it_averages_the_gradients_and_looks_ahead():
    g = torch.Generator().manual_seed(0)
    W, first, second = (
        torch.zeros(6, 4, requires_grad=True),
        torch.randn(6, 4, generator=g),
        torch.randn(6, 4, generator=g),
    )
    muon = Muon([W], lr=0.1, momentum=0.9, weight_decay=0)
    for W.grad in (first, second):
        muon.step()
    B_1 = 0.1 * first
    B_2 = 0.9 * B_1 + 0.1 * second
    updates = orthogonalized(torch.stack([0.9 * B_1 + 0.1 * first, 0.9 * B_2 + 0.1 * second])).sum(0)
    assert torch.allclose(W, -0.1 * 0.2 * 6**0.5 * updates, atol=1e-6)


def test_weights_decay_and_those_without_a_gradient_stay():
    W, V = torch.ones(3, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    W.grad = torch.zeros(3, 2)
    Muon([W, V], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(W, torch.full((3, 2), 0.95)) and torch.equal(V, torch.ones(3, 2))


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"weights holds one of shape \(5,\)"):
        Muon([torch.zeros(4, 5), torch.zeros(5)])
