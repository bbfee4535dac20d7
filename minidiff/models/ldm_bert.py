r"""The text encoder of latent diffusion.

High-Resolution Image Synthesis with Latent Diffusion Models. Rombach, Blattmann, Lorenz, Esser & Ommer, CVPR 2022,
arXiv:2112.10752, section 4.3.1: a transformer (Vaswani et al., arXiv:1706.03762) over the tokens of BERT's tokenizer,
trained from nothing together with the UNet that listens to it. It has no mask: the padding behind a short prompt is
read like any other word.

Letters: the paper's \tau_\theta(y) is the output, y the prompt.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from minidiff.config import check_one_of, check_whole, configured
from minidiff.models.base import Model
from minidiff.outputs import Output
from minidiff.signatures import Off, leaving_out

# Of every network of transformers, with what asks for nothing.
LEFT_OUT_OF_CALLS = {"output_attentions": (None, False), "output_hidden_states": (None, False)}


@dataclass(eq=False)
class LDMBertOutput(Output):
    """`last_hidden_state`: (B, M, d_model), the encoded prompts."""

    last_hidden_state: torch.Tensor


class LDMBertModel(Model):
    """Tokens to vectors.

    Args:
        vocab_size: how many tokens there are.
        max_position_embeddings: of how many a prompt is made at most; shorter ones are padded to it.
        encoder_layers: transformer layers.
        encoder_ffn_dim: hidden units of a layer's network.
        encoder_attention_heads, head_dim: how many heads, and the channels of one.
        activation_function: "gelu", the only one that is published.
        d_model: channels of a token.
    Raises:
        ValueError: one of them is no whole number from 1 on.
    """

    weight_names = ("model.safetensors", "pytorch_model.bin")
    legacy_renames = ()
    left_out = {"scale_embedding": False}
    library = "latent_diffusion"

    @configured
    def __init__(
        self,
        vocab_size=30522,
        max_position_embeddings=77,
        encoder_layers=32,
        encoder_ffn_dim=5120,
        encoder_attention_heads=8,
        head_dim=64,
        *,
        activation_function="gelu",
        d_model=1280,
    ):
        super().__init__()
        for argument, value in self.config.items():
            if argument != "activation_function":
                check_whole(argument, value)
        check_one_of("activation_function", activation_function, ("gelu",))
        self.model = Encoder(self.config)
        self.to_logits = nn.Linear(d_model, vocab_size)  # published, and used by nobody

    @leaving_out(
        attention_mask=Off((None,), "padding is read like any other word"),
        position_ids=None,
        head_mask=None,
        inputs_embeds=None,
        **LEFT_OUT_OF_CALLS,
    )
    def forward(self, input_ids, *, return_dict=True):
        """Encodes prompts.

        Args:
            input_ids: (B, M) int64, tokens; M at most max_position_embeddings.
        Returns:
            `LDMBertOutput`, or the tuple `(last_hidden_state,)`.
        Raises:
            ValueError: `input_ids` has another shape or dtype, is too long, or holds a token that does not exist.
        """
        check_tokens(input_ids, self.config.vocab_size, self.config.max_position_embeddings)
        return LDMBertOutput(last_hidden_state=self.model(input_ids)).as_asked(return_dict)


class Encoder(nn.Module):
    """Embeddings, layers, a last normalisation; a module of its own since published keys begin with `model.`."""

    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.d_model)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)

    def forward(self, input_ids):
        """(B, M) -> (B, M, d_model)."""
        E_x = self.embed_tokens(input_ids)
        E_p = self.embed_positions.weight[: input_ids.shape[1]]

        # Attention §3.5  h = E_x + E_p
        h = E_x + E_p
        for layer in self.layers:
            h = layer(h)
        return self.layer_norm(h)


class Layer(nn.Module):
    """Each token looks at all, then thinks by itself; both see their input normalised, and add to it."""

    def __init__(self, config):
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.fc1 = nn.Linear(config.d_model, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def forward(self, x):
        F_x = self.self_attn(self.self_attn_layer_norm(x))

        # ResNet (1)  x \leftarrow x + F_x
        x = x + F_x
        F_x = self.fc2(gelu(self.fc1(self.final_layer_norm(x))))

        # ResNet (1)  y = x + F_x
        y = x + F_x
        return y


class SelfAttention(nn.Module):
    """Attention among the tokens; its heads may have more or fewer channels together than a token."""

    def __init__(self, config):
        super().__init__()
        self.heads, inner = config.encoder_attention_heads, config.encoder_attention_heads * config.head_dim
        self.q_proj = nn.Linear(config.d_model, inner, bias=False)
        self.k_proj = nn.Linear(config.d_model, inner, bias=False)
        self.v_proj = nn.Linear(config.d_model, inner, bias=False)
        self.out_proj = nn.Linear(inner, config.d_model)

    def forward(self, x):
        Q, K, V = (project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, M, d)
                   for project in (self.q_proj, self.k_proj, self.v_proj))  # fmt: skip
        d = Q.shape[-1]

        # Attention (1)  A = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt d}\right) V
        A = scaled_dot_product_attention(Q, K, V, scale=d**-0.5)  # (B, heads, M, d)
        return self.out_proj(A.transpose(1, 2).flatten(2))


def check_tokens(input_ids, vocabulary, longest):
    shape, dtype = tuple(getattr(input_ids, "shape", ())), getattr(input_ids, "dtype", None)
    if len(shape) != 2 or dtype not in (torch.int64, torch.int32):
        raise ValueError(f"input_ids has the shape {shape} and the dtype {dtype}; allowed is (B, M) of torch.int64")
    if input_ids.shape[1] > longest:
        raise ValueError(f"input_ids has {input_ids.shape[1]} tokens a prompt; allowed are at most {longest}")
    if input_ids.numel() and not 0 <= input_ids.min() <= input_ids.max() < vocabulary:
        raise ValueError(
            f"input_ids holds {input_ids.min()} to {input_ids.max()}; allowed are tokens from 0 to {vocabulary - 1}"
        )
