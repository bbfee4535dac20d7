r"""The glossary: each letter of the pairs, its name in the code, its meaning, and how other papers write it.

The letters are DDPM's wherever it has one. Printed by `minidiff pairs --letters`.
"""

import textwrap
from dataclasses import dataclass

from minidiff.papers.tex.equations import equations
from minidiff.papers.tex.tokens import CODE_NAMES, GREEK
from minidiff.papers.tex.typeset import columns, unicode_text


@dataclass(frozen=True)
class Entry:
    """A letter of the glossary.

    Attributes:
        tex: the letter, with an index where it mostly has one; entries differ in their letter or in their papers.
        meaning: what it stands for.
        elsewhere: which papers write it otherwise, and how.
        papers: keys of the bibliography, where the letter means this in them alone; empty for all.
    """

    tex: str
    meaning: str
    elsewhere: str = ""
    papers: tuple = ()

    @property
    def letter(self):
        return equations(f"{self.tex} = 0")[0].left


NOISE_LEVEL_PAPERS = ("EDM", "LMS", "SDE", "SDEcode", "NCSNv2", "P2", "DPM-Solver++", "k-diffusion", "diffusers")
SDE_PAPERS = ("SDE", "SDEcode")

GLOSSARY = (
    # Time
    Entry("t", "the time, 0 for a picture, T - 1 or 1 for noise; as the index of a table, its entry"),
    Entry("T", "how many timesteps the network was trained on"),
    Entry("N", "how many timesteps are visited", "EDM and SDE count noise levels with it, PNDM writes S"),
    Entry(r"\delta", "the distance from t to the next timestep kept", "DDIM writes the subsequence as tau"),
    Entry(
        "i", "an index that counts from 0", "of timesteps in SDE and EDM, where x_i belongs to the noise level sigma_i"
    ),
    Entry("j", "an index that counts from 0"),
    Entry("k", "an index that counts from 0; in LMS and AB the order of the method"),
    Entry("m", "an index that counts from 0", papers=("LMS",)),
    Entry("u", "the time before the crash schedule bends it, from 0 to 1", papers=("DanceDiffusion",)),
    Entry("s", "an index of time, under a product", papers=("DDPM",)),
    Entry("s", "0.008, which keeps the first betas from vanishing", papers=("IDDPM",)),
    Entry("f_t", "the cosine from which the levels follow", papers=("IDDPM",)),
    # Samples and noise
    Entry(
        "x_t",
        "the sample at time t; x_0 is the picture and x_T noise",
        "CFG and LDM write z_t, for latents; EDM x with sigma beside it",
    ),
    Entry(
        r"\hat x_0",
        "the picture that the network believes in",
        "DDIM f_theta(x_t), EDM D(x; sigma), LMS denoised, PD x-hat",
    ),
    Entry(r"\epsilon", "standard normal noise; with theta the network's prediction of it", "SDE z, EDM n"),
    Entry(r"\epsilon'", "the noise to move along, combined from several predictions", "in AB it is the slope"),
    Entry("z", "standard normal noise that a step adds", papers=("DDPM", "SDE", "SDEcode", "k-diffusion")),
    Entry("z", "a latent, what an autoencoder makes of a picture", papers=("VAE", "LDM", "CFG")),
    Entry(r"\mu", "the mean of a latent", papers=("VAE",)),
    Entry(r"\sigma", "the standard deviation of a latent", papers=("VAE",)),
    Entry("z_e", "the latents as the encoder gives them", papers=("VQ",)),
    Entry("q", "as an index: quantised", papers=("VQ",)),
    Entry("e_k", "the codes, one a row", papers=("VQ",)),
    Entry(r"\beta", "how strongly a latent is drawn to its code", papers=("VQ",)),
    Entry("D", "a Kullback-Leibler divergence, from N(0, I)", papers=("VAE",)),
    Entry(r"\hat\mu", "the mean of all entries of many latents", papers=("LDM",)),
    Entry("s", "the scale of latents, 1 over their standard deviation", papers=("LDM",)),
    Entry(r"\hat\sigma", "their standard deviation, by which diffusion divides latents", papers=("LDM",)),
    Entry("v", "the velocity that a network can be trained to predict", papers=("PD",)),
    Entry(r"\theta", "as an index: computed by a network with these weights"),
    Entry(
        r"\epsilon_c",
        "the noise predicted with the prompt; with u without one",
        "epsilon(z, c), epsilon(z)",
        ("CFG",),
    ),
    Entry("c", "as an index: conditioned on the prompt", papers=("CFG",)),
    Entry("u", "as an index: unconditional", papers=("CFG",)),
    Entry("m", "the mask, 1 where a picture is drawn anew", "the paper's m is 1 where it stays", ("RePaint",)),
    Entry(
        "z_{t-1}",
        "the latent after a step; with the index k what is known of it, noised",
        "the paper writes x, x^known",
        ("RePaint",),
    ),
    Entry(r"\tilde\epsilon", "the noise to move along under guidance", papers=("CFG",)),
    # Noise levels
    Entry(r"\beta_t", "the variance of the noise that timestep t adds"),
    Entry(r"\alpha_t", "1 - beta_t, the share of the variance that is kept", "DDIM writes alpha_t for alpha-bar_t"),
    Entry(
        r"\alpha_t", "the share of x_0 in x_t, the root of alpha-bar_t", papers=("PD", "v-diffusion", "DanceDiffusion")
    ),
    Entry(
        r"\sigma_t",
        "the share of noise in x_t; with the index i the standard deviation of the noise",
        papers=("PD", "v-diffusion", "DanceDiffusion"),
    ),
    Entry(r"\phi_t", "the angle by which x_0 has turned into noise", papers=("PD", "DanceDiffusion")),
    Entry(r"\bar\alpha_t", "the product of alpha_0 to alpha_t", "DDIM alpha_t; PD and LDM the square of their alpha_t"),
    Entry(r"\tilde\beta_t", "the variance of x_{t-1} when x_t and x_0 are known"),
    Entry(r"\tilde\mu_t", "the mean of x_{t-1} when x_t and x_0 are known"),
    Entry(r"\sigma_t", "the standard deviation of the noise that a step adds", papers=("DDPM", "DDIM", "IDDPM")),
    Entry(
        r"\sigma_i",
        "the standard deviation of the noise in the sample",
        "DDPM: the root of 1 - alpha-bar_t",
        NOISE_LEVEL_PAPERS,
    ),
    # Stochastic differential equations
    Entry("f", "the drift: how x moves by itself", papers=("SDE",)),
    Entry("g", "the diffusion: how much noise is added", papers=SDE_PAPERS),
    Entry("s", "the score, the gradient of log p_t(x); with theta the network's", papers=(*SDE_PAPERS, "EDM")),
    Entry("m", "what is left of x_0 at time t", papers=("SDE", "DDIM")),
    Entry("x_{i-1}'", "the sample after a step, before its noise", papers=("SDE",)),
    Entry("r", "the ratio of signal to noise in a corrector step", "the config calls it snr", SDE_PAPERS),
    Entry(r"\varepsilon", "the length of a corrector step", papers=SDE_PAPERS),
    Entry("y", "the sample, moved from [-1, 1] to [0, 1]", papers=("DDPM",)),
    Entry(r"\hat\sigma", "the noise level after churn", "EDM t-hat", ("EDM",)),
    Entry(r"\hat x", "the sample after churn", papers=("EDM",)),
    Entry(r"\gamma", "by which part churn raises the noise level", papers=("EDM",)),
    Entry("S_{churn}", "how much noise is churned, over all steps; S_noise is its standard deviation", papers=("EDM",)),
    Entry(r"\rho", "how unevenly the noise levels lie; 7 puts more of them at the low end", papers=("EDM",)),
    Entry("D", "the picture that the network believes in", "x_0-hat elsewhere", ("EDM",)),
    Entry(r"F_\theta", "the network's own part of D", papers=("EDM",)),
    Entry("d", "the slope dx / d sigma at a step's start", papers=("EDM",)),
    Entry("d'", "the slope at the step's end", papers=("EDM",)),
    Entry(r"\eta", "how much of DDPM's noise a DDIM step adds, from 0 to 1"),
    # Samplers along noise levels
    Entry("d_i", "the slope of x in sigma at level sigma_i: the predicted noise", "DDIM epsilon_theta", ("LMS",)),
    Entry(r"\ell_j", "the Lagrange polynomial that is 1 at the level of j steps ago", papers=("LMS",)),
    Entry(r"\tau", "the noise level that is integrated over", papers=("LMS",)),
    Entry("c_j", "the weight of the slope of j steps ago", papers=("LMS",)),
    Entry(r"\lambda_i", "half the logarithm of the signal-to-noise ratio", papers=("DPM-Solver++",)),
    Entry("s_i", "the noise in a sample of variance 1", "the paper writes sigma_t", ("DPM-Solver++",)),
    Entry("s", "the standard deviation of the first sample", papers=("diffusers",)),
    Entry("h_i", "how far a step leads in lambda", papers=("DPM-Solver++",)),
    Entry("r_i", "the last step's length over this one's", papers=("DPM-Solver++",)),
    Entry("D", "the picture that a step aims at", papers=("DPM-Solver++",)),
    Entry(r"\hat x_0'", "the picture that the step before believed in", papers=("DPM-Solver++",)),
    # Layers
    Entry("x", "the input of a layer", papers=("ResNet", "Attention", "GN", "SiLU", "GELU", "GEGLU")),
    Entry("y", "the output of a layer", "in LDM the condition"),
    Entry("h", "what a layer has computed so far"),
    Entry("F_x", "the residual branch applied to x", "ResNet writes F(x)", ("ResNet", "SDE")),
    Entry("W_{s}", "the 1x1 convolution of the shortcut, here already applied to x", papers=("ResNet", "SDE")),
    Entry("Q", "queries, one row a position"),
    Entry("K", "keys, one row a position"),
    Entry("V", "values, one row a position"),
    Entry("A", "what attention gathers, a row for each query"),
    Entry("M", "the mask, minus infinity where a token is hidden from another", papers=("Attention",)),
    Entry("E", "the directions of pictures in CLIP's space, of length 1", "the paper writes I_e", ("CLIP",)),
    Entry("F", "the directions of concepts in CLIP's space, of length 1", "the paper writes T_e", ("CLIP",)),
    Entry("C", "the cosines of pictures and concepts; in training with captions, times exp(t)", papers=("CLIP",)),
    Entry("t", "the logarithm of how sharply cosines are told apart", papers=("CLIP",)),
    Entry("i", "as an index: of images", papers=("CLIP",)),
    Entry("e", "the vector of a picture", papers=("CLIP",)),
    Entry("f", "the vector of a concept", papers=("CLIP",)),
    Entry("d", "the channels of one attention head", "the paper writes d_k", ("Attention", "LDM")),
    Entry("e", "the embedding of the time"),
    Entry("E_x", "the embeddings of tokens; with p of their positions", papers=("Attention",)),
    Entry("p", "as an index: of positions", papers=("Attention",)),
    Entry("b", "what passes the gate's function", "the paper writes xW + b", ("GEGLU",)),
    Entry("c", "what is gated", "the paper writes xV + c", ("GEGLU",)),
    Entry(r"\omega_k", "the frequencies of the time embedding"),
    Entry(r"\phi", "the angles whose cosines and sines tell the time", papers=("Fourier",)),
    Entry("W", "random frequencies", "the paper writes B", ("Fourier",)),
    Entry("u", "the weight of a neighbour at the distance s", papers=("Keys",)),
    Entry("s", "the distance from a neighbour, in steps of the coarser grid", papers=("Keys",)),
    Entry("W", "random frequencies of the time embedding", papers=("SDEcode",)),
    Entry(r"\phi", "the phases of its sinusoids", papers=("SDEcode",)),
    # Training and measures
    Entry("L", "the loss; with rec of the reconstruction, with reg of what keeps latents in bounds"),
    Entry("w", "how much guidance goes beyond the condition; guidance_scale is 1 + w", papers=("CFG",)),
    Entry(
        "w",
        "the weight of a time in the loss",
        "the paper writes lambda'_t, of another form of the loss",
        ("P2", "DDPM", "SDE", "LDM"),
    ),
    Entry("k", "what keeps the weight of the cleanest times from vanishing; 1 in the paper, 0 here", papers=("P2",)),
    Entry(r"\gamma", "how strongly the weight of a time grows with its noise", papers=("P2",)),
    Entry("w", "as an index: of the true pictures, the world's", papers=("FID",)),
    Entry("m", "the mean of the features", papers=("FID",)),
    Entry("C", "the covariance of the features", papers=("FID",)),
    Entry("R", "a matrix with the eigenvalues of the root of C C_w", papers=("FID",)),
    Entry("D", "the matrix whose trace enters the distance", papers=("FID",)),
    Entry("d", "the squared distance of two normal distributions", papers=("FID",)),
    Entry(r"\pi", "3.14159..."),
)


def key(letter):
    """What makes a letter another one: its base, accents and primes, but neither digits nor subscripts."""
    return letter.base, letter.accents, letter.primes


def is_word(letter):
    r"""Whether it is a word such as `\mathrm{offset}`, which explains itself."""
    return len(letter.base) > 1 and letter.base not in GREEK and letter.base not in CODE_NAMES.values()


def unexplained(pair):
    """Names of the letters of a pair that the glossary does not have for its paper."""
    letters = [letter for e in pair.equations for letter in e.letters() if not is_word(letter)]
    known = {key(entry.letter) for entry in GLOSSARY if not entry.papers or pair.key in entry.papers}
    return sorted({str(letter) for letter in letters if key(letter) not in known})


def glossary(width=120):
    """The glossary as lines of text, `width` characters wide."""
    rows = [(unicode_text(entry.tex), entry.letter.name, describe(entry)) for entry in GLOSSARY]
    signs, names = max(columns(row[0]) for row in rows), max(len(row[1]) for row in rows)
    lines = [f"{'':{signs}}  {'in code':{names}}  meaning"]
    for sign, name, meaning in rows:
        first, *more = textwrap.wrap(meaning, max(width - signs - names - 4, 30))
        lines.append(f"{sign}{' ' * (signs - columns(sign))}  {name:{names}}  {first}")
        lines += [" " * (signs + names + 4) + line for line in more]
    return "\n".join(lines)


def explained(letter, paper):
    """What a Letter means in a paper of the bibliography, and who writes it otherwise; "" where nothing is said."""
    of_all = [entry for entry in GLOSSARY if key(entry.letter) == key(letter) and not entry.papers]
    of_paper = [entry for entry in GLOSSARY if key(entry.letter) == key(letter) and paper in entry.papers]
    return next((f"{entry.meaning}{elsewhere(entry)}" for entry in of_paper + of_all), "")


def describe(entry):
    where = f" ({', '.join(entry.papers)})" if entry.papers else ""
    return f"{entry.meaning}{where}{elsewhere(entry)}"


def elsewhere(entry):
    return f". Elsewhere: {entry.elsewhere}" if entry.elsewhere else ""
