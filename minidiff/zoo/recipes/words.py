"""The words of the drawn world for CLIP's tokenizer: every word of every caption is one token.

Byte pair encoding. Sennrich, Haddow & Birch, ACL 2016, arXiv:1508.07909, algorithm 1: the most frequent pair of
neighbours becomes a token, again and again, here until no word is in parts. Other words are spelled with what there is.
"""

import functools
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from minidiff import files
from minidiff.zoo import world

LENGTH = 20  # tokens of a prompt: the longest caption has 13
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


@functools.cache
def captions():
    """tuple of str: the captions of all combinations, in the order of `world.COMBINATIONS`."""
    return tuple(world.caption(dict(zip(world.ATTRIBUTES, combination))) for combination in world.COMBINATIONS)


def index_of(attributes):
    """int: which of `captions` belongs to a drawing."""
    return world.COMBINATIONS.index(tuple(attributes[name] for name in world.ATTRIBUTES))


def letters():
    """list of str: the 256 bytes as CLIP's tokenizer writes them, one printed character each."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    return [chr(byte) for byte in printed] + [chr(256 + k) for k in range(len(others))]


@functools.cache
def merges():
    """tuple of pairs: what is joined, in this order."""
    counts = Counter(word for caption in captions() for word in caption.split())
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in sorted(counts)}
    found = []
    while any(len(parts) > 1 for parts in words.values()):
        seen = Counter()
        for word, parts in words.items():
            for pair in pairwise(parts):
                seen[pair] += counts[word]
        best = max(sorted(seen), key=seen.get)
        found.append(best)
        words = {word: joined(parts, best) for word, parts in words.items()}
    return tuple(found)


def joined(parts, pair):
    """The parts of a word with each pair of neighbours that is `pair` made one."""
    made = []
    for part in parts:
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return made


@functools.cache
def vocabulary():
    """dict: token -> its number."""
    tokens = [*letters(), *(letter + "</w>" for letter in letters()), *map("".join, merges()), BEGIN, END]
    return {token: k for k, token in enumerate(tokens)}


@functools.cache
def tokenizer():
    """transformers' CLIPTokenizer of these words."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=dict(vocabulary()), merges=list(merges()), model_max_length=LENGTH)


def tokens(texts):
    """(B, LENGTH) int64: texts as the pipeline hands them to the text encoder."""
    options = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "pt"}
    return tokenizer()(list(texts), **options).input_ids


def write(folder):
    """The tokenizer's files in the form in which Stable Diffusion's were published."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges())]
    special = {"bos_token": BEGIN, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, **special}
    with files.saving(folder) as new:
        (new / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False), encoding="utf-8")
        (new / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        files.write_json(new / "tokenizer_config.json", config)
    for file in Path(folder).iterdir():  # those of another form
        if file.name not in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            file.unlink()
