"""Python's search for garbage: seldom while a command starts, for modules are none."""

import gc

# New objects after which Python searches while modules are imported. Half a million last: a search after every 700
# took a fifth of a training's imports, 1 of 5 seconds.
_SELDOM = 100_000
_USUAL = gc.get_threshold()


def search_seldom() -> None:
    """Search for garbage after every 100 thousand new objects, until :func:`search_as_usual`."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])


def search_as_usual() -> None:
    """Search as often as Python does by itself, where :func:`search_seldom` was called: steps leave garbage."""
    if gc.get_threshold()[0] == _SELDOM:
        gc.set_threshold(*_USUAL)
