r"""What PNDM's paper claims, measured on storybook-ddpm.

Pseudo Numerical Methods for Diffusion Models on Manifolds. Liu, Ren, Lin & Zhao, ICLR 2022, arXiv:2202.09778, section
4: more from as many calls of the network, and with 50 steps as good pictures as DDIM's with 1,000.

All of it takes about 56 minutes of one core, at 300 calls of the network a second; 28 of them are the 500 pictures of
1,000 steps.
"""

from minidiff.course.claims.sampling import FEWER, compared, draw, noises, sampler, squares
from minidiff.course.statistics import medians, resamples, with_interval, with_verdict

CALLS = (20, 40, 59)  # 59 are those of the Runge-Kutta form with 50 steps
CURVES = 250  # at most, whose ends are looked for with many calls


def as_many_calls(pipe, samples=1000, calls=CALLS, seed=0, work=None):
    r"""PLMS draws better pictures than DDIM with as many calls of the network.

    Both as published: DDIM clips \hat x_0, and the first timestep is N's own, (N - 1) floor(T / N).
    Args, Returns: as `ddim.ddim_against_ddpm`; PLMS needs N + 1 calls for N steps.
    """
    x_T = noises(pipe, samples, seed)
    pictures, against = {}, []
    for k in calls:
        one, other = ("PLMS", k - 1), ("DDIM", k)
        for name, N in (one, other):
            pictures[name, N] = draw(sampler(name, pipe), x_T, N, seed, work)
        against.append((one, other))
    return compared(pictures, against)[0], pictures


def thousand_steps(pipe, samples=1000, calls=CALLS, steps=1000, seed=0, work=None):
    """PLMS draws as good pictures with some fifty calls as DDIM with 1,000.

    Args, Returns: as `as_many_calls`; of the pictures there are `FEWER` at most, the first of those that are drawn
        there, since a Fréchet distance can be compared only with one of as many pictures.
    """
    x_T = noises(pipe, samples, seed)[:FEWER]
    keys = [("DDIM", steps)] + [(name, k - (name == "PLMS")) for k in calls for name in ("PLMS", "DDIM")]
    pictures = {(name, N): draw(sampler(name, pipe), x_T, N, seed, work) for name, N in keys}
    return compared(pictures, [(key, keys[0]) for key in keys[1:]])[0], pictures


def pndm_against_ddim(pipe, samples=1000, seed=0, work=None):
    r"""PNDM with too few calls: does it still draw better pictures than DDIM, and get closer to the end of the curve?

    PLMS needs 10 calls for 9 steps, the Runge-Kutta form 19 for 10. Both are held against DDIM twice: as published,
    where DDIM clips \hat x_0 and the first timestep is N's own, (N - 1) floor(T / N); and "trailing", where nobody
    clips and all walk the same curve, from T - 1 to the end.

    Args, Returns: as `ddim.ddim_against_ddpm`. "distance" is that between a picture and the end of its curve, found
        by the Runge-Kutta form with 100 steps: the root mean square over pixels, in shades (255 from black to
        white), and of that the median over the first `CURVES` noises, since a walk that comes to another picture
        altogether would outweigh all others.
    """
    x_T = noises(pipe, samples, seed)
    pictures, against = {}, []
    for kind in ("", ", trailing"):
        for name, N in (("DDIM", 10), ("PLMS", 9), ("DDIM", 19), ("F-PNDM", 10)):
            pictures[name + kind, N] = draw(sampler(name + kind, pipe), x_T, N, seed, work)
        against += [(("PLMS" + kind, 9), ("DDIM" + kind, 10)), (("F-PNDM" + kind, 10), ("DDIM" + kind, 19))]
    result, _ = compared(pictures, against)

    ends = draw(sampler("F-PNDM, trailing", pipe), x_T[:CURVES], 100, seed, work)
    weights = resamples(len(ends))
    far = {key: medians(weights, 255 * squares(drawn[: len(ends)], ends).sqrt()) for key, drawn in pictures.items()}
    for row in result["rows"]:
        row["distance"] = with_interval(far[row["sampler"], row["steps"]])
    for (one, other), comparison in zip(against, result["comparisons"], strict=True):
        comparison["distance"] = with_verdict(far[one] - far[other], less_is_better=True)
    return result | {"curves": len(ends)}, pictures


PARTS = {
    as_many_calls: lambda n: 2 * sum(CALLS) * n,
    thousand_steps: lambda n: (1000 + 2 * sum(CALLS)) * min(n, FEWER),
    pndm_against_ddim: lambda n: 116 * n + 109 * min(n, CURVES),
}
