"""What all pipelines share: components, loading and saving, checks, watching the loop, pictures out of tensors."""

import copy
import functools
import inspect
import json
from dataclasses import dataclass

import torch
from torch import nn

import minidiff
from minidiff import files
from minidiff.config import DIFFUSERS_VERSION, Configurable, argument_names, check_one_of, check_whole
from minidiff.models.base import required_dtype, unwrapped
from minidiff.noise import check_device, randn
from minidiff.outputs import Output
from minidiff.pipelines.foreign import CONFIG_FILES, Foreign, published_name
from minidiff.signatures import LOADING, SAVING, leaving_out, nearest, refuse_unknown

# Classes that published files name by a name from before a rename.
ALIASES = {
    "VeSdeScheduler": "ScoreSdeVeScheduler",
    "UNetUnconditionalModel": "UNet2DModel",
    "LatentDiffusionPipeline": "LDMTextToImagePipeline",
    "CLIPFeatureExtractor": "CLIPImageProcessor",
    "CLIPImageProcessorPil": "CLIPImageProcessor",
}
# Where published files say that classes live. The last two are folders of diffusers, from when some networks lived
# there.
LIBRARIES = ("diffusers", "transformers", "minidiff", "latent_diffusion", "stable_diffusion")
LEFT_OUT = """
    enable_xformers_memory_efficient_attention disable_xformers_memory_efficient_attention enable_attention_slicing
    disable_attention_slicing enable_vae_slicing disable_vae_slicing enable_vae_tiling disable_vae_tiling
    enable_model_cpu_offload enable_sequential_cpu_offload enable_group_offload maybe_free_model_hooks enable_freeu
    disable_freeu fuse_qkv_projections unfuse_qkv_projections load_lora_weights unload_lora_weights save_lora_weights
    fuse_lora unfuse_lora set_adapters load_textual_inversion load_ip_adapter unload_ip_adapter set_ip_adapter_scale
    push_to_hub
""".split()


@dataclass(eq=False)
class ImagePipelineOutput(Output):
    """Pictures.

    Fields:
        images: B PIL images; or a numpy array (B, H, W, C) or a tensor (B, C, H, W), in [0, 1].
    """

    images: object


class DiffusionPipeline:
    """Base of pipelines: named components, and a `__call__` that holds the whole loop.

    A pipeline of your own is known by its name as soon as it is defined, and saves and loads as ours do:

        class MyPipeline(DiffusionPipeline):
            def __init__(self, unet, scheduler):
                self.register_modules(unet=unet, scheduler=scheduler)

            def __call__(self, ...): ...

    A call runs on a copy of the pipeline and of its scheduler, so that several may run at once; see `on_a_copy`.
    """

    _optional = ()  # names of components that some calls do without; the others check them themselves
    _names = ()  # of the components
    _progress = {}  # options of the progress bar
    _interrupt = False
    _running = ()  # the copies on which calls of this pipeline run now
    _subclasses = {}  # name -> class, of all that are defined

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        DiffusionPipeline._subclasses[cls.__name__] = cls
        if "__call__" in cls.__dict__:
            cls.__call__ = on_a_copy(cls.__call__)

    def register_modules(self, **components):
        """Make networks, schedulers and the like attributes of the pipeline, to be saved, loaded and moved with it."""
        self._names = tuple(dict.fromkeys([*self._names, *components]))
        self.__dict__.update(components)

    @property
    def components(self):
        """dict: name -> component, in the order of their registration; None for one that is absent."""
        return {name: getattr(self, name) for name in self._names}

    @property
    def interrupt(self):
        """bool: set it to True in a callback, and this call's loop ends after this step; on the pipeline itself, and
        those of all its calls do.
        """
        return self._interrupt

    @interrupt.setter
    def interrupt(self, value):
        self._interrupt = value
        for run in list(self._running):
            run.interrupt = value

    def __repr__(self):
        """A line a component, with what is in it."""
        lines = [f"  {name}: {described(component)}" for name, component in self.components.items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def __getattr__(self, name):
        if name in LEFT_OUT:
            raise AttributeError(
                f"{name} does not exist in minidiff: it is a feature of diffusers beside the method itself "
                "(memory, speed, adapters, other formats), and this package shows the method"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{nearest(name, dir(self))}")

    # -- loading and saving

    @classmethod
    @leaving_out(**LOADING)
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *,
        torch_dtype=None,
        dtype=None,
        revision=None,
        variant=None,
        use_safetensors=None,
        cache_dir=None,
        token=None,
        local_files_only=False,
        **components,
    ):
        """Load a pipeline with its components, ready to be used, on the CPU.

        Called on `DiffusionPipeline` it gives the class that the repository names, on another class always that one: a
        DDIMPipeline from a repository of DDPM, for instance.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "google/ddpm-cifar10-32"; of the Hub's files
                only the needed ones are loaded.
            torch_dtype, or dtype: the dtype of the weights, whatever the files hold; float32 if None.
            variant: "fp16" for files such as diffusion_pytorch_model.fp16.safetensors.
            use_safetensors: True refuses pickles, which are read where there is nothing else.
            revision, cache_dir, token, local_files_only: as in huggingface_hub; see `minidiff.files.Repository`.
            components: by name, to be used instead of the repository's; None for none.
        Raises:
            FileNotFoundError: the folder, the repository or a file does not exist.
            ValueError: a file is broken or names a class that minidiff does not have; weights do not fit.
            TypeError: `components` has an unknown name; `torch_dtype` is no floating-point torch.dtype.
        """
        torch_dtype = required_dtype(torch_dtype, dtype)
        hub = dict(revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        repository = files.Repository(pretrained_model_name_or_path, **hub)
        index = repository.read_json("model_index.json")
        if cls is DiffusionPipeline:
            cls = pipeline_class(index.get("_class_name"))
        refuse_unknown(cls.__name__, components, argument_names(cls))

        classes = {
            name: component_class(name, index[name])
            for name in argument_names(cls)
            if name in index and name not in components
        }
        components = classes | components
        if absent := [name for name in required_names(cls) if name not in components]:
            raise ValueError(
                f"{repository.source} has no {', '.join(absent)}, which {cls.__name__} needs; "
                "it can be passed by that name"
            )

        # First all that is small, so that a config nobody can use is refused before its weights travel.
        present = {name: found for name, found in classes.items() if found is not None}
        folders = {name: name if repository.has_folder(name) else None for name in present}
        repository.fetch([files.join(folders[name], found.config_file) for name, found in present.items()])
        made = {name: found.described_in(repository, folders[name]) for name, found in present.items()}
        weights = {
            name: component.weight_files(repository, folders[name], variant, use_safetensors)
            for name, component in made.items()
        }
        repository.fetch(sum(weights.values(), []))
        for name, component in made.items():
            components[name] = component.read_weights(repository, weights[name], torch_dtype)
        return cls(**components)

    @leaving_out(**SAVING)
    def save_pretrained(self, save_directory, *, variant=None):
        """Write all that `from_pretrained` needs into `save_directory`, one folder a component.

        A crash leaves no half file, and what else lies there stays: see `minidiff.files.saving`.

        Args:
            variant: stands in the names of the weights' files, such as "fp16"; nothing is converted.
        Raises:
            TypeError: a component cannot be saved.
            ValueError: a network's weights do not fit its config, so that nothing could load them.
        """
        index = {"_class_name": type(self).__name__, "_diffusers_version": DIFFUSERS_VERSION}
        components = {name: unwrapped(component) for name, component in self.components.items()}
        for name, component in components.items():
            if component is not None and not hasattr(component, "save_pretrained"):
                raise TypeError(
                    f"{name} is a {type(component).__name__}, which cannot be saved; it has no method save_pretrained"
                )
            index[name] = [None, None] if component is None else [library(component), published_name(component)]
        with files.saving(save_directory) as new:
            for name, component in components.items():
                if isinstance(component, Configurable):
                    component.write_to(new / name, variant)
                elif component is not None:  # another package's own
                    component.save_pretrained(new / name)
            files.write_json(new / "model_index.json", index)

    # -- where it runs

    def to(self, *args, **kwargs):
        """Move the networks as a torch Module's `to` does: `pipe.to("cuda", torch.float16)`. Returns the pipeline."""
        for network in self._networks():
            network.to(*args, **kwargs)
        return self

    @property
    def device(self):
        """torch.device: that of the first network; noise lies there."""
        return next(self._networks()[0].parameters()).device

    @property
    def dtype(self):
        """torch.dtype: that of the first network; noise has it."""
        return next(self._networks()[0].parameters()).dtype

    def _networks(self):
        return [component for component in self.components.values() if isinstance(component, nn.Module)]

    # -- what a loop needs

    @property
    def sample_shape(self):
        """(C, H, W) of one sample, as the network was trained to draw it.

        Raises:
            ValueError: the network returns other channels than it takes.
        """
        network = unwrapped(self.unet)
        config = getattr(network, "config", {})
        C, out = config.get("in_channels"), config.get("out_channels")
        if C != out:
            raise ValueError(
                f"the unet takes {C} channels and returns {out}; allowed are as many: what it predicts is shaped like "
                "the sample"
            )
        if hasattr(network, "sample_shape"):
            return network.sample_shape
        size = config.get("sample_size")  # of another package's network
        if size is None:
            raise ValueError("the unet has no sample_shape, nor a config with sample_size; allowed is one with either")
        return (C, *((size, size) if isinstance(size, int) else size))

    def check_call(self, batch_size, generator, output_type, output_types=("pil", "np", "pt"), channels=None):
        """Refuse bad arguments of a call before any work is done.

        Args:
            output_types: what this pipeline allows; "numpy" is another name of "np".
            channels: of the pictures; where None, those of the network's samples.
        Raises:
            ValueError: names the argument, its value and what is allowed; or a component that is absent.
        """
        self.check_components()
        check_whole("batch_size", batch_size)
        check_one_of("output_type", "np" if output_type == "numpy" else output_type, output_types)
        channels = channels or self.sample_shape[0]
        if output_type == "pil" and channels not in (1, 3):
            raise ValueError(
                f"output_type is 'pil'; allowed for {channels} channels are 'np' and 'pt': no PIL image has them"
            )
        if isinstance(generator, list | tuple) and len(generator) != batch_size:
            raise ValueError(f"generator is a list of {len(generator)}; allowed is one a sample, so {batch_size}")
        for one in generator if isinstance(generator, list | tuple) else [generator]:
            if not isinstance(one, torch.Generator) and generator is not None:
                raise ValueError(f"generator is {generator!r}; allowed is None, a torch.Generator, or a list of them")
            if generator is not None:
                check_device(one, self.device)

    def check_components(self):
        """Raises ValueError where a component is absent that nothing is drawn without."""
        for name in required_names(type(self)):
            if name not in self._optional and getattr(self, name, self) is None:
                raise ValueError(
                    f"{name} is None, and {type(self).__name__} draws nothing without; it can be passed by that name"
                )

    def start_noise(self, shape, generator=None, latents=None):
        """Where the loop begins: `latents` if given, else noise from N(0, I), on the network's device, in its dtype;
        times the scheduler's `init_noise_sigma`, which it may have only after `set_timesteps`.

        Raises:
            ValueError: `latents` has another shape, or holds whole numbers.
        """
        if latents is None:
            latents = randn(shape, generator, self.device, self.dtype)
        check_latents(latents, shape)
        return latents.to(self.device, self.dtype) * self.scheduler.init_noise_sigma

    def step_options(self, **wanted):
        """dict: those of the options that the scheduler's `step` takes, for loops that run with every scheduler.

        `eta` and `generator` go to DDIM, `generator` alone to DDPM, neither to PNDM.
        """
        known = inspect.signature(self.scheduler.step).parameters
        return {name: value for name, value in wanted.items() if name in known}

    def set_progress_bar_config(self, **options):
        """Options of tqdm for all progress bars from now on: `set_progress_bar_config(disable=True)`."""
        self._progress = options

    def progress_bar(self, iterable=None, total=None):
        """A tqdm bar around `iterable`, or one for `total` steps, to be updated by hand; one line in a file."""
        from minidiff.progress import progress_bar

        return progress_bar(iterable, total=total, **self._progress)

    def watch(self, callback, names=("latents",), also=()):
        """What a loop calls after each step, so that others can look on and take part.

            watch = self.watch(callback_on_step_end, callback_on_step_end_tensor_inputs)
            x_t = watch(i, t, step, sample=x_t, model_output=eps_theta)

        Args:
            callback: None, or a function (pipe, i, t, tensors) -> dict or None, where `tensors` holds those in
                `names`. Entries of the dict that the loop goes on with (`latents` and those in `also`) replace its
                values; the others, in a dict handed back whole, are let pass.
            names: which tensors the callback wants to see: `latents`, the sample after the step; `sample`, x_t as the
                step received it; `model_output` for it; `pred_original_sample`, what the step believes in.
            also: names of values, beside `latents`, that this loop lets a callback see and replace. The loop gets back
                what to go on with: latents alone, or, if there are others, the tuple of latents and them.
        Raises:
            ValueError: a name that this pipeline does not have; `callback` is not callable.
        """
        known = ("latents", "sample", "model_output", "pred_original_sample", *also)
        if callback is not None and not callable(callback):
            raise ValueError(
                f"callback_on_step_end is {callback!r}; allowed is None or a function (pipe, i, t, tensors)"
            )
        refuse_names("callback_on_step_end_tensor_inputs", names, known)
        self.interrupt = False

        def after_step(i, t, step, **values):
            values.setdefault("latents", step.prev_sample)
            if "pred_original_sample" in names:  # only then: another package's scheduler may not have it
                values.setdefault("pred_original_sample", step.pred_original_sample)
            returned = callback(self, i, t, {name: values[name] for name in names}) if callback else None
            if returned is not None and not isinstance(returned, dict):
                raise ValueError(f"callback_on_step_end returned {returned!r}; allowed is None or a dict")
            refuse_names("callback_on_step_end returned", list(returned or ()), known)
            values |= returned or {}
            return tuple(values[name] for name in ("latents", *also)) if also else values["latents"]

        return after_step

    def postprocess(self, x, output_type, centred=True):
        """Pictures from what the loop ended with.

        Args:
            x: (B, C, H, W), in [-1, 1] if `centred`, else in [0, 1]; what lies outside is clipped.
            output_type: "pil" for B PIL images (levels are rounded, the papers' code cuts off: 1 level of difference),
                "np" or "numpy" for an array (B, H, W, C) in [0, 1], "pt" for a tensor (B, C, H, W) in [0, 1].
        Raises:
            ValueError: x holds numbers that are infinite or none at all.
        """
        refuse_broken(x)
        x = (x / 2 + 0.5 if centred else x).clamp(0, 1)
        if output_type == "pt":
            return x
        pixels = x.cpu().permute(0, 2, 3, 1).float().numpy()  # (B, H, W, C)
        return pil_images(pixels) if output_type == "pil" else pixels


def required_names(cls):
    """The names of the components that a pipeline's constructor cannot do without."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def require_time(unet, kind):
    """Raises ValueError where a network is told another kind of time than `kind`, "positional" or "fourier"."""
    told = getattr(unwrapped(unet), "config", {}).get("time_embedding_type", kind)  # another package's may not say
    if told != kind:
        times = {"positional": "timesteps", "fourier": "noise levels"}
        raise ValueError(
            f"unet has time_embedding_type={told!r}, so it was trained to be told {times.get(told, 'another time')}; "
            f"allowed are networks that are told {times[kind]}, {kind!r}"
        )


def require_steps(scheduler, allowed, *methods, without=()):
    """Raises ValueError where a scheduler that is there lacks one of `methods`, or has what only one for another kind
    of network has, one of `without`; `allowed` says which do not.
    """
    fits = all(hasattr(scheduler, name) for name in methods) and not any(hasattr(scheduler, name) for name in without)
    if scheduler is not None and not fits:
        raise ValueError(f"scheduler is a {type(scheduler).__name__}; allowed is a {allowed}, or one with its steps")


def on_a_copy(call):
    """A pipeline's `__call__` as it is found on the class; its `__wrapped__` is the loop itself, with gradients.

    It runs on a shallow copy of the pipeline, with a shallow copy of its scheduler, whose state (timesteps, history)
    two calls at once would mix up. At its end the scheduler that people know has the state, and the pipeline what the
    loop set. An unknown argument is answered with the nearest known name.
    """
    parameters = inspect.signature(call).parameters.values()
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [*(p.name for p in parameters), *getattr(call, "left_out", ())][1:]

    @functools.wraps(call)
    def called(self, *args, **kwargs):
        refuse_unknown(type(self).__name__, {} if any_name else kwargs, known)
        run = copy.copy(self)
        run._running = []
        scheduler = self.scheduler if "scheduler" in self._names else None
        if scheduler is not None:
            run.scheduler = copy.copy(scheduler)
        before = dict(run.__dict__)
        self.__dict__.setdefault("_running", []).append(run)
        try:
            result = call(run, *args, **kwargs)
        finally:
            self._running.remove(run)
        if scheduler is not None:
            scheduler.__dict__.update(before["scheduler"].__dict__)
        self.__dict__.update({key: value for key, value in run.__dict__.items() if value is not before.get(key)})
        return result

    called.__wrapped__ = inspect.unwrap(call)
    return called


def described(component):
    """str: a component in a line."""
    network = unwrapped(component)
    if not isinstance(network, nn.Module):
        return repr(component)
    one = next(network.parameters())
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    return f"{type(network).__name__}, {millions:.2f} million parameters, {one.dtype} on {one.device}"


def library(component):
    """str: where model_index.json says that the class of a component lives."""
    return getattr(component, "library", type(component).__module__.split(".")[0])


def check_latents(latents, shape):
    """Raises ValueError where given noise has another shape, or holds whole numbers."""
    if not isinstance(latents, torch.Tensor) or latents.shape != tuple(shape) or not latents.is_floating_point():
        tensor = isinstance(latents, torch.Tensor)
        what = f"{latents.dtype} of shape {tuple(latents.shape)}" if tensor else repr(latents)
        raise ValueError(f"latents is {what}; allowed is a floating-point tensor of shape {tuple(shape)}")


def refuse_broken(x):
    """Raises ValueError where x is not finite, so that no overflow passes for a picture or a sound."""
    if not x.isfinite().all():
        raise ValueError(
            f"{(~x.isfinite()).sum()} of {x.numel()} numbers of the result are infinite or none at all: the network or "
            f"the walk left the range of {x.dtype}"
        )


def pil_images(pixels):
    """list of PIL images: from an array (B, H, W, C) in [0, 1], C = 1 for grey or 3."""
    from PIL import Image

    levels = (pixels * 255).round().astype("uint8")
    return [Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture) for picture in levels]


def refuse_names(what, names, known):
    # A string has an `in` too, of letters; it is a forgotten comma.
    if not isinstance(names, list | tuple) or not all(name in known for name in names):
        raise ValueError(f"{what}: {names!r}; allowed is a tuple or list of names out of {', '.join(known)}")


def pipeline_class(name):
    """The pipeline that `_class_name` in a model_index.json stands for."""
    found = public_class(name) or DiffusionPipeline._subclasses.get(str(name))
    if found in (None, DiffusionPipeline) or not issubclass(found, DiffusionPipeline):
        known = {n for n in minidiff.__all__ if n.endswith("Pipeline")} | DiffusionPipeline._subclasses.keys()
        raise ValueError(
            f"model_index.json names the pipeline {name!r}, which minidiff does not have; "
            f"it has {', '.join(sorted(known - {'DiffusionPipeline'}))}"
        )
    return found


def component_class(name, entry):
    """The class that an entry [library, class] of a model_index.json stands for; None for [null, null].

    Raises:
        ValueError: minidiff does not have the class. What a file names is looked up among our own and never imported.
    """
    if entry == [None, None]:
        return None
    library, wanted = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    found = public_class(wanted) if library in LIBRARIES else None
    if library == "transformers" and isinstance(wanted, str) and ALIASES.get(wanted, wanted) in CONFIG_FILES:
        return Foreign(ALIASES.get(wanted, wanted))
    own = Configurable._subclasses.get(str(wanted))
    if own is not None and (own.library == library or public_class(wanted) is None):
        found = own
    if not hasattr(found, "described_in"):
        raise ValueError(
            f"model_index.json names {json.dumps(entry)} as {name}, which minidiff does not have; "
            f"it has {', '.join(n for n in minidiff.__all__ if n.endswith(('Model', 'Scheduler')))}. "
            "A class of your own is known once the module that defines it is imported; "
            f"or pass the component: from_pretrained(..., {name}=...)"
        )
    return found


def public_class(name):
    """The class of that name, or of the name it has today, among minidiff's public ones; None if there is none."""
    name = ALIASES.get(name, name) if isinstance(name, str) else None
    found = getattr(minidiff, name) if name in minidiff.__all__ else None
    return found if isinstance(found, type) else None
