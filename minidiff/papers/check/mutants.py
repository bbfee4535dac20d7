"""Arithmetic in statements, and the mutants of an expression: the same with one token changed.

A scenario whose values cannot tell a statement from its mutants could not tell it from a misprint either.
"""

import ast
import copy

MATH = {
    *"exp expm1 log log1p log2 log10 sqrt rsqrt sin cos tan tanh erf atan2 arctan2".split(),
    *"softmax sigmoid silu gelu quad".split(),
    *"max min maximum minimum clamp clip round floor ceil abs square pow".split(),
    *"sum prod cumsum cumprod mean std var norm argmin argmax cdist logsumexp".split(),
    *"matmul bmm einsum scaled_dot_product_attention add sub mul div lerp addcmul addcdiv".split(),
}
IN_PLACE = {f"{name}_" for name in MATH}
OTHER_OPERATOR = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}


def called(call):
    """The name of what is called: `torch.exp(x)` and `x.exp()` call "exp"."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def is_arithmetic(node):
    """Whether + - * / ** @ or a function of MATH stands in it, outside indices and the arguments of other calls.

    What goes into an output object (`SchedulerOutput(prev_sample=a + b)`) counts.
    """
    if isinstance(node, ast.Subscript):
        return is_arithmetic(node.value)
    if isinstance(node, ast.Call):
        in_output = called(node).endswith("Output") and any(map(is_arithmetic, [*node.args, *node.keywords]))
        return called(node) in MATH or in_output or is_arithmetic(node.func)
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.FloorDiv | ast.Mod):
        return isinstance(node.op, tuple(OTHER_OPERATOR)) and not any(map(joins, (node.left, node.right)))
    return any(map(is_arithmetic, ast.iter_child_nodes(node)))


def joins(operand):
    """Whether + or * with this operand joins or repeats lists or strings."""
    return isinstance(operand, ast.List | ast.Tuple | ast.JoinedStr) or (
        isinstance(operand, ast.Constant) and isinstance(operand.value, str)
    )


def changes_in_place(statement):
    """Whether it is arithmetic on its own line that changes a tensor, such as `x.mul_(2)`."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and called(statement.value) in IN_PLACE
    )


def mutants(expression, modules=()):
    """Yield the expression's mutants.

    One operator, comparison or number + 1; one variable in the place of another of the expression; one sign or one math
    function dropped.

    Args:
        expression: an ast expression; it stays as it is.
        modules: names that are no variables, such as those of imported modules.
    """
    used = variables(expression, modules)
    for node in ast.walk(expression):
        for other in replacements(node, used):
            yield copy.deepcopy(expression, {id(node): other})


def variables(expression, modules):
    """{text: nodes} of the variables and attributes of self whose value enters the expression."""
    aside = {id(call.func) for call in ast.walk(expression) if isinstance(call, ast.Call)}
    for attribute in (n for n in ast.walk(expression) if isinstance(n, ast.Attribute)):
        if id(attribute) not in aside:  # x.shape says nothing about the value of x; x.flatten() does
            aside.add(id(attribute.value))
    found = {}
    for node in ast.walk(expression):
        of_self = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self"
        variable = isinstance(node, ast.Name) and node.id not in {"self", *modules}
        if (of_self or variable) and isinstance(node.ctx, ast.Load) and id(node) not in aside:
            found.setdefault(ast.unparse(node), []).append(node)
    return found


def replacements(node, used):
    """Yield what may stand in the place of `node`, itself one token away from it."""
    if isinstance(node, ast.BinOp) and type(node.op) in OTHER_OPERATOR:
        yield ast.BinOp(node.left, OTHER_OPERATOR[type(node.op)](), node.right)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER_OPERATOR:
        yield ast.Compare(node.left, [OTHER_OPERATOR[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    for nodes in used.values():
        if any(node is n for n in nodes):
            yield from (others[0] for others in used.values() if others is not nodes)
    if isinstance(node, ast.Call) and called(node) in MATH:
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") not in (
            "torch",
            "math",
            "np",
            "F",
        ):
            yield node.func.value
        elif node.args:
            yield node.args[0]
