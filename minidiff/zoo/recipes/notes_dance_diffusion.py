r"""notes-dance-diffusion: the UNet that predicts the velocity in notes of a second at 8 kHz, for Dance Diffusion.

Trained as Dance Diffusion was (Evans, Harmonai, 2022, https://github.com/Harmonai-org/sample-generator): the velocity
of Progressive Distillation (Salimans & Ho, ICLR 2022, arXiv:2202.00512), unweighted, at the times of the crash schedule
that it is sampled at. The times of a batch are stratified, one from each of B equal parts, which makes the loss less
noisy and changes nothing in its mean. The hidden weights are moved by Muon from the first step.

A second at full length is 8,192 positions, so the channels are few there; attention is where a second is 512 positions
wide or fewer and sees all of it, since a pitch must hold for the whole note.

What is left to gain: all of 500 sounds are in tune, strings and bars, but only their lowest partials are lines in the
spectrum; the higher ones are bands of noise, and die away sooner than those of true notes. Most sounds begin and end
with a click, one sample of the wrong height. Some are faint, at a third of the loudness of a true note.
"""

import numpy as np
import torch

from minidiff.models.unet_1d import UNet1DModel
from minidiff.noise import randn
from minidiff.pipelines.dance_diffusion import DanceDiffusionPipeline
from minidiff.schedulers.ipndm import IPNDMScheduler, crash_schedule
from minidiff.zoo import sounds
from minidiff.zoo.recipes.muon import Muon
from minidiff.zoo.recipes.training import TrainingRecipe


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "notes-dance-diffusion", 0, 4_500, 12
    learning_rate, warmup, ema_decay = 2e-3, 200, 0.9993
    drawings = 8_192

    def __init__(self):
        self.scheduler = IPNDMScheduler(num_train_timesteps=100)  # as published

    def network(self):
        """Laid out like harmonai/maestro-150k, with seven levels instead of thirteen, the last three with attention."""
        return UNet1DModel(
            sample_size=sounds.LENGTH,
            sample_rate=sounds.SAMPLE_RATE,
            in_channels=1,
            out_channels=1,
            down_block_types=("DownBlock1DNoSkip", *["DownBlock1D"] * 3, *["AttnDownBlock1D"] * 3),
            up_block_types=(*["AttnUpBlock1D"] * 3, *["UpBlock1D"] * 3, "UpBlock1DNoSkip"),
            block_out_channels=(12, 16, 32, 48, 64, 64, 64),
        )

    def optimizers(self, network, step):
        ends = [network.down_blocks[0].resnets[0], network.up_blocks[-1].resnets[-1]]  # what meets the wave itself
        outer = {id(W) for block in ends for W in block.parameters()}
        weights = [W for W in network.parameters() if W.requires_grad]
        hidden = [W for W in weights if W.ndim > 1 and id(W) not in outer]
        others = [W for W in weights if W.ndim == 1 or id(W) in outer]
        adam = torch.optim.AdamW(others, self.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
        return [Muon(hidden, self.learning_rate), adam]

    def data(self):
        return ((32767 * sounds.notes(self.drawings, sounds.TRAINING)).round().short(),)  # (n, 1, 8192)

    def loss(self, network, batch, generator, step):
        x_0 = batch[0].float() / 32767
        B = len(x_0)
        u = (torch.arange(B) + torch.rand(B, generator=generator)) / B
        t, _, _ = crash_schedule(u.to(x_0.device))
        eps = randn(x_0.shape, generator, x_0.device)
        x_t, v = self.scheduler.add_noise(x_0, eps, t), self.scheduler.get_velocity(x_0, eps, t)
        v_theta = network(x_t, t).sample

        # PD §4  L = \overline{(v - v_\theta)^2}
        L = ((v - v_theta.float()) ** 2).mean()
        return L

    def save(self, network, folder):
        DanceDiffusionPipeline(network.half(), self.scheduler).save_pretrained(folder)

    def measure(self, folder, device="cpu", samples=500, steps=50):
        """`sounds.evaluate` for as many samples."""
        pipe = DanceDiffusionPipeline.from_pretrained(folder).to(device)
        pipe.set_progress_bar_config(disable=True)
        draw = lambda k: pipe(25, steps, torch.Generator().manual_seed(k)).audios
        return {"steps": steps} | sounds.evaluate(np.concatenate([draw(k) for k in range(samples // 25)]))
