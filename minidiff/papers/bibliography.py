"""The papers that a pair can cite: the first word of its comment is one of these keys."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper or book.

    Attributes:
        title, authors, year: as printed; of more than four authors the first with "et al.".
        arxiv: the arXiv identifier, or "" where there is none.
        source: where it appeared, for what is not on arXiv.
    """

    title: str
    authors: str
    year: int
    arxiv: str = ""
    source: str = ""

    def __str__(self):
        where = f"arXiv:{self.arxiv}" if self.arxiv else self.source
        return f"{self.title}. {self.authors}, {self.year}, {where}"


BIBLIOGRAPHY = {
    # Samplers and what they sample
    "DDPM": Paper("Denoising Diffusion Probabilistic Models", "Ho, Jain & Abbeel", 2020, "2006.11239"),
    "DDPMcode": Paper(
        "The code of Denoising Diffusion Probabilistic Models", "Ho", 2020, source="github.com/hojonathanho/diffusion"
    ),
    "DDIM": Paper("Denoising Diffusion Implicit Models", "Song, Meng & Ermon", 2021, "2010.02502"),
    "IDDPM": Paper("Improved Denoising Diffusion Probabilistic Models", "Nichol & Dhariwal", 2021, "2102.09672"),
    "SDE": Paper(
        "Score-Based Generative Modeling through Stochastic Differential Equations", "Song et al.", 2021, "2011.13456"
    ),
    "SDEcode": Paper(
        "The code of Score-Based Generative Modeling through Stochastic Differential Equations",
        "Song",
        2021,
        source="yang-song/score_sde_pytorch",
    ),
    "NCSNv2": Paper(
        "Improved Techniques for Training Score-Based Generative Models", "Song & Ermon", 2020, "2006.09011"
    ),
    "PNDM": Paper(
        "Pseudo Numerical Methods for Diffusion Models on Manifolds", "Liu, Ren, Lin & Zhao", 2022, "2202.09778"
    ),
    "EDM": Paper(
        "Elucidating the Design Space of Diffusion-Based Generative Models",
        "Karras, Aittala, Aila & Laine",
        2022,
        "2206.00364",
    ),
    "PD": Paper("Progressive Distillation for Fast Sampling of Diffusion Models", "Salimans & Ho", 2022, "2202.00512"),
    "DPM-Solver++": Paper(
        "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
        "Lu et al.",
        2022,
        "2211.01095",
    ),
    "v-diffusion": Paper("v-diffusion", "Crowson", 2021, source="github.com/crowsonkb/v-diffusion-pytorch"),
    "DanceDiffusion": Paper("Dance Diffusion", "Evans", 2022, source="github.com/Harmonai-org/sample-generator"),
    "LMS": Paper("k-diffusion, sample_lms", "Crowson", 2022, source="github.com/crowsonkb/k-diffusion"),
    "k-diffusion": Paper(
        "k-diffusion, get_ancestral_step and get_sigmas", "Crowson", 2022, source="github.com/crowsonkb/k-diffusion"
    ),
    "diffusers": Paper(
        "Diffusers: State-of-the-art diffusion models",
        "von Platen et al.",
        2022,
        source="github.com/huggingface/diffusers",
    ),
    "AB": Paper(
        "Solving Ordinary Differential Equations I",
        "Hairer, Nørsett & Wanner",
        1993,
        source="Springer, 2nd edition, §III.1",
    ),
    "P2": Paper("Perception Prioritized Training of Diffusion Models", "Choi et al.", 2022, "2204.00227"),
    "Spacing": Paper(
        "Common Diffusion Noise Schedules and Sample Steps are Flawed", "Lin, Liu, Li & Yang", 2023, "2305.08891"
    ),
    # What is asked of a sampler
    "CFG": Paper("Classifier-Free Diffusion Guidance", "Ho & Salimans", 2022, "2207.12598"),
    "SDEdit": Paper(
        "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations",
        "Meng et al.",
        2021,
        "2108.01073",
    ),
    "RePaint": Paper(
        "RePaint: Inpainting using Denoising Diffusion Probabilistic Models", "Lugmayr et al.", 2022, "2201.09865"
    ),
    "LDM": Paper("High-Resolution Image Synthesis with Latent Diffusion Models", "Rombach et al.", 2022, "2112.10752"),
    # Autoencoders and text
    "VAE": Paper("Auto-Encoding Variational Bayes", "Kingma & Welling", 2013, "1312.6114"),
    "VQ": Paper("Neural Discrete Representation Learning", "van den Oord, Vinyals & Kavukcuoglu", 2017, "1711.00937"),
    "CLIP": Paper(
        "Learning Transferable Visual Models From Natural Language Supervision", "Radford et al.", 2021, "2103.00020"
    ),
    # Layers
    "Attention": Paper("Attention Is All You Need", "Vaswani et al.", 2017, "1706.03762"),
    "ResNet": Paper("Deep Residual Learning for Image Recognition", "He, Zhang, Ren & Sun", 2015, "1512.03385"),
    "GN": Paper("Group Normalization", "Wu & He", 2018, "1803.08494"),
    "SiLU": Paper("Searching for Activation Functions", "Ramachandran, Zoph & Le", 2017, "1710.05941"),
    "GELU": Paper("Gaussian Error Linear Units (GELUs)", "Hendrycks & Gimpel", 2016, "1606.08415"),
    "GEGLU": Paper("GLU Variants Improve Transformer", "Shazeer", 2020, "2002.05202"),
    "Fourier": Paper(
        "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
        "Tancik et al.",
        2020,
        "2006.10739",
    ),
    "Keys": Paper(
        "Cubic Convolution Interpolation for Digital Image Processing",
        "Keys",
        1981,
        source="IEEE Transactions on Acoustics, Speech, and Signal Processing 29(6)",
    ),
    # Measures
    "FID": Paper(
        "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
        "Heusel et al.",
        2017,
        "1706.08500",
    ),
}
