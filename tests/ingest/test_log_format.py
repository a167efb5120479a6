"""Logs: one line of printable ASCII an event, whatever is in it, and no secret."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from ingest import log_format
from ingest.log_format import configure_logging, hide, masked
from tests.recordings import ROOT


@pytest.fixture(name="lines")
def _lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(log_format, "_secrets", set())
    configure_logging()
    yield stream
    structlog.reset_defaults()


HOSTILE = {
    "newline": 'a\n{"event": "forged"}',
    "ansi": "\x1b[31mred\x1b[0m\x9b2J",
    "bidi": "abc\u202ecba\u2066",
    "delete": "a\x7fb",
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "line separators": "a\u2028b\u2029c\x85d",
    "bytes": b"\xff\x00\x1b[2J",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_come_out_escaped(lines: io.StringIO, name: str) -> None:
    """As value, inside a list and as key: one line, nothing but printable ASCII, and still JSON."""
    value = HOSTILE[name]
    structlog.get_logger().warning("topic refused", topic=value, all=[value], more={str(value): value})

    text = lines.getvalue()
    assert 1 == text.count("\n") == len(text.splitlines())
    assert text.rstrip("\n").isprintable()
    assert text.isascii()
    assert "topic refused" == json.loads(text)["event"]


def test_hostile_error_text_comes_out_escaped(lines: io.StringIO) -> None:
    """Also inside a traceback."""
    try:
        raise ValueError("\x1b[31m\u202e mqtt://u:hunter2@h \x7f")
    except ValueError:
        structlog.get_logger().exception("died")

    text = lines.getvalue()
    assert text.rstrip("\n").isprintable()
    assert "hunter2" not in text
    assert "Traceback" in json.loads(text)["exception"]


def test_long_values_are_cut(lines: io.StringIO) -> None:
    """A topic may be 64 kB long, and an error text quote it."""
    structlog.get_logger().warning("w", topic="x" * 65_535)

    assert len(lines.getvalue()) < 3_000
    assert "(65535 characters)" in lines.getvalue()


SECRETS = [
    ("no route to mqtts://meters:hunter2@broker.example.org:8883", "hunter2"),
    ("s3 said: AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("key AKIAIOSFODNN7EXAMPLE is not known", "AKIAIOSFODNN7EXAMPLE"),
    ("?X-Amz-Credential=AKIB/2026/s3&X-Amz-Signature=0123abcd&x=1", "0123abcd"),
    ("POST https://oapi.example.com/robot/send?access_token=deadbeef01", "deadbeef01"),
    ("https://example.org/hook?sign=c0ffee", "c0ffee"),
    ("the secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is malformed", "MfKQ9r8"),
    ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
    ('{"password": "hunter2"}', "hunter2"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_in_texts_are_masked(lines: io.StringIO, text: str, secret: str) -> None:
    """Wherever a library puts them."""
    structlog.get_logger().warning(text, error=text, exception=text)

    assert secret not in lines.getvalue()
    assert "***" in lines.getvalue()


def test_secret_on_the_cut_leaves_no_half(lines: io.StringIO) -> None:
    """Masking comes before cutting."""
    structlog.get_logger().warning("w", error="x" * 1_990 + " password=hunter2hunter2")

    assert "hunt" not in lines.getvalue()


def test_values_under_secret_names_are_masked(lines: io.StringIO) -> None:
    """But not where a secret is kept."""
    structlog.get_logger().warning("w", password="hunter2", secret_file="a.secret", headers={"api_key": "k3y"})  # noqa: S106

    event = json.loads(lines.getvalue())
    assert ("***", "a.secret", {"api_key": "***"}) == (event["password"], event["secret_file"], event["headers"])


def test_known_secrets_are_masked_anywhere(lines: io.StringIO) -> None:
    """The broker's own password, in a text that does not say what it is."""
    hide("correct horse")
    hide(None)
    hide("abc")  # too short to be looked for

    structlog.get_logger().warning("refused", error="bad user or 'correct horse', abc")

    assert "bad user or '***', abc" == json.loads(lines.getvalue())["error"]


def test_plain_texts_stay() -> None:
    """What only looks a little like a secret."""
    for text in ("mqtt://127.0.0.1:1883", "meters/+/readings", "s3://bucket/prefix", "key lake.secret_key_file"):
        assert text == masked(text)


@pytest.mark.parametrize("ends", ["pipe", "full"])
def test_log_that_nobody_takes_stops_nothing(ends: str) -> None:
    """A reader that is gone, or a full disk: the process works on, and ends as if it had been read."""
    code = (
        "import sys; from ingest.log_format import configure_logging; import structlog\n"
        "configure_logging(); log = structlog.get_logger()\n"
        "for number in range(20_000):\n"
        "    log.info('a line that is long enough to fill a pipe', number=number)\n"
        "print('worked on')\n"
    )
    if ends == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, cwd=ROOT, check=False, text=True
        )
    finally:
        os.close(writer)

    assert (0, "worked on\n") == (done.returncode, done.stdout)
