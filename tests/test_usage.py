"""Published usages word for word, from a small Hub on loopback: the zoo's weights under the published names."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hub import Hub
from PIL import Image

from minidiff import zoo

IDS = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-inpainting")
ROOT = Path(__file__).parents[1]


def test_stable_diffusion(tmp_path):
    with Hub() as hub:
        for name, weights in zip(IDS, ("storybook-sd", "storybook-sd-inpaint")):
            hub.add(name, zoo.path(weights))
        (tmp_path / "work").mkdir()
        warned = {"PYTHONWARNINGS": "error::UserWarning,ignore:the safety checker found:UserWarning"}
        environment = os.environ | hub.environment(tmp_path / "home") | warned
        environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, str(ROOT / "tests" / "published_usage.py"), *IDS]
        done = subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)
        downloads = hub.downloads()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["minidiff", "minidiff", "transformers"]
    made = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / "work").iterdir()}
    assert made["landscape"].shape == (64, 96, 3) and made["inpainted"].shape == (64, 64, 3)
    assert len(made) == 6 and not np.array_equal(made["a yellow cat in the snow"], made["a yellow cat at night"])
    assert downloads.count("unet/diffusion_pytorch_model.safetensors") == 2  # of each once, whatever was loaded again
    assert downloads.count("safety_checker/model.safetensors") == 1  # not where it is passed as None
    assert "tokenizer/merges.txt" in downloads and "README.md" not in downloads and "measures.json" not in downloads
