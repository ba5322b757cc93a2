"""Tuning of Python's garbage collector for a process that serves."""

import gc

YOUNG_OBJECTS = 50_000
"""A batch of a thousand orders makes some ten thousand objects that all live until it is stored. At the default of 700
the collector walks them again and again in vain; `make bench` shows the difference."""


def settle() -> None:
    """Call once everything has started: what lives now lives on and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
