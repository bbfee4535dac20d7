r"""Latent diffusion: Rombach, Blattmann, Lorenz, Esser & Ommer 2022, arXiv:2112.10752, and the autoencoders under it.

Not entries:
* The published super-resolution file begins one timestep later, as the authors sampled, and ends at a clean picture,
  as they did not: steps_offset 1 with set_alpha_to_one True. It is followed as it stands.
* Asked for several enlargements of one PIL image, diffusers draws one. Here there are batch_size of them.
* diffusers pads every prompt to 77 tokens; here it is as many as the text encoder has positions, 77 in the published
  one.
* The authors' code draws latents to PIL levels by cutting off, diffusers and this package round: one level at most.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "VQ scale",
        paper=r"LDM app. D.1 and G scale the latents of KL autoencoders; those of VQ ones vary by about 1 as they are.",
        original="CompVis/latent-diffusion, configs of the VQ models: no scale_factor, which is 1.0 then.",
        diffusers=(
            "VQModel, since 0.22, has scaling_factor 0.18215 where the config does not say, and the published configs "
            "do not; LDMPipeline divides by it."
        ),
        effect="The latents of CompVis/ldm-celebahq-256 reach its decoder 5.49 times too large: no face is left.",
        default="1.0 for a VQModel whose config does not say, 0.18215 for an AutoencoderKL; the key is always saved",
        switch="VQModel(scaling_factor=0.18215)",
        test="tests/pipelines/test_latent_diffusion_uncond.py::test_the_published_config_is_decoded_as_it_was_trained",
    ),
    Mismatch(
        "LDM offset",
        paper=r"Latent diffusion samples by DDIM (12), whose last step ends at $\bar\alpha = 1$.",
        original=(
            r"CompVis/latent-diffusion, DDIMSampler: timesteps 1, 21, ..., 981; the last step ends at $\bar\alpha_0$."
        ),
        diffusers=r"follows the published scheduler file: timesteps 0, 20, ..., 980, and an end at 1.",
        effect="N(0, 0.5^2), 50 steps: std 0.464 as published, 0.469 as the authors sampled (exact: 0.5).",
        default="the published file",
        switch="DDIMScheduler(steps_offset=1)",
        test="tests/pipelines/test_latent_diffusion_uncond.py::test_where_the_published_sampler_stood",
    ),
    Mismatch(
        "LDM generator",
        paper="does not speak of seeds.",
        original="CompVis/latent-diffusion draws everything from torch's global generator.",
        diffusers=(
            "the three pipelines draw the first noise from the generator that is passed, and hand it to no step: at "
            "eta > 0 the rest comes from the global one."
        ),
        effect="eta = 0.5: two calls with equal generators give 2 different pictures.",
        default="the generator reaches every draw",
        switch="",
        test="tests/pipelines/test_latent_diffusion_uncond.py::test_the_generator_reaches_every_draw",
    ),
    Mismatch(
        "LDM sigmas",
        paper="knows DDPM's and DDIM's samples alone, which need no scaling.",
        original="CompVis/latent-diffusion has DDIM and PLMS alone.",
        diffusers=(
            "LDMTextToImagePipeline says that it takes LMSDiscreteScheduler, but neither multiplies the first noise by "
            "init_noise_sigma nor scales what the network is shown."
        ),
        effect="N(0, 0.5^2) by Euler's method, 50 steps: latents of std 0.0000 instead of 0.474.",
        default="every loop does both, so that any scheduler can be swapped in",
        switch="",
        test="tests/pipelines/test_latent_diffusion.py::test_what_becomes_of_unscaled_noise",
    ),
    Mismatch(
        "LDM small picture",
        paper="LDM section 4.4: the small picture goes beside the noisy latent as it is.",
        original="CompVis/latent-diffusion concatenates and scales nothing.",
        diffusers=(
            "LDMSuperResolutionPipeline concatenates first and scales then: a scheduler in sigma divides the small "
            "picture with the noisy latent."
        ),
        effect="EulerDiscreteScheduler: at the first step the network sees the small picture with under 10 % of its "
        "contrast.",
        default="what is noisy is scaled, the small picture is not",
        switch="",
        test="tests/pipelines/test_latent_diffusion_superresolution.py::test_the_small_picture_is_not_scaled",
    ),
    Mismatch(
        "LDM size",
        paper="LDM section 3.1: the autoencoder shrinks pictures by f, a power of two from 1 to 32.",
        original="CompVis/latent-diffusion, txt2img.py, divides the height and width asked for by 8, its own f.",
        diffusers="LDMTextToImagePipeline divides by 8, whatever the autoencoder's f is.",
        effect="an autoencoder with f = 2, asked for 32 x 16 pixels: the picture has 8 x 4.",
        default="f of the autoencoder",
        switch="",
        test="tests/pipelines/test_latent_diffusion.py::test_the_factor_is_the_autoencoders",
    ),
    Mismatch(
        "guidance scale",
        paper=r"CFG (6): $\tilde\epsilon = (1 + w)\epsilon_c - w\epsilon_u$; w = 0 is the conditional prediction.",
        original=r"CompVis's code for both its models: $\epsilon_u + s(\epsilon_c - \epsilon_u)$, with s = 1 + w.",
        diffusers="as the original; its guidance_scale is s.",
        effect="who passes the paper's w = 7.5 as guidance_scale asks for w = 6.5, 13 % less guidance.",
        default="guidance_scale is 1 + w everywhere; the equation beside the code is the paper's",
        switch="",
        test="tests/pipelines/test_guidance.py::test_the_scale_is_one_more_than_the_papers_w",
    ),
    Mismatch(
        "VQ commitment",
        paper=r"VQ (3): $\beta = 0.25$ weighs what draws latents to their codes.",
        original="CompVis/taming-transformers, VectorQuantizer2: beta weighs the other term, an old slip, by default.",
        diffusers="as the original: codes learn 4 times more slowly than (3) says, latents 4 times faster.",
        effect="gradients of the loss: 0.25 times the paper's for the codes, 4 times for the latents.",
        default="paper",
        switch="",
        test="tests/models/test_vq_model.py::test_the_commitment_weighs_on_the_codes_in_diffusers",
    ),
)
