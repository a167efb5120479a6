"""MQTT topic filters and topics: whether a broker would take them (MQTT 5.0, section 4.7 and 4.8)."""

from __future__ import annotations

_SHARE = "$share"
_LONGEST_BYTES = 65_535


def filter_mistake(text: str) -> str | None:  # noqa: PLR0911 - one mistake a line
    """Return what is wrong with a topic filter, None where nothing is.

    Examples
    --------
    >>> filter_mistake("meters/+/readings"), filter_mistake("$share/ingest/meters/#")
    (None, None)
    >>> filter_mistake("meters/#/readings")
    '# may only be the last level'
    """
    if text == _SHARE or text.startswith(f"{_SHARE}/"):
        _, _, rest = text.partition("/")
        group, _, text = rest.partition("/")
        if not group or not text:
            return "a shared subscription is written $share/GROUP/FILTER"
        if "+" in group or "#" in group:
            return "the group of a shared subscription may hold neither + nor #"
    mistake = _text_mistake(text)
    if mistake is not None:
        return mistake
    levels = text.split("/")
    if any("#" in level for level in levels[:-1]):
        return "# may only be the last level"
    if "#" in levels[-1] and levels[-1] != "#":
        return "# must be a whole level, as in meters/#"
    if any("+" in level and level != "+" for level in levels):
        return "+ must be a whole level, as in meters/+/readings"
    return None


def topic_mistake(text: str) -> str | None:
    """Return what is wrong with a topic to publish on, None where nothing is."""
    if "+" in text or "#" in text:
        return "a topic to publish on may hold neither + nor #"
    return "topics that begin with $ belong to the broker" if text.startswith("$") else _text_mistake(text)


def _text_mistake(text: str) -> str | None:
    if not text:
        return "must not be empty"
    if "\0" in text:
        return "must not hold the character U+0000"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "must be text that UTF-8 can hold"
    return f"must not be longer than {_LONGEST_BYTES} bytes" if size > _LONGEST_BYTES else None


def is_shared(text: str) -> bool:
    """Tell whether a topic filter is a shared subscription's."""
    return text.startswith(f"{_SHARE}/")


def bare_filter(text: str) -> str:
    """Return the filter that topics are compared with: that of a shared subscription without its group."""
    return text.split("/", 2)[2] if is_shared(text) else text
