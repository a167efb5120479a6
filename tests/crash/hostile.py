"""Payloads that no meter sends: real ones mutated, and everything that parsers were ever broken with."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

from tests.crash.traffic import Traffic

_CONTROLS = ["\x1b[31m", "\x1b]0;owned\x07", "\x00", "\r\n", "\x9b2J", "\u202e", "<script>alert(1)</script>", "{{7*7}}"]
_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e308", "-1e308", "1e400", "1e-400", "9" * 5000, "-0", "0x10", "1_0", "01",
            "18446744073709551616", "-9223372036854775809", "2147483648", "3.999999999999999999", ".5"]  # fmt: skip
_TIMES = ["0", "-1", "2147483647", "2147483648", "-62135596800", "253402300800", "1e18", "1e30",
          '"1970-01-01T00:00:00Z"',
          '"2038-01-19T03:14:08Z"', '"9999-12-31T23:59:60Z"', '"0000-00-00T00:00:00Z"', '"2024-02-30T00:00:00Z"',
          '"2024-01-01"', '"2024-01-01T00:00:00+99:99"', "null", "true", "[]", "{}", '""']  # fmt: skip
_ANY = ["null", "true", "false", "[]", "{}", '""', '"x"', "0", "-1", "1.5", "[1,2]", '{"a":1}', '"\\ud800"', "[[[[]]]]"]
_FIELDS = [
    *("meter_id", "ts", "volume_m3", "reverse_volume_m3", "flow_m3h", "battery_v", "ambient_temperature_c", "rssi_dbm"),
    *("coverage_class", "valve_state", "valve_command", "valve_travel_s", "status", "error_codes", "seq", "firmware"),
    *("source", "valid", "profile", "extra", "flags", "received_at", "payload", "topic", "__class__", ""),
]
_TOPICS = [
    *("meters/<img src=x onerror=alert(1)>/readings", "meters/../readings", "meters/%00/readings", "meters/ /readings"),
    *("meters/' OR 1=1 --/readings", "meters/" + "m" * 200 + "/readings", "meters/\u202em1/readings"),
]


class Hostile:
    """An endless seeded stream of hostile payloads.

    Parameters
    ----------
    seed : int
        The same seed gives the same payloads.
    largest : int
        Length of the largest [B].
    """

    def __init__(self, seed: int, largest: int = 200_000) -> None:
        self._draw = random.Random(seed)
        self._traffic = Traffic(seed)
        self._largest = largest
        self._makers: list[tuple[int, Callable[[], bytes]]] = [
            (20, self._flipped), (15, self._truncated), (15, self._spliced), (20, self._wrong_fields), (6, self._noise),
            (6, self._row), (6, self._envelope), (3, self._nested), (4, self._controls), (4, self._profile),
            (1, self._large),
        ]  # fmt: skip

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """Yield topic and payload without end."""
        weights = [weight for weight, _ in self._makers]
        makers = [maker for _, maker in self._makers]
        while True:
            [maker] = self._draw.choices(makers, weights)
            topic = (
                self._draw.choice(_TOPICS)
                if self._draw.random() < 0.1
                else f"meters/m{self._draw.randint(0, 9)}/readings"
            )
            yield topic, maker()

    def _real(self) -> bytes:
        return self._traffic.message(self._draw.randrange(100_000)).payload

    def _flipped(self) -> bytes:
        payload = bytearray(self._real())
        for _ in range(self._draw.randint(1, 8)):
            payload[self._draw.randrange(len(payload))] ^= 1 << self._draw.randrange(8)
        return bytes(payload)

    def _truncated(self) -> bytes:
        payload = self._real()
        return payload[: self._draw.randrange(len(payload))]

    def _spliced(self) -> bytes:
        one, other = self._real(), self._real()
        return one[: self._draw.randrange(len(one))] + other[self._draw.randrange(len(other)) :]

    def _wrong_fields(self) -> bytes:
        names = self._draw.choices(_FIELDS, k=self._draw.randint(1, 6))
        pairs = [f"{json.dumps(name)}:{self._value(name)}" for name in names]
        if self._draw.random() < 0.8:
            pairs[:0] = [f'"ts":{self._draw.randint(1_704_067_200, 1_714_067_200)}', '"volume_m3":1.25']
        return ("{" + ",".join(pairs) + "}").encode(errors="surrogatepass")

    def _value(self, name: str) -> str:
        if name == "ts":
            return self._draw.choice(_TIMES)
        return self._draw.choice(
            [self._draw.choice(_NUMBERS), self._draw.choice(_ANY), json.dumps(self._draw.choice(_CONTROLS))]
        )

    def _noise(self) -> bytes:
        return self._draw.randbytes(self._draw.randint(0, 300))

    def _row(self) -> bytes:
        """Return a row as the recordings have them, with something wrong in it."""
        cells = [f"m{self._draw.randint(0, 9)}", "01/06/2016 12:00:00", str(self._draw.randint(0, 10**6)), "0"]
        cells[self._draw.randrange(4)] = self._draw.choice(
            [*_CONTROLS, *_NUMBERS, '"', '""', '"a;b', ";;;;", "=cmd|' /C calc'!A0"]
        )
        return ";".join(cells).encode(errors="surrogatepass")

    def _envelope(self) -> bytes:
        inner = self._draw.choice(
            [self._real(), b'"' + self._row().replace(b'"', b"") + b'"', b"", b"null", self._noise()]
        )
        received = self._draw.choice(_TIMES).encode()
        return b'{"topic":"meters/m1/readings","received_at":' + received + b',"payload":' + inner + b"}"

    def _nested(self) -> bytes:
        depth = self._draw.choice([10, 100, 500, 5_000, 50_000])
        opening, closing = self._draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
        return opening * depth + b"1" + closing * self._draw.choice([depth, depth - 1, 0])

    def _controls(self) -> bytes:
        text = "".join(self._draw.choices(_CONTROLS, k=3))
        field = self._draw.choice(["firmware", "source", "meter_id", "valve_state", "x"])
        if self._draw.random() < 0.5:  # raw in the text, as no serialiser writes it
            return f'{{"ts":1717236000,"volume_m3":1,"{field}":"{text}"}}'.encode()
        return json.dumps({"ts": 1717236000, "volume_m3": 1, field: text, text: 1}).encode()

    def _profile(self) -> bytes:
        registers = ",".join(self._draw.choices([*_NUMBERS, *_ANY, "1.5", "2"], k=self._draw.randint(0, 30)))
        step = self._draw.choice(["3600", "0", "-1", "1e9", '"60"', "null"])
        start = self._draw.choice([*_TIMES, "1717236000"])
        return f'{{"ts":1717236000,"profile":{{"start":{start},"step_s":{step},"volume_m3":[{registers}]}}}}'.encode()

    def _large(self) -> bytes:
        size = self._draw.choice([self._largest // 100, self._largest // 10, self._largest])
        kind = self._draw.randrange(3)
        if kind == 0:
            return b'{"ts":1717236000,"volume_m3":1,"x":"' + b"a" * size + b'"}'
        return b" " * size if kind == 1 else b"[" + b'{"ts":1},' * (size // 9) + b"{}]"
