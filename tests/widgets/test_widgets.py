"""The widgets without a browser: what their frames hold, and that the controls are linked."""

import base64
import io
import re
import subprocess
import sys

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from minidiff import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMScheduler,
    PNDMPipeline,
    PNDMScheduler,
    UNet2DModel,
    widgets,
    zoo,
)
from minidiff.widgets.frames import chart, picture, round_numbers, side_by_side
from minidiff.widgets.players import places

PICTURE = re.compile(r'<img src="data:image/webp;base64,([^"]+)"')


@pytest.fixture(scope="module")
def pipe():
    torch.manual_seed(0)
    levels = dict(down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"], block_out_channels=[8])
    pipe = DDIMPipeline(UNet2DModel(32, norm_num_groups=4, **levels), DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def frames(widget):
    return [html.value for html in widget.children[1].children]


def pictures(frame):
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in PICTURE.findall(frame)]


def test_a_recorded_walk_ends_at_the_picture(pipe):
    walk = widgets.record(pipe, num_inference_steps=7, output_type="pt", generator=torch.Generator().manual_seed(0))
    assert len(walk) == len(walk.x) - 1 == len(walk.x_0_hat) == len(walk.eps) == 7
    assert walk.timesteps == pipe.scheduler.timesteps.tolist()
    assert torch.equal((walk.x[-1] / 2 + 0.5).clamp(0, 1), walk.images)
    assert torch.equal(walk.x[-1], walk.x_0_hat[-1])  # the last step ends at the clean picture it believes in


def test_a_recorded_walk_begins_at_the_noise_and_goes_on_where_a_step_ended(pipe):
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    walk = widgets.record(pipe, num_inference_steps=4, latents=noise)
    assert torch.equal(walk.x[0], noise)
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(4)
    for i, t in enumerate(scheduler.timesteps):
        step = scheduler.step(walk.eps[i], t, walk.x[i])
        assert torch.equal(walk.eps[i], pipe.unet(walk.x[i], t).sample)
        assert torch.allclose(walk.x_0_hat[i], step.pred_original_sample) and torch.allclose(
            walk.x[i + 1], step.prev_sample
        )


def like(shown, x):
    """Whether a picture, as the page shows it, is that of x, (3, H, W): WEBP is not exact."""
    meant = pictures(picture(side_by_side(x), 32))[0]
    return shown.size == meant.size and np.abs(np.asarray(shown, float) - np.asarray(meant, float)).mean() < 12


def test_the_first_frame_is_the_noise_and_the_last_the_picture(pipe):
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    walk = widgets.record(pipe, num_inference_steps=5, latents=noise)
    made = [pictures(frame)[0] for frame in frames(widgets.scrub(walk))]
    assert len(made) == 6
    assert like(made[0].crop((0, 0, 32, 32)), noise[0]) and not like(made[0].crop((0, 0, 32, 32)), walk.x[1][0])
    assert like(made[-1], walk.x[-1][0])
    for i, shown in enumerate(made[:-1]):  # x_t and what was predicted from it
        for k, x in enumerate((walk.x[i], walk.x_0_hat[i], walk.eps[i] / 3)):
            assert like(shown.crop((32 * k, 0, 32 * k + 32, 32)), x[0])


def test_scrub_shows_each_walk_at_the_same_part_of_its_way(pipe):
    walks = [widgets.record(pipe, num_inference_steps=steps) for steps in (10, 40)]
    made = frames(widgets.scrub(*walks, labels=["few", "many"], frames=8))
    assert len(made) == 8
    assert "few<br>step 1 of 10<br>t = 900" in made[0] and "many<br>step 1 of 40<br>t = 975" in made[0]
    assert "few<br>after all 10 steps<br>x_0" in made[-1] and "many<br>after all 40 steps<br>x_0" in made[-1]
    assert [image.size for image in pictures(made[3])] == [(96, 32), (96, 32)]
    assert [image.size for image in pictures(made[-1])] == [(32, 32), (32, 32)]
    assert sum(map(len, made)) < 150_000


def test_a_walk_shorter_than_the_other_stands_still_between_its_steps(pipe):
    walks = [widgets.record(pipe, num_inference_steps=steps) for steps in (3, 11)]
    shown = [re.findall(r"(step \d+|after all) ", frame)[0] for frame in frames(widgets.scrub(*walks))]
    assert shown == ["step 1"] * 3 + ["step 2"] * 3 + ["step 3"] * 3 + ["after all"] * 3


def test_by_t_all_walks_are_seen_at_the_timestep_of_the_first(pipe):
    plms = PNDMPipeline(pipe.unet, PNDMScheduler(skip_prk_steps=True))  # makes its first step twice
    plms.set_progress_bar_config(disable=True)
    walks = [widgets.record(one, num_inference_steps=5) for one in (pipe, plms)]
    assert walks[1].timesteps == [800, 600, 600, 400, 200, 0]
    seen = [re.findall(r"call (\d) of \d<br>t = (\d+)", frame) for frame in frames(widgets.scrub(*walks, by="t"))]
    assert seen == [
        [("1", "800"), ("1", "800")],
        [("2", "600"), ("3", "600")],
        [("3", "400"), ("4", "400")],
        [("4", "200"), ("5", "200")],
        [("5", "0"), ("6", "0")],
        [],
    ]
    assert "after all 6 calls<br>x_0" in frames(widgets.scrub(*walks, by="t"))[-1]


def test_by_t_a_walk_with_other_timesteps_shows_where_it_was_last(pipe):
    walks = [widgets.record(pipe, num_inference_steps=steps) for steps in (4, 5)]  # 750, 500 ...; 800, 600, 400 ...
    seen = [re.findall(r"t = (\d+)", frame) for frame in frames(widgets.scrub(*walks, by="t"))]
    assert seen == [["750", "800"], ["500", "600"], ["250", "400"], ["0", "0"], []]


COLOURS = ("red", "green", "blue", "white", "black", "yellow")


def coloured(number):
    return [Image.new("RGB", (8, 8), colour) for colour in COLOURS[:number]]


def shown_colours(frame):
    return [tuple(round(level / 255) for level in image.getpixel((4, 4))) for image in pictures(frame)]


def test_slides_stand_side_by_side_under_their_names():
    red, green, blue = coloured(3)
    widget = widgets.slides({"left": [red, blue], "right": [green, red]}, "u", [0.0, 0.5], size=40)
    made = frames(widget)
    assert [shown_colours(frame) for frame in made] == [[(1, 0, 0), (0, 1, 0)], [(0, 0, 1), (1, 0, 0)]]
    assert "<b>left</b>" in made[0] and "<b>right</b>" in made[0] and "height:40px" in made[0]
    _, slider, readout = widget.children[0].children
    assert slider.description == "u" and [label.value for label in readout.children] == ["0.0", "0.5"]


def test_slides_show_figures_as_large_as_they_were_made():
    made = []
    for height in (1.0, 2.0):
        figure = Figure(figsize=(3, height), dpi=100)
        figure.subplots().plot([0, 1], [0, 1])
        made.append(figure)
    low, high = frames(widgets.slides(made, "N", [5, 10]))
    assert "width:300px;height:100px" in low and "width:300px;height:200px" in high
    (fine,) = pictures(low)
    assert fine.size == (450, 150)


def test_a_grid_has_a_picture_for_each_pair_and_a_slider_for_each_value():
    pairs = [(eta, steps) for eta in (0.0, 1.0) for steps in (5, 10, 20)]
    widget = widgets.grid(dict(zip(pairs, coloured(6), strict=True)), ("eta", "steps"), size=16)
    first, second, outer = widget.children
    assert [box.children[0].description for box in (first, second)] == ["eta", "steps"]
    assert [[label.value for label in box.children[1].children] for box in (first, second)] == [
        ["0.0", "1.0"],
        ["5", "10", "20"],
    ]
    shown = [[shown_colours(html.value)[0] for html in inner.children] for inner in outer.children]
    assert shown == [[(1, 0, 0), (0, 1, 0), (0, 0, 1)], [(1, 1, 1), (0, 0, 0), (1, 1, 0)]]
    linked = links()
    etas, steps = first.children[0].model_id, second.children[0].model_id
    assert (etas, outer.model_id) in linked
    assert all((steps, inner.model_id) in linked and (etas, inner.model_id) not in linked for inner in outer.children)
    assert all((box.children[0].model_id, box.children[1].model_id) in linked for box in (first, second))


def test_noising_goes_from_the_drawing_to_noise():
    drawing = zoo.world.draw(seed=3, size=32)
    made = frames(widgets.noising(drawing, DDPMScheduler(), frames=5))
    assert [re.search(r"t = (\d+)<", frame)[1] for frame in made] == ["0", "250", "500", "749", "999"]
    first, last = (
        torch.frombuffer(bytearray(pictures(f)[0].tobytes()), dtype=torch.uint8) for f in (made[0], made[-1])
    )
    clean = torch.frombuffer(bytearray(drawing.image.tobytes()), dtype=torch.uint8)
    assert (first.float() - clean.float()).abs().mean() < 12 < 40 < (last.float() - clean.float()).abs().mean()


def test_the_dot_moves_with_the_steps():
    sheets = [widgets.sheet([Image.new("RGB", (8, 8), c)], size=16) for c in ("red", "green", "blue")]
    made = frames(widgets.steps_and_quality({"DDIM": sheets}, {"DDIM": [0.1, 0.5, 0.9]}, [10, 20, 50], "named"))
    dots = [tuple(map(float, re.search(r'cx="([\d.]+)" cy="([\d.]+)"', frame).groups())) for frame in made]
    assert dots[0][0] < dots[1][0] < dots[2][0] and dots[0][1] > dots[1][1] > dots[2][1]
    assert ["DDIM<br>0.10" in made[0], "DDIM<br>0.90" in made[2]] == [True, True]


def test_a_flat_curve_lies_half_way_up():
    svg = chart({"DDIM": [1.0, 1.0], "DDPM": [1.0, 1.0]}, (0, 1), 0, "steps", "distance", height=156)
    assert set(re.findall(r'cy="([\d.]+)"', svg)) == {"72.0"}
    assert set(re.findall(r'points="([^"]+)"', svg)) == {"44,72 290,72"}


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_chart_says_what_it_shows():
    svg = chart({"DDIM": [2.0, 7.0], "DDPM": [3.0, 9.0]}, (0, 999), 1, "timestep", "distance")
    assert words(svg) == ["distance", "0", "200", "400", "600", "800", "timestep", "2", "4", "6", "8", "DDIM", "DDPM"]
    steps = {0: "10", 1: "20", 2: "50"}
    assert words(chart({"DDIM": [0.2, 0.5, 0.6]}, (0, 1, 2), 0, "steps", "named", steps)) == (
        ["named", "10", "20", "50", "steps", "0.2", "0.3", "0.4", "0.5", "0.6"]
    )


def test_a_tick_stands_where_its_number_lies():
    svg = chart({"a": [0.0, 4.0]}, (0, 1), 1, "x", "y", height=156)
    (beside,) = re.findall(r'<g text-anchor="end">(.*?)</g>', svg)
    ticks = {float(number): float(y) - 4 for y, number in re.findall(r'y="(\d+)">([\d.]+)<', beside)}
    (top,) = map(float, re.findall(r'cy="([\d.]+)"', svg))
    assert ticks[4] == top == 22 and ticks[0] == 122 and ticks[2] == 72


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.31, 0.34, [0.31, 0.32, 0.33, 0.34]), (-44, 40, [-40, -20, 0, 20, 40])],
)
def test_round_numbers(low, high, numbers):
    assert round_numbers(low, high) == pytest.approx(numbers)


def test_every_quantity_has_an_axis_of_its_own():
    frame = frames(widgets.noising(zoo.world.draw(seed=3, size=32), DDPMScheduler(), frames=2))[0]
    left, right = re.findall(r"<svg.*?</svg>", frame)
    assert {"alpha_bar, the share of the picture", "t", "0.4"} <= set(words(left))
    assert {"signal-to-noise ratio, dB", "t", "-40", "0", "20"} <= set(words(right))


def links():
    """{(id of a control, id of what it moves in the browser)}."""
    return {
        (link.source[0].model_id, link.target[0].model_id)
        for link in ipywidgets.widgets.widget._instances.values()
        if isinstance(link, ipywidgets.widgets.widget_link.Link)
    }


def test_the_slider_is_linked_in_the_browser(pipe):
    widget = widgets.scrub(widgets.record(pipe, num_inference_steps=4))
    play, slider, shown = widget.children[0].children
    stack = widget.children[1]
    assert {
        (play.model_id, slider.model_id),
        (slider.model_id, stack.model_id),
        (slider.model_id, shown.model_id),
    } <= links()
    assert slider.max == play.max == len(stack.children) - 1 == 4


def test_frames_share_what_says_how_they_look(pipe):
    """Each frame's own layout and style would be more bytes in a notebook than its picture."""
    widget = widgets.scrub(widgets.record(pipe, num_inference_steps=4))
    for stack in (widget.children[0].children[2], widget.children[1]):
        assert len({one.layout.model_id for one in stack.children}) == 1
        assert len({one.style.model_id for one in stack.children}) == 1


def test_places_hold_both_ends():
    assert places(1000, 3) == [0, 500, 999]
    assert places(2, 24) == [0, 1]
    assert places(1, 24) == [0]


def test_a_sheet_has_a_place_for_each_picture():
    board = widgets.sheet([Image.new("RGB", (32, 32))] * 5, columns=3, size=10, gap=2)
    assert board.size == (3 * 12 + 2, 2 * 12 + 2)


def test_a_schedule_plot_has_a_curve_for_each():
    figure = widgets.schedule_plot(DDPMScheduler(), DDPMScheduler(beta_schedule="squaredcos_cap_v2"), labels=["a", "b"])
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    for axes in figure.axes:
        assert axes.get_xlabel() == "t" and axes.get_ylabel()
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    drawn = Image.open(io.BytesIO(figure._repr_png_()))
    assert drawn.size == (720, 260) and drawn.mode == "P", "a palette, a third of the bytes"
    assert drawn.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_schedule_plot_is_a_picture_where_nobody_imported_pyplot():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as Shell\n"
        "from minidiff import DDPMScheduler, widgets\n"
        "made, _ = Shell.instance().display_formatter.format(widgets.schedule_plot(DDPMScheduler()))\n"
        "print('image/png' in made)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "True"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: widgets.scrub("walk"), TypeError, "not a str"),
        (lambda: widgets.scrub(widgets.Trajectory(), labels=["a", "b"]), ValueError, "labels are 2"),
        (lambda: widgets.steps_and_quality({"DDIM": []}, {}, [10], "named"), ValueError, "DDIM has 0 entries"),
        (
            lambda: widgets.scrub(widgets.Trajectory(), by="time"),
            ValueError,
            "by is 'time'; allowed are 'step' and 't'",
        ),
        (lambda: widgets.slides([], "u", []), ValueError, "pictures has 0 entries"),
        (lambda: widgets.slides({"left": coloured(2)}, "u", [0]), ValueError, "left has 2 entries"),
        (lambda: widgets.slides(["red"], "u", [0]), TypeError, "a frame is a str"),
        (lambda: widgets.grid({}, ("a", "b")), ValueError, "pictures is empty"),
        (lambda: widgets.grid({(0, 1): None, (1, 2): None}, ("a", "b")), ValueError, r"none for \(0, 2\)"),
        (lambda: widgets.trajctory, AttributeError, "'trajctory'"),
    ],
)
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()
