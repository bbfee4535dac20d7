"""The perfect network: its formulas against automatic derivatives, its flow against the exact one in one dimension."""

import pytest
import torch
from against import assert_close, randn, seeded

from minidiff import DDIMPipeline, DDIMScheduler, DDPMScheduler, PNDMScheduler
from minidiff.course.mixture import Mixture, Orders, double_precision, final_std, orders, walk

MIXTURE = Mixture([[-1.0, 0.3], [0.5, -0.8]], [0.2, 0.4], [0.7, 0.3])


def log_density(mixture, x, alpha_bar):
    std = (alpha_bar * mixture.stds**2 + 1 - alpha_bar) ** 0.5
    gaussians = torch.distributions.Normal(alpha_bar**0.5 * mixture.means, std[:, None])
    return (mixture.weights.log() + gaussians.log_prob(x[:, None]).sum(-1)).logsumexp(1)


@pytest.mark.parametrize("alpha_bar", (0.999, 0.5, 1e-4))
def test_score_is_the_slope_of_the_log_density(alpha_bar):
    x = randn(5, 2, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(log_density(MIXTURE, x, alpha_bar).sum(), x)
    assert_close(MIXTURE.score(x.detach(), alpha_bar), slope, 1e-12)
    eps, x_0 = MIXTURE.eps(x.detach(), alpha_bar), MIXTURE.x_0(x.detach(), alpha_bar)
    assert_close(
        alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * eps, x.detach(), 1e-12
    )  # both are expectations given x


def test_samples_have_the_mixtures_moments():
    n = 100_000
    for alpha_bar in (1.0, 0.4):
        x = MIXTURE.sample(n, alpha_bar, seeded())
        mean = alpha_bar**0.5 * (MIXTURE.weights[:, None] * MIXTURE.means).sum(0)
        second = (
            MIXTURE.weights[:, None] * (alpha_bar * (MIXTURE.means**2 + MIXTURE.stds[:, None] ** 2) + 1 - alpha_bar)
        ).sum(0)
        assert ((x.mean(0) - mean).abs() < 5 * x.std(0) / n**0.5).all()
        assert (((x**2).mean(0) - second).abs() < 5 * (x**2).std(0) / n**0.5).all()


def test_flow_keeps_every_quantile():
    # In one dimension the flow is monotone, so it leads each quantile of one level to the same quantile of the other.
    line = Mixture([[-1.0], [0.5]], [0.3, 0.4], [0.6, 0.4])

    def share_below(x, alpha_bar):
        std = (alpha_bar * line.stds**2 + 1 - alpha_bar) ** 0.5
        return (line.weights * torch.distributions.Normal(alpha_bar**0.5 * line.means[:, 0], std).cdf(x)).sum(1)

    x = torch.linspace(-2.5, 2.5, 21, dtype=torch.float64)[:, None]
    assert_close(share_below(line.flow(x, 0.01, 0.9), 0.9), share_below(x, 0.01), 1e-9)
    assert_close(line.flow(x, 0.5, 0.5, steps=3), x, 1e-12)


@pytest.mark.parametrize("shape", ((3, 2), (3, 1, 2), (3, 2, 1, 1)))
def test_the_network_takes_any_shape_and_times_of_a_batch(shape):
    levels = DDPMScheduler().alpha_bar
    for prediction_type in ("epsilon", "sample", "v_prediction"):
        network = MIXTURE.as_network(levels, prediction_type=prediction_type)
        together = network(randn(*shape), torch.tensor([3, 500, 999])).sample
        alone = [network(randn(*shape)[i : i + 1], t, return_dict=False)[0] for i, t in enumerate((3, 500, 999))]
        assert_close(together, torch.cat(alone))
        assert together.dtype == torch.float32


def test_the_network_stands_in_a_pipeline():
    picture = randn(1, 12, seed=3)
    scheduler = DDIMScheduler(clip_sample=False)
    pipe = DDIMPipeline(Mixture(picture, [1e-3]).as_network(scheduler.alpha_bar, (3, 2, 2)), scheduler)
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe(num_inference_steps=20, generator=seeded(), output_type="pt").images
    assert (drawn - (picture.reshape(1, 3, 2, 2) / 2 + 0.5).clamp(0, 1)).abs().max() < 0.02


def test_final_std_of_one_step():
    # One step of DDIM from T - 1, at alpha_bar a, to the picture: the share of x that a perfect network believes in.
    with double_precision():
        scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    a = scheduler.alpha_bar[-1].item()
    assert final_std(scheduler, 0.5, 1) == pytest.approx(a**0.5 * 0.25 / (a * 0.25 + 1 - a), rel=1e-9)


def test_orders_are_printed_as_a_table():
    halved = Orders((10, 20, 40), (1.0, 0.25, 0.0625))
    assert halved.slopes == pytest.approx((2, 2)) and halved.order == pytest.approx(2)
    assert str(halved).splitlines() == [
        "steps      error  order",
        "   10   1.00e+00       ",
        "   20   2.50e-01   2.00",
        "   40   6.25e-02   2.00",
    ]


def test_double_precision_ends_with_an_error_too():
    with pytest.raises(KeyError), double_precision():
        assert torch.get_default_dtype() == torch.float64
        raise KeyError
    assert torch.get_default_dtype() == torch.float32


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"shapes \[\(1, 2\), \(2,\), \(2,\)\]; allowed are \(K, D\), \(K,\), \(K,\)"):
        Mixture([[0.0, 1.0]], [0.1, 0.2])
    with pytest.raises(ValueError, match="prediction_type is 'noise'; allowed"):
        MIXTURE.as_network(torch.ones(3), prediction_type="noise")


def test_over_the_whole_walk_the_order_is_not_all():
    """With a clean end and a pure start DDIM's few steps cost less, and twenty of PLMS more than 320 of DDIM's."""
    mixture = Mixture([[-1.0], [0.5]], [0.2, 0.3])
    ddim = orders(DDIMScheduler, mixture, (8, 20, 320), clip_sample=False, whole=True)
    plms = orders(PNDMScheduler, mixture, (8, 20), skip_prk_steps=True, whole=True)
    assert ddim.errors == pytest.approx((0.148, 0.057, 0.004), rel=0.2)
    assert plms.errors == pytest.approx((0.150, 0.029), rel=0.2)
    assert orders(PNDMScheduler, mixture, (20,), skip_prk_steps=True).errors[0] < 1e-3  # without both ends

    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True)
    scheduler.set_timesteps(8)
    x_T = mixture.sample(64, scheduler.alpha_bar[-1].item(), torch.Generator().manual_seed(0))
    end = walk(scheduler, mixture.as_network(scheduler.alpha_bar), x_T)
    exact = mixture.flow(x_T, scheduler.alpha_bar[-1].item(), 1 - 1e-8)
    assert (end - exact).square().mean().sqrt().item() == pytest.approx(ddim.errors[0], rel=1e-3)
