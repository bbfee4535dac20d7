r"""CLIP: Learning Transferable Visual Models From Natural Language Supervision. Radford et al., ICML 2021,
arXiv:2103.00020, section 2.4.

Two transformers (Vaswani et al., arXiv:1706.03762), one over the tokens of a caption and one over the patches of a
picture, were trained so that a picture and its caption get vectors that point the same way. Stable Diffusion's UNet
listens to the text model, word by word; its safety checker compares what the vision model says with forbidden concepts.

Letters: x is what a layer gets, one row a token or patch; the paper's \hat x for normalised vectors is not needed here.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from minidiff.config import check_one_of, check_whole, configured
from minidiff.models.base import Model
from minidiff.models.ldm_bert import LEFT_OUT_OF_CALLS, check_tokens
from minidiff.outputs import Output
from minidiff.signatures import Off, leaving_out


@dataclass(eq=False)
class CLIPOutput(Output):
    """What a transformer of CLIP says.

    Fields:
        last_hidden_state: (B, N, hidden_size), of each token or patch.
        pooler_output: (B, hidden_size), of the whole: of the caption's end token, or of the picture's class token.
    """

    last_hidden_state: torch.Tensor
    pooler_output: torch.Tensor


class CLIPModel(Model):
    """Base of both: files as transformers writes and reads them.

    Class attributes:
        model_type: what transformers calls it in config.json.
        prefix: what published keys begin with; transformers 5 leaves it out.
    """

    weight_names = ("model.safetensors", "pytorch_model.bin")
    library = "transformers"

    @classmethod
    def rename(cls, weights):
        """With the prefix; without the numbers of positions, which old files hold."""
        named = {key if key.startswith(cls.prefix) else cls.prefix + key: tensor for key, tensor in weights.items()}
        return {key: tensor for key, tensor in named.items() if not key.endswith("position_ids")}

    def saved_config(self):
        header = {"architectures": [type(self).__name__], "model_type": self.model_type}
        return header | dict(sorted(self.config.handed_on().items()))


class CLIPTextModel(CLIPModel):
    """The text model.

    Args:
        vocab_size: how many tokens there are.
        hidden_size: channels of a token.
        intermediate_size: hidden units of a layer's network.
        projection_dim: of the space that captions and pictures share; the projection itself is not part of this.
        num_hidden_layers, num_attention_heads: as the names say.
        max_position_embeddings: of how many tokens a prompt is made at most.
        hidden_act: "quick_gelu", as published, or "gelu".
        layer_norm_eps: of every LayerNorm (Ba, Kiros & Hinton, arXiv:1607.06450).
        pad_token_id, bos_token_id, eos_token_id: of the tokenizer. 2 for the last one, in files from before it was put
            right, means the largest token of a prompt.
    Raises:
        ValueError: a size is no whole number from 1 on, or the heads do not divide hidden_size.
    """

    model_type, prefix = "clip_text_model", "text_model."

    @configured
    def __init__(
        self,
        vocab_size=49408,
        hidden_size=512,
        intermediate_size=2048,
        projection_dim=512,
        num_hidden_layers=12,
        num_attention_heads=8,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        *,
        pad_token_id=1,
        bos_token_id=49406,
        eos_token_id=49407,
    ):
        super().__init__()
        check_sizes(self.config, "vocab_size", "max_position_embeddings")
        self.text_model = TextTransformer(self.config)

    @leaving_out(
        attention_mask=Off((None,), "no token looks at the padding behind it"),
        position_ids=None,
        inputs_embeds=None,
        **LEFT_OUT_OF_CALLS,
    )
    def forward(self, input_ids, *, return_dict=True):
        """Encodes prompts.

        Args:
            input_ids: (B, N) int64, tokens; N at most max_position_embeddings.
        Returns:
            `CLIPOutput`, or the tuple of its fields.
        Raises:
            ValueError: `input_ids` has another shape or dtype, is too long, or holds a token that does not exist.
        """
        check_tokens(input_ids, self.config.vocab_size, self.config.max_position_embeddings)
        h, end = self.text_model(input_ids), self.config.eos_token_id
        place = (input_ids if end == 2 else (input_ids == end).int()).argmax(dim=1)  # (B,): the first of the largest
        pooled = h[torch.arange(len(h), device=h.device), place]
        return CLIPOutput(last_hidden_state=h, pooler_output=pooled).as_asked(return_dict)


class CLIPVisionModel(CLIPModel):
    """The vision model.

    Args:
        hidden_size: channels of a patch.
        intermediate_size: hidden units of a layer's network.
        projection_dim: of the space that captions and pictures share; the projection itself is not part of this.
        num_hidden_layers, num_attention_heads: as the names say.
        num_channels, image_size: of the pictures, which are square.
        patch_size: height and width of a patch; divides image_size.
        hidden_act, layer_norm_eps: as in CLIPTextModel.
    Raises:
        ValueError: a size is no whole number from 1 on, or one does not divide another.
    """

    model_type, prefix = "clip_vision_model", "vision_model."

    @configured
    def __init__(
        self,
        hidden_size=768,
        intermediate_size=3072,
        projection_dim=512,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_channels=3,
        image_size=224,
        patch_size=32,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
    ):
        super().__init__()
        check_sizes(self.config, "num_channels", "image_size", "patch_size")
        if image_size % patch_size:
            raise ValueError(f"patch_size is {patch_size}; allowed are divisors of image_size={image_size}")
        self.vision_model = VisionTransformer(self.config)

    @leaving_out(interpolate_pos_encoding=Off((False,), "pictures have one size"), **LEFT_OUT_OF_CALLS)
    def forward(self, pixel_values, *, return_dict=True):
        """Encodes pictures.

        Args:
            pixel_values: (B, num_channels, image_size, image_size), with the mean and variance that the image processor
                gives them.
        Returns:
            `CLIPOutput`, or the tuple of its fields.
        Raises:
            ValueError: the pictures have another shape.
        """
        wanted = (self.config.num_channels, self.config.image_size, self.config.image_size)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != wanted:
            channels, height, width = wanted
            raise ValueError(
                f"pixel_values has the shape {tuple(pixel_values.shape)}; allowed is (B, {channels}, {height}, {width})"
            )
        h, pooled = self.vision_model(pixel_values)
        return CLIPOutput(last_hidden_state=h, pooler_output=pooled).as_asked(return_dict)


class TextTransformer(nn.Module):
    """Embeddings, layers, a last normalisation; a module of its own since published keys begin with `text_model.`."""

    def __init__(self, config):
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, input_ids):
        """(B, N) -> (B, N, hidden_size)."""
        x = self.embeddings(input_ids)
        N = x.shape[1]
        # No token looks at later ones, so that what is said of it does not depend on the padding behind.
        M = torch.full((N, N), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        return self.final_layer_norm(self.encoder(x, M))


class VisionTransformer(nn.Module):
    """Embeddings, layers, two normalisations; a module of its own since published keys begin with `vision_model.`."""

    def __init__(self, config):
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # published keys spell it so
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, pixel_values):
        """(B, C, H, W) -> (B, 1 + patches, hidden_size), and of the class token, normalised, (B, hidden_size)."""
        x = self.pre_layrnorm(self.embeddings(pixel_values))
        N = x.shape[1]
        h = self.encoder(x, torch.zeros((N, N), dtype=x.dtype, device=x.device))  # all look at all
        return h, self.post_layernorm(h[:, 0])


class TextEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids):
        """(B, N) -> (B, N, hidden_size)."""
        E_x, E_p = self.token_embedding(input_ids), self.position_embedding.weight[: input_ids.shape[1]]
        # Attention §3.5  x = E_x + E_p
        x = E_x + E_p
        return x


class VisionEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        C, P = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.randn(C))
        self.patch_embedding = nn.Conv2d(config.num_channels, C, P, stride=P, bias=False)
        self.position_embedding = nn.Embedding((config.image_size // P) ** 2 + 1, C)

    def forward(self, pixel_values):
        """(B, C, H, W) -> (B, 1 + patches, hidden_size): a class token, then the patches, row by row."""
        patches = self.patch_embedding(pixel_values).flatten(2).mT  # (B, patches, hidden_size)
        E_x = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
        E_p = self.position_embedding.weight
        # Attention §3.5  x = E_x + E_p
        x = E_x + E_p
        return x


class Encoder(nn.Module):
    """The layers; a module of its own since published keys count them as `encoder.layers`."""

    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x, M):
        for layer in self.layers:
            x = layer(x, M)
        return x


class Layer(nn.Module):
    """Each token looks at others, then thinks by itself; both see their input normalised, and add to it."""

    def __init__(self, config):
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = Feedforward(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x, M):
        """(B, N, hidden_size), and M, (N, N), which is -infinity where the column's token is hidden from the row's."""
        F_x = self.self_attn(self.layer_norm1(x), M)
        # ResNet (1)  x \leftarrow x + F_x
        x = x + F_x
        F_x = self.mlp(self.layer_norm2(x))
        # ResNet (1)  y = x + F_x
        y = x + F_x
        return y


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        C, self.heads = config.hidden_size, config.num_attention_heads
        self.k_proj = nn.Linear(C, C)
        self.v_proj = nn.Linear(C, C)
        self.q_proj = nn.Linear(C, C)
        self.out_proj = nn.Linear(C, C)

    def forward(self, x, M):
        Q, K, V = (project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
                   for project in (self.q_proj, self.k_proj, self.v_proj))  # fmt: skip
        d = Q.shape[-1]
        # Attention §3.2.3  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d} + M\right) V
        A = scaled_dot_product_attention(Q, K, V, attn_mask=M, scale=d**-0.5)  # (B, heads, N, d)
        return self.out_proj(A.transpose(1, 2).flatten(2))


class Feedforward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))


def quick_gelu(x):
    """GELU as it was approximated when the normal distribution's integral took long."""
    # GELU §2  y = x\, \operatorname{sigmoid}(1.702 x)
    y = x * torch.sigmoid(1.702 * x)
    return y


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


def check_sizes(config, *others):
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", *others)
    for argument in sizes:
        check_whole(argument, config[argument])
    check_one_of("hidden_act", config.hidden_act, tuple(ACTIVATIONS))
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"num_attention_heads is {config.num_attention_heads}; allowed are divisors of "
            f"hidden_size={config.hidden_size}"
        )
