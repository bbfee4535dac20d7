"""Holds the value of a statement against its equation."""

import itertools

import torch

from minidiff.papers.tex.formula import Letter, Number, Scope, number, whole

RELATIVE = 1e-9  # of each number
ABSOLUTE = 1e-12  # of the largest one, for what cancels
ENTRIES = 32  # of a long table that are compared
STANDARD_ERRORS = 5
DRAWS_NEEDED = 1000


class Mismatch(Exception):
    """The statement is not what the equation says. Arguments: a sentence, and lines below it."""


def compare(equation, position, statement, variables, value):
    """Compare the statement's value with the right sides of an equation.

    Args:
        equation: whose relation is EQUALS.
        position: (its number, how many equations there are) in its pair.
        statement: what computed the value.
        variables: mapping of the local variables before the statement ran.
        value: what it computed.
    Raises:
        Mismatch: they differ, or cannot be compared.
        Exception: whatever the evaluation of the formula raises.
    """
    value, free = meant_by_left(equation.left, position, statement, variables, value)
    value = as_number(value)
    if value.ndim < len(free):
        raise Mismatch(
            f"the left side {equation.left} leaves {len(free)} indices free, the value has {value.ndim} dimensions"
        )
    if free and not value.numel():
        raise Mismatch("the table is empty: nothing is compared; let the scenario ask for entries")
    for index in itertools.product(*map(some_entries, value.shape[: len(free)])):
        for right in equation.rights:
            scope = Scope(variables, dict(zip(free, index)))
            compare_tensors(value[index], number(right.value(scope)), dict(zip(free, index)))


def some_entries(length):
    """All entries of a table; of one longer than ENTRIES that many, the first and the last among them."""
    if length <= ENTRIES:
        return range(length)
    return sorted({round(k * (length - 1) / (ENTRIES - 1)) for k in range(ENTRIES)})


def meant_by_left(left, position, statement, variables, value):
    """The part of the statement's value that the left side names, and the names of the indices that it leaves free."""
    if not statement.targets:
        number_of_equation, count = position
        members = isinstance(value, tuple) and count > 1 and len(value) == count
        return (value[number_of_equation] if members else value), []
    for target, part in named_parts(statement.targets, value):
        if target == left.name and not (left.subscript and has_table_of_that_name(left, statement)):
            return part, []
        if target == left.plain + "[]" or (left.digits and target == without_digits(left) + "[]"):
            refuse_other_index(left, statement, variables)
            return part, []
        if target == left.plain and left.subscript and left.indices and all(map(is_bare_letter, left.indices)):
            return part, [index.plain for index in left.indices if variables.get(index.plain) is None]
    computed = ", ".join(target for target, _ in named_parts(statement.targets, None))
    raise Mismatch(
        f"the left side of the equation names {left}, the statement computes {computed}: give both the same name"
    )


def named_parts(targets, value):
    """(name, value) of every target; of a tuple's members each has its own."""
    for target in targets:
        if isinstance(target, str):
            yield target, value
        else:
            for k, member in enumerate(target):
                yield from named_parts([member], None if value is None else value[k])


def has_table_of_that_name(left, statement):
    return left.name + "[]" in [target for target, _ in named_parts(statement.targets, None)]


def is_bare_letter(index):
    return isinstance(index, Letter) and not index.subscript and index.arguments is None


def without_digits(left):
    return Letter(left.base, "", left.accents, primes=left.primes).plain


def refuse_other_index(left, statement, variables):
    """The index of the left side and that of a target such as c[j] are the same."""
    (table, code), *_ = statement.indices.items()
    asked = left.indices if left.subscript else (Number(int(left.digits)),) if left.digits else ()
    if not asked or len(asked) != 1:
        raise Mismatch(f"the statement computes one element of {table}: the left side needs one index, as in {table}_j")
    indices = whole(asked[0].value(Scope(variables)), "the index"), eval(code, {}, dict(variables))
    if indices[0] != indices[1]:
        raise Mismatch(f"the left side is entry {indices[0]} of {table}, the statement computes entry {indices[1]}")


def as_number(value):
    if not isinstance(value, torch.Tensor | int | float | list) and not hasattr(value, "__array__"):
        raise Mismatch(f"the statement's value is a {type(value).__name__}, which is no number and no tensor: "
                       "pair the line that computes the number")  # fmt: skip
    return number(value)


def compare_tensors(value, right, indices):
    """Raises Mismatch where the two tensors differ; dimensions of size 1 do not count."""
    place = "".join(f", at {name} = {index}" for name, index in indices.items())
    shapes = f"statement {tuple(value.shape)}, equation {tuple(right.shape)}"
    value, right = value.squeeze(), right.squeeze()
    if value.shape != right.shape:
        raise Mismatch(f"the statement and its equation have different shapes{place}", shapes)
    for side, numbers in (("statement", value), ("equation", right)):
        if not numbers.isfinite().all():
            raise Mismatch(f"the {side} is not finite{place}; let the scenario stay where the formula holds")
    if not value.numel():
        raise Mismatch(f"the value is empty{place}: nothing is compared; let the scenario pass larger inputs")
    error = (value - right).abs()
    wrong = error > RELATIVE * right.abs() + ABSOLUTE * right.abs().max()
    if wrong.any():
        worst = (error * wrong).argmax()
        computed, asked = value.flatten()[worst].item(), right.flatten()[worst].item()
        raise Mismatch(
            f"the statement and its equation differ{place}", f"statement {computed:.12g}, equation {asked:.12g}"
        )


def standardised(equation, variables, value):
    """The numbers of a draw minus the stated mean, in units of the stated standard deviation, as a vector."""
    mean, variance = (number(right.value(Scope(variables))) for right in equation.rights)
    return ((number(value) - mean) / variance**0.5).flatten()


def distribution_mismatch(draws):
    """What is wrong with numbers that should have mean 0 and variance 1, or "" if nothing is."""
    x = torch.cat(draws) if draws else torch.zeros(0)
    n = len(x)
    if n < DRAWS_NEEDED:
        return f"{n} numbers drawn in all scenarios together, {DRAWS_NEEDED} are needed: let them draw larger tensors"
    if not x.isfinite().all():
        return "a draw is not finite, or its stated variance is 0"
    mean, variance = x.mean().item(), x.var().item()
    if abs(mean) > STANDARD_ERRORS / n**0.5:
        return f"the mean of {n} draws is off the stated one by {mean:.3f} of the stated standard deviations"
    if abs(variance - 1) > STANDARD_ERRORS * (2 / n) ** 0.5:
        return f"{n} draws have {variance:.3f} times the stated variance"
    return ""
