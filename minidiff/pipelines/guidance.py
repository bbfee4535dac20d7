r"""Classifier-free guidance: going further in the direction in which the prompt changes the prediction.

Classifier-Free Diffusion Guidance. Ho & Salimans, 2022, arXiv:2207.12598: one network is trained with prompts and,
every tenth time or so, without; the difference of its two predictions points from "any picture" to "this prompt".
Following it further than the network would gives pictures that fit the prompt better, and vary less.

Letters: the paper's w counts from the conditional prediction, w = 0. The `guidance_scale` of the pipelines, the s of
Latent Diffusion's and Stable Diffusion's code, counts from the unconditional one: s = 1 + w. So 1 is no guidance, and
Stable Diffusion's 7.5 is the paper's 6.5.
"""

import math
import numbers

import torch


def guided(eps_u, eps_c, guidance_scale):
    """The prediction to go on with.

    Args:
        eps_u, eps_c: the network's predictions without and with the prompt, of one shape.
        guidance_scale: 1 + w; 1 gives eps_c, 0 gives eps_u.
    Returns:
        a tensor shaped like them, in their dtype; computed in float32 at least.
    """
    given = eps_u.dtype
    dtype = torch.promote_types(given, torch.float32)  # in half precision the large terms' rounding would stay
    eps_u, eps_c = eps_u.to(dtype), eps_c.to(dtype)

    # CFG (6), rearranged  w = \mathrm{guidance\_scale} - 1
    w = guidance_scale - 1

    # CFG (6)  \tilde\epsilon = (1 + w) \epsilon_c - w \epsilon_u
    eps_tilde = (1 + w) * eps_c - w * eps_u
    return eps_tilde.to(given)


def check_guidance_scale(guidance_scale):
    """Raises ValueError for what is no finite number."""
    real = isinstance(guidance_scale, numbers.Real) and not isinstance(guidance_scale, bool)
    if not real or not math.isfinite(guidance_scale):
        raise ValueError(f"guidance_scale is {guidance_scale!r}; allowed is a finite number; 1 is no guidance")
