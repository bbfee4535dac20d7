r"""What the three pipelines of Stable Diffusion share beside their loops: prompts, sizes, the way back to pictures.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752. Stable Diffusion is its text-to-image model with CLIP's text model (Radford et al., ICML 2021,
arXiv:2103.00020), trained before and frozen, in the place of one trained along.
"""

import math
import numbers
import warnings
from dataclasses import dataclass

import torch

from minidiff.config import check_whole
from minidiff.models.base import unwrapped
from minidiff.outputs import Output
from minidiff.pipelines.base import DiffusionPipeline, pil_images, require_steps
from minidiff.pipelines.latents import decoded, prompts
from minidiff.signatures import EITHER, Off, leaving_out

ADAPTERS = Off((None,), "adapters are no part of the method that this package shows")
# Of every call of diffusers, with what asks for nothing.
LEFT_OUT_OF_CALLS = {
    "timesteps": Off((None,), "num_inference_steps and the scheduler's config choose them"),
    "sigmas": Off((None,), "num_inference_steps and the scheduler's config choose them"),
    "ip_adapter_image": ADAPTERS,
    "ip_adapter_image_embeds": ADAPTERS,
    "cross_attention_kwargs": ADAPTERS,
    "guidance_rescale": Off((0, None), "guidance is that of its paper"),
    "clip_skip": Off((None,), "the text model is heard where it ends, as it was in training"),
    "callback": Off((None,), "callback_on_step_end took its place"),
    "callback_steps": Off((None, 1), "callback_on_step_end took its place"),
}


@dataclass(eq=False)
class StableDiffusionPipelineOutput(Output):
    """Pictures, and what the safety checker says.

    Fields:
        images: B PIL images; a numpy array (B, H, W, C) or a tensor (B, C, H, W) in [0, 1]; or latents (B, C, h, w).
        nsfw_content_detected: B bools, True for a picture that was blacked out; None where nobody looked.
    """

    images: object
    nsfw_content_detected: list | None


class StableDiffusionBase(DiffusionPipeline):
    """Base of the three.

    Args:
        vae: an AutoencoderKL.
        text_encoder: a CLIPTextModel, ours or the transformers library's.
        tokenizer: a CLIPTokenizer of the transformers library; both may be None where all prompts come encoded.
        unet: a UNet2DConditionModel, predicts the noise in latents.
        scheduler: any scheduler whose `step` takes a sample, a time and what the network predicts; in image to image
            and inpainting it has `skip_steps`, as those of this package do.
        safety_checker: a StableDiffusionSafetyChecker, or None for none.
        feature_extractor: a CLIPImageProcessor of the transformers library, prepares pictures for the safety checker.
    Raises:
        ValueError: there is a safety checker and no feature extractor.
    """

    _optional = ("text_encoder", "tokenizer")  # nobody asks for them where all prompts are encoded already

    @leaving_out(requires_safety_checker=EITHER, image_encoder=ADAPTERS)
    def __init__(self, vae, text_encoder, tokenizer, unet, scheduler, safety_checker=None, feature_extractor=None):
        if safety_checker is not None and feature_extractor is None:
            raise ValueError(
                "feature_extractor is None; allowed beside a safety_checker is the image processor that it was "
                "published with. safety_checker=None does without both"
            )
        network = unwrapped(unet)
        if getattr(network, "in_first_form", False):
            size = network.config.sample_size
            if isinstance(size, int) and size < 64:  # it was trained on pictures of 512 pixels, whatever its file says
                network.register_to_config(sample_size=64)
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
        )

    @property
    def vae_scale_factor(self):
        """int: height and width of a picture over those of its latent; 8 for the published weights."""
        return unwrapped(self.vae).factor

    @property
    def latent_channels(self):
        """int: C, of the latents."""
        return unwrapped(self.vae).config.latent_channels

    @property
    def num_timesteps(self):
        """int: how often the network is called, by its name in diffusers; for callbacks."""
        return len(self.scheduler.timesteps)

    # -- prompts

    @property
    def prompt_length(self):
        """int: M, of how many tokens a prompt is made; 77 for the published weights."""
        return min(self.tokenizer.model_max_length, unwrapped(self.text_encoder).config.max_position_embeddings)

    @leaving_out(lora_scale=ADAPTERS, clip_skip=LEFT_OUT_OF_CALLS["clip_skip"])
    def encode_prompt(
        self,
        prompt,
        device=None,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
    ):
        """Prompts as the UNet hears them.

        Args:
            prompt: a text, or a list of B of them; or None beside `prompt_embeds`.
            device: where the result lies; the pipeline's if None.
            num_images_per_prompt: n, how often each is repeated.
            do_classifier_free_guidance: whether the negative prompts are encoded too.
            negative_prompt: what to lead away from: a text, or one a prompt; the empty text if None.
            prompt_embeds, negative_prompt_embeds: (B, M, d), encoded before, instead of the texts.
        Returns:
            (prompts, negative prompts): (B n, M, d) each; None for the latter without guidance.
        Raises:
            ValueError: see the call.
        """
        texts = (prompt, negative_prompt, prompt_embeds, negative_prompt_embeds)
        B = self.check_prompts(do_classifier_free_guidance, *texts)
        device = device or self.device
        if prompt_embeds is None:
            prompt_embeds = self.encode(prompts(prompt))
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negative = negative_prompt or ""
            texts = [negative] * B if isinstance(negative, str) else list(negative)
            negative_prompt_embeds = self.encode(texts, prompt_embeds.shape[1])
        found = (prompt_embeds, negative_prompt_embeds if do_classifier_free_guidance else None)
        repeated = lambda e: e.to(device, self.dtype).repeat_interleave(num_images_per_prompt, dim=0)
        return tuple(e if e is None else repeated(e) for e in found)

    def context(self, guides, n, *texts):
        """What the UNet looks at, (2 B n, M, d): the negative prompts, then the prompts; without guidance they alone.

        Args:
            texts: prompt, negative_prompt, prompt_embeds, negative_prompt_embeds of `encode_prompt`.
        """
        prompt, *others = texts
        cond, uncond = self.encode_prompt(prompt, self.device, n, guides, *others)
        return torch.cat([uncond, cond]) if guides else cond

    def encode(self, texts, length=None):
        """A list of B texts, cut or padded to `length` tokens, or to `prompt_length`: (B, length, d)."""
        length = length or self.prompt_length
        tokens = self.tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        for text, whole in zip(texts, self.tokenizer(texts, verbose=False).input_ids):
            if len(whole) > length:
                lost = self.tokenizer.decode(whole[length - 1 : -1])
                limit = "the text encoder takes" if length == self.prompt_length else "prompt_embeds has"
                warnings.warn(
                    f"the prompt {text[:40]!r}... is longer than the {length} tokens that {limit}; "
                    f"these words are lost: {lost!r}",
                    stacklevel=2,
                )
        return self.text_encoder(tokens.input_ids.to(self.device))[0]

    def check_prompts(self, guides, prompt, negative_prompt, prompt_embeds, negative_prompt_embeds):
        """int: B, how many prompts there are.

        Args:
            guides: whether negative prompts are looked at too.
        Raises:
            ValueError: both, or neither, of a text and its encoding are given; there is not one negative prompt, or one
                a prompt; the encodings have other shapes than the UNet takes, or than each other; there is a text, and
                nothing to encode it with.
        """
        self.check_components()
        if (prompt is None) == (prompt_embeds is None):
            raise ValueError(
                f"prompt is {prompt!r} and prompt_embeds {'None' if prompt_embeds is None else 'a tensor'}; "
                "allowed is one of both"
            )
        if negative_prompt is not None and negative_prompt_embeds is not None:
            raise ValueError(
                f"negative_prompt is {negative_prompt!r} and negative_prompt_embeds a tensor; allowed is one of both"
            )
        channels = unwrapped(self.unet).config.cross_attention_dim
        for name, e in (("prompt_embeds", prompt_embeds), ("negative_prompt_embeds", negative_prompt_embeds)):
            tensor = isinstance(e, torch.Tensor)
            fits = tensor and e.ndim == 3 and len(e) and e.shape[2] == channels and e.is_floating_point()
            if e is not None and not fits:
                what = f"{e.dtype} of shape {tuple(e.shape)}" if tensor else repr(e)[:100]
                raise ValueError(f"{name} is {what}; allowed is a floating-point tensor (B, M, {channels})")
        B = len(prompts(prompt)) if prompt_embeds is None else len(prompt_embeds)
        if isinstance(negative_prompt, list | tuple):
            if len(negative_prompt) != B or not all(isinstance(text, str) for text in negative_prompt):
                raise ValueError(
                    f"negative_prompt is {negative_prompt!r}; allowed is a text, or one for each prompt, so {B}"
                )
        elif not isinstance(negative_prompt, str | None):
            raise ValueError(f"negative_prompt is {negative_prompt!r}; allowed is a text, or a list of one a prompt")
        encodes_negative = guides and negative_prompt_embeds is None
        absent = [name for name in self._optional if getattr(self, name) is None]
        if absent and (prompt_embeds is None or encodes_negative):
            encoded = "prompt_embeds" if prompt_embeds is None else "negative_prompt_embeds"
            raise ValueError(f"{absent[0]} is None, and there is a text to encode; allowed then are {encoded} instead")
        M = self.prompt_length if prompt_embeds is None else prompt_embeds.shape[1]
        if negative_prompt_embeds is not None and negative_prompt_embeds.shape[:2] != (B, M):
            raise ValueError(
                f"negative_prompt_embeds is of shape {tuple(negative_prompt_embeds.shape)}; "
                f"allowed is that of the prompts, {(B, M, channels)}"
            )
        if encodes_negative and M > self.prompt_length:
            raise ValueError(
                f"prompt_embeds has {M} tokens, and the text encoder makes {self.prompt_length} of a negative prompt; "
                "allowed beside it are negative_prompt_embeds of as many"
            )
        return B

    # -- steps

    def steps_to_skip(self, strength, num_inference_steps):
        """int: how many of the steps are left out, so that the rest starts from a picture noised so much.

        Raises:
            ValueError: `strength` is outside [0, 1], or leaves no step; the scheduler, another package's, skips none.
        """
        require_steps(self.scheduler, "scheduler of minidiff, which can begin inside a walk", "skip_steps")
        real = isinstance(strength, numbers.Real) and not isinstance(strength, bool)
        if not real or not 0 <= strength <= 1:  # NaN is not <= anything
            raise ValueError(f"strength is {strength!r}; allowed are numbers from 0 to 1")
        check_whole("num_inference_steps", num_inference_steps)
        left = int(num_inference_steps * strength)
        if left < 1:
            least = math.ceil(1e4 / num_inference_steps) / 1e4
            raise ValueError(
                f"strength is {strength}, which leaves none of {num_inference_steps} steps; allowed is {least:g} or "
                "more, or more steps"
            )
        return num_inference_steps - left

    # -- pictures

    def encode_pictures(self, x, generator):
        """Latents, (K, C, h, w), as diffusion works on them: a draw of what the autoencoder knows of pictures x.

        Args:
            x: (K, 3, H, W) in [-1, 1].
            generator: None, one, or a list of K.
        """
        vae = unwrapped(self.vae)
        return vae.encode(x).latent_dist.sample(generator) * vae.config.scaling_factor

    def pictures(self, z_0, output_type):
        """(images, shown): pictures of latents z_0 as `output_type` says, and which the safety checker blacked out."""
        if output_type == "latent":
            return z_0, None
        images, shown = self.postprocess(decoded(self.vae, z_0), "pt"), None
        if self.safety_checker is not None:
            seen = pil_images(images.detach().cpu().permute(0, 2, 3, 1).float().numpy())
            clip_input = self.feature_extractor(seen, return_tensors="pt").pixel_values.to(self.device, self.dtype)
            images, shown = self.safety_checker(clip_input=clip_input, images=images)
        return self.postprocess(images, output_type, centred=False), shown


def for_pictures(argument, values, B, n, generator):
    """Values, (K, ...), for n pictures of each of B prompts: (B n, ...), or (1, ...) if there is one, used for all.

    Args:
        argument: what they were passed as.
        generator: a list of them repeats also the one, since each picture gets a draw of its own from it.
    Raises:
        ValueError: K is neither 1 nor B.
    """
    K = len(values)
    if K not in (1, B):
        raise ValueError(f"{argument}: there are {K} for {B} prompts; allowed is one, or one for each")
    if K > 1:
        return values.repeat_interleave(n, dim=0)
    return values.expand(B * n, *values.shape[1:]) if isinstance(generator, list | tuple) else values


def result(images, shown, return_dict):
    """What a call returns; the tuple has two members in any case."""
    return StableDiffusionPipelineOutput(images, shown) if return_dict else (images, shown)
