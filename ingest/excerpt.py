"""A short picture of a value that a stranger sent, for messages: bounded in length and depth, whatever it is."""

from __future__ import annotations

import reprlib

_SHOWN = reprlib.Repr()
_SHOWN.maxlevel = 2
_SHOWN.maxstring = _SHOWN.maxother = 60
_SHOWN.maxlong = 40


def excerpt(value: object) -> str:
    """Return `value` as Python would write it, shortened in the middle.

    Examples
    --------
    >>> excerpt("4711/readings")
    "'4711/readings'"
    >>> len(excerpt("a" * 10_000))
    60
    """
    return _SHOWN.repr(value)
