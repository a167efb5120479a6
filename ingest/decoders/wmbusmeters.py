"""The JSON of wmbusmeters, which reads wireless and wired M-Bus meters of some 120 makes.

Field names are put together from a quantity and a unit, and mean the same for all meters; which meter it is says
``meter`` or, in newer versions, ``driver``. Fields of the past (``target_m3``, ``consumption_at_set_date_m3`` …) and of
extremes (``max_flow_m3h``) are kept beside the reading. Facts about drivers, fields and status words are from the
project's driver descriptions (https://github.com/wmbusmeters/wmbusmeters, drivers/src).
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.field_reader import FieldReader
from ingest.decoders.json_payload import add_row, check_topic, fields_of, of_meter, read_json, site_time
from ingest.excerpt import excerpt
from ingest.message import Decoded, Row
from ingest.reading import PLACES, end_row
from lake.errors import DecodingError

# Drivers of water meters whose status words are their vendor's own; all others give those of EN 13757.
_PROFILES = {
    "kamstrup": ("kamwater", "multical21", "flowiq2100", "flowiq2200", "flowiq3100", "flowiq3200"),
    "iperl": ("iperl", "actislink"),
    "axioma": ("q400", "axioma", "qalcosonicw1"),
    "izar": ("izar", "izarv2"),
    "aquastream": ("aquastream",),
    "apator": ("apator08", "apator082", "apator162", "apator172", "apatorna1", "aptmbusna", "op041a", "ultrimis",
               "ultrimisv2"),
    "minomess": ("minomess", "zenner0b"),
    "hydrodigit": ("hydrodigit", "iwmtx5", "rfmtx1"),
    "ecomess": ("kadenwater", "picoflux"),
}  # fmt: skip
PROFILE_OF = {driver: profile for profile, drivers in _PROFILES.items() for driver in drivers}

# Other drivers of water meters: what they read is water, though some modules call their medium otherwise.
_WATER = frozenset(
    {"aventieswm", "brunatawm", "dme173", "dme_07", "emerlin868", "engelmann-faw", "engelmann-faw-ri", "engelmann_faw",
     "engelmann_faw_ri", "ev200", "evo868", "fiowater", "gwfwater", "hydrus", "hydrus_r4", "istawater", "itron",
     "izar_rcig4", "izar_rzig4", "lse_07_17", "maddalena", "mkradio3", "mkradio3a", "mkradio4", "mkradio4a",
     "modularis", "qwater", "supercom587", "topaseskr", "waterstarm", "watertech", "weh_07", "werhlemodwm"}
) | PROFILE_OF.keys()  # fmt: skip

# Media of EN 13757-3 that are not water, by their beginnings.
_OTHER_MEDIA = ("heat", "cool", "electric", "gas", "oil", "steam", "compressed", "smoke", "room sensor", "energy",
                "pressure", "breaker", "garbage", "a/d")  # fmt: skip

# Fields with what the meter reports now. Status words of the past have names of their own, which are not here.
_STATUS = frozenset(
    {"status", "current_status", "status_flags", "meter_status", "error_flags", "errors", "error", "error_code",
     "error_codes", "alarm", "alarms", "current_alarms", "active_alarms", "alarm_status", "alarm_flags", "info_codes",
     "warnings", "fraud_type", "frame_status"}
)  # fmt: skip

# Temperatures that stand for none: 127 and −128 are a full signed byte, −100 °C comes from meters without a sensor.
_NO_TEMPERATURE = (127, -128, -100)
_TEMPERATURES = ("water_temperature_c", "ambient_temperature_c")
_NO_TEMPERATURES = frozenset(_NO_TEMPERATURE)
_temperatures = itemgetter(*(PLACES[name] for name in _TEMPERATURES))  # of a row

_SERIAL = re.compile(r"[0-9a-fA-F]{8}")

# Axioma's upper four bits are one value, of which wmbusmeters prints the lowest bit as a word of its own.
_TEMPORARY = "TEMPORARY_ERROR"
_UPPER_BITS = re.compile(r"UNKNOWN_[0-9A-F]0")

_KNOWN = frozenset({"id", "timestamp"})
_READER = FieldReader(status=_STATUS, known=_KNOWN, stated=True, temperature="water_temperature_c", flags=False)
# This driver's error_flags is only there for older programs, and newer versions fill it where there is no error.
_REPEATING = "aventieswm"
_REPEATING_READER = FieldReader(
    status={"status"}, known=_KNOWN, stated=True, temperature="water_temperature_c", flags=False
)


@lru_cache(maxsize=1_000)
def _refusal(media: str, driver: str) -> str | None:
    """Return why a meter is none of water, None where it is one."""
    medium = media.lower()
    if driver in _WATER or "water" in medium or not medium.startswith(_OTHER_MEDIA):
        return None
    return f"media {excerpt(media)} of driver {excerpt(driver)}: no water meter, so its volume is not water's"


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    return fields.keys() >= {"id", "media", "timestamp"} and ("meter" in fields or "driver" in fields)


@shape("wmbusmeters", topics=("wmbusmeters/+",), recognises=_recognises)
class WmbusmetersDecoder:
    """Decodes what wmbusmeters publishes."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the reading of a telegram; see :class:`ingest.decoders.Decoder`."""
        document = read_json(self._json, payload)
        meter_id = _meter(document, context)
        driver, media = document.get("driver", document.get("meter")), document.get("media")
        refusal = _refusal(media, driver if isinstance(driver, str) else "") if isinstance(media, str) else None
        if refusal is not None:
            raise DecodingError("wrong_value", refusal, meter_id=meter_id)
        profile = PROFILE_OF.get(driver, "en13757") if isinstance(driver, str) else "en13757"
        try:
            ts, ambiguous = site_time(document.get("timestamp"), context, meter_id, "timestamp", _register(document))
            repeats = driver == _REPEATING and "status" in document
            reader = _REPEATING_READER if repeats else _READER
            # Axioma's words are put together below.
            row = (
                None
                if profile == "axioma" or ambiguous
                else _sound_row(reader, document, meter_id, ts, context, profile)
            )
            if row is not None:
                return Decoded(context.topic, context.received_at, [row], [])
            fields, extra = reader.read(document)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None
        decoded = Decoded(context.topic, context.received_at)
        if profile == "axioma" and "error_codes" in fields:
            fields["error_codes"] = _whole_value(fields["error_codes"])
        invalid = [name for name in _TEMPERATURES if name in fields and fields[name] in _NO_TEMPERATURE]
        add_row(decoded, context, meter_id, ts, fields, extra, profile=profile, invalid=invalid, ambiguous=ambiguous)
        return decoded


def _register(document: dict[str, Any]) -> float | None:
    """Return the register by which a repeated hour tells its second pass, where the telegram has the common one."""
    value = document.get("total_m3")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole_value(codes: list[str]) -> list[str]:
    """Return Axioma's codes with the two words of one value put together.

    Examples
    --------
    >>> _whole_value(["POWER_LOW", "TEMPORARY_ERROR", "UNKNOWN_20"])
    ['POWER_LOW', 'TEMPORARY_ERROR UNKNOWN_20']
    """
    if _TEMPORARY not in codes or not any(map(_UPPER_BITS.fullmatch, codes)):
        return codes
    rest = [code for code in codes if code != _TEMPORARY]
    return [f"{_TEMPORARY} {code}" if _UPPER_BITS.fullmatch(code) else code for code in rest]


def _sound_row(
    reader: FieldReader, document: dict[str, Any], meter_id: str, ts: int, context: Context, profile: str
) -> Row | None:
    """Return the reading of a telegram in which everything is in order, None where it needs a closer look."""
    begun = reader.begin_row(document, meter_id, ts, context.source)
    if begun is None or not _NO_TEMPERATURES.isdisjoint(_temperatures(begun[0])):
        return None
    return end_row(*begun, profile)


def _meter(document: dict[str, Any], context: Context) -> str:
    """Return the meter that payload and topic name; the topic's last level may be its name or its id."""
    device = document.get("id")
    if device is None:
        raise DecodingError("no_meter_id", "the payload has no id")
    meter_id = context.meter_id(device)
    level = context.topic.rsplit("/", 1)[-1] if context.topic else ""
    # What is neither a serial number nor an alias is a name, of the meter or of whatever collects them.
    if (
        level != device
        and level != document.get("name")
        and (_SERIAL.fullmatch(level) or level.lower() in context.aliases)
    ):
        check_topic(level, device, meter_id, context)
    return meter_id
