"""The measurements of the papers' claims, on a toy network and an evaluator that was never trained."""

import json
from types import SimpleNamespace

import pytest
import torch

from minidiff import DDIMScheduler, DDPMPipeline, DDPMScheduler, PNDMPipeline, UNet2DModel
from minidiff.course import claims, statistics
from minidiff.course.claims import ddim, ddpm, pndm, sampling
from minidiff.course.mixture import Mixture
from minidiff.zoo import evaluator


@pytest.fixture(scope="module")
def pipe():
    torch.manual_seed(0)
    blocks = dict(down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
    unet = UNet2DModel(sample_size=32, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, **blocks)
    return DDPMPipeline(unet.eval(), DDPMScheduler())


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """An evaluator with random weights, for which every picture shows something."""
    torch.manual_seed(1)
    network = evaluator.Evaluator(block_out_channels=(8, 8, 8, 8)).eval()
    monkeypatch.setattr(evaluator, "evaluator", lambda: network)


def holds(entry):
    return entry["low"] <= entry["value"] <= entry["high"]


def test_ddim_against_ddpm(pipe):
    result, pictures = ddim.ddim_against_ddpm(pipe, samples=4, steps=(2, 3), large=(2,))
    keys = [("DDIM", 2), ("DDPM", 2), ("DDPM, large", 2), ("DDIM", 3), ("DDPM", 3)]
    assert list(pictures) == keys == [(row["sampler"], row["steps"]) for row in result["rows"]]
    assert all(drawn.shape == (4, 3, 32, 32) and 0 <= drawn.min() and drawn.max() <= 1 for drawn in pictures.values())
    assert all(holds(row[name]) for row in result["rows"] for name in ("named", "frechet"))
    assert result["rows"][3]["same"]["value"] == 1  # with the most steps, as with itself
    assert set(statistics.verdicts(result)) == {"DDIM 2 better than DDPM 2", "DDIM 3 better than DDPM 3"}
    assert result["samples"] == 4 and json.loads(json.dumps(result)) == result

    again, same = ddim.ddim_against_ddpm(pipe, samples=4, steps=(2, 3), large=(2,))
    assert again == result and all(torch.equal(same[key], pictures[key]) for key in keys)
    other, _ = ddim.ddim_against_ddpm(pipe, samples=4, steps=(2, 3), large=(2,), seed=1)
    assert other != result


def test_no_two_walks_share_their_noises(pipe):
    x_T = sampling.noises(pipe, 4, seed=0)
    drawn = [torch.randn(x_T.shape, generator=sampling.on_the_way(*of)) for of in ((0, 2, 0), (0, 3, 0), (0, 2, 4))]
    for k, one in enumerate([x_T, *drawn]):
        for other in drawn[k:]:
            assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].abs() < 0.1


def test_the_noises_on_the_way_are_not_where_the_walk_begins(pipe, monkeypatch):
    met, step = [], DDPMScheduler.step

    def meeting(self, model_output, timestep, sample, generator):
        met.append(torch.randn(sample.shape, generator=torch.Generator().set_state(generator.get_state())))
        return step(self, model_output, timestep, sample, generator=generator)

    monkeypatch.setattr(DDPMScheduler, "step", meeting)
    ddim.ddim_against_ddpm(pipe, samples=4, steps=(2, 3), large=())
    ddpm.coarse_to_fine(pipe, samples=4, steps=4)
    x_T = sampling.noises(pipe, 4, seed=0)
    assert len(met) == 2 + 3 + 4 and len({tuple(noise.flatten().tolist()) for noise in [x_T, *met]}) == 10


def test_pndm_against_ddim(pipe, monkeypatch):
    monkeypatch.setattr(pndm, "CURVES", 2)
    plan = {("DDIM", 10, 10), ("PLMS", 9, 10), ("DDIM", 19, 19), ("F-PNDM", 10, 19)}
    plan |= {(f"{name}, trailing", steps, calls) for name, steps, calls in plan}
    result, pictures = pndm.pndm_against_ddim(pipe, samples=2)
    rows = [(row["sampler"], row["steps"], row["calls"]) for row in result["rows"]]
    assert set(rows) == plan and len(pictures) == 8
    assert result["curves"] == 2 and all(holds(row["distance"]) for row in result["rows"])
    for comparison in result["comparisons"]:
        calls = [sampling.calls_of(*comparison[side]) for side in ("better", "than")]
        assert calls[0] == calls[1] and comparison["distance"]["verdict"] in ("yes", "no", "within noise")


def test_calls_are_those_that_the_network_gets(pipe):
    for name, steps in (("DDPM", 5), ("DDIM", 5), ("PLMS", 5), ("F-PNDM", 5)):
        bar = SimpleNamespace(calls=0, update=lambda n: setattr(bar, "calls", bar.calls + n))
        asked = []
        hook = pipe.unet.register_forward_hook(lambda *_: asked.append(1))
        sampling.draw(sampling.sampler(name, pipe), sampling.noises(pipe, 3, 0), steps, bar=bar)
        hook.remove()
        assert len(asked) == sampling.calls_of(name, steps) and bar.calls == 3 * len(asked)


def test_a_batch_is_cut_up_without_a_trace(pipe, monkeypatch):
    x_T = sampling.noises(pipe, 5, seed=0)
    whole = sampling.draw(sampling.sampler("DDIM", pipe), x_T, 3)
    monkeypatch.setattr(sampling, "BATCH", 2)
    assert torch.allclose(sampling.draw(sampling.sampler("DDIM", pipe), x_T, 3), whole, atol=1e-5)


def test_encoding(pipe):
    result, pictures = ddim.encoding(pipe, samples=2, steps=(2, 5))
    assert [row["steps"] for row in result["rows"]] == [2, 5] and list(pictures) == ["drawings", 2, 5]
    for row in result["rows"]:
        assert all(holds(row[name]) for name in ("psnr", "mse", "lost"))
        mse = (pictures[row["steps"]] - pictures["drawings"]).square().mean().item()
        assert row["mse"]["value"] == pytest.approx(mse, abs=1e-6)
        each = sampling.squares(pictures[row["steps"]], pictures["drawings"])
        assert row["lost"]["value"] == (each > 0.01).double().mean()  # 20 dB


def test_with_a_perfect_network_small_steps_lead_back():
    """For Gaussian data the walk to the noise and back converges to the identity."""
    scheduler = DDIMScheduler(clip_sample=False)
    network = Mixture([[0.0] * 12], [0.5]).as_network(scheduler.alpha_bar, (3, 2, 2))
    x_0 = 0.5 * torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    errors = []
    for steps in (10, 100):
        x_T = ddim.encode(network, scheduler, x_0, steps)
        back = x_T
        for t in scheduler.timesteps:
            back = scheduler.step(network(back, t).sample, t, back).prev_sample
        errors.append((back - x_0).abs().max().item())
        assert 0.8 < x_T.std() < 1.2
    assert errors[1] < errors[0] / 5


def test_interpolation(pipe):
    result, pictures = ddim.interpolation(pipe, samples=3, steps=2)
    assert list(pictures) == [("great circle", 2), ("chord", 2)] and len(result["comparisons"]) == 1


def test_slerp_keeps_the_radius_and_the_angle():
    a, b = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    b = b * a.norm() / b.norm()
    assert torch.allclose(ddim.slerp(a, b, 0), a) and torch.allclose(ddim.slerp(a, b, 1), b)
    points = [ddim.slerp(a, b, u) for u in torch.linspace(0, 1, 5)]
    assert all(abs(point.norm() - a.norm()) < 1e-9 for point in points)
    angles = [torch.acos((p * q).sum() / a.norm() ** 2) for p, q in zip(points, points[1:], strict=False)]
    assert max(angles) - min(angles) < 1e-6


def test_what_was_measured():
    for paper in ("ddpm", "ddim", "pndm"):
        found = claims.measured(paper)
        assert all(result["samples"] >= 1_000 for result in found.values())
        for result in found.values():
            text = statistics.table(result)
            assert len(text.splitlines()) == 1 + len(result["rows"])
    with pytest.raises(ValueError, match="paper is 'ddpn'; allowed are 'ddim', 'ddpm', 'pndm'"):
        claims.measured("ddpn")


def test_errors(pipe):
    with pytest.raises(ValueError, match="samples is 1; allowed is"):
        ddim.ddim_against_ddpm(pipe, samples=1)
    with pytest.raises(ValueError, match="name is 'Euler'; allowed are 'DDPM', .*'F-PNDM'"):
        sampling.sampler("Euler", pipe)


def test_samplers_are_what_they_are_called(pipe):
    assert sampling.sampler("DDPM, large", pipe).scheduler.config.variance_type == "fixed_large"
    assert sampling.sampler("DDIM, no clip", pipe).scheduler.config.clip_sample is False
    assert isinstance(sampling.sampler("PLMS", pipe), PNDMPipeline)
    assert sampling.sampler("PLMS", pipe).scheduler.config.skip_prk_steps is True
    for name in ("DDIM", "PLMS", "F-PNDM"):
        scheduler = sampling.sampler(f"{name}, trailing", pipe).scheduler
        scheduler.set_timesteps(10)
        assert scheduler.timesteps[0] == 999 and scheduler.config.set_alpha_to_one is True
        assert not scheduler.config.get("clip_sample", False)


def test_what_never_changes_again_is_decided(pipe, monkeypatch):
    """An evaluator whose answer for the object changes once, half way, and whose other answers never do."""
    seen = []

    def look(pictures):
        seen.append(len(pictures))
        logits = {
            name: torch.eye(len(values))[:1].repeat(len(pictures), 1) for name, values in evaluator.ANSWERS.items()
        }
        if len(seen) <= 5:
            logits["object"] = logits["object"].flip(1)
        return logits

    monkeypatch.setattr(evaluator, "look", look)
    found, _ = ddpm.coarse_to_fine(pipe, samples=3, steps=10)
    decided = {row["attribute"]: row["decided"]["value"] for row in found["rows"]}
    assert seen == [3] * 10
    assert decided == {"object": 400, "colour": 900, "time": 900, "mountains": 900}
    assert found["comparisons"][0]["decided"]["verdict"] == "yes"
