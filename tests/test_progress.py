"""Progress bars: one line where nobody watches."""

import io

from minidiff.progress import OneLine, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(stream, **options):
    assert list(progress_bar(range(200), file=stream, mininterval=0, desc="denoising", **options)) == list(range(200))
    return stream.getvalue()


def test_a_file_gets_one_line():
    said = written(io.StringIO())
    assert said.startswith("denoising: 100%") and "200/200" in said
    assert said.count("\n") == 1 and said.endswith("\n") and "\r" not in said


def test_a_terminal_gets_a_bar_that_moves():
    assert written(Terminal()).count("\r") > 100


def test_work_of_hours_gets_a_line_now_and_then():
    said = written(io.StringIO(), apart=0)  # whenever tqdm would have moved the bar
    assert said.count("\n") > 100 and "\r" not in said and "200/200" in said.split("\n")[-2]


def test_what_is_not_to_stay_or_not_to_be_seen_leaves_nothing():
    assert written(io.StringIO(), leave=False) == ""
    assert written(io.StringIO(), disable=True) == ""


def test_a_bar_moved_by_hand_and_cut_short_says_how_far_it_came():
    stream = io.StringIO()
    with progress_bar(total=8, file=stream) as bar:
        assert isinstance(bar, OneLine)
        bar.update(2)
        bar.set_postfix(loss="0.5")
    assert " 25%|" in stream.getvalue() and "loss=0.5" in stream.getvalue() and stream.getvalue().count("\n") == 1
