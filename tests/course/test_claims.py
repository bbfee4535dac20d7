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
    ddpm.agreement(pipe, samples=4, steps=4)
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
        work, asked = sampling.Work(), []
        hook = pipe.unet.register_forward_hook(lambda *_: asked.append(1))
        sampling.draw(sampling.sampler(name, pipe), sampling.noises(pipe, 3, 0), steps, work=work)
        hook.remove()
        assert len(asked) == sampling.calls_of(name, steps) and work.calls == 3 * len(asked)


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
        assert row["which"] == (each > 0.01).nonzero().flatten().tolist()


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


def test_the_spread_of_the_noise_is_that_of_what_was_found(pipe, monkeypatch):
    monkeypatch.setattr(
        ddim, "encode", lambda unet, scheduler, x_0, steps, work: 0.3 * x_0 / x_0.std((1, 2, 3), keepdim=True)
    )
    result, _ = ddim.encoding(pipe, samples=2, steps=(2,))
    assert result["rows"][0]["std"]["value"] == pytest.approx(0.3, abs=1e-4)


def test_of_drawings_there_and_back_and_of_long_walks_there_are_fewer(pipe, monkeypatch):
    for module, name in ((ddim, "CODED"), (ddim, "CURVES"), (ddpm, "FEWER"), (pndm, "FEWER")):
        monkeypatch.setattr(module, name, 3)
    assert ddim.encoding(pipe, samples=4, steps=(2,))[0]["samples"] == 3
    assert ddim.euler_error(pipe, samples=4, steps=3)[0]["samples"] == 3
    assert ddim.coarsening(pipe, samples=4, steps=10, ends=(0,))[0]["samples"] == 3
    assert ddpm.quality(pipe, samples=4, steps=(2,), large=())[0]["samples"] == 3
    all_four, few = pndm.as_many_calls(pipe, 4, (5,))[1], pndm.thousand_steps(pipe, 4, (5,), 7)[1]
    assert torch.allclose(few["PLMS", 4], all_four["PLMS", 4][:3], atol=1e-4) and len(few["DDIM", 7]) == 3


def test_the_headlines(pipe, monkeypatch):
    result, _ = ddpm.quality(pipe, samples=4, steps=(2, 3, 5), large=(2,))
    assert [(c["better"], c["than"]) for c in result["comparisons"]] == [
        (["DDPM", 3], ["DDPM", 2]),
        (["DDPM", 5], ["DDPM", 3]),
        (["DDPM", 2], ["DDPM, large", 2]),
    ]
    result, _ = pndm.as_many_calls(pipe, samples=2, calls=(5, 6))
    assert all(row["calls"] in (5, 6) for row in result["rows"]) and len(result["rows"]) == 4
    assert [(c["better"], c["than"]) for c in result["comparisons"]] == [
        (["PLMS", 4], ["DDIM", 5]),
        (["PLMS", 5], ["DDIM", 6]),
    ]
    result, _ = pndm.thousand_steps(pipe, samples=2, calls=(5,), steps=8)
    assert [(c["better"], c["than"]) for c in result["comparisons"]] == [
        (["PLMS", 4], ["DDIM", 8]),
        (["DDIM", 5], ["DDIM", 8]),
    ]
    monkeypatch.setattr(ddim, "draw", lambda pipe, x_T, *_: x_T.sigmoid())
    result, _ = ddim.ddim_against_ddpm(pipe, samples=2, steps=(20, 100), large=())
    assert (result["comparisons"][-1]["better"], result["comparisons"][-1]["than"]) == (["DDIM", 20], ["DDPM", 100])


# -- what is decided when


def test_chance_is_taken_off():
    """One attribute is the end's from the middle on, one is a coin each time, one is nearly always the same."""
    n, generator = 4_000, torch.Generator().manual_seed(0)
    weights = torch.full((1, n), 1 / n, dtype=torch.float64)
    end = torch.randint(4, (n,), generator=generator)
    other = torch.randint(4, (n,), generator=generator)
    mixed = torch.where(torch.rand(n, generator=generator) < 0.6, end, torch.randint(4, (n,), generator=generator))
    curve = ddpm.less_chance(weights, torch.stack([other, mixed, end, end]))
    assert curve[0].tolist() == pytest.approx([0, 0.6, 1, 1], abs=0.04)
    coin = torch.rand(n, generator=generator) < 0.5
    fog = torch.ones(n, dtype=torch.long)  # half of the answers are right, and nothing is decided
    assert ddpm.less_chance(weights, torch.stack([fog, coin.long()]))[0].tolist() == pytest.approx([0, 1], abs=1e-9)
    assert ddpm.less_chance(weights, torch.stack([coin.long(), fog]))[0].tolist() == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("curve", "t"),
    [((0.1, 0.4, 0.8, 1.0), 275), ((0.1, 0.7, 0.3, 1.0), 171.43), ((0.9, 0.8, 0.9, 1.0), 400), ((0, 0, 0, 0), 100)],
)
def test_where_a_curve_passes_one_half(curve, t):
    times = torch.tensor([400.0, 300, 200, 100]).double()
    assert ddpm.passes_half(times, torch.tensor([curve]).double()).item() == pytest.approx(t, abs=0.01)


def test_agreement(pipe, monkeypatch):
    """An evaluator that knows the time of day from the third of ten steps on, and the object from the seventh."""
    seen = []

    def look(pictures):
        seen.append(len(pictures))
        step = (len(seen) - 1) % 10
        told = {}
        for name, values in evaluator.ANSWERS.items():
            known = {"time": 2, "object": 6}.get(name, 0)
            value = torch.arange(len(pictures)) % 2 if step >= known else torch.zeros(len(pictures)).long()
            told[name] = torch.eye(len(values))[value]
        return told

    monkeypatch.setattr(evaluator, "look", look)
    monkeypatch.setattr(sampling, "BATCH", 4)
    monkeypatch.setattr(ddpm, "BATCH", 4)
    found, shown = ddpm.agreement(pipe, samples=8, steps=10)
    assert seen == [4] * 20 and len(shown["guesses"]) == 10
    half = {row["attribute"]: row["half"]["value"] for row in found["rows"]}
    assert half == {"object": 350, "colour": 900, "time": 750, "mountains": 900}
    curve = ddpm.curves_of(found)["object"]
    assert list(curve) == list(range(900, -1, -100)) and [p["value"] for p in curve.values()] == [0] * 6 + [1] * 4
    assert found["comparisons"][0]["half"]["verdict"] == "yes" and json.loads(json.dumps(found)) == found


# -- where on the walk a step costs


def test_what_an_euler_step_gets_wrong(pipe):
    """A network that says t / 1000, so that all can be counted out by hand; in levels, and in x_t's coordinates."""

    class Unet(torch.nn.Module):
        sample_shape = (3, 4, 4)

        def forward(self, x, t):
            return SimpleNamespace(sample=torch.full_like(x, t / 1000))

    toy = SimpleNamespace(unet=Unet(), scheduler=pipe.scheduler, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ddim, "sampler", lambda name, pipe: SimpleNamespace(scheduler=trailing()))
        result, _ = ddim.euler_error(toy, samples=2, steps=5)
    assert [row["t"] for row in result["rows"]] == [999, 799, 599, 399]
    assert statistics.table(result).splitlines()[1].startswith("t = 999  wrong by ")
    alpha_bar = trailing().alpha_bar.double()
    for row in result["rows"]:
        a, b = alpha_bar[row["t"]], alpha_bar[row["t"] - 200]
        wrong = (((1 - a) / a) ** 0.5 - ((1 - b) / b) ** 0.5) * 0.2 * b**0.5 * 127.5
        assert row["wrong"]["value"] == pytest.approx(wrong.item(), rel=1e-3)


def trailing():
    return DDIMScheduler(clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True)


def test_coarsening(pipe):
    """Each walk lacks four of five steps of its part alone; a walk without long steps is the walk before."""
    asked = []
    hook = pipe.unet.register_forward_pre_hook(lambda _, args: asked.append(int(args[1])))
    result, pictures = ddim.coarsening(pipe, samples=2, steps=20, ends=(500, 0))
    hook.remove()
    even = list(range(999, 0, -50))
    long = {"t = 999 to 500": even[:10:5] + even[10:], "t = 499 to 0": even[:10] + even[10::5]}
    assert asked == even + long["t = 999 to 500"] + long["t = 499 to 0"]
    assert [row["part"] for row in result["rows"]] == list(long) == list(pictures)[1:]
    for row in result["rows"]:
        moved = 255 * sampling.squares(pictures[row["part"]], pictures["even"]).sqrt()
        assert moved.min() - 1e-5 < row["moved"]["value"] < moved.max() + 1e-5
    result, _ = ddim.coarsening(pipe, samples=2, steps=20, factor=1, ends=(0,))
    assert result["rows"][0]["moved"]["value"] == 0
    even_walk = sampling.draw(sampling.sampler("DDIM, trailing", pipe), sampling.noises(pipe, 2, 0), 20)
    assert torch.allclose(even_walk, pictures["even"], atol=1e-5)


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
        assert found and all(result["samples"] in (1_000, 500, 250) for result in found.values())
        for result in found.values():
            text = statistics.table(result)
            assert len(text.splitlines()) == 1 + len(result["rows"])
    with pytest.raises(ValueError, match="paper is 'ddpn'; allowed are 'ddpm', 'ddim', 'pndm'"):
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
