"""Progress bars: they move in a terminal and in a notebook; a file gets one line."""

import io
import math
import sys
import time

from tqdm.auto import tqdm
from tqdm.std import tqdm as in_terminal


class OneLine(in_terminal):
    """Says at the end what a moving bar would have come to, and on the way nothing, or a line every `apart` seconds."""

    def __init__(self, *arguments, apart=math.inf, **options):
        self.apart, self.said = apart, time.monotonic()
        super().__init__(*arguments, **options)

    def display(self, msg=None, pos=None):
        if time.monotonic() - self.said > self.apart:
            self.fp.write(f"{self}\n")
            self.said = time.monotonic()
        return True

    def close(self):
        if not self.disable and self.leave:
            self.fp.write(f"{self}\n")
        self.fp = io.StringIO()  # takes what tqdm wipes a moving bar away with
        super().close()


def progress_bar(iterable=None, apart=math.inf, **options):
    """tqdm, with its options; a `OneLine` where it would write to what is no terminal.

    Args:
        apart: seconds between its lines, for work of hours.
    """
    in_notebook = any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)
    stream = options.get("file") or sys.stderr
    if in_notebook or getattr(stream, "isatty", bool)():
        return tqdm(iterable, **options)
    return OneLine(iterable, apart=apart, **options)
