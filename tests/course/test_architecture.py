"""The diagram shows what the network is."""

from minidiff import UNet2DModel
from minidiff.course import architecture


def test_the_diagram_of_a_unet_has_a_box_a_level_down_and_up():
    levels = dict(down_block_types=["DownBlock2D"] * 2, up_block_types=["UpBlock2D"] * 2)
    model = UNet2DModel(16, **levels, block_out_channels=[8, 24], norm_num_groups=4)
    (axes,) = architecture.diagram(model).axes
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert texts.count("8 maps\nof 16 x 16") == texts.count("24 maps\nof 8 x 8") == 2
    assert "middle: 24 maps of 8 x 8" in texts and "$x_t$\n3 x 16 x 16" in texts
