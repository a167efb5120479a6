"""From a raw message to readings: envelopes, size, time of receipt, and every bad input of the contract."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import ROW_COLUMNS, Channel, Decoded, RawMessage
from ingest.row_schema import ROW_SCHEMA
from lake.vocabulary import MEASURES, QUARANTINE_REASONS, READING
from tests.ingest.messages import ALICANTE, ENVELOPED, LINES, MQTT, NOW, TOPIC, decode, named, native
from tests.ingest.test_reading import JSON


def reason_of(decoded: Decoded) -> str:
    [rejection] = decoded.rejections

    assert decoded.rows == []
    assert rejection.reason in QUARANTINE_REASONS
    assert len(rejection.detail) < 400
    return rejection.reason


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


BAD = {
    "nothing": (b"", "not_json"),
    "no_json": (b"volume=3", "not_json"),
    "half_json": (b'{"ts": "2024-06-01T10:00:00Z", "volume_m3": 1', "not_json"),
    "invalid_utf8": (b'{"ts": "2024-06-01T10:00:00Z", "volume_m3": 1, "x": "\xff\xfe"}', "not_json"),
    "lone_surrogate": (native(x="\ud800"), "not_json"),
    "not_a_number": (native(volume_m3=float("nan")), "not_json"),
    "infinity": (native(volume_m3=float("inf")), "not_json"),
    "beyond_float": (b'{"ts": 1717236000, "volume_m3": 1e400}', "not_finite"),
    "largest_float": (native(volume_m3=1e308), "not_finite"),
    "huge_integer": (native(volume_m3=10**30), "not_finite"),
    "huge_sequence": (native(seq=2**63), "not_finite"),
    "bool_for_number": (native(volume_m3=True), "wrong_type"),
    "text_for_number": (native(volume_m3="1.5"), "wrong_type"),
    "list_for_text": (native(firmware=["1"]), "wrong_type"),
    "word_not_known": (native(valve_state="ajar"), "wrong_value"),
    "number_for_object": (b"17", "wrong_type"),
    "null": (b"null", "wrong_type"),
    "empty_array": (b"[]", "no_value"),
    "empty_object": (b"{}", "no_time"),
    "no_time": (b'{"volume_m3": 1}', "no_time"),
    "no_zone": (native(ts="2024-06-01T10:00:00"), "no_time_zone"),
    "in_1970": (native(ts=1000), "time_too_early"),
    "in_2038": (native(ts="2038-01-19T03:14:07Z"), "time_in_future"),
    "bool_for_time": (native(ts=True), "bad_time"),
    "no_value": (b'{"ts": "2024-06-01T10:00:00Z"}', "no_value"),
    "other_meter": (native(meter_id="m2"), "meter_id_mismatch"),
    "slash_id": (native(meter_id="m1/x"), "bad_meter_id"),
    "dots_id": (native(meter_id=".."), "bad_meter_id"),
    "markup_id": (native(meter_id="<b>m1</b>"), "bad_meter_id"),
    "long_id": (native(meter_id="m" * 10_000), "bad_meter_id"),
    "number_id": (native(meter_id=1), "bad_meter_id"),
    "deep": (deep(500), "wrong_type"),
    "deeper": (deep(100_000), "too_deep"),
    "deep_inside": (native()[:-1] + b', "x": ' + deep(500) + b"}", "too_deep"),
    "profile_step_zero": (native(profile={"start": NOW / 1e6, "step_s": 0, "volume_m3": [1]}), "wrong_value"),
    "large": (b" " * 10_000_000, "too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_decode_bad_input(name: str) -> None:
    """Nothing crashes, nothing vanishes, every refusal says why."""
    payload, expected = BAD[name]
    decoded = decode(payload)
    rejections, decoded.rows = decoded.rejections, []

    assert expected == rejections[-1].reason
    assert rejections[-1].reason in QUARANTINE_REASONS
    assert len(rejections[-1].detail) < 400


@pytest.mark.parametrize("name", BAD)
def test_decode_bad_input_in_envelope(name: str) -> None:
    """The same holds inside an envelope, however the payload is written there."""
    payload, _ = BAD[name]
    text = json.dumps({"topic": TOPIC, "received_at": NOW / 1e6, "payload": payload.decode(errors="surrogateescape")})

    for message in (text.encode(), b'{"topic": "' + TOPIC.encode() + b'", "payload": ' + payload + b"}"):
        decoded = decode(message, ENVELOPED)
        assert decoded.rejections
        assert {rejection.reason for rejection in decoded.rejections} <= set(QUARANTINE_REASONS)


def test_decode_envelope_topic_and_time() -> None:
    """The envelope's topic and time of receipt stand for the message's own."""
    envelope = {"topic": "meters/m7/readings", "received_at": "2024-05-01T00:00:00Z",
                "payload": {"ts": "2024-04-30T00:00:00Z", "volume_m3": 1}}  # fmt: skip
    decoded = decode(json.dumps(envelope).encode(), ENVELOPED, topic="replay")

    assert decoded.topic == "meters/m7/readings"
    assert decoded.received_at == 1714521600_000_000
    assert [named(row)["meter_id"] for row in decoded.rows] == ["m7"]


def test_decode_envelope_without_time() -> None:
    """Without received_at the latest measuring time of the message counts."""
    readings = [{"ts": 1717236000, "volume_m3": 1}, {"ts": 1717239600, "volume_m3": 2}, {"ts": 1717232400, "status": 1}]
    decoded = decode(json.dumps({"payload": readings}).encode(), ENVELOPED)

    assert decoded.received_at == 1717239600_000_000


def test_decode_envelope_quoted_payload() -> None:
    """A payload may be written as text, which delimited lines are."""
    line = "m1;01/06/2016 12:00:00;1500;0"
    channel = Channel("mqtt", "alicante", "trial", enveloped=True)
    decoded = decode(json.dumps({"payload": line}).encode(), channel, "replay", {"alicante": ALICANTE})

    assert [named(row) for row in decoded.rows] == [
        {"meter_id": "m1", "ts": 1464775200_000_000, "source": "trial", "volume_m3": 1.5}
    ]


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (b"not json", "not_envelope"),
        (b"[1]", "not_envelope"),
        (b"{}", "not_envelope"),
        (native(), "not_envelope"),
        (deep(100_000), "not_envelope"),
        (b'{"payload": {}, "topic": 7}', "wrong_type"),
        (json.dumps({"payload": {}, "topic": "x" * 2000}).encode(), "wrong_type"),
        (b'{"payload": {}, "received_at": "2024-06-01T10:00:00"}', "no_time_zone"),
        (b'{"payload": {}, "received_at": "soon"}', "bad_time"),
        (b'{"payload": {}, "received_at": true}', "bad_time"),
        (b'{"payload": {}, "received_at": 900000000000000}', "time_in_future"),
        (b'{"payload": {}, "received_at": 3}', "time_too_early"),
        (b'{"payload": null}', "wrong_type"),
    ],
)
def test_decode_bad_envelope(envelope: bytes, expected: str) -> None:
    """A source configured for envelopes refuses anything else, and an envelope whose own fields are wrong."""
    assert expected == reason_of(decode(envelope, ENVELOPED))


def test_decode_line_of_file_is_payload_or_envelope() -> None:
    """A line of a file may be either."""
    bare = decode(native(), LINES, "a.jsonl:1")
    packed = decode(b'{"payload": ' + native() + b"}", LINES, "a.jsonl:1")

    assert bare == packed
    assert (bare.topic, bare.received_at) == (None, 1717236000_000_000)


def test_decode_unknown_codec() -> None:
    """A message of a codec that the settings lost waits in quarantine, not in a crash."""
    channel = Channel("file", "gone", "s", enveloped=False)

    assert reason_of(decode(b"1;2", channel)) == "unknown_codec"


def test_decode_quarantined_meter_is_told() -> None:
    """Quarantine names the meter where the topic does, and only an id that is one."""
    named_by_topic = decode(b"nonsense").rejections[0].meter_id
    hostile = decode(b"nonsense", topic="meters/<script>/readings").rejections[0].meter_id

    assert ("m1", None) == (named_by_topic, hostile)


def test_decode_size_limit_is_the_settings() -> None:
    """The limit is configured, and what is exactly as large passes."""
    assert decode(native(), limit=len(native())).rejections == []
    assert reason_of(decode(native(), limit=len(native()) - 1)) == "too_large"


ROWS = Channel("file", "alicante", "s", enveloped=False)
PACKED_ROWS = Channel("mqtt", "alicante", "s", enveloped=True)
CHANNELS = st.sampled_from([MQTT, ENVELOPED, LINES, ROWS, PACKED_ROWS])


@given(st.binary(), CHANNELS, st.text())
def test_decode_arbitrary_bytes(payload: bytes, channel: Channel, topic: str) -> None:
    """Any bytes on any topic become readings or rejections, at least one."""
    decoded = decode(payload, channel, topic, {"alicante": ALICANTE})

    assert len(decoded.rows) + len(decoded.rejections) > 0


@given(JSON, CHANNELS)
def test_decode_arbitrary_json(document: object, channel: Channel) -> None:
    """Any JSON becomes readings or rejections, at least one."""
    decoded = decode(json.dumps(document).encode(), channel, codecs={"alicante": ALICANTE})

    assert len(decoded.rows) + len(decoded.rejections) > 0


NUMBERS = st.one_of(
    st.sampled_from(
        ["0", "-0", "-0.0", "1.50", "01", "1e3", "1e12", "1000000000000", "1000000000001", "-1e12", "1e400"]
    ),
    st.sampled_from(["1e-400", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "9" * 40, "NaN"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
)
TIMES = st.sampled_from(
    ["1717236000", "1717236000.25", "1717236000000", "1717236000000.5", '"1717236000"', '"2024-06-01T10:00:00Z"', "-1",
     '"2024-06-01T12:00:00+02:00"', '"2024-06-01T10:00:00"', '"soon"', "true", "null", "9e9", "946684800", "946684799",
     str(NOW / 1e6 + 86_400), str(NOW // 10**6 + 86_401), "99999999999", "100000000000"]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["open", "fault", "close", "magnet", "ajar", "", "x" * 256, "x" * 257, "ä" * 256, "m1", "m2", "m1/x", "\ud800",
     "\0"]
).map(json.dumps)  # fmt: skip
VALUES = st.one_of(
    NUMBERS, TIMES, TEXTS, JSON.map(json.dumps), st.lists(TEXTS, max_size=3).map(lambda texts: f"[{','.join(texts)}]")
)
PROFILES = st.builds(
    '{{"start": {}, "step_s": {}, "volume_m3": [{}]{}}}'.format,
    TIMES,
    st.sampled_from(["3600", "1", "0", "3600.0", "2678400", "2678401", "true", "86400"]),
    st.lists(st.one_of(NUMBERS, st.just("null")), max_size=4).map(",".join),
    st.sampled_from(["", "", "", ', "x": 1', ', "step_s": 900']),
)
OWN_FIELDS = [*READING, "profile", "x", "source", "error_codes", "sta\\u0074us", "volume_m3", "volume_m3"]


@given(
    st.one_of(st.just('"meter_id": "m1"'), st.just('"source": "s"'), VALUES.map('"meter_id": {}'.format)),
    TIMES,
    st.lists(st.one_of(st.tuples(st.sampled_from(OWN_FIELDS), VALUES), st.tuples(st.just("profile"), PROFILES),
                       st.tuples(st.sampled_from([*MEASURES]), st.sampled_from(["1.5", "2", "-0"]))), max_size=5),
    st.sampled_from([TOPIC, "meters/m1/readings", "m1", "a/<b>/readings"]),
    st.sampled_from(["", "", "", " ", "x", "}", ", {}", "\ufeff"]),
)  # fmt: skip
def test_sound_rows_are_those_of_decode(
    head: str, ts: str, fields: list[tuple[str, str]], topic: str, tail: str
) -> None:
    """The short way gives exactly what the long one gives, or leaves the message to it."""
    text = ", ".join([head, f'"ts": {ts}', *(f'"{name}": {value}' for name, value in fields)])
    message = RawMessage(1, MQTT, topic, NOW, f"{{{text}}}{tail}".encode("utf-8", "surrogatepass"))
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    rows = decoder.sound_rows(message)
    decoded = decoder.decode(message)

    if rows is not None:
        assert (repr(decoded.rows), [], topic, NOW) == (
            repr(rows), decoded.rejections, decoded.topic, decoded.received_at
        )  # fmt: skip
    frame = decoder.sound_frame([message[2:]] * 2, MQTT)
    if frame is not None:
        assert [decoded.rows[0]] * 2 == rows_of(frame)
        assert (1, []) == (len(decoded.rows), decoded.rejections)


@given(st.binary(max_size=4), st.integers(0, 200), st.integers(0, 4))
def test_sound_rows_of_mutated_payload(put: bytes, at: int, cut: int) -> None:
    """A payload with some bytes changed is read the same on both ways."""
    payload = native(status=3, valve_state="open", error_codes=["E1", ""], valid=False, source="s", seq=7, battery_v=3)
    message = RawMessage(1, MQTT, TOPIC, NOW, payload[:at] + put + payload[at + cut :])
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    rows = decoder.sound_rows(message)
    decoded = decoder.decode(message)

    if rows is not None:
        assert (repr(decoded.rows), []) == (repr(rows), decoded.rejections)


@pytest.mark.parametrize(
    "payload",
    [
        native(),
        native(ts=1717236000, status=0, valve_state="open", error_codes=["E1"], valid=True, seq=1),
        native(profile={"start": 1717113600, "step_s": 3600, "volume_m3": [1, None, 2.5]}, firmware="1", valid=False),
        b'{"ts": 1717236000, "profile": {"start": 1717113600, "step_s": 3600, "volume_m3": [1, 2]}}',
    ],
)
def test_sound_rows_take_what_is_common(payload: bytes) -> None:
    """What most meters send goes the short way, with the same rows."""
    message = RawMessage(1, MQTT, TOPIC, NOW, payload)
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)

    assert decoder.decode(message).rows == decoder.sound_rows(message)


def rows_of(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """Return the readings of a frame as rows; what it leaves out is empty."""
    false = {"ambiguous": False, "profile_fixed": False}
    return [tuple((false | row).get(name) for name in ROW_COLUMNS) for row in frame.iter_rows(named=True)]


def test_sound_frame_takes_what_is_common() -> None:
    """Plain readings of several meters are taken at once, with codes, ISO times and non-ASCII texts."""
    topics = [f"meters/m{number}/readings" for number in (1, 2, 1)]
    texts = [native(), b'{"ts": "2024-06-01T12:00:00+02:00", "volume_m3": 2, "seq": 7, "error_codes": ["E1", "E2"]}',
             native(source="s", battery_v=None, firmware="\u6c34").decode("unicode_escape").encode()]  # fmt: skip
    rows = [(topic, NOW, payload) for topic, payload in zip(topics, texts, strict=True)]
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    frame = decoder.sound_frame(rows, MQTT)

    assert frame is not None
    assert [decoder.decode(RawMessage(1, MQTT, *row)).rows[0] for row in rows] == rows_of(frame)
    assert dict(frame.schema) == {name: ROW_SCHEMA[name] for name in frame.columns}


@pytest.mark.parametrize(
    "other",
    [
        native(meter_id="m2"), native(ts=1), native(x=1), native(error_codes=["E1", ""]), native(error_codes=[]),
        native(error_codes=["E1", None]), native(volume_m3=1e13), native(valve_state="ajar"),
        native(firmware="x" * 257), native(volume_m3=None), native(profile=None), native(firmware='"'),
        b"{", b"", b'{"ts": 1e9}',
        b'{"ts": 1717236000, "volume_m3": NaN}', b'{"ts": 1717236000, "volume_m3": -Infinity}',
        b'{"ts": 1717236000, "volume_m3": 1}{"ts": 1717236000, "volume_m3": 2}',
        b'{"ts": 1717236000,\n"volume_m3": 1}', b'{"ts": 1717236000, "volume_m3": 1, "volume_m3": 2}',
        b'{"ts": 1717236000, "volume_m3": 1, "firmware": "\xff"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1, 2])
def test_sound_frame_leaves_what_is_not_in_order(other: bytes, place: int) -> None:
    """One message that needs a closer look leaves all of them to the way one by one, wherever it stands."""
    rows = [(TOPIC, NOW, native()), (TOPIC, NOW, native(seq=2))]
    rows.insert(place, (TOPIC, NOW, other))
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)

    assert decoder.sound_frame(rows, MQTT) is None


def test_sound_frame_two_in_one_and_none_in_another() -> None:
    """Two objects in one payload are not made up for by a payload without any."""
    two, rows = b'{"ts": 1717236000, "volume_m3": 1}{"ts": 1717236000, "volume_m3": 2}', (TOPIC, NOW)
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)

    assert decoder.sound_frame([(*rows, two), (*rows, b"")], MQTT) is None
    assert decoder.sound_frame([(*rows, two), (*rows, b"{}"[:1]), (*rows, b"}")], MQTT) is None


def test_sound_frame_other_fields_after_each_other() -> None:
    """What the last messages had is only a guess at what the next ones have."""
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    for fields in ({"seq": 1}, {"battery_v": 3.6}, {"ts": "2024-06-01T10:00:00Z"}, {"ts": 1717236000, "status": 3}):
        rows = [(TOPIC, NOW, native(**fields))] * 2
        frame = decoder.sound_frame(rows, MQTT)

        assert frame is not None
        assert [decoder.decode(RawMessage(1, MQTT, *rows[0])).rows[0]] * 2 == rows_of(frame)


def test_topic_names_codec_and_profile() -> None:
    """A topic's own codec and vendor profile come before those of the source."""
    channel = Channel(
        "mqtt", "gone", "s", enveloped=False, profile="p", topic_codecs=(("meters/+/readings", "native"),),
        topic_profiles=(("meters/m2/#", "q"),),
    )  # fmt: skip
    first, second = (decode(native(meter_id=None), channel, f"meters/{meter}/readings") for meter in ("m1", "m2"))

    assert ("p", True) == first.rows[0][-2:]
    assert ("q", True) == second.rows[0][-2:]
    assert ["unknown_codec"] == [rejection.reason for rejection in decode(native(), channel, "other").rejections]


def test_aliases_name_the_meter() -> None:
    """Topic and payload may each name the meter by another of its names."""
    decoder = MessageDecoder({}, 1000, LocalClock(), lambda: NOW, aliases={"sn-1": "m1", "0004a30b": "m1"})
    topics = ("meters/SN-1/readings", "meters/m1/readings", "meters/0004A30B/readings")
    for topic in topics:
        for name in ("sn-1", "m1", None):
            message = RawMessage(1, MQTT, topic, NOW, native(meter_id=name))
            rows = decoder.sound_rows(message) or decoder.decode(message).rows
            assert ["m1"] == [row[0] for row in rows]
    other = decoder.decode(RawMessage(1, MQTT, topics[0], NOW, native(meter_id="m3")))
    assert ["meter_id_mismatch"] == [rejection.reason for rejection in other.rejections]


@pytest.mark.parametrize(
    ("channel", "received_at", "limit"),
    [(ENVELOPED, NOW, 1000), (LINES, NOW, 1000), (MQTT, None, 1000), (MQTT, NOW, 9)],
)
def test_sound_rows_leave_other_messages(channel: Channel, received_at: int | None, limit: int) -> None:
    """Envelopes, lines of files, messages without a time of receipt and large ones go the long way."""
    message = RawMessage(1, channel, TOPIC, received_at, native())

    decoder = MessageDecoder({}, limit, LocalClock(), lambda: NOW)

    assert decoder.sound_rows(message) is None
    assert decoder.sound_frame([message[2:]], channel) is None
