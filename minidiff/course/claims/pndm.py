r"""What PNDM's paper claims, measured on storybook-ddpm.

Pseudo Numerical Methods for Diffusion Models on Manifolds. Liu, Ren, Lin & Zhao, ICLR 2022, arXiv:2202.09778, section
4: more from as many calls of the network.
"""

from minidiff.course.claims.sampling import compared, draw, noises, sampler, squares
from minidiff.course.statistics import medians, resamples, with_interval, with_verdict

CURVES = 250  # at most, whose ends are looked for with many calls


def pndm_against_ddim(pipe, samples=1000, seed=0, bar=None):
    r"""PNDM draws better pictures than DDIM with as many calls of the network, and gets closer to the end of the curve.

    PLMS needs 10 calls for 9 steps, the Runge-Kutta form 19 for 10. Both are held against DDIM twice: as published,
    where DDIM clips \hat x_0 and the first timestep is N's own, (N - 1) floor(T / N); and "trailing", where nobody
    clips and all walk the same curve, from T - 1 to the end.

    Args, Returns: as `ddim.ddim_against_ddpm`. "distance" is that between a picture and the end of its curve, found by
        the Runge-Kutta form with 100 steps: the root mean square over pixels, in levels of 255, and of that the median
        over the first `CURVES` noises, since a walk that comes to another picture altogether would outweigh all others.
    """
    x_T = noises(pipe, samples, seed)
    pictures, against = {}, []
    for kind in ("", ", trailing"):
        for name, N in (("DDIM", 10), ("PLMS", 9), ("DDIM", 19), ("F-PNDM", 10)):
            pictures[name + kind, N] = draw(sampler(name + kind, pipe), x_T, N, seed, bar)
        against += [(("PLMS" + kind, 9), ("DDIM" + kind, 10)), (("F-PNDM" + kind, 10), ("DDIM" + kind, 19))]
    result, _ = compared(pictures, against)

    ends = draw(sampler("F-PNDM, trailing", pipe), x_T[:CURVES], 100, seed, bar)
    weights = resamples(len(ends))
    far = {key: medians(weights, 255 * squares(drawn[: len(ends)], ends).sqrt()) for key, drawn in pictures.items()}
    for row in result["rows"]:
        row["distance"] = with_interval(far[row["sampler"], row["steps"]])
    for (one, other), comparison in zip(against, result["comparisons"], strict=True):
        comparison["distance"] = with_verdict(far[one] - far[other], less_is_better=True)
    return result | {"curves": len(ends)}, pictures
