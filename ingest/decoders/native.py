"""The native JSON of the contract: one reading, an array of them, or readings with a ``profile``.

Every field is looked at by itself, and what is wrong with it is said. Most messages never come here: those in which
everything is in order take the short way of :mod:`ingest.sound_readings`, to the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.excerpt import excerpt
from ingest.local_time import parse_time
from ingest.message import Decoded, Rejection, Row
from ingest.reading import agree_on_meter, build_row, check_text, check_time
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

KNOWN = frozenset(
    {"meter_id", "ts", "source", "seq", *MEASURES, "status", "error_codes", "firmware", "valid", "profile"}
)
LONGEST_PROFILE = 100_000
LONGEST_STEP_S = 31 * 86400


@shape("native")
class NativeDecoder:
    """Decodes the native shape."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder()

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a native payload; see :class:`ingest.decoders.Decoder`."""
        try:
            document = self._json.decode(payload)
        except msgspec.ValidationError as error:  # JSON, but with a number that no float holds
            raise DecodingError("not_finite", f"{error}; begins with {excerpt(payload)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodingError("not_json", f"{error}; begins with {excerpt(payload)}") from None
        except RecursionError:
            raise DecodingError("too_deep", "the JSON is nested too deeply") from None
        decoded = Decoded(context.topic, context.received_at)
        items = document if isinstance(document, list) else [document]
        if not items:
            raise DecodingError("no_value", "the array is empty")
        for index, item in enumerate(items):
            where = f"reading {index}: " if isinstance(document, list) else ""
            _decode_item(item, where, context, decoded)
        return decoded


def _decode_item(item: object, where: str, context: Context, decoded: Decoded) -> None:
    meter_id: str | None = None
    try:
        if not isinstance(item, dict):
            raise DecodingError("wrong_type", f"a reading must be an object, not {excerpt(item)}")
        meter_id = agree_on_meter(item.get("meter_id"), context.topic, context.aliases)
        source = check_text("source", item.get("source")) or context.source
        read = _decode_reading(item, meter_id, source, context, decoded)
    except DecodingError as error:
        decoded.rejections.append(Rejection(error.reason, where + error.detail, meter_id))
        return
    outcomes = list(_profile_rows(item, meter_id, source, context))
    if not outcomes and not read:
        outcomes = [Rejection("no_value", "the profile is empty")]
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            decoded.rejections.append(Rejection(outcome.reason, where + outcome.detail, meter_id))
        else:
            decoded.rows.append(outcome)


def _decode_reading(item: dict[str, Any], meter_id: str, source: str, context: Context, decoded: Decoded) -> bool:
    """Decode what stands beside a profile; return whether there was anything."""
    if item.get("ts") is None:
        raise DecodingError("no_time", "the reading has no ts")
    ts = parse_time(item["ts"])
    check_time(ts, context.received_at, context.now)
    extra = {key: value for key, value in item.items() if key not in KNOWN}
    try:
        decoded.rows.append(build_row(item, meter_id=meter_id, ts=ts, source=source, extra=extra))
    except DecodingError as error:
        # A message that holds nothing but a profile is no reading of its own.
        if error.reason != "no_value" or item.get("profile") is None:
            raise
        return False
    return True


def _profile_rows(item: Mapping[str, Any], meter_id: str, source: str, context: Context) -> Iterator[Row | Rejection]:
    profile = item.get("profile")
    if profile is None:
        return
    try:
        start, step, registers = _check_profile(profile)
    except DecodingError as error:
        yield Rejection(error.reason, error.detail)
        return
    for index, register in enumerate(registers, start=1):
        if register is None:
            continue
        ts = start + index * step
        try:
            check_time(ts, context.received_at, context.now)
            fields = {"volume_m3": register, "valid": item.get("valid"), "firmware": item.get("firmware")}
            yield build_row(fields, meter_id=meter_id, ts=ts, source=source, extra={})
        except DecodingError as error:
            yield Rejection(error.reason, f"profile.volume_m3[{index - 1}]: {error.detail}")


def _check_profile(profile: object) -> tuple[int, int, list[object]]:
    """Return start [µs], step [µs] and registers [m³] of a profile."""
    if not isinstance(profile, dict):
        raise DecodingError("wrong_type", f"profile must be an object, not {excerpt(profile)}")
    step, registers = profile.get("step_s"), profile.get("volume_m3")
    if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= LONGEST_STEP_S:
        raise DecodingError("wrong_value", f"profile.step_s must be 1 to 2678400 whole seconds, not {excerpt(step)}")
    if not isinstance(registers, list) or len(registers) > LONGEST_PROFILE:
        raise DecodingError("wrong_type", f"profile.volume_m3 must be a list of at most {LONGEST_PROFILE} numbers")
    if profile.get("start") is None:
        raise DecodingError("no_time", "profile.start is missing")
    return parse_time(profile["start"], "profile.start"), step * 1_000_000, registers
