"""Components that the transformers library makes: tokenizers and image processors, out of the files beside the weights.

transformers is imported when one of them is loaded, and not before.
"""

from minidiff import files

# What transformers calls a class where torchvision is absent; it does the same with Pillow, and without a warning.
WITH_PILLOW = {"CLIPImageProcessor": "CLIPImageProcessorPil"}
CONFIG_FILES = {
    "BertTokenizer": "tokenizer_config.json",
    "CLIPTokenizer": "tokenizer_config.json",
    "CLIPImageProcessor": "preprocessor_config.json",
}
SMALL_FILES = (*sorted(set(CONFIG_FILES.values())), "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt",
               "special_tokens_map.json", "added_tokens.json")  # fmt: skip


class Foreign:
    """What `from_pretrained` of a pipeline needs of a component: the same methods as `minidiff.config.Configurable`.

    Args:
        name: of a class of transformers, one of CONFIG_FILES.
    """

    def __init__(self, name):
        self.name, self.config_file = name, CONFIG_FILES[name]

    def described_in(self, repository, folder):
        return self

    def weight_files(self, repository, folder, variant=None, use_safetensors=None):
        """list of str: all its files, for none of them is large."""
        return [name for name in (files.join(folder, name) for name in SMALL_FILES) if repository.has(name)]

    def read_weights(self, repository, names, torch_dtype=None):
        """The component itself."""
        folder = (repository.root / names[0]).parent
        return transformers_class(self.name).from_pretrained(folder, local_files_only=True)


def transformers_class(name):
    """The class of transformers that published files call so."""
    import transformers

    pillow = WITH_PILLOW.get(name, "")
    return getattr(transformers, pillow if hasattr(transformers, pillow) else name)


def published_name(component):
    """str: the name of a component's class in model_index.json."""
    name = type(component).__name__
    return next((published for published, pillow in WITH_PILLOW.items() if name == pillow), name)
