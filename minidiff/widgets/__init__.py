"""What the lessons show: sliders over whole trajectories, schedules, contact sheets, questions with folded answers.

Every frame is computed ahead and the controls are linked in the browser, so they move on a static page too. The sliders
need the extra `lessons` (ipywidgets).
"""

import importlib

_PUBLIC = {
    "ask": "minidiff.widgets.questions",
    "Trajectory": "minidiff.widgets.trajectory",
    "record": "minidiff.widgets.trajectory",
    "player": "minidiff.widgets.players",
    "noising": "minidiff.widgets.players",
    "scrub": "minidiff.widgets.players",
    "steps_and_quality": "minidiff.widgets.players",
    "slides": "minidiff.widgets.players",
    "grid": "minidiff.widgets.players",
    "schedule_plot": "minidiff.widgets.plots",
    "diagram": "minidiff.widgets.diagrams",
    "sheet": "minidiff.zoo.gallery",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'minidiff.widgets' has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        raise ImportError("the widgets need ipywidgets: pip install 'minidiff[lessons]'") from None


def __dir__():
    return __all__
