"""What all networks share: a config, weights in a file, and the names that their weights had in earlier years."""

import re

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from minidiff import files
from minidiff.config import Configurable


def rename_modules(weights):
    """Module names of the first months of published weights -> those of today; what was saved twice is dropped."""
    old = {
        "time_steps": "time_proj",
        "mid": "mid_block",
        "downsample_blocks": "down_blocks",
        "upsample_blocks": "up_blocks",
    }
    renamed = {".".join(old.get(part, part) for part in key.split(".")): tensor for key, tensor in weights.items()}
    twice = {key for key in renamed if ".op." in key}  # a downsampler's convolution, saved as `conv` too
    twice |= {key for key in renamed if key.endswith("time_proj.W") and f"{key[:-1]}weight" in renamed}
    return {key: tensor for key, tensor in renamed.items() if key not in twice}


def rename_attention(weights):
    """`attentions.0.query` -> `attentions.0.to_q`, and so on; 1x1 convolutions' weights become linear layers'."""
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    renamed = {}
    for key, tensor in weights.items():
        if match := re.fullmatch(r"(.*attentions\.\d+\.)(query|key|value|proj_attn)\.(weight|bias)", key):
            key = f"{match[1]}{old[match[2]]}.{match[3]}"
            tensor = tensor.flatten(1) if tensor.ndim > 1 and tensor.shape[2:].numel() == 1 else tensor
        renamed[key] = tensor
    return renamed


class Model(nn.Module, Configurable):
    """Base of networks: `from_pretrained`, `from_config`, `save_pretrained`, `config`, `dtype`, `device`.

    Class attributes, beside those of `Configurable`:
        weight_names: the names of the file of weights, the best first; the first is written.
        legacy_renames: functions from weights with old names to weights with today's, called one after the other.
    """

    weight_names = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
    legacy_renames = (rename_modules, rename_attention)

    @classmethod
    def rename(cls, weights):
        """dict of str to tensor: a file's weights by the names of today. A class with rules of its own extends this."""
        for rule in cls.legacy_renames:
            weights = rule(weights)
        return weights

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        torch_dtype=None,
        subfolder=None,
        *,
        revision=None,
        variant=None,
        cache_dir=None,
        token=None,
        local_files_only=False,
    ):
        """Load a network with its weights, ready to be used (`eval()`), on the CPU.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "google/ddpm-cifar10-32".
            torch_dtype: the dtype of the weights, whatever the file holds; float32 if None.
            subfolder: where in it the network lies, such as "unet".
            variant: "fp16" for files such as diffusion_pytorch_model.fp16.safetensors.
            revision, cache_dir, token, local_files_only: as in huggingface_hub; see `minidiff.files.Repository`.
        Raises:
            FileNotFoundError: the folder, the repository or a file does not exist.
            ValueError: a file is broken; the weights are not those of this network, or not finite; the config asks for
                a feature that is left out.
            TypeError: `torch_dtype` is no floating-point torch.dtype.
        """
        hub = dict(revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        require_dtype(torch_dtype)
        repository = files.Repository(pretrained_model_name_or_path, **hub)
        return cls.described_in(repository, subfolder).read_weights(repository, subfolder, variant, torch_dtype)

    @classmethod
    def described_in(cls, repository, folder):
        with Uninitialised(), torch.random.fork_rng(devices=[]):  # loading must not change what a seed draws afterwards
            return super().described_in(repository, folder)

    @classmethod
    def weight_files(cls, repository, folder, variant=None):
        return repository.weight_files(folder, cls.weight_names, variant)

    def read_weights(self, repository, folder, variant=None, torch_dtype=None):
        dtype, names = torch_dtype or torch.float32, self.weight_files(repository, folder, variant)
        weights = self.rename(repository.read_weights(names))
        refuse_misfits(self.state_dict(), weights, f"{type(self).__name__} and {repository.root / names[0]}")
        floating = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
        self.load_state_dict(floating, assign=True)
        return self.to(dtype).eval()  # the cast is for what no file holds, such as tables of positions

    def write_to(self, folder):
        self.write_config(folder)
        files.write_weights(folder / self.weight_names[0], self.state_dict())

    @property
    def dtype(self):
        """torch.dtype: that of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self):
        """torch.device: where the weights lie."""
        return next(self.parameters()).device

    def num_parameters(self):
        """int: how many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())


class Uninitialised(TorchFunctionMode):
    """A context in which layers are made without drawing their first weights, which a file replaces anyway."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init" or func in (
            torch.Tensor.uniform_,
            torch.Tensor.normal_,
        ):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def require_dtype(dtype):
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"torch_dtype is {dtype!r}; allowed is a floating-point torch.dtype such as torch.float16")


def refuse_misfits(expected, found, between):
    """Raise one ValueError with every difference between the tensors a network has and those a file holds."""
    shapes = {
        key: (tuple(tensor.shape), tuple(expected[key].shape)) for key, tensor in found.items() if key in expected
    }
    wrong = [f"{key} {here} instead of {there}" for key, (here, there) in shapes.items() if here != there]
    misfits = {
        "missing": [key for key in expected if key not in found],
        "unexpected": [key for key in found if key not in expected],
        "wrongly shaped": wrong,
    }
    lines = [f"  {kind}, {files.some(keys)}" for kind, keys in misfits.items() if keys]
    if lines:
        raise ValueError("\n".join([f"{between} do not fit:", *lines]))
