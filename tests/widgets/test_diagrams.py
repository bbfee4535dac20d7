"""Diagrams: what is asked for stands where it should, and arrows end at the boxes' edges."""

import pytest
import torch
from PIL import Image

from minidiff import widgets

CAT = Image.new("RGB", (32, 32), (0, 0, 255))
BOXES = {"a": (1.0, 1.0, "a network\nof two lines"), "b": (5.0, 1.0, CAT, "$x_0$"), "c": (3.0, 0.3, None, "below")}


def drawn(*arguments, **options):
    (axes,) = widgets.diagram(*arguments, **options).axes
    return axes


def test_texts_and_captions_stand_there():
    axes = drawn(BOXES, [("a", "b", "guesses")])
    places = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert set(places) == {"a network\nof two lines", "$x_0$", "below", "guesses"}
    assert places["a network\nof two lines"] == (1.0, 1.0)
    assert places["$x_0$"][0] == 5.0 and places["$x_0$"][1] < 0.6  # below the picture


def test_a_picture_keeps_its_pixels_and_its_place():
    (image,) = drawn(BOXES).images
    assert image.get_array().shape == (32, 32, 3) and image.get_array()[0, 0].tolist() == [0, 0, 255]
    left, right, bottom, top = image.get_extent()
    assert (left + right) / 2 == pytest.approx(5) and (bottom + top) / 2 == pytest.approx(1)


@pytest.mark.parametrize(
    ("start", "end", "bend", "side"), [("a", "b", 0.3, -1), ("a", "b", -0.3, 1), ("b", "a", 0.3, 1)]
)
def test_a_bent_arrow_has_its_text_on_the_outer_side(start, end, bend, side):
    axes = drawn(BOXES, [(start, end, "guesses", bend)])
    (y,) = (text.get_position()[1] for text in axes.texts if text.get_text() == "guesses")
    assert (y - 1) * side > 0.3


def test_a_tensor_is_a_picture():
    (image,) = drawn({"a": (1, 1, torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1))}).images
    assert image.get_array().tolist() == [[[0, 128, 255]]]


def test_arrows_begin_and_end_at_the_edges():
    figure = widgets.diagram(BOXES, [("a", "b")])
    figure._repr_png_()  # arrows find their ends when they are drawn
    (axes,) = figure.axes
    (arrow,) = (text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None))
    ends = axes.transData.inverted().transform(arrow.get_window_extent().get_points())
    assert 1.3 < ends[:, 0].min() < 2.2 and 4.5 < ends[:, 0].max() < 4.65


def test_an_arrow_to_nowhere_is_refused():
    with pytest.raises(ValueError, match="an arrow names 'd'; allowed are 'a', 'b', 'c'"):
        widgets.diagram(BOXES, [("a", "d")])


def test_a_notebook_shows_it_as_a_picture():
    assert widgets.diagram(BOXES)._repr_png_().startswith(b"\x89PNG")
