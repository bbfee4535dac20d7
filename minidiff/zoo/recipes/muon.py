"""Muon: the optimizer that moves every direction of a weight matrix by the same length.

Muon: An Optimizer for Hidden Layers in Neural Networks. Jordan, Jin, Boza, You, Cesista, Newhouse & Bernstein, 2024,
https://kellerjordan.github.io/posts/muon. With the scale and the weight decay of Muon Is Scalable for LLM Training.
Liu et al., 2025, arXiv:2502.16982, section 2.2: an update is as large as AdamW's at the same learning rate.

A few directions hold nearly all of a gradient, and in AdamW the others wait. Muon replaces the gradient, averaged over
some steps, by the nearest matrix whose singular values are all equal.

Letters: W is a weight, mu the momentum, B the averaged gradient, eta the learning rate, lambda the weight decay.
"""

import torch


class Muon(torch.optim.Optimizer):
    """For the hidden weights of a network: matrices, or kernels (out, in, ...), taken as matrices (out, in * ...).

    torch.optim.Muon takes no kernels, and computes in bfloat16, which is slow on a processor that has no tiles for it.

    Args:
        weights: tensors of two or more dimensions.
        lr: eta.
        momentum: mu.
        weight_decay: lambda, decoupled, as in AdamW.
    Raises:
        ValueError: a weight has fewer than two dimensions.
    """

    def __init__(self, weights, lr=1e-3, momentum=0.95, weight_decay=0.01):
        super().__init__(weights, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        for W in (W for group in self.param_groups for W in group["params"]):
            if W.ndim < 2:
                raise ValueError(f"weights holds one of shape {tuple(W.shape)}: Muon takes matrices and kernels only")

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            eta, mu, decay = group["lr"], group["momentum"], group["weight_decay"]
            alike = {}  # weights of one shape go through the iteration together
            for W in (W for W in group["params"] if W.grad is not None):
                B = self.state[W].setdefault("momentum", torch.zeros_like(W))
                B.lerp_(W.grad, 1 - mu)
                looked_ahead = W.grad.lerp(B, mu)  # Nesterov
                alike.setdefault(W.shape, []).append((W, looked_ahead.flatten(1)))
            for pairs in alike.values():
                updates = orthogonalized(torch.stack([B for _, B in pairs]))  # (weights, out, in)
                scale = 0.2 * max(updates.shape[1:]) ** 0.5  # to the root mean square 0.2 of AdamW's updates
                for (W, _), update in zip(pairs, updates, strict=True):
                    W.mul_(1 - eta * decay).sub_(update.reshape(W.shape), alpha=eta * scale)


def orthogonalized(G, iterations=5):
    """U V^T of G = U S V^T, about: five steps of Newton and Schulz bring the singular values to 0.7 ... 1.2.

    Args:
        G: matrices (..., m, n).
    """
    a, b, c = 3.4445, -4.7750, 2.0315  # of the odd polynomial that lifts small singular values fastest
    if G.shape[-2] > G.shape[-1]:
        return orthogonalized(G.mT, iterations).mT  # X X^T is then the smaller product
    X = G / G.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X
