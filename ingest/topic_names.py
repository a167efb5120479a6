"""Names that stand beside MQTT topic filters: the first filter that a topic matches says which one holds."""

from __future__ import annotations

import re
from collections.abc import Iterable


class TopicNames:
    """Finds the name of a topic in one pass over it, however many filters there are.

    Parameters
    ----------
    names : iterable of (filter, name)
        Filters of MQTT 5, section 4.7, the first that matches holds.

    Examples
    --------
    >>> names = TopicNames([("v3/+/devices/+/up", "ttn"), ("zigbee2mqtt/#", "zigbee2mqtt")])
    >>> names.find("v3/water/devices/m1/up"), names.find("zigbee2mqtt"), names.find("v3/water/devices/m1/join")
    ('ttn', 'zigbee2mqtt', None)
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        pairs = tuple(names)
        self._names = tuple(name for _, name in pairs)
        self._filters = re.compile("|".join(f"({_pattern(filter_)})" for filter_, _ in pairs) or "(?!)", re.DOTALL)

    def find(self, topic: str) -> str | None:
        """Return the name beside the first filter that a topic matches, None where it matches none."""
        found = self._filters.fullmatch(topic)
        return self._names[found.lastindex - 1] if found is not None and found.lastindex is not None else None


def _pattern(filter_: str) -> str:
    """Return a topic filter as a regular expression."""
    levels = filter_.split("/")
    parts = [_ANY_LEVEL if level == "+" else re.escape(level) for level in levels if level != "#"]
    text = "/".join(parts)
    if levels[-1] == "#":  # it also stands for no level at all
        text = f"{text}(?:/.*)?" if parts else ".*"
    # Topics of the broker itself begin with a dollar sign, and a wildcard in the first place does not mean them.
    return rf"(?!\$){text}" if levels[0] in {"+", "#"} else text


_ANY_LEVEL = "[^/]*"
