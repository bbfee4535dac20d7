r"""The evaluator: what a picture of the drawn world shows, and what a set of generated pictures is worth.

GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium. Heusel, Ramsauer, Unterthiner,
Nessler & Hochreiter, NeurIPS 2017, arXiv:1706.08500: pictures are compared as sets. A classifier turns each into a few
numbers, and two sets are as far apart as the normal distributions with their means and covariances.

Their classifier, trained on photographs, is blind to what matters in our drawings, so this one was trained on them, and
on rubbish, to which it answers "none". All networks of the zoo are judged by it.

Letters: m and C are the mean and covariance of the pictures' features, m_w and C_w those of the world's own drawings.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from minidiff import zoo
from minidiff.config import configured, nearest
from minidiff.models.base import Model
from minidiff.outputs import Output
from minidiff.zoo import world

SIZE = 32  # what the evaluator looks at; larger pictures are averaged down
CONFIDENCE = 0.9
NONE = "none"  # of these objects: the answer to rubbish
ANSWERS = {**world.ATTRIBUTES, "object": (*world.OBJECTS, NONE)}
DAMAGES = ("rubbish", "noise", "blur", "warp")
BOUND = 5.0  # no feature is farther from 0, so that one mad picture cannot decide a distance

# Streams of `world.training_set`: what the zoo's models are trained on, and drawings that nothing was trained on.
TRAINING, REFERENCE, UNSEEN = 0, 2, 3


@dataclass(eq=False)
class EvaluatorOutput(Output):
    """What the evaluator says of B pictures.

    Attributes:
        object: logits (B, 7), of `world.OBJECTS` and, the last, of none of these.
        colour, time, mountains: logits (B, 8), (B, 4), (B, 2), of the values in `world.ATTRIBUTES`.
        features: (B, 16) in [-5, 5], for the Fréchet distance; over good drawings of mean about 0 and variance about 1.
        damage: (B, 4), how much of each of `DAMAGES` there is, about 0 to 1.
    """

    object: torch.Tensor
    colour: torch.Tensor
    time: torch.Tensor
    mountains: torch.Tensor
    features: torch.Tensor
    damage: torch.Tensor


class Evaluator(Model):
    """A small convolutional classifier with a narrow waist: all that it answers goes through 16 numbers.

    The answers make these numbers know the attributes, and `damage`, which is linear in them, makes rubbish, noise,
    blur and crooked lines move them as well. Whitened on good drawings, they are the features of the Fréchet distance.

    Args:
        block_out_channels: channels at full, half, quarter and eighth resolution.
        feature_channels: width of the waist.
        norm_num_groups: of every GroupNorm.
    """

    @configured
    def __init__(self, block_out_channels=(24, 48, 96, 112), feature_channels=16, norm_num_groups=8):
        super().__init__()

        def block(in_channels, out_channels, stride=1):
            convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
            return nn.Sequential(convolution, nn.GroupNorm(norm_num_groups, out_channels), nn.SiLU())

        C, W = block_out_channels, feature_channels
        self.layers = nn.Sequential(
            block(3, C[0]),  # (B, C[0], 32, 32)
            block(C[0], C[1], stride=2),
            block(C[1], C[1]),  # (B, C[1], 16, 16)
            block(C[1], C[2], stride=2),
            block(C[2], C[2]),  # (B, C[2], 8, 8)
            block(C[2], C[3], stride=2),  # (B, C[3], 4, 4)
            nn.Conv2d(C[3], 32, 1),
            nn.Flatten(),  # where in the picture something is remains known
            nn.Linear(32 * (SIZE // 8) ** 2, 96),
            nn.SiLU(),
        )
        self.waist = nn.Linear(96, W)
        self.answer = nn.Sequential(nn.Linear(W, 64), nn.SiLU(), nn.Linear(64, sum(map(len, ANSWERS.values()))))
        self.damage = nn.Linear(W, len(DAMAGES))

        # Constants that are measured when the training is over.
        self.register_buffer("centre", torch.zeros(W))
        self.register_buffer("whitening", torch.eye(W))
        self.register_buffer("reference_mean", torch.zeros(W))
        self.register_buffer("reference_covariance", torch.eye(W))

    def forward(self, images, return_dict=True):
        """Look at pictures.

        Args:
            images: (B, 3, 32, 32) in [0, 1].
        Returns:
            `EvaluatorOutput`, or the tuple of its fields.
        """
        return self.answers(self.narrow(images)).as_asked(return_dict)

    def narrow(self, images):
        """The waist: pictures (B, 3, 32, 32) in [0, 1] -> (B, 16)."""
        return self.waist(self.layers(2 * images - 1))

    def answers(self, z):
        """All that can be said from the waist, (B, 16) -> `EvaluatorOutput`."""
        logits = self.answer(z).split([len(values) for values in ANSWERS.values()], dim=1)
        whitened = (z - self.centre) @ self.whitening
        features = BOUND * torch.tanh(whitened / BOUND)
        return EvaluatorOutput(**dict(zip(ANSWERS, logits, strict=True)), features=features, damage=self.damage(z))


@cache
def evaluator():
    """The trained `Evaluator`, loaded once."""
    return Evaluator.from_pretrained(zoo.path("evaluator"))


@torch.no_grad()
def look(images, network=None):
    """`EvaluatorOutput` for pictures (B, 3, 32, 32), floats in [0, 1] or 8-bit numbers, a few hundred at a time."""
    network = network or evaluator()
    pictures = (some.float() / (1 if some.is_floating_point() else 255) for some in images.split(256))
    outputs = [network(some).to_tuple() for some in pictures]
    return EvaluatorOutput(*map(torch.cat, zip(*outputs, strict=True)))


# -------------------------------------------------------------------------------------------------- pictures as sets


def evaluate(images, prompts=None, *, drawings=2_000, seed=0):
    """Judge generated pictures of the drawn world.

    Args:
        images: a list of PIL images, or a tensor (B, 3, H, W) in [0, 1]. All square, of one size; larger ones are
            averaged down to 32 pixels, of smaller ones the pixels are repeated. Colours are rounded to 8 bits.
        prompts: a list of B captions as `world.caption` writes them, or one for all pictures.
        drawings: the nearest training drawing is looked for among the first so many of the 50,000 that the zoo's models
            were trained on. The default is made for a lesson, a few seconds, once; it finds the copies of a model that
            was trained on no more than these. For the others ask for all 50,000, about a minute.
        seed: of the unseen drawings behind the two floors, from 0 to 999,999.
    Returns:
        dict with the keys
            images: B.
            named: share of the pictures that show an object, not "none", at confidence 0.9.
            prompt_accuracy: share of the pictures whose object, colour, time and mountains are all as the prompt says;
                None without prompts.
            frequencies: {attribute: {value: share}}, of all pictures by their likeliest value; "none" is an object too.
            frechet: Fréchet distance between the pictures' features and those of 20,000 unseen drawings; NaN for a
                single picture, which has no covariance.
            frechet_floor: the same for B other unseen drawings, what a perfect model would get. Both are the larger the
                fewer pictures there are.
            nearest: median over the pictures of the distance to the nearest training drawing, the root of the mean
                square over pixels in [0, 1].
            nearest_floor: the same for B unseen drawings. Copies are nearer.
    Raises:
        TypeError: images or prompts are something else; drawings or seed is no integer.
        ValueError: there are no images, they are not square, of several sizes or outside [0, 1]; prompts are
            not as many as the images, or no captions of the world; drawings or seed is out of range.
    """
    pictures, size = as_pictures(images)
    size = SIZE if size < 2 * SIZE else 2 * SIZE  # of the drawings that they are compared with
    asked = None if prompts is None else wanted(prompts, len(pictures))
    drawings = world._check_integer("drawings", drawings, range(1, 1_000_001))
    first = 1_000_000 * world._check_integer("seed", seed, range(1_000_000))
    training, unseen = stream(TRAINING, drawings, size), stream(UNSEEN, len(pictures), size, first)

    said = look(pictures)
    likeliest = {name: said[name].argmax(dim=1) for name in ANSWERS}
    frequencies = {
        name: {value: share(likeliest[name] == k) for k, value in enumerate(values)} for name, values in ANSWERS.items()
    }
    accuracy = None
    if asked is not None:
        accuracy = share(torch.stack([likeliest[name] == asked[name] for name in ANSWERS]).all(dim=0))
    return {
        "images": len(pictures),
        "named": share(named(said)),
        "prompt_accuracy": accuracy,
        "frequencies": frequencies,
        "frechet": distance_to_world(said.features),
        "frechet_floor": distance_to_world(look(unseen).features),
        "nearest": nearest_distances(pictures, training).median().item(),
        "nearest_floor": nearest_distances(unseen, training).median().item(),
    }


def named(said):
    """(B,) bool: whether the evaluator names an object, other than none, at confidence 0.9."""
    probability, value = said.object.softmax(dim=1).max(dim=1)
    return (probability >= CONFIDENCE) & (value != ANSWERS["object"].index(NONE))


def share(yes):
    """Share of True among booleans, a float."""
    return yes.double().mean().item()


def interval(values, level=0.95, resamplings=1_000, seed=0):
    """(low, high): a bootstrap interval of the mean of `values`, such as 1 for each success and 0 for each failure.

    Args:
        values: numbers or booleans, a sequence or a tensor of one dimension.
        level: the share of the resampled means that lie in the interval, in (0, 1).
        resamplings: how often as many values are drawn with replacement.
    Raises:
        ValueError: there are no values, they have more than one dimension, or level is outside (0, 1).
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values has the shape {tuple(values.shape)}; allowed is one dimension, at least one value")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed are numbers between 0 and 1")
    generator = torch.Generator().manual_seed(seed)
    means = [values[torch.randint(len(values), values.shape, generator=generator)].mean() for _ in range(resamplings)]
    ends = torch.tensor([0.5 - level / 2, 0.5 + level / 2], dtype=torch.float64)
    low, high = torch.stack(means).quantile(ends).tolist()
    return low, high


# ------------------------------------------------------------------------------------------------ the Fréchet distance


def distance_to_world(features):
    """Fréchet distance between features (B, 16) and those of the world's drawings, a float; NaN for B = 1."""
    if len(features) < 2:
        return float("nan")
    network = evaluator()
    return frechet_distance(*mean_and_covariance(features), network.reference_mean, network.reference_covariance).item()


def mean_and_covariance(features):
    """Of (B, n): (n,) and (n, n), in float64."""
    features = features.double()
    return features.mean(dim=0), features.T.cov()


def frechet_distance(m, C, m_w, C_w):
    """The squared Fréchet distance between two normal distributions, a float64 scalar.

    Args:
        m, m_w: means, (n,).
        C, C_w: covariances, (n, n); they may be singular.
    """
    m, C, m_w, C_w = (x.double() for x in (m, C, m_w, C_w))
    A = square_root(C)
    R = square_root(A @ C_w @ A)  # not the root of C C_w, but symmetric, and with the same eigenvalues
    Tr = torch.trace

    # FID (6)  D = C + C_w - 2 R
    D = C + C_w - 2 * R

    # FID (6), squared  d = \lVert m - m_w\rVert^2 + \mathrm{Tr}(D)
    d = ((m - m_w) ** 2).sum() + Tr(D)
    return d


def square_root(matrix):
    """The symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0) ** 0.5 @ vectors.T  # rounding may push a 0 below 0


# ---------------------------------------------------------------------------------------------- the nearest drawing


@lru_cache(maxsize=6)
def stream(seed, n, size, first=0):
    """n drawings of `world.training_set`, drawn at `size`, 32 or 64 pixels, (n, 3, 32, 32) uint8."""
    drawn = world.training_set(n, seed=seed, size=size, first=first)[0]
    chunks = torch.from_numpy(drawn).permute(0, 3, 1, 2).split(1_000)
    return torch.cat([averaged_down(chunk / 255) for chunk in chunks])


def averaged_down(images):
    """Pictures (B, 3, H, H) in [0, 1] -> (B, 3, 32, 32), 8 bits as in a saved picture; pixels of small ones repeat."""
    return (F.adaptive_avg_pool2d(images.float(), SIZE) * 255).round().to(torch.uint8).contiguous()


def nearest_distances(pictures, drawings):
    """(B,): distance of each picture to the nearest drawing, root mean square in [0, 1]; both uint8 (n, 3, 32, 32)."""
    x = pictures.flatten(1) / 255 - 0.5
    best, where = torch.full([len(x)], torch.inf), torch.zeros(len(x), dtype=torch.long)
    for first in range(0, len(drawings), 2_000):
        y = drawings[first : first + 2_000].flatten(1) / 255 - 0.5
        near, k = ((y**2).sum(1) - 2 * x @ y.T).min(dim=1)  # all of |x - y|^2 that depends on y
        best, where = torch.minimum(best, near), torch.where(near < best, k + first, where)
    # Only now the distance itself, since a small difference of large numbers would not be exactly 0 for a copy.
    pairs = zip(pictures.split(500), where.split(500), strict=True)
    squares = [((some / 255 - drawings[k] / 255) ** 2).mean(dim=(1, 2, 3)) for some, k in pairs]
    return torch.cat(squares) ** 0.5


# ------------------------------------------------------------------------------------------------- what is passed in


def as_pictures(images):
    """`images` as `evaluate` takes them -> (B, 3, 32, 32) uint8, and the size that they had."""
    allowed = "a list of PIL images, or a tensor (B, 3, H, W) of floats in [0, 1]"
    if isinstance(images, torch.Tensor):
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images is a tensor {tuple(images.shape)} of {images.dtype}; allowed is {allowed}")
        images = images.detach().float().cpu()
        sizes = {(images.shape[3], images.shape[2])} if len(images) else set()
    elif isinstance(images, list | tuple):
        if strangers := [image for image in images if not isinstance(image, Image.Image)]:
            raise TypeError(f"images has an entry {type(strangers[0]).__name__}; allowed is {allowed}")
        sizes = {image.size for image in images}
    else:
        raise TypeError(f"images is a {type(images).__name__}; allowed is {allowed}")
    if not sizes:
        raise ValueError("images is empty; allowed is at least one picture")
    if len(sizes) > 1 or any(width != height for width, height in sizes):
        found = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
        raise ValueError(f"images has pictures of {found}; allowed is one size, square")
    if not isinstance(images, torch.Tensor):
        images = torch.stack([as_tensor(image) for image in images])
    elif not (images.min() >= 0 and images.max() <= 1):  # so that NaN is refused too
        raise ValueError(f"images has values from {images.min():g} to {images.max():g}; allowed are 0 to 1")
    return averaged_down(images), images.shape[-1]


def as_tensor(image):
    """A PIL image -> (3, H, W) in [0, 1]."""
    rgb = image.convert("RGB")
    pixels = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    return pixels.view(rgb.height, rgb.width, 3).permute(2, 0, 1) / 255


def wanted(prompts, count):
    """{attribute: (B,) place in `ANSWERS` of the value that the prompt asks for}."""
    if not isinstance(prompts, str | list | tuple):
        raise TypeError(f"prompts is a {type(prompts).__name__}; allowed is a list of captions, or one")
    prompts = [prompts] * count if isinstance(prompts, str) else list(prompts)
    if len(prompts) != count:
        raise ValueError(
            f"prompts has {len(prompts)} entries; allowed is one string, or one for each of {count} images"
        )
    known = captions()
    for k, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise TypeError(f"prompts[{k}] is {prompt!r}; allowed is a caption, a string")
        if prompt not in known:
            raise ValueError(f"prompts[{k}] is {prompt!r}; allowed are captions of the world{nearest(prompt, known)}")
    rows = [known[prompt] for prompt in prompts]
    return {name: torch.tensor([ANSWERS[name].index(row[name]) for row in rows]) for name in ANSWERS}


@cache
def captions():
    """{caption: attributes} of all 384 combinations."""
    every = [dict(zip(world.ATTRIBUTES, combination, strict=True)) for combination in world.COMBINATIONS]
    return {world.caption(attributes): attributes for attributes in every}
