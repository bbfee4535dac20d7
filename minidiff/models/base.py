"""What all networks share: a config, weights in a file, and the names that their weights had in earlier years."""

import re

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from minidiff import files
from minidiff.config import Configurable
from minidiff.signatures import LOADING, leaving_out


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
    @leaving_out(**LOADING)
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *,
        torch_dtype=None,
        dtype=None,
        subfolder=None,
        revision=None,
        variant=None,
        use_safetensors=None,
        cache_dir=None,
        token=None,
        local_files_only=False,
        **changes,
    ):
        """Load a network with its weights, ready to be used (`eval()`), on the CPU.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "google/ddpm-cifar10-32".
            torch_dtype, or dtype: the dtype of the weights, whatever the file holds; float32 if None.
            subfolder: where in it the network lies, such as "unet".
            variant: "fp16" for files such as diffusion_pytorch_model.fp16.safetensors.
            use_safetensors: True refuses pickles, which are read where there is nothing else.
            revision, cache_dir, token, local_files_only: as in huggingface_hub; see `minidiff.files.Repository`.
            changes: arguments that replace the config file's, such as sample_size=64.
        Raises:
            FileNotFoundError: the folder, the repository or a file does not exist.
            ValueError: a file is broken; the weights are not those of this network, or not finite; the config asks for
                a feature that is left out.
            TypeError: `torch_dtype` is no floating-point torch.dtype; a name in `changes` is unknown.
        """
        hub = dict(revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        torch_dtype = required_dtype(torch_dtype, dtype)
        repository = files.Repository(pretrained_model_name_or_path, **hub)
        described = cls.described_in(repository, subfolder, **changes)
        names = cls.weight_files(repository, subfolder, variant, use_safetensors)
        return described.read_weights(repository, names, torch_dtype)

    @classmethod
    def described_in(cls, repository, folder, **changes):
        with Uninitialised():
            return super().described_in(repository, folder, **changes)

    @classmethod
    def weight_files(cls, repository, folder, variant=None, use_safetensors=None):
        return repository.weight_files(folder, cls.weight_names, variant, use_safetensors)

    def read_weights(self, repository, names, torch_dtype=None):
        dtype, weights = torch_dtype or torch.float32, self.rename(repository.read_weights(names))
        refuse_misfits(self.state_dict(), weights, f"{type(self).__name__} and {repository.root / names[0]}")
        floating = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
        self.load_state_dict(floating, assign=True)
        self.to(dtype)  # what no file holds, such as tables of positions
        return self.to(memory_format=torch.channels_last).eval()  # the faster layout for convolutions over pictures

    def write_to(self, folder, variant=None):
        weights = self.state_dict()
        with Uninitialised():
            described = type(self).from_config(self.config)
        refuse_misfits(described.state_dict(), weights, f"{type(self).__name__}'s config and its weights")
        self.write_config(folder)
        files.write_weights(folder / files.with_variant(self.weight_names[0], variant), weights)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)  # torch's: weights and parts
        except AttributeError:
            return Configurable.__getattr__(self, name)

    @property
    def dtype(self):
        """torch.dtype: that of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self):
        """torch.device: where the weights lie."""
        return next(self.parameters()).device

    def num_parameters(self, only_trainable=False):
        """int: how many numbers the network has; or is to learn, if `only_trainable`."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)


class Uninitialised(TorchFunctionMode):
    """A context in which layers are made without drawing their first weights, which a file replaces anyway.

    What fills another tensor than a weight runs, since no file may hold it. Draws come from a generator of this
    context's own: nothing that other code or another thread draws is changed by it.
    """

    def __init__(self):
        super().__init__()
        self.generators = {}  # by device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        tensor = args[0] if args else kwargs.get("tensor")
        initialises = getattr(func, "__module__", None) == "torch.nn.init" or name in IN_PLACE_DRAWS
        if initialises and isinstance(tensor, nn.Parameter):
            return tensor
        if name in LIKE:  # of which older versions take no generator
            kwargs = {"dtype": tensor.dtype, "device": tensor.device} | kwargs
            func, name, args, tensor = LIKE[name], "randn", (tensor.shape,), None
        if name in DRAWS and kwargs.get("generator") is None:
            device = tensor.device if isinstance(tensor, torch.Tensor) else kwargs.get("device")
            kwargs["generator"] = self.generator(torch.device(device or torch.get_default_device()))
        return func(*args, **kwargs)

    def generator(self, device):
        if device.type == "meta":  # nothing is drawn there
            return None
        return self.generators.setdefault(device, torch.Generator(device))


# Functions of torch that draw, all of which take a generator: in place, those of torch.nn.init, and new tensors.
IN_PLACE_DRAWS = {
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "normal_",
    "random_",
    "uniform_",
}
DRAWS = IN_PLACE_DRAWS | {
    *("trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"),
    *("sparse_", "rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"),
}
LIKE = {"rand_like": torch.rand, "randn_like": torch.randn}


def unwrapped(network):
    """The network inside what torch.compile, DataParallel and DistributedDataParallel put around it."""
    while isinstance(network, nn.Module):
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif "_orig_mod" in network._modules:  # torch.compile's
            network = network._orig_mod
        else:
            break
    return network


def required_dtype(torch_dtype, dtype=None):
    """The one of two names of an argument that is given. Raises TypeError if it is no floating-point torch.dtype."""
    chosen = dtype if torch_dtype is None else torch_dtype
    if chosen is not None and not (isinstance(chosen, torch.dtype) and chosen.is_floating_point):
        raise TypeError(f"torch_dtype is {chosen!r}; allowed is a floating-point torch.dtype such as torch.float16")
    return chosen


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
