"""Structured logs: one JSON object a line on standard error, without foreign bytes and without secrets.

What is not printable ASCII comes out escaped, so that nothing a meter or a broker sends can end a line, colour a
terminal or turn the reading direction; long texts are cut. Passwords, keys and credentials in addresses are masked
wherever they appear, also inside error texts of libraries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from lake.settings import LakeSettings

_LONGEST = 2_000
_LONGEST_TRACE = 20_000
_MASK = "***"
_SHORTEST_SECRET = 4  # a shorter one would mask half of every text

_secrets: set[str] = set()

_SECRET_KEY = re.compile(r"(?i)pass(word|wd|phrase)|secret|token|authorization|credential|api_?key|private_?key")
_NO_SECRET = re.compile(r"(?i)_(file|env)$")  # these name where it lies
_PATTERNS = (
    (re.compile(r"(?<=://)[^\s/@]+@"), f"{_MASK}@"),  # user and password in an address
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), f"whsec_{_MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}"), _MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {_MASK}"),
    (
        re.compile(
            r"(?i)((?:pass(?:word|wd)|secret(?:_?access)?(?:_?key)?|access_?key(?:_?id)?|token|signature|credential"
            r"|api_?key)[\"']?\s*[=:]\s*[\"']?)([^\s\"'&,;}]+)"
        ),
        rf"\1{_MASK}",
    ),
    (re.compile(r"(?i)([?&](?:key|sign|sig|code)=)[^\s&\"']+"), rf"\1{_MASK}"),  # keys of chat robots
)


def hide(secret: str | None) -> None:
    """Mask `secret` from now on wherever it would be logged."""
    if secret and len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


def hide_lake_key(settings: LakeSettings, site: Path) -> None:
    """Mask the lake's secret access key; whether it can be read is checked by who uses it."""
    hide(os.environ.get(settings.secret_key_env))
    if settings.secret_key_file is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            hide((site / settings.secret_key_file).read_text(encoding="utf-8").strip())


def masked(text: str) -> str:
    """Return `text` without secrets.

    Examples
    --------
    >>> masked("no answer from mqtts://meters:hunter2@broker.example.org")
    'no answer from mqtts://***@broker.example.org'
    """
    for secret in _secrets:
        text = text.replace(secret, _MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def configure_logging(*, verbose: bool = False) -> None:
    """Send logs to standard error as JSON lines with UTC times."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _clean,
            structlog.processors.JSONRenderer(ensure_ascii=True),
            _escape_delete,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _Unfailing:
    """A stream that never fails: whoever reads the log may have gone, or its disk be full; receiving goes on.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False

    def write(self, text: str) -> None:
        """Write `text`, or leave it."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # a pipe that is broken, or closed
            self._point_nowhere()

    def flush(self) -> None:
        """Flush what was written, or leave it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._point_nowhere()

    def _point_nowhere(self) -> None:
        """Forget what the stream still holds of it, so that the end of the process does not fail over it either."""
        if self._lost:
            return
        self._lost = True
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a name
            os.dup2(nowhere.fileno(), self._stream.fileno())


def _clean(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {_text(str(key), _LONGEST): _cleaned(str(key), value) for key, value in event.items()}


def _cleaned(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and not _NO_SECRET.search(key) and value is not None:
        return _MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(key, item) for item in value]
    if isinstance(value, dict):
        return {_text(str(name), _LONGEST): _cleaned(str(name), item) for name, item in value.items()}
    if isinstance(value, bytes):
        value = value[:_LONGEST].decode("ascii", "backslashreplace")
    return _text(str(value), _LONGEST_TRACE if key == "exception" else _LONGEST)


def _text(text: str, longest: int) -> str:
    # Masked before it is cut, so that no half of a secret is left; what lies far behind the cut is not looked at.
    shown = masked(text[: 4 * longest])
    return shown if len(text) <= longest else f"{shown[:longest]}... ({len(text)} characters)"


def _escape_delete(_logger: Any, _name: str, line: Any) -> Any:
    """Escape the one control character that JSON in ASCII leaves as it is."""
    return line.replace("\x7f", "\\u007f")
