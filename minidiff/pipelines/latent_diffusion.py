r"""Pictures by diffusion over latents, as a prompt asks for them.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752, section 4.3.1: the prompt, encoded by a transformer, is looked at by every level of the UNet. Guidance
(Ho & Salimans, arXiv:2207.12598) makes it heard: the network is asked with the prompt and with the empty one.

Letters: the paper's z_t is DDPM's x_t, in latents; its \tau_\theta(y), the encoded prompt, is the context.
"""

import torch

from minidiff.models.base import unwrapped
from minidiff.pipelines.base import DiffusionPipeline, ImagePipelineOutput
from minidiff.pipelines.guidance import check_guidance_scale, guided
from minidiff.pipelines.latents import OUTPUT_TYPES, decoded, latent_shape, prompts
from minidiff.schedulers.ddim import check_eta


class LDMTextToImagePipeline(DiffusionPipeline):
    """Draws what prompts say, with a UNet2DConditionModel over the latents of an AutoencoderKL.

    Args:
        vqvae: the autoencoder; published files call the AutoencoderKL so.
        bert: an LDMBertModel, encodes prompts.
        tokenizer: a BertTokenizer of the transformers library.
        unet: predicts the noise in latents.
        scheduler: a DDIMScheduler, or any other.
    """

    def __init__(self, vqvae, bert, tokenizer, unet, scheduler):
        self.register_modules(vqvae=vqvae, bert=bert, tokenizer=tokenizer, unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        prompt,
        height=None,
        width=None,
        num_inference_steps=50,
        guidance_scale=1.0,
        eta=0.0,
        generator=None,
        latents=None,
        output_type="pil",
        return_dict=True,
        *,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        """Draw a picture for each prompt.

        Args:
            prompt: a text, or a list of B of them; what goes beyond the text encoder's length is cut off.
            height, width: of the pictures, multiples of the autoencoder's `factor`; both or neither, which is the size
                that the UNet was trained on.
            num_inference_steps: how many of the T timesteps are visited.
            guidance_scale: 1 + w of the paper of guidance; 1 is no guidance, see `minidiff.pipelines.guidance`.
            eta: 0 is deterministic, so that z_T alone decides the picture; 1 has DDPM's variance. In [0, 1]. Only
                DDIM knows it; other schedulers are run without.
            generator: for z_T and, where the scheduler draws, the noise of every step: None, one, or a list of B.
            latents: z_T itself, standard normal, (B, C, h, w).
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W), both in [0, 1]; "latent" for z_0,
                (B, C, h, w), not decoded.
            callback_on_step_end: called as f(pipe, i, t, tensors) after each step; a dict that it returns replaces
                tensors.
            callback_on_step_end_tensor_inputs: names out of "latents" (after the step), "sample" (z_t, before it),
                "model_output", "pred_original_sample", and "prompt_embeds" (under guidance the empty prompts' first,
                then the prompts'; where the latter alone come back, there is no more guidance).
        Returns:
            `ImagePipelineOutput`, or the tuple `(images,)`.
        Raises:
            ValueError: an argument is out of range, or has the wrong length or shape; nothing was computed then. Or the
                pictures hold numbers that are infinite or none at all.
        """
        prompt = prompts(prompt)
        self.check_call(len(prompt), generator, output_type, OUTPUT_TYPES, channels=3)
        shape = (len(prompt), *latent_shape(self.vqvae, self.unet, height, width))
        check_guidance_scale(guidance_scale)
        check_eta(eta)
        watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs, also=("prompt_embeds",))
        options = self.step_options(eta=eta, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)

        # DDPM Alg. 2, line 1  z_T \sim \mathcal N(0, I)
        z_t = self.start_noise(shape, generator, latents)  # (B, C, h, w)

        context = self.encode(([""] * len(prompt) if guidance_scale != 1 else []) + prompt)  # (2B, M, d) or (B, M, d)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            z_in = self.scheduler.scale_model_input(z_t, t)
            if len(context) > len(prompt):  # a callback may leave the empty prompts out
                eps_u, eps_c = self.unet(torch.cat([z_in, z_in]), t, context).sample.chunk(2)
                eps_theta = guided(eps_u, eps_c, guidance_scale)
            else:
                eps_theta = self.unet(z_in, t, context).sample
            step = self.scheduler.step(eps_theta, t, z_t, **options)
            z_t, context = watch(i, t, step, sample=z_t, model_output=eps_theta, prompt_embeds=context)
            if self.interrupt:
                break
        images = z_t if output_type == "latent" else self.postprocess(decoded(self.vqvae, z_t), output_type)
        return ImagePipelineOutput(images).as_asked(return_dict)

    def encode(self, prompt):
        """A list of B texts as the UNet hears them: (B, M, d), all padded to the text encoder's length M."""
        length = unwrapped(self.bert).config.max_position_embeddings
        tokens = self.tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return self.bert(tokens.input_ids.to(self.device)).last_hidden_state
