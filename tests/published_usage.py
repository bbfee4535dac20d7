"""The calls that people know of Stable Diffusion, with minidiff in the place of diffusers.

Arguments: the id or folder of one with four channels, and of one for inpainting with nine.
"""

import sys

import torch
from PIL import Image, ImageDraw

from minidiff import (
    LMSDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)

device = "cpu"
drawing, inpainting = sys.argv[1:]

pipe = StableDiffusionPipeline.from_pretrained(drawing).to(device)
size = pipe.unet.config.sample_size * pipe.vae_scale_factor
pipe("a yellow cat in the snow").images[0].save("cat.png")
pipe.scheduler = LMSDiscreteScheduler.from_config(pipe.scheduler.config)
pipe("a yellow cat in the snow", num_inference_steps=20, guidance_scale=7.5).images[0].save("lms.png")
lms = LMSDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
pipe = StableDiffusionPipeline.from_pretrained(drawing, scheduler=lms, torch_dtype=torch.float32).to(device)

generator = torch.Generator(device=device).manual_seed(1024)
side = size // pipe.vae_scale_factor
latents = torch.randn((1, pipe.unet.config.in_channels, side, side), generator=generator, device=device)
for prompt in ("a yellow cat in the snow", "a yellow cat at night", "a yellow cat in the snow"):
    image = pipe([prompt], guidance_scale=7.5, latents=latents, num_inference_steps=10)["images"][0]
    image.save(f"{prompt}.png")

sketch = Image.new("RGB", (size * 3 // 2, size), (120, 170, 240))
ImageDraw.Draw(sketch).polygon([(0, size), (size * 3 // 4, size // 3), (size * 3 // 2, size)], fill=(120, 120, 130))
pipe = StableDiffusionImg2ImgPipeline.from_pretrained(drawing).to(device)
images = pipe(prompt="a red house at sunset", image=sketch, strength=0.75, guidance_scale=7.5).images
images[0].save("landscape.png")

mask = Image.new("RGB", (size, size))
ImageDraw.Draw(mask).rectangle([size // 4, size // 4, size * 3 // 4, size * 3 // 4], fill="white")
pipe = StableDiffusionInpaintPipeline.from_pretrained(inpainting, safety_checker=None).to(device)
image = pipe(prompt="a yellow cat on a sunny day", image=sketch.resize((size, size)), mask_image=mask).images[0]
image.save("inpainted.png")
print(*(type(part).__module__.split(".")[0] for part in (pipe.text_encoder, pipe.vae, pipe.tokenizer)))
