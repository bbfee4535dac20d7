"""Results that are dataclasses and tuples."""

from dataclasses import dataclass

import pytest

from minidiff.outputs import Output


@dataclass
class Pair(Output):
    first: object
    second: object = None


@dataclass
class Grown(Pair):
    beside_tuple = ("second",)


def test_three_ways_to_a_field():
    pair = Pair(first=[1], second=2)
    assert pair.second == pair["second"] == pair[1] == pair[-1] == 2
    first, second = pair
    assert (first, second) == pair[:] == pair.to_tuple() == ([1], 2) and len(pair) == 2


def test_fields_that_are_none_do_not_count():
    assert Pair(1).to_tuple() == (1,) and Pair(None, 2)[0] == 2 and Pair(1)["second"] is None


def test_fields_beside_the_tuple():
    grown = Grown(1, 2)
    assert grown.second == grown["second"] == 2 and grown.to_tuple() == (1,) and len(grown) == 1


def test_as_asked():
    pair = Pair(1, 2)
    assert pair.as_asked(True) is pair and pair.as_asked(False) == (1, 2)


def test_unknown_fields():
    with pytest.raises(KeyError, match="Pair has no field 'third', only first, second"):
        Pair(1)["third"]
    with pytest.raises(IndexError):
        Pair(1)[1]
