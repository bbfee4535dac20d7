"""Noise that a seed decides."""

from types import SimpleNamespace

import pytest
import torch

from minidiff.noise import randn, randn_like


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def test_a_generator_draws_in_the_dtype_asked_for():
    for dtype in (torch.float32, torch.float64, torch.float16):
        noise = randn((2, 3), seeded(), dtype=dtype)
        assert torch.equal(noise, torch.randn(2, 3, generator=seeded(), dtype=dtype)) and noise.dtype == dtype


def test_without_a_generator_the_global_one_draws():
    torch.manual_seed(3)
    noise = randn((4, 2))
    torch.manual_seed(3)
    assert torch.equal(noise, torch.randn(4, 2))


def test_a_list_of_generators_draws_each_sample_alone():
    noise = randn((2, 3, 5), [seeded(1), seeded(2)])
    assert torch.equal(noise[1:], randn((1, 3, 5), seeded(2))) and noise.shape == (2, 3, 5)
    with pytest.raises(ValueError, match="generator is a list of 2; allowed is one a sample, so 3"):
        randn((3, 5), [seeded(1), seeded(2)])


def test_more_than_any_memory_holds():
    for shape in ((10**30, 3), (2, 3, 10**17)):
        with pytest.raises(ValueError, match="more numbers than any memory holds"):
            randn(shape)


def test_a_cpu_generator_draws_on_the_cpu_for_every_device():
    generator = seeded()
    assert randn((2, 3), generator, device="meta").device.type == "meta"
    assert not torch.equal(generator.get_state(), seeded().get_state())  # it was used, although "meta" holds no numbers
    if torch.cuda.is_available():
        assert torch.equal(randn((2, 3), seeded(), "cuda").cpu(), randn((2, 3), seeded()))


def test_without_a_generator_the_device_draws():
    before = torch.get_rng_state()
    randn((2, 3), None, "meta")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_of_another_device():
    generator = SimpleNamespace(device=torch.device("cuda"))  # there need not be a GPU to refuse it
    with pytest.raises(ValueError, match="generator is on cuda; allowed is one on the CPU or on cpu"):
        randn((2, 3), generator, "cpu")


def test_like():
    x = torch.zeros(2, 3, dtype=torch.float64)
    assert torch.equal(randn_like(x, seeded()), randn((2, 3), seeded(), dtype=torch.float64))
