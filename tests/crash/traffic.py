"""What meters send in the crash harness: message `n` of a seed is always the same, and so is what must become of it.

Plain readings, readings with codes and status words, arrays, daily profiles, late data, true duplicates, corrections
(same identity, other content), arrays with one bad reading in them, and poison of many kinds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

METERS = 200
_BASE_S = 1_704_067_200  # 2024-01-01: in the past, so that no jump of a clock to a later time changes an outcome
_STEP_S = 10
_LATE_S = 40 * 86_400
_DAY_S = 86_400

# Share of each kind, in percent; what is left is plain readings.
SHARES = {"coded": 8, "array": 5, "profile": 3, "duplicate": 3, "correction": 3, "late": 4, "mixed": 1, "poison": 4}

Identity = tuple[str, int, int | None]
Content = tuple[float | None, int | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the lake must hold of one measurement; `ts` in seconds since 1970 UTC."""

    meter_id: str
    ts: int
    seq: int | None
    volume_m3: float | None
    status: int | None = None
    error_codes: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        """Meter, time and counter."""
        return self.meter_id, self.ts, self.seq

    @property
    def content(self) -> Content:
        """What makes another reading of the same identity a correction."""
        return self.volume_m3, self.status, self.error_codes

    def fields(self) -> dict[str, Any]:
        """Return the native JSON object."""
        named = {"meter_id": self.meter_id, "ts": self.ts, "seq": self.seq, "volume_m3": self.volume_m3,
                 "status": self.status, "error_codes": list(self.error_codes) or None}  # fmt: skip
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Message:
    """One message and what it stands for.

    Parameters
    ----------
    topic : str
        Where it is published.
    payload : bytes
        What is published.
    readings : tuple of Reading
        Good readings in it.
    reason : str or None
        Why a reading in it, or all of it, must be quarantined.
    """

    topic: str
    payload: bytes
    readings: tuple[Reading, ...] = ()
    reason: str | None = None


class Traffic:
    """The messages of one seed.

    Parameters
    ----------
    seed : int
        Two runs with the same seed send the same messages.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def message(self, number: int) -> Message:
        """Return message `number`, counted from 0."""
        kind = self._kind(number)
        if kind == "poison":
            return _poison(number, self._draw(number))
        if kind in {"duplicate", "correction"}:
            earlier = self._earlier(number)
            if kind == "duplicate" or earlier is None:
                return self._good("plain", number if earlier is None else earlier)
            [reading] = self._good("plain", earlier).readings
            # The number makes every correction of a reading another one.
            return _message([Reading(reading.meter_id, reading.ts, reading.seq, number + 0.5)])
        return self._good(kind, number)

    def from_the_future(self, number: int) -> Message:
        """Return a message that is good today and must be quarantined by a clock that says 1970."""
        meter = f"future{number}"
        payload = json.dumps({"meter_id": meter, "ts": _BASE_S, "seq": number, "volume_m3": 1}).encode()
        return Message(f"meters/{meter}/readings", payload, (), "time_in_future")

    def _random(self, number: int) -> random.Random:
        return random.Random(self._seed * 1_000_003 + number)

    def _draw(self, number: int) -> random.Random:
        """Return numbers independent of those that chose the kind."""
        return self._random(number + 500_000_000)

    def _kind(self, number: int) -> str:
        chance = self._random(number).random() * 100
        for kind, share in SHARES.items():
            chance -= share
            if chance < 0:
                return kind
        return "plain"

    def _earlier(self, number: int) -> int | None:
        """Return the number of a plain reading among the 50 to 2,000 before `number`."""
        start = number - self._draw(number).randint(1, 2000)
        return next((n for n in range(start, max(-1, start - 50), -1) if n >= 0 and self._kind(n) == "plain"), None)

    def _good(self, kind: str, number: int) -> Message:
        draw = self._draw(number)
        meter = f"m{number % METERS}"
        ts = _BASE_S + number * _STEP_S
        if kind == "coded":
            codes = tuple(draw.sample(["LEAK", "LOW_BATTERY", "VALVE_FAULT", "E17", "x\x1b[31m"], draw.randint(0, 2)))
            return _message([Reading(meter, ts, number, number / 8, draw.choice([None, 5, 1 << 20]), codes)])
        if kind == "array":
            return _message([Reading(meter, ts + place, number, number / 8) for place in range(3)])
        if kind == "profile":
            return _profile(meter, ts, number)
        if kind == "late":
            return _message([Reading(meter, ts - _LATE_S, number, number / 8)])
        if kind == "mixed":
            message = _message([Reading(meter, ts + place, number, number / 8) for place in range(2)])
            bad = b'[{"meter_id":"' + meter.encode() + b'","ts":' + str(ts).encode() + b',"volume_m3":"much"},'
            return Message(message.topic, bad + message.payload[1:], message.readings, "wrong_type")
        return _message([Reading(meter, ts, number, number / 8)])


def _message(readings: list[Reading]) -> Message:
    objects = [reading.fields() for reading in readings]
    payload = json.dumps(objects[0] if len(objects) == 1 else objects).encode()
    return Message(f"meters/{readings[0].meter_id}/readings", payload, tuple(readings))


def _profile(meter: str, ts: int, number: int) -> Message:
    """Return a daily message: 24 registers and nothing else."""
    start = ts - 2 * _DAY_S
    registers = [number / 8 + hour / 16 for hour in range(24)]
    profile = {"start": start, "step_s": 3601, "volume_m3": registers}
    payload = json.dumps({"meter_id": meter, "ts": ts, "profile": profile}).encode()
    readings = [
        Reading(meter, start + place * 3601, None, register) for place, register in enumerate(registers, start=1)
    ]
    return Message(f"meters/{meter}/readings", payload, tuple(readings))


def _poison(number: int, draw: random.Random) -> Message:
    """Return a message that must be quarantined; the number in it makes it the only one of its kind."""
    meter, ts = f"m{number % METERS}", _BASE_S + number * _STEP_S
    start = f'{{"meter_id":"{meter}","seq":{number},"ts":{ts}'
    kinds: list[tuple[bytes, str]] = [
        (start.encode(), "not_json"),
        (f'{start},"volume_m3":NaN}}'.encode(), "not_json"),
        (f'{start},"volume_m3":1e308}}'.encode(), "not_finite"),
        (f'{start},"volume_m3":1e400}}'.encode(), "not_finite"),
        (f'{start},"volume_m3":"1"}}'.encode(), "wrong_type"),
        (f'{start},"x":"'.encode() + b"\xff\xfe\x1b[2J\x07\r\n" + b'"}', "not_json"),
        (f'{start},"volume_m3":1,"x":'.encode() + b"[" * 500 + b"]" * 500 + b"}", "too_deep"),
        (f'{{"meter_id":"{meter}","seq":{number},"ts":{number % 1000},"volume_m3":1}}'.encode(), "time_too_early"),
        (f'{{"meter_id":"{meter}","seq":{number},"ts":4102444800,"volume_m3":1}}'.encode(), "time_in_future"),
        (f'{{"meter_id":"other","seq":{number},"ts":{ts},"volume_m3":1}}'.encode(), "meter_id_mismatch"),
        (f'{{"meter_id":"<b>{number}</b>","ts":{ts},"volume_m3":1}}'.encode(), "bad_meter_id"),
        (f'{{"meter_id":"{meter}","seq":{number},"volume_m3":1}}'.encode(), "no_time"),
        (f"{start}}}".encode(), "no_value"),
        (f'"\x1b]0;{number}\x07"'.encode(), "not_json"),
    ]
    payload, reason = draw.choice(kinds)
    return Message(f"meters/{meter}/readings", payload, (), reason)


@dataclass(slots=True)
class Expected:
    """What must become of messages, each of them received at least once.

    Parameters
    ----------
    messages : dict of str to int
        Messages by outcome, each received exactly once.
    contents : dict
        The contents of every identity.
    poison : dict of (bytes, str) to int
        How often payload and reason were sent.
    sent : int
        Messages.
    sent_readings : int
        Their readings, a message that cannot be read counting as one.
    """

    messages: dict[str, int] = field(default_factory=lambda: {"stored": 0, "duplicate": 0, "quarantined": 0})
    contents: dict[Identity, set[Content]] = field(default_factory=dict)
    poison: dict[tuple[bytes, str], int] = field(default_factory=dict)
    sent: int = 0
    sent_readings: int = 0

    def add(self, messages: Iterable[Message]) -> Expected:
        """Count messages in the order in which they are sent."""
        for message in messages:
            fresh = 0
            for reading in message.readings:
                known = self.contents.setdefault(reading.identity, set())
                fresh += reading.content not in known
                known.add(reading.content)
            if message.reason is not None:
                key = (message.payload, message.reason)
                self.poison[key] = self.poison.get(key, 0) + 1
            self.messages["quarantined" if message.reason else "stored" if fresh else "duplicate"] += 1
            self.sent += 1
            self.sent_readings += len(message.readings) + (message.reason is not None)
        return self

    def rows(self) -> Iterator[Reading]:
        """Yield every reading that the lake must hold, once."""
        for (meter_id, ts, seq), contents in self.contents.items():
            for volume_m3, status, error_codes in contents:
                yield Reading(meter_id, ts, seq, volume_m3, status, error_codes)

    @property
    def conflicts(self) -> int:
        """Readings beyond the first of an identity."""
        return sum(len(contents) - 1 for contents in self.contents.values())
