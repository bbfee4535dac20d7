"""Results that are dataclasses, dicts, tuples where asked, and pytrees."""

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch
from pictures import tiny_unet
from torch.utils import _pytree as pytree

from minidiff.outputs import Output


@dataclass(eq=False)
class Pair(Output):
    first: object
    second: object = None


@dataclass(eq=False)
class Grown(Pair):
    beside_tuple = ("second",)


def test_three_ways_to_a_field():
    pair = Pair(first=[1], second=2)
    assert pair.second == pair["second"] == pair[1] == pair[-1] == 2
    assert pair[:] == pair.to_tuple() == ([1], 2) and len(pair) == 2


def test_it_is_a_dict():
    pair = Pair(1, 2)
    assert isinstance(pair, dict) and list(pair) == ["first", "second"] and list(pair.values()) == [1, 2]
    assert dict(pair) == {**pair} == {"first": 1, "second": 2} and pair.get("third") is None


def test_attribute_and_entry_are_one():
    pair = Pair(1, 2)
    pair.second = 3
    assert pair["second"] == pair[1] == dict(pair)["second"] == 3
    pair["first"] = 4
    assert pair.first == pair[0] == 4


def test_fields_that_are_none_do_not_count():
    assert (
        Pair(1).to_tuple() == (1,)
        and Pair(None, 2)[0] == 2
        and Pair(1)["second"] is None
        and list(Pair(1)) == ["first"]
    )


def test_fields_beside_the_tuple():
    grown = Grown(1, 2)
    assert grown.second == grown["second"] == 2 and grown.to_tuple() == (1,)
    assert list(grown) == ["first", "second"] and pytree.tree_leaves(grown) == [1, 2]


def test_as_asked():
    pair = Pair(1, 2)
    assert pair.as_asked(True) is pair and pair.as_asked(False) == (1, 2)


def test_unknown_fields():
    with pytest.raises(KeyError, match="Pair has no field 'third', only first, second"):
        Pair(1)["third"]
    with pytest.raises(KeyError, match="no field 'beside_tuple'"):
        Pair(1)["beside_tuple"]
    with pytest.raises(IndexError):
        Pair(1)[1]


@pytest.mark.parametrize("made", [Pair(1, [2]), Pair(1), Grown(1, 2)], ids=repr)
def test_copies(made):
    for twin in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert type(twin) is type(made) and dict(twin) == dict(made) and twin.second == made.second


def test_another_tool_may_rebuild_it_from_its_entries():
    for made in (
        Pair({"first": 1, "second": 2}),
        Pair((name, k) for k, name in enumerate(("first", "second"), start=1)),
    ):
        assert (made.first, made.second) == made.to_tuple() == (1, 2)


def test_it_is_a_pytree():
    doubled = pytree.tree_map(lambda x: 2 * x, Pair(1, (2, 3)))
    assert type(doubled) is Pair and doubled.first == 2 and doubled.second == (4, 6)
    paths = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(Pair(1, 2))[0]]
    assert paths == ["['first']", "['second']"]


# -- what other tools do with it


@torch.no_grad()
def test_data_parallel_gathers_it(monkeypatch):
    """Its gather runs without a GPU once the one primitive that joins CUDA tensors is replaced."""
    from torch.nn.parallel import scatter_gather

    class Join:
        apply = staticmethod(lambda device, dim, *parts: torch.cat(parts, dim))

    monkeypatch.setattr(scatter_gather, "Gather", Join)
    unet, x = tiny_unet(), torch.randn(4, 3, 8, 8)
    joined = scatter_gather.gather([unet(x[:2], 3), unet(x[2:], 3)], "cpu")
    assert type(joined) is type(unet(x, 3)) and torch.allclose(joined.sample, unet(x, 3).sample, atol=1e-6)


def test_accelerate_converts_it():
    from accelerate.utils import convert_to_fp32

    converted = convert_to_fp32(Pair(torch.ones(2, dtype=torch.bfloat16)))
    assert type(converted) is Pair and converted.first.dtype == converted[0].dtype == torch.float32


@torch.no_grad()
def test_compiled_exported_and_traced():
    unet, x = tiny_unet(), torch.randn(2, 3, 8, 8)
    expected = unet(x, torch.tensor(3)).sample
    compiled = torch.compile(unet, backend="eager", fullgraph=True)(x, torch.tensor(3))
    exported = torch.export.export(unet, (x, torch.tensor(3))).module()(x, torch.tensor(3))
    assert type(compiled) is type(exported) is type(unet(x, 3))
    assert torch.allclose(compiled.sample, expected) and torch.allclose(exported.sample, expected)
    traced = torch.jit.trace(unet, (x, torch.tensor(3)), strict=False)(x, torch.tensor(3))
    assert torch.allclose(traced["sample"], expected)
