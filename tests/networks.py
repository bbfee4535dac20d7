"""Networks of ours and of diffusers with the same random weights."""

import diffusers
import torch
from against import assert_close

import minidiff


def both_networks(name, **config):
    """Ours and theirs of that class; all weights are drawn, the ones and zeros of normalisations too.

    Their keys and shapes must be ours.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = getattr(minidiff, name)(**config).eval()
        for key, weight in ours.named_parameters():
            if weight.ndim == 1:
                torch.nn.init.normal_(weight, mean=float("norm" in key and key.endswith("weight")), std=0.2)
    theirs = getattr(diffusers, name)(**config).eval()
    shapes = [{key: weight.shape for key, weight in network.state_dict().items()} for network in (ours, theirs)]
    assert shapes[0] == shapes[1]
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def at_full_width(ours, theirs):
    """Two networks made on the device "meta", filled with the same numbers: the same million, over and over.

    To draw all of a published network's numbers would take longer than to compute with it; as they lie they serve
    both networks, so that a memory of 8 GiB is enough.
    """
    numbers, weights = torch.randn(2**20 + 7, generator=torch.Generator().manual_seed(0)), {}
    for key, weight in ours.state_dict().items():
        n, inputs = weight.numel(), max(weight[0].numel(), 8) if weight.ndim else 8
        values = numbers.repeat(-(-n // len(numbers)))[:n].reshape(weight.shape) * inputs**-0.5
        weights[key] = values + 1 if "norm" in key and key.endswith("weight") else values
    for network in (ours, theirs):
        network.load_state_dict(weights, assign=True)
        network.eval()
    return ours, theirs


def check_gradients(ours, theirs, output):
    """The gradients of the mean square of `output(network)` are theirs, of every weight that has one."""
    gradients = []
    for network in (ours, theirs):
        output(network).square().mean().backward()
        gradients.append({key: weight.grad for key, weight in network.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    together = [torch.cat([found[key].flatten() for key in sorted(found)]) for found in gradients]
    assert_close(*together)


def old_attention(weights):
    """Weights with the names of attention of the first releases, and 1x1 convolutions for its linear layers."""
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for key, weight in weights.items():
        for today, before in names.items():
            if f"attentions.0.{today}." in key:
                key = key.replace(f".{today}.", f".{before}.")
                weight = weight[:, :, None, None] if weight.ndim == 2 else weight
                break
        old[key] = weight
    return old
