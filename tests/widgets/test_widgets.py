"""The widgets without a browser: what their frames hold, and that the controls are linked."""

import base64
import io
import re

import ipywidgets
import pytest
import torch
from PIL import Image

from minidiff import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel, widgets, zoo
from minidiff.widgets.frames import chart
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
    assert len(walk) == len(walk.x) == len(walk.x_0_hat) == len(walk.eps) == 7
    assert walk.timesteps == pipe.scheduler.timesteps.tolist()
    assert torch.equal((walk.x[-1] / 2 + 0.5).clamp(0, 1), walk.images)
    assert torch.equal(walk.x[-1], walk.x_0_hat[-1])  # the last step ends at the clean picture it believes in


def test_scrub_shows_each_walk_at_the_same_part_of_its_way(pipe):
    walks = [widgets.record(pipe, num_inference_steps=steps) for steps in (10, 40)]
    made = frames(widgets.scrub(*walks, labels=["few", "many"], frames=8))
    assert len(made) == 8
    assert "few<br>step 1 of 10<br>t = 900" in made[0] and "many<br>step 1 of 40<br>t = 975" in made[0]
    assert "few<br>step 10 of 10<br>t = 0" in made[-1] and "many<br>step 40 of 40<br>t = 0" in made[-1]
    assert [image.size for image in pictures(made[3])] == [(96, 32), (96, 32)]
    assert sum(map(len, made)) < 150_000


def test_a_walk_shorter_than_the_other_stands_still_between_its_steps(pipe):
    walks = [widgets.record(pipe, num_inference_steps=steps) for steps in (3, 12)]
    shown = [re.findall(r"step (\d+) of 3<", frame)[0] for frame in frames(widgets.scrub(*walks))]
    assert shown == ["1"] * 4 + ["2"] * 4 + ["3"] * 4


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
    made = frames(widgets.steps_and_quality({"DDIM": sheets}, {"DDIM": [0.1, 0.5, 0.9]}, [10, 20, 50]))
    dots = [tuple(map(float, re.search(r'cx="([\d.]+)" cy="([\d.]+)"', frame).groups())) for frame in made]
    assert dots[0][0] < dots[1][0] < dots[2][0] and dots[0][1] > dots[1][1] > dots[2][1]
    assert ["DDIM<br>0.10" in made[0], "DDIM<br>0.90" in made[2]] == [True, True]


def test_a_flat_curve_lies_half_way_up():
    svg = chart({"DDIM": [1.0, 1.0], "DDPM": [1.0, 1.0]}, 0, height=150)
    assert set(re.findall(r'cy="([\d.]+)"', svg)) == {"70.0"} and {"8,70 292,70"} == set(
        re.findall(r'points="([^"]+)"', svg)
    )


def test_the_slider_is_linked_in_the_browser(pipe):
    widget = widgets.scrub(widgets.record(pipe, num_inference_steps=4))
    play, slider, shown = widget.children[0].children
    stack = widget.children[1]
    links = {
        (link.source[0].model_id, link.target[0].model_id)
        for link in ipywidgets.widgets.widget._instances.values()
        if isinstance(link, ipywidgets.widgets.widget_link.Link)
    }
    assert {
        (play.model_id, slider.model_id),
        (slider.model_id, stack.model_id),
        (slider.model_id, shown.model_id),
    } <= links
    assert slider.max == play.max == len(stack.children) - 1 == 3


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


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: widgets.scrub("walk"), TypeError, "not a str"),
        (lambda: widgets.scrub(widgets.Trajectory(), labels=["a", "b"]), ValueError, "labels are 2"),
        (lambda: widgets.steps_and_quality({"DDIM": []}, {}, [10]), ValueError, "DDIM has 0 entries"),
        (lambda: widgets.trajctory, AttributeError, "'trajctory'"),
    ],
)
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()
