"""The end of every lesson: the same code with the weights that the papers' authors published.

They are hundreds of megabytes on the Hub, which not every machine reaches, and some want a GPU. So nothing here ever
fails: it shows pictures, or says in a sentence why there are none.
"""

import time

import torch

from minidiff.zoo import gallery


def show(pipeline_class, repo, *, gpu=False, seed=0, columns=4, size=128, **call):
    """Draw with published weights, on the GPU if there is one, and show the pictures in a notebook.

    Args:
        pipeline_class: whose `from_pretrained` loads `repo`.
        repo: a Hub id, such as "google/ddpm-cifar10-32".
        gpu: these weights are for a GPU only; elsewhere nothing is downloaded.
        seed: of the CPU generator that the pipeline draws from, unless `call` holds a `generator`.
        columns, size: of the sheet of pictures, and of one of them in pixels.
        call: arguments of the pipeline, such as `batch_size` and `num_inference_steps`.
    Returns:
        list of PIL images; an empty one after a sentence that says why.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if gpu and device == "cpu":
        print(f"{repo}: not shown, it would take many minutes without a GPU, and there is none here.")
        return []
    started = time.monotonic()
    try:
        pipe = pipeline_class.from_pretrained(repo).to(device)
        pipe.set_progress_bar_config(disable=True)
        images = pipe(**{"generator": torch.Generator().manual_seed(seed)} | call | {"output_type": "pil"}).images
    except Exception as error:  # a lesson goes on without them, whatever it was: no network, a full disk, no memory
        print(f"{repo}: not shown. {reason(error)}")
        return []
    seconds = time.monotonic() - started
    print(
        f"{repo}: {len(images)} of {images[0].width}x{images[0].height}, {seconds:.0f} s on {device}, loading included."
    )
    display(images, columns, size)
    return images


def reason(error):
    """One sentence for a reader who cannot help it."""
    text = " ".join(str(error).split())
    if "cannot be reached" in text:
        return "The Hub cannot be reached from here; on a machine that reaches it this cell shows pictures."
    return f"{type(error).__name__}: {text}"[:300]


def display(images, columns, size):
    """Show the pictures on a sheet where a notebook is running; elsewhere they are only returned."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if get_ipython() is not None:
        from IPython.display import display as show_here

        show_here(gallery.sheet(images, columns, size))
