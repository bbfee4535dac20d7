"""evaluator: the classifier that judges all other networks of the zoo.

Half of what it learns from is good: drawings as they are, and as good generated pictures look, a little noisy, blurred,
off in colour. The rest is what bad generated pictures look like, which it must not be sure of: "none". Between the two
lies what people would argue about, and there nothing is asked of it.

All that it says goes through 16 numbers. Noise added to them in training, and a penalty on their size, fill their space
without gaps, so that their mean and covariance say much about a set of pictures: what it shows (the attributes are read
from them), and how well (so is the damage, by a linear map). They are whitened on good pictures with small faults: one
unit of a feature is what good pictures differ by.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from minidiff.noise import randn, randn_like
from minidiff.zoo import world
from minidiff.zoo.evaluator import (
    ANSWERS,
    DAMAGES,
    NONE,
    REFERENCE,
    SIZE,
    Evaluator,
    interval,
    look,
    mean_and_covariance,
    named,
    share,
)
from minidiff.zoo.recipes.training import TrainingRecipe

UNKNOWN = -100  # an answer that is not asked for, as in torch's cross entropy
NONE_PLACE = ANSWERS["object"].index(NONE)
OWN, MEASURED = 1, 4  # streams of drawings: what it learns from, and what it is measured on


class Scenes(NamedTuple):
    """B drawings and what they are made of, all floats in [0, 1]; and B labels."""

    picture: torch.Tensor  # (B, 3, 32, 32)
    background: torch.Tensor  # the same without its object
    mask: torch.Tensor  # (B, 1, 32, 32), where the object is
    other: torch.Tensor  # the same scene with another object in another colour
    other_mask: torch.Tensor
    labels: torch.Tensor  # (B, 4), the attributes' places in `ANSWERS`


def scenes(n, seed, first=0):
    """`Scenes` of the drawings first ... first + n - 1 of `world.training_set`, as uint8."""
    layers = [[] for _ in range(5)]
    labels = []
    for k in range(first, first + n):
        attributes, scene, rng = world._of_stream(seed, k)
        thing, colour = attributes["object"], attributes["colour"]
        others = {
            "object": rng.choice([value for value in world.OBJECTS if value != thing]),
            "colour": rng.choice([value for value in world.COLOURS if value != colour]),
        }
        picture, background, mask = world._layers(attributes, scene, SIZE)
        other, _, other_mask = world._layers(attributes | others, scene, SIZE)
        for layer, image in zip(layers, (picture, background, mask, other, other_mask), strict=True):
            layer.append(np.asarray(image))
        labels.append([ANSWERS[name].index(value) for name, value in attributes.items()])
    stacked = [torch.from_numpy(np.stack(layer)) for layer in layers]
    pictures = [x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x.unsqueeze(1) for x in stacked]
    return Scenes(*pictures, torch.tensor(labels))


def as_floats(batch):
    return Scenes(*[x.float() / 255 for x in batch[:5]], batch[5])


# ------------------------------------------------------------------------------------------------------ what harms


def uniform(low, high, B, g):
    """One number a picture, (B, 1, 1, 1)."""
    return low + (high - low) * torch.rand(B, 1, 1, 1, generator=g)


def flags(B, g, probability=0.5):
    """One True or False a picture, (B, 1, 1, 1)."""
    return torch.rand(B, 1, 1, 1, generator=g) < probability


def noisy(x, sigma, g):
    return x + sigma * randn_like(x, g)


def blurred(x, sigma):
    """Gaussian blur of `sigma` pixels, (B, 1, 1, 1)."""
    B, C, H, W = x.shape
    offsets = torch.arange(-9.0, 10)
    kernel = torch.exp(-0.5 * (offsets / sigma.reshape(B, 1).clamp(min=0.05)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(C, dim=0)  # (B * C, 19)
    flat = F.pad(x.reshape(1, B * C, H, W), (9, 9, 9, 9), mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=B * C)
    return F.conv2d(flat, kernel[:, None, None, :], groups=B * C).reshape(x.shape)


def clouds(B, channels, g, cells=None):
    """Smooth random maps (B, channels, 32, 32) of variance about 1, from a grid of `cells` x `cells`."""
    cells = cells or (3, 4, 6, 8)[int(torch.randint(4, (), generator=g))]
    maps = F.interpolate(randn((B, channels, cells, cells), g), SIZE, mode="bicubic", align_corners=True)
    return maps / maps.std(dim=(1, 2, 3), keepdim=True)


def warped(x, pixels, g, cells=5):
    """Move what is at each place by a smooth random vector of `pixels`, (B, 1, 1, 1), on average (root mean square)."""
    B = len(x)
    across = torch.linspace(-1, 1, SIZE)
    grid = torch.stack(torch.meshgrid(across, across, indexing="xy")).expand(B, 2, SIZE, SIZE)
    grid = grid + clouds(B, 2, g, cells) * pixels / 2**0.5 * 2 / (SIZE - 1)
    return F.grid_sample(x, grid.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=True)


def as_good_pictures_look(x, g):
    """Each picture with up to four small faults that a good generated picture may have."""
    B = len(x)
    x = torch.where(flags(B, g, 0.3), warped(x, uniform(0, 0.5, B, g), g), x)
    x = torch.where(flags(B, g), blurred(x, uniform(0, 0.5, B, g)), x)
    tint = uniform(0.93, 1.07, B, g) * (x - 0.5) + 0.5 + 0.03 * randn((B, 3, 1, 1), g)
    x = torch.where(flags(B, g), tint, x)
    x = torch.where(flags(B, g), noisy(x, uniform(0, 0.035, B, g), g), x)
    return in_8_bits(x)


def as_faulty_pictures_look(s, g):
    """Faults that one sees and forgives, since the object is what it is: colours, lines, what lies behind it."""
    B = len(s.picture)
    behind = s.background.lerp(s.background.roll(1, 0), uniform(0, 1, B, g))
    x = torch.where(flags(B, g), behind.lerp(s.picture, s.mask), s.picture)
    x = torch.where(flags(B, g), warped(x, uniform(0, 1, B, g), g), x)
    x = torch.where(flags(B, g), blurred(x, uniform(0, 0.8, B, g)), x)
    x = torch.where(flags(B, g), x.lerp(x.mean(dim=1, keepdim=True), uniform(0, 0.4, B, g)), x)
    tint = uniform(0.75, 1.1, B, g) * (x - 0.5) + 0.5 + 0.06 * randn((B, 3, 1, 1), g)
    x = torch.where(flags(B, g, 0.7), tint, x)
    x = torch.where(flags(B, g, 0.7), x + uniform(0.01, 0.06, B, g) * clouds(B, 3, g), x)
    return in_8_bits(noisy(x, uniform(0, 0.04, B, g), g))


def in_8_bits(x):
    return (x.clamp(0, 1) * 255).round() / 255


# --------------------------------------------------------------------------------------------------------- rubbish


def half_plane(mask, low, high, g):
    """(B, 1, 32, 32) bool: one side of a line through the object, on which `low` to `high` of its area lie."""
    B = len(mask)
    across = torch.linspace(-1, 1, SIZE)
    angle = uniform(0, 2 * torch.pi, B, g)
    height = angle.cos() * across + angle.sin() * across[:, None]  # (B, 1, 32, 32)
    order = height.flatten(1).argsort(dim=1)
    area = mask.flatten(1).gather(1, order).cumsum(dim=1)
    last = (area < uniform(low, high, B, g).flatten(1) * area[:, -1:]).sum(dim=1, keepdim=True).clamp(max=SIZE**2 - 1)
    edge = height.flatten(1).gather(1, order.gather(1, last))
    return height < edge[..., None, None]


def neighbour(s):
    """For each drawing another one of the batch, the next with another object: the same twice would be no rubbish."""
    B, thing = len(s.labels), s.labels[:, 0]
    steps = (torch.arange(B) - torch.arange(B)[:, None] - 1) % B  # to the row behind it 0, to itself B - 1
    return s.picture[torch.where(thing == thing[:, None], steps + B, steps).argmin(dim=1)]


def shuffled(x, cells, g):
    """Each picture cut into `cells` x `cells` patches, which swap places."""
    B, side = len(x), SIZE // cells
    patches = x.reshape(B, 3, cells, side, cells, side).permute(0, 2, 4, 1, 3, 5).reshape(B, cells**2, 3, side, side)
    order = torch.rand(B, cells**2, generator=g).argsort(dim=1)
    stayed = (order == torch.arange(cells**2)).all(dim=1)
    order[stayed] = order[stayed].roll(1, dims=1)
    patches = patches[torch.arange(B)[:, None], order].reshape(B, cells, cells, 3, side, side)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def pure_noise(s, g):
    B = len(s.picture)
    white, soft = randn(s.picture.shape, g), clouds(B, 3, g)
    share = uniform(0, 1, B, g).round()
    return uniform(0.2, 0.8, B, g) + uniform(0.1, 0.5, B, g) * (share * white + (1 - share) * soft)


def plain_colours(s, g):
    """One colour, or a gradient between two."""
    B = len(s.picture)
    one, two = torch.rand(2, B, 3, 1, 1, generator=g)
    two = torch.where(flags(B, g), one, two)
    return one + (two - one) * torch.linspace(0, 1, SIZE)[:, None] + torch.zeros(SIZE)


def strong_blur(s, g):
    return blurred(s.picture, uniform(2, 5, len(s.picture), g))


def half_noised(s, g):
    """As a sample in the middle of its way."""
    kept = uniform(0.05, 0.97, len(s.picture), g)  # DDPM's alpha-bar, for colours in [-1, 1]
    return (kept**0.5 * (2 * s.picture - 1) + (1 - kept) ** 0.5 * randn_like(s.picture, g)) / 2 + 0.5


def crossfade(s, g):
    """Two drawings on top of each other."""
    return s.picture.lerp(neighbour(s), uniform(0.35, 0.65, len(s.picture), g))


def crossfade_of_objects(s, g):
    """Two objects on top of each other, in one scene."""
    return s.picture.lerp(s.other, uniform(0.35, 0.65, len(s.picture), g))


def cut_up(s, g):
    return shuffled(s.picture, (2, 4, 8)[int(torch.randint(3, (), generator=g))], g)


def torn(s, g):
    """Half of one drawing and half of another."""
    return torch.where(half_plane(torch.ones_like(s.mask), 0.4, 0.6, g), s.picture, neighbour(s))


def no_object(s, g):
    return s.background


def part_missing(s, g):
    """A drawing whose object lacks 40 to 90 % of itself, on one side."""
    return torch.where(half_plane(s.mask, 0.4, 0.9, g), s.background, s.picture)


def two_halves(s, g):
    """Half an object and half of another."""
    return torch.where(half_plane(torch.maximum(s.mask, s.other_mask), 0.35, 0.65, g), s.picture, s.other)


def doubled(s, g):
    """A second object that hides much of the first."""
    shift = [int(x) for x in torch.tensor([-9, -8, -7, 7, 8, 9])[torch.randint(6, (2,), generator=g)]]
    second, mask = (x.roll((shift[0] // 2, shift[1]), (2, 3)) for x in (s.other, s.other_mask))
    return s.picture.lerp(second, mask)


def ghost(s, g):
    """An object that has almost melted into what is behind it."""
    return s.background.lerp(s.picture, uniform(0.05, 0.35, len(s.picture), g))


def bent(s, g):
    cells = int(torch.randint(5, 9, (), generator=g))
    return warped(s.picture, uniform(2.5, 5, len(s.picture), g), g, cells)


def blotched(s, g):
    """An object whose outline is right and whose inside is a mess."""
    B = len(s.picture)
    paint = 0.5 + 0.35 * clouds(B, 3, g, 6)
    inside = s.mask * (blurred(s.mask, uniform(1, 1.6, B, g)) > 0.75)
    return s.picture.lerp(paint.clamp(0, 1), inside * uniform(0.7, 1, B, g))


def blob(s, g):
    """A scene with a thing of no kind: one colour, sometimes two, and the outline of nothing."""
    B = len(s.picture)
    middle = torch.linspace(-1, 1, SIZE)
    hill = 1.4 - 2.2 * (middle**2 + (middle[:, None] - 0.25) ** 2)
    height = hill + 0.5 * clouds(B, 1, g, 5) - uniform(0.1, 0.6, B, g)
    shape, colour = (8 * height).sigmoid(), torch.rand(2, B, 3, 1, 1, generator=g)
    paint = torch.where(clouds(B, 1, g, 4) > uniform(-1, 3, B, g), colour[0], colour[1])
    rim = torch.exp(-((4 * height) ** 2)) * flags(B, g)
    return s.background.lerp(paint, shape) * (1 - 0.7 * rim)


def turned(s, g):
    """A drawing upside down or on its side."""
    turns = torch.randint(1, 4, (len(s.picture),), generator=g)
    return torch.stack([torch.rot90(x, int(k), (1, 2)) for x, k in zip(s.picture, turns, strict=True)])


def slid_apart(s, g):
    """The upper half of the picture moved by 8 to 12 pixels."""
    shift = int(torch.randint(8, 13, (), generator=g))
    lower = torch.arange(SIZE)[:, None] >= SIZE // 2 + 2
    return torch.where(lower, s.picture, s.picture.roll(shift, 3))


RUBBISH = (pure_noise, plain_colours, strong_blur, half_noised, crossfade, crossfade_of_objects, cut_up, torn,
           no_object, part_missing, two_halves, doubled, ghost, bent, blotched, blob, turned, slid_apart)  # fmt: skip
IN_A_GOOD_SCENE = (crossfade_of_objects, no_object, part_missing, two_halves, doubled, ghost, blotched, blob)


# Rubbish of kinds that it never sees, to measure how far "none" reaches.


def negative(s, g):
    return 1 - s.picture


def stripes(s, g):
    """Every other pair of rows from another drawing."""
    return torch.where((torch.arange(SIZE) // 2 % 2 == 0)[:, None], s.picture, neighbour(s))


def chequered(s, g):
    """Every other 4 x 4 square from the same scene with another object."""
    squares = torch.arange(SIZE) // 4
    return torch.where((squares + squares[:, None]) % 2 == 0, s.picture, s.other)


def tiled(s, g):
    """Four small copies of a drawing."""
    return F.avg_pool2d(s.picture, 2).repeat(1, 1, 2, 2)


NEVER_SEEN = (negative, stripes, chequered, tiled)


# ---------------------------------------------------------------------------------------------------- the training


class Recipe(TrainingRecipe):
    name, seed, steps, batch_size = "evaluator", 0, 1_500, 136
    learning_rate, warmup, ema_decay = 2e-3, 150, 0.997
    drawings = 24_000
    good, faulty, graded, each = 48, 14, 20, 3  # of a batch: the last is rubbish, so many of each kind

    def network(self):
        return Evaluator()

    def data(self):
        return tuple(scenes(self.drawings, OWN))

    def loss(self, network, batch, generator, step):
        s = as_floats([x.cpu() for x in batch])
        with torch.autocast("cpu", enabled=False):  # a blur in half precision is another blur
            images, labels, damage = self.lesson(s, generator)
        device = network.device
        images, labels, damage = images.to(device), labels.to(device), damage.to(device)

        z = network.narrow(images).float()
        said = network.answers(z + 0.2 * randn_like(z, generator))
        loss = sum(F.cross_entropy(said[name].float(), labels[:, k]) for k, name in enumerate(ANSWERS))
        known = ~damage.isnan()
        return loss + ((said.damage.float() - damage)[known] ** 2).mean() + 0.01 * (z**2).mean()

    def lesson(self, s, g):
        """Scenes -> pictures, the answers asked for (B, 4), the damage (B, 4); UNKNOWN and NaN where not asked for."""
        B = len(s.picture)
        labels, damage = s.labels.clone(), torch.full((B, len(DAMAGES)), torch.nan)
        images = as_good_pictures_look(s.picture, g)

        clean = torch.arange(B) < 0.4 * self.good
        images[clean], damage[clean] = s.picture[clean], 0.0
        damage[: self.good, 0] = 0.0

        faulty = slice(self.good, self.good + self.faulty)
        images[faulty] = as_faulty_pictures_look(Scenes(*[x[faulty] for x in s]), g)
        labels[faulty, 1:] = UNKNOWN

        graded = slice(faulty.stop, faulty.stop + self.graded)
        images[graded], damage[graded], verdict = harmed_by_degrees(s.picture[graded], g)
        labels[graded][verdict == 1] = torch.tensor([NONE_PLACE, UNKNOWN, UNKNOWN, UNKNOWN])
        labels[graded, 0][verdict < 0] = UNKNOWN

        first = graded.stop
        for kind in RUBBISH:
            rows = slice(first, first + self.each)
            rubbish = kind(Scenes(*[x[rows] for x in s]), g).clamp(0, 1)
            images[rows] = torch.where(flags(self.each, g), as_good_pictures_look(rubbish, g), in_8_bits(rubbish))
            labels[rows, 0], labels[rows, 1] = NONE_PLACE, UNKNOWN
            if kind not in IN_A_GOOD_SCENE:
                labels[rows, 2:] = UNKNOWN
            damage[rows, 0] = 1.0
            first += self.each
        return images, labels, damage

    def save(self, network, folder):
        """Measure the constants of the features with the weights as they are in the file, and write it."""
        network = network.half().float().eval()
        g = torch.Generator().manual_seed(self.seed)
        good = as_good_pictures_look(drawn(10_000, OWN)[0], g)
        with torch.no_grad():
            z = torch.cat([network.narrow(some) for some in good.split(256)])
        centre, covariance = mean_and_covariance(z)
        values, vectors = torch.linalg.eigh(covariance)
        network.centre.copy_(centre.half())
        network.whitening.copy_((vectors / values**0.5).half())
        mean, covariance = mean_and_covariance(look(drawn(20_000, REFERENCE)[0], network).features)
        network.reference_mean.copy_(mean)
        network.reference_covariance.copy_(covariance)
        network.half().save_pretrained(folder)

    def measure(self, folder, device="cpu"):
        """Accuracies and shares named, each with a 95 % bootstrap interval where it is a share of 2,000."""
        network, g = Evaluator.from_pretrained(folder), torch.Generator().manual_seed(self.seed)
        unseen, labels = drawn(10_000, MEASURED)
        held_out, held_out_labels = held_out_drawings(50)
        few, some = unseen[:2_000], as_floats(scenes(2_000, MEASURED, first=10_000))
        good = {
            "noise 0.01": noisy(few, 0.01, g),
            "noise 0.03": noisy(few, 0.03, g),
            "blur 0.4 pixels": blurred(few, torch.full((len(few), 1, 1, 1), 0.4)),
            "a little of everything": as_good_pictures_look(few, g),
            "faults that one forgives": as_faulty_pictures_look(some, g),
        }
        said = look(unseen, network)
        mean, covariance = mean_and_covariance(said.features)
        return {
            "unseen drawings": len(unseen),
            "accuracy": accuracies(said, labels),
            "named": share(named(said)),
            "held-out drawings": len(held_out),
            "accuracy on held-out combinations": accuracies(look(held_out, network), held_out_labels),
            "named, held-out combinations": share(named(look(held_out, network))),
            "drawings of each kind below": len(few),
            "named, good but for": {fault: share_named(images, network) for fault, images in good.items()},
            "named, rubbish": {kind.__name__: share_named(kind(some, g), network) for kind in RUBBISH},
            "named, rubbish of kinds never seen": {
                kind.__name__: share_named(kind(some, g), network) for kind in NEVER_SEEN
            },
            "features": {
                "largest mean": mean.abs().max().item(),
                "variances from": covariance.diag().min().item(),
                "variances to": covariance.diag().max().item(),
            },
        }


def harmed_by_degrees(x, g):
    """Each picture with noise, blur or crooked lines.

    Returns (pictures, damage (B, 4), verdicts (B,): 1 for rubbish, 0 for good, -1 for what lies between).
    """
    B = len(x)
    level, kind = uniform(0, 1, B, g), torch.arange(B) % 3
    degrees = {"noise": 0.3 * level, "blur": 2.5 * level, "warp": 4 * level}  # two of them pixels
    fine, bad = {"noise": 0.04, "blur": 0.6, "warp": 0.6}, {"noise": 0.13, "blur": 1.5, "warp": 2.2}
    harm = (noisy(x, degrees["noise"], g), blurred(x, degrees["blur"]), warped(x, degrees["warp"], g))
    damage, verdict = torch.zeros(B, len(DAMAGES)), torch.full([B], -1)
    images = torch.empty_like(x)
    for k, name in enumerate(degrees):
        rows, degree = kind == k, degrees[name].flatten()
        images[rows] = harm[k][rows]
        damage[rows, DAMAGES.index(name)] = (degree / bad[name])[rows].clamp(max=1.5)
        verdict[rows & (degree <= fine[name])], verdict[rows & (degree >= bad[name])] = 0, 1
    damage[:, 0] = torch.where(verdict < 0, torch.nan, verdict.float())
    return in_8_bits(images), damage, verdict


def drawn(n, seed):
    """n drawings of `world.training_set`, (n, 3, 32, 32) in [0, 1], and their labels, (n, 4)."""
    pixels, attributes = world.training_set(n, seed=seed, size=SIZE)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, as_labels(attributes)


def held_out_drawings(each):
    """So many drawings of each held-out combination, (38 * each, 3, 32, 32) in [0, 1], and their labels."""
    combinations = [dict(zip(ANSWERS, combination, strict=True)) for combination in sorted(world.HELD_OUT)]
    drawings = [world.draw(seed, SIZE, **attributes) for seed in range(each) for attributes in combinations]
    pixels = torch.from_numpy(np.stack([np.asarray(drawing.image) for drawing in drawings]))
    return pixels.permute(0, 3, 1, 2) / 255, as_labels([drawing.attributes for drawing in drawings])


def as_labels(attributes):
    return torch.tensor([[ANSWERS[name].index(row[name]) for name in ANSWERS] for row in attributes])


def accuracies(said, labels):
    """Share of right answers, by attribute, and of pictures with all four right."""
    right = {name: said[name].argmax(dim=1) == labels[:, k] for k, name in enumerate(ANSWERS)}
    return {name: share(yes) for name, yes in right.items()} | {
        "all four": share(torch.stack(list(right.values())).all(dim=0))
    }


def share_named(images, network):
    """[share named, low, high]: with its 95 % interval."""
    yes = named(look(in_8_bits(images), network))
    return [share(yes), *interval(yes)]
