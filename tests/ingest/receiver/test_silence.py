"""Connected but silent: which remedy when."""

from __future__ import annotations

from ingest.receiver.silence import Silence


def test_silence_remedies_take_turns_and_grow_rarer() -> None:
    """Subscribe again, connect again, subscribe …, in intervals that double up to a day."""
    silence = Silence(3600, 0.0)
    found = []
    for minute in range(1, 3 * 24 * 60):
        remedy = silence.due(minute * 60.0)
        if remedy is not None:
            found.append((minute / 60, remedy))
    hours, remedies = zip(*found, strict=True)
    assert (1, 3, 7, 15, 31, 55) == hours
    assert ("subscribe", "connect") * 3 == remedies
    assert 72 * 3600 == silence.lasts_s(72 * 3600.0)


def test_silence_ends_with_a_message() -> None:
    """A message resets everything, and says whether there was a silence to end."""
    silence = Silence(10, 0.0)
    assert [None, "subscribe", None, "connect"] == [silence.due(now) for now in (9.9, 10.0, 29.9, 30.0)]
    assert [True, False] == [silence.heard(31.0), silence.heard(32.0)]
    assert [None, "subscribe"] == [silence.due(now) for now in (41.9, 42.0)]


def test_silence_waits_for_a_connection() -> None:
    """Time without a connection is no silence; the interval it has come to goes on counting from there."""
    silence = Silence(10, 0.0)
    silence.connected(100.0)
    assert [None, "subscribe"] == [silence.due(now) for now in (109.0, 110.0)]
    silence.connected(200.0)
    assert [None, "connect"] == [silence.due(now) for now in (219.0, 220.0)]


def test_silence_switched_off() -> None:
    """0 never complains."""
    assert Silence(0, 0.0).due(1e9) is None
