"""Loading from the Hub: which files travel, and what happens when something is in the way."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from hub import Hub
from huggingface_hub import constants
from pictures import same_weights, tiny_unet

from minidiff import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel, files

WEIGHTS = "diffusion_pytorch_model"


def small_pipeline(seed=0):
    return DDPMPipeline(tiny_unet(seed), DDPMScheduler(num_train_timesteps=50))


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with a pipeline, and all that a published repository holds beside what one of its readers needs."""
    folder = tmp_path_factory.mktemp("published") / "pipeline"
    pipe = small_pipeline()
    pipe.save_pretrained(folder)
    torch.save(pipe.unet.state_dict(), folder / "unet" / f"{WEIGHTS}.bin")
    pipe.unet.half()
    shutil.copytree(folder / "unet", folder / "other")
    pipe.unet.save_pretrained(folder / "other")
    (folder / "other" / f"{WEIGHTS}.safetensors").rename(folder / "unet" / f"{WEIGHTS}.fp16.safetensors")
    shutil.rmtree(folder / "other")
    (folder / "README.md").write_text("A picture of nothing.")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"large")
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that huggingface_hub talks to in this test, with an empty cache and no stored token."""
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        yield hub


def test_only_the_needed_files_travel(hub, saved):
    hub.add("me/small", saved)
    pipe = DiffusionPipeline.from_pretrained("me/small")
    assert type(pipe) is DDPMPipeline and same_weights(pipe.unet, small_pipeline().unet)
    needed = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json", f"unet/{WEIGHTS}.safetensors"]
    assert hub.downloads() == needed  # no .bin beside safetensors, no variant, nothing of what nobody uses


def test_a_second_time_nothing_travels(hub, saved):
    hub.add("me/small", saved)
    DiffusionPipeline.from_pretrained("me/small")
    hub.log.clear()
    DiffusionPipeline.from_pretrained("me/small")
    assert hub.downloads() == [] and len(hub.log) <= 4, hub.log


def test_a_component_that_is_passed_does_not_travel(hub, saved):
    hub.add("me/small", saved)
    unet = small_pipeline(seed=1).unet
    pipe = DDIMPipeline.from_pretrained("me/small", unet=unet)
    assert pipe.unet is unet and type(pipe) is DDIMPipeline
    assert hub.downloads() == ["model_index.json", "scheduler/scheduler_config.json"]


def test_components_load_alone(hub, saved):
    hub.add("me/small", saved)
    assert DDPMScheduler.from_pretrained("me/small", subfolder="scheduler").config.num_train_timesteps == 50
    assert hub.downloads() == ["scheduler/scheduler_config.json"]
    assert same_weights(UNet2DModel.from_pretrained("me/small", subfolder="unet"), small_pipeline().unet)


def test_pickles_where_there_is_nothing_else(hub, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    (folder / "unet" / f"{WEIGHTS}.safetensors").unlink()
    hub.add("me/small", folder)
    assert same_weights(DDPMPipeline.from_pretrained("me/small").unet, small_pipeline().unet)
    assert f"unet/{WEIGHTS}.bin" in hub.downloads()


def test_a_flat_repository(hub, tmp_path):
    pipe = small_pipeline()
    pipe.save_pretrained(tmp_path / "flat")
    pipe.unet.save_pretrained(tmp_path / "flat")
    pipe.scheduler.save_pretrained(tmp_path / "flat")
    for name in ("unet", "scheduler"):
        shutil.rmtree(tmp_path / "flat" / name)
    hub.add("me/flat", tmp_path / "flat")
    assert same_weights(DiffusionPipeline.from_pretrained("me/flat").unet, pipe.unet)
    assert hub.downloads() == ["config.json", f"{WEIGHTS}.safetensors", "model_index.json", "scheduler_config.json"]


def test_shards_travel_with_their_index(hub, saved, tmp_path):
    unet = small_pipeline().unet
    names = [f"{WEIGHTS}-0000{k}-of-00002.safetensors" for k in (1, 2)]
    keys = list(unet.state_dict())
    folder = shutil.copytree(saved, tmp_path / "copy")
    (folder / "unet" / f"{WEIGHTS}.safetensors").unlink()
    for k, name in enumerate(names):
        files.write_weights(folder / "unet" / name, {key: unet.state_dict()[key] for key in keys[k::2]})
    weight_map = {key: names[i % 2] for i, key in enumerate(keys)}
    files.write_json(folder / "unet" / f"{WEIGHTS}.safetensors.index.json", {"weight_map": weight_map})
    hub.add("me/sharded", folder)
    assert same_weights(DDPMPipeline.from_pretrained("me/sharded").unet, unet)
    wanted = [f"unet/{name}" for name in (*names, f"{WEIGHTS}.safetensors.index.json")]
    assert [name for name in hub.downloads() if WEIGHTS in name] == wanted


def test_variant(hub, saved):
    hub.add("me/small", saved)
    pipe = DDPMPipeline.from_pretrained("me/small", variant="fp16")
    assert (
        f"unet/{WEIGHTS}.fp16.safetensors" in hub.downloads() and f"unet/{WEIGHTS}.safetensors" not in hub.downloads()
    )
    assert pipe.dtype == torch.float32  # whatever the file holds
    assert same_weights(pipe.unet, small_pipeline().unet.half().float())
    with pytest.raises(FileNotFoundError, match=rf"unet/{WEIGHTS}\.bf16\.safetensors"):
        DDPMPipeline.from_pretrained("me/small", variant="bf16")


def test_revision(hub, saved, tmp_path):
    hub.add("me/small", saved)
    small_pipeline(seed=1).save_pretrained(tmp_path / "newer")
    (tmp_path / "newer" / "unet" / f"{WEIGHTS}.safetensors").unlink()  # other names than those in main
    torch.save(small_pipeline(seed=1).unet.state_dict(), tmp_path / "newer" / "unet" / f"{WEIGHTS}.bin")
    hub.add("me/small", tmp_path / "newer", revision="v2")
    assert same_weights(DDPMPipeline.from_pretrained("me/small", revision="v2").unet, small_pipeline(seed=1).unet)
    assert same_weights(DDPMPipeline.from_pretrained("me/small").unet, small_pipeline().unet)
    with pytest.raises(FileNotFoundError, match="revision is 'v3'; 'me/small' on the Hub has none"):
        DDPMPipeline.from_pretrained("me/small", revision="v3")


def test_private_repository(hub, saved):
    hub.add("me/secret", saved, token="hf_right")
    with pytest.raises(FileNotFoundError, match="'me/secret'.*private one pass token"):
        DDPMPipeline.from_pretrained("me/secret")
    assert same_weights(DDPMPipeline.from_pretrained("me/secret", token="hf_right").unet, small_pipeline().unet)


@pytest.mark.parametrize("cached", (False, True))
def test_a_token_that_is_no_longer_valid(hub, saved, cached):
    """The Hub refuses it even where none is needed; the copy in the cache would hide that."""
    hub.add("me/small", saved)
    if cached:
        DDPMPipeline.from_pretrained("me/small")
    hub.expired.add("hf_old")
    with pytest.raises(PermissionError, match="the Hub refuses 'me/small' with this token: .*Invalid credentials"):
        DDPMPipeline.from_pretrained("me/small", token="hf_old")


def test_a_config_that_nobody_can_use_is_refused_before_weights_travel(hub, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    config = files.read_json(folder / "scheduler" / "scheduler_config.json")
    files.write_json(folder / "scheduler" / "scheduler_config.json", config | {"thresholding": True})
    hub.add("me/other", folder)
    with pytest.raises(ValueError, match="thresholding is True"):
        DDPMPipeline.from_pretrained("me/other")
    files.write_json(folder / "unet" / "config.json", {"class_embed_type": "timestep"})
    hub.add("me/other", folder, revision="v2")
    with pytest.raises(ValueError, match="class_embed_type is 'timestep'"):
        UNet2DModel.from_pretrained("me/other", subfolder="unet", revision="v2")
    assert not any(WEIGHTS in name for name in hub.downloads())


def test_gated_repository(hub, saved):
    hub.add("me/gated", saved)
    hub.gated.add("me/gated")
    with pytest.raises(PermissionError, match="'me/gated' is gated: accept its terms"):
        DDPMPipeline.from_pretrained("me/gated")


def test_missing_repository(hub):
    with pytest.raises(FileNotFoundError, match="'me/nothing' is neither a folder here nor a repository on the Hub"):
        DDPMPipeline.from_pretrained("me/nothing")


def test_missing_file(hub, saved):
    hub.add("me/small", saved)
    with pytest.raises(
        FileNotFoundError, match="no file scheduler_config.json; there are .*scheduler/scheduler_config"
    ):
        DDPMScheduler.from_pretrained("me/small")
    with pytest.raises(FileNotFoundError, match=f"me/small has no file config.json; there are .*unet/{WEIGHTS}"):
        UNet2DModel.from_pretrained("me/small")


def test_without_a_network_the_cache_is_used(hub, saved, monkeypatch):
    hub.add("me/small", saved)
    DDPMPipeline.from_pretrained("me/small")
    hub.log.clear()
    assert same_weights(DDPMPipeline.from_pretrained("me/small", local_files_only=True).unet, small_pipeline().unet)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same_weights(DDPMPipeline.from_pretrained("me/small").unet, small_pipeline().unet)
    assert hub.log == []
    with pytest.raises(FileNotFoundError, match="'me/other' is no folder here and not in the cache.*Try again with a"):
        DDPMPipeline.from_pretrained("me/other")


def test_when_the_server_is_down_the_cache_is_used(hub, saved):
    hub.add("me/small", saved)
    DDPMPipeline.from_pretrained("me/small")
    hub.stop()
    assert same_weights(DDPMPipeline.from_pretrained("me/small").unet, small_pipeline().unet)
    with pytest.raises(FileNotFoundError, match="me/other.*the Hub cannot be reached"):
        DDPMPipeline.from_pretrained("me/other")
    with pytest.raises(FileNotFoundError, match="fp16.*the cache of earlier downloads lacks it"):
        DDPMPipeline.from_pretrained("me/small", variant="fp16")


def test_a_process_of_its_own(hub, saved, tmp_path):
    hub.add("me/small", saved)
    code = "import minidiff; print(type(minidiff.DiffusionPipeline.from_pretrained('me/small')).__name__)"
    environment = os.environ | hub.environment(tmp_path / "home")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "DDPMPipeline\n", done.stderr
    assert len(hub.downloads()) == 4 and (tmp_path / "home" / "hub" / "models--me--small").is_dir()


def test_a_cache_folder_of_ones_own(hub, saved, tmp_path):
    hub.add("me/small", saved)
    DDPMPipeline.from_pretrained("me/small", cache_dir=tmp_path / "mine")
    assert (tmp_path / "mine" / "models--me--small").is_dir() and not (tmp_path / "cache").exists()
