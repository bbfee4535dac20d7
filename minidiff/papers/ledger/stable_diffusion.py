r"""Stable Diffusion: Rombach, Blattmann, Lorenz, Esser & Ommer 2022, arXiv:2112.10752, in its three pipelines.

"PNDM partial walk" and "LMS order" are about image to image too. Not entries:
* CompVis's scripts cut levels off instead of rounding them, compute in half precision, put a watermark into pictures,
  show another picture in the place of one that the safety checker found, and sample with DDIM where nothing is said.
  Here and in diffusers levels are rounded, found pictures are black, and the scheduler is the published one, PNDM.
* The first versions of diffusers inpainted with a UNet of four channels alone, and with masks that were not made of
  zeros and ones.
"""

from minidiff.papers.ledger.mismatch import Mismatch

ENTRIES = (
    Mismatch(
        "Image to image noise",
        paper="SDEdit algorithm 1 noises the guide to the time at which its walk begins.",
        original=(
            "CompVis/stable-diffusion, img2img.py, noises to entry t_enc of its timesteps and walks from entry "
            "t_enc - 1: the sample is one step noisier than the network is told."
        ),
        diffusers="did so in its first versions; since 0.8 both times are the same.",
        effect=(
            "DDIM, a mixture of two Gaussians, the last 25 of 50 steps: relative error 6.4e-2 instead of 5.2e-2, "
            "which is DDIM's own."
        ),
        default="paper",
        switch="image_to_image(prompt, image, noise_to='one_more')",
        test="tests/pipelines/test_stable_diffusion_img2img.py::test_one_more_step_of_noise",
    ),
    Mismatch(
        "Stable Diffusion's scheduler",
        paper="none.",
        original="CompVis/stable-diffusion visits timesteps 1, 21, ..., 981 in 50 steps, and clips no latent.",
        diffusers=(
            "changes the config of the scheduler that its pipelines are given, with a warning: steps_offset becomes 1 "
            "and, where nothing is inpainted, clip_sample False, whatever they were."
        ),
        effect=(
            "A DDIMScheduler that nobody told about both, 10 steps: the network is first asked at timestep 900 instead "
            "of 901, and latents are clipped to [-1, 1]."
        ),
        default="as the scheduler's config says; the published ones say steps_offset=1 and clip_sample=False",
        switch="DDIMScheduler(steps_offset=1)",
        test="tests/pipelines/test_stable_diffusion_base.py::test_schedulers_are_used_as_they_are",
    ),
    Mismatch(
        "Several images for several prompts",
        paper="none.",
        original="CompVis/stable-diffusion, img2img.py, takes one image for all prompts.",
        diffusers=(
            "Image to image and inpainting repeat a list of images as a whole, and each prompt by itself: of two "
            "prompts with an image each, two pictures each, the first prompt's second picture is made of the other's "
            "image."
        ),
        effect="Two prompts, two images, two pictures each: 2 of 4 pictures are made of the other prompt's image.",
        default="every prompt keeps its image",
        switch="",
        test="tests/pipelines/test_stable_diffusion_base.py::test_every_prompt_keeps_its_image",
    ),
    Mismatch(
        "Inpainting generators",
        paper="none.",
        original="CompVis/stable-diffusion draws everything from torch's global generator.",
        diffusers=(
            "Inpainting draws the latents of one image, used for several pictures, once, from the first generator of "
            "the list: every picture depends on that one too. Image to image draws them for each picture."
        ),
        effect="Two pictures of one image, the first generator seeded otherwise: 2 of 2 pictures change.",
        default="every picture depends on its own generator alone",
        switch="",
        test="tests/pipelines/test_stable_diffusion_inpaint.py::test_every_picture_has_its_own_generator",
    ),
    Mismatch(
        "Inpainting latents",
        paper="SDEdit algorithm 1 noises the guide to the time at which its walk begins.",
        original="CompVis/stable-diffusion inpaints from noise alone.",
        diffusers=(
            "Latents passed to inpainting are taken for the first sample, at every strength, times init_noise_sigma: "
            "below strength 1 nothing of the picture is in it, and the noise is not that of its time."
        ),
        effect=(
            "DDIM, strength 0.5 of 10 steps, timestep 401: the first sample holds 0 times the picture's latent instead "
            "of 0.650 times."
        ),
        default="latents are the noise, which drowns the picture as far as strength says",
        switch="",
        test="tests/pipelines/test_stable_diffusion_inpaint.py::test_latents_are_the_noise",
    ),
)
