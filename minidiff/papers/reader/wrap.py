"""Where a line of code may wrap: not in names, numbers and strings, and where a reader expects it."""

from minidiff.papers.reader.source import Token

SHORT = 40  # characters; brackets around no more are not broken, around other brackets half as many
LONG = 48  # characters; a product of more is broken between its factors
NOTHING = Token("", "")


def wrappable(tokens):
    """A line's tokens as [(tokens that stay together, the space behind them)].

    It may wrap after a comma, after an operator with a space behind it, after the opening bracket of a call, and after
    a closing bracket before a word, but not in short brackets. Also before a comment, and between the words of a long
    one.
    """
    pieces, whole = [([], "")], in_short_brackets(tokens)
    for k, token in enumerate(tokens):
        last, _ = pieces[-1]
        if token.text.isspace() and not last and pieces[1:]:  # a line's own margin stays
            pieces[-2:] = [(pieces[-2][0], token.text), ([], "")]
        elif token.kind == "comment":
            words = token.text.split(" ") if k < 2 or len(token.text) > SHORT else [token.text]
            pieces[-1:] = [piece for piece in [without_space(last)] if piece[0]]
            pieces += [([token._replace(text=word)], " ") for word in words]
        else:
            last.append(token)
            if k not in whole and ends_piece(tokens, k):
                pieces.append(([], ""))
    return [part for piece in pieces if piece[0] for part in in_factors(*piece)]


def ends_piece(tokens, k):
    before, token = tokens[k - 1] if k else NOTHING, tokens[k]
    after, then = [*tokens[k + 1 : k + 3], NOTHING, NOTHING][:2]
    if token.in_string or after is NOTHING:
        return False
    if token.kind == "bracket" and token.text in ")]}":
        return after.text.isspace() and then.kind == "keyword"
    if token.kind == "bracket":
        of_call = token.text == "(" and not before.text.isspace() and before.text not in "([{"
        return token.text == "," or (of_call and after.text != ")")
    if token.text in ("*", "/") and (then.text != "(" or before.text == "*"):  # a product and a power stay whole
        return False
    return (token.kind == "operator" or token.text in ("and", "or")) and after.text.isspace()


def in_factors(tokens, space):
    """A piece as one, or where it is long, cut behind its operators outside brackets."""
    if sum(len(token.text) for token in tokens) <= LONG:
        return [(tokens, space)]
    parts, depth = [([], "")], 0
    for token in tokens:
        last, _ = parts[-1]
        operator = [token.text for token in last[-2:]]
        if token.text.isspace() and not depth and operator[-1:] in (["*"], ["/"]) and operator != ["*", "*"]:
            parts[-1:] = [(last, token.text), ([], "")]
            continue
        last.append(token)
        if token.kind == "bracket":
            depth += (token.text in "([{") - (token.text in ")]}")
    return [*parts[:-1], (parts[-1][0], space)]


def in_short_brackets(tokens):
    """Places of the tokens from an opening bracket up to the one before its closing one, where that is near."""
    found, open_ones, length = set(), [], 0
    for k, token in enumerate(tokens):
        length += len(token.text)
        if token.kind == "bracket" and token.text in "([{":
            open_ones = [(*outer, SHORT // 2) for *outer, _ in open_ones] + [(k, length, SHORT)]
        elif token.kind == "bracket" and token.text in ")]}" and open_ones:
            first, before, short = open_ones.pop()
            found |= set(range(first, k)) if length - before <= short else set()
    return found


def without_space(tokens):
    """(tokens, the space that they end with); a line's margin stays with them."""
    if len(tokens) > 1 and tokens[-1].text.isspace():
        return tokens[:-1], tokens[-1].text
    return tokens, ""
