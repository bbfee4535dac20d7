"""Progress bars: they move in a terminal and in a notebook; a file gets one line."""

import io
import sys

from tqdm.auto import tqdm
from tqdm.std import tqdm as in_terminal


class OneLine(in_terminal):
    """Says nothing on the way, and at the end what a moving bar would have come to."""

    def display(self, msg=None, pos=None):
        return True

    def close(self):
        if not self.disable and self.leave:
            self.fp.write(f"{self}\n")
        self.fp = io.StringIO()  # takes what tqdm wipes a moving bar away with
        super().close()


def progress_bar(iterable=None, **options):
    """tqdm, with its options; a `OneLine` where it would write to what is no terminal."""
    in_notebook = any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)
    stream = options.get("file") or sys.stderr
    moves = in_notebook or getattr(stream, "isatty", bool)()
    return (tqdm if moves else OneLine)(iterable, **options)
