"""The short way for what most messages are: native readings of known fields in which everything is in order.

Whatever is not entirely in order, or not of the common form, is left to :class:`ingest.decoders.native.NativeDecoder`,
which looks at every field by itself; both give the same rows. There are two short ways. Messages that hold one plain
reading each are read many at once into columns, by Arrow's JSON reader; a message with a profile, or one among others
that are not in order, is checked as a whole in one typed pass.

Arrow reads with the types given and refuses all else, also a key that stands twice, but three things it takes that JSON
or the contract do not have: ``NaN`` and ``Infinity``, several objects in a line, and objects over several lines. The
first are found by their values, the others by counting line ends and rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.json
from msgspec import Meta

from ingest.decoders.native import KNOWN, LONGEST_PROFILE, LONGEST_STEP_S
from ingest.local_time import DAY, EARLIEST, parse_time
from ingest.message import ROW_COLUMNS, RawRow, Row
from ingest.reading import INT64, LARGEST, LONGEST_TEXT, WORDS, check_meter_id, meter_id_of_topic
from ingest.row_schema import ROW_SCHEMA
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

_Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)] | None
_Integer = Annotated[int, Meta(ge=-INT64, le=INT64 - 1)] | None
_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
_Time = int | float | str


class _Profile(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    start: _Time
    step_s: Annotated[int, Meta(ge=1, le=LONGEST_STEP_S)]
    volume_m3: Annotated[list[_Number], Meta(max_length=LONGEST_PROFILE)]


def _type_of(name: str) -> Any:
    if name in WORDS:
        return Literal[tuple(sorted(WORDS[name]))] | None
    special = {"meter_id": str | None, "ts": _Time, "error_codes": list[_Text] | None, "valid": bool | None}
    of_type = {"float64": _Number, "int64": _Integer}
    dtype = MEASURES[name].dtype if name in MEASURES else "int64" if name in {"seq", "status"} else "string"
    return special.get(name) or of_type.get(dtype, _Text | None)


# The columns of a row that a payload can fill, in their order; the others follow them.
_FILLED = tuple(name for name in ROW_COLUMNS if name in KNOWN and name != "profile")
_HEAD = ("meter_id", "ts", "source", "seq", "volume_m3")
_SOURCE = ROW_COLUMNS.index("source")
_END = ("invalid_fields", "extra", "ambiguous", "profile", "profile_fixed")
_REST = (None, None, False, None, False)
if (*_FILLED, *_END) != ROW_COLUMNS or _FILLED[:5] != _HEAD:
    raise AssertionError("rows are put together by place: the columns of the table have changed their order")

# Required fields must come first in a struct, so `ts` has a default too: None fails as a time.
_Reading: Any = msgspec.defstruct(
    "_Reading",
    [*((name, _type_of(name), None) for name in _FILLED), ("profile", _Profile | None, None)],
    forbid_unknown_fields=True,
    gc=False,
)
_FIRST_VALUE = ROW_COLUMNS.index("volume_m3")
_AFTER_VALUES = ROW_COLUMNS.index("error_codes") + 1
_NO_VALUES = (None,) * (_AFTER_VALUES - _FIRST_VALUE)
_OF_PROFILE = frozenset({"firmware", "valid"})  # what holds for all readings of a message

# Columns by what has to be looked at.
_NUMBERS = tuple(name for name in _FILLED if ROW_SCHEMA[name] == pl.Float64)
_VALUES = ROW_COLUMNS[_FIRST_VALUE:_AFTER_VALUES]
_TEXTS = tuple(name for name in _FILLED if ROW_SCHEMA[name] == pl.String and name not in {"meter_id", *WORDS})
_ARROW_TYPES = {pl.Float64(): pa.float64(), pl.Int64(): pa.int64(), pl.Boolean(): pa.bool_(), pl.String(): pa.string(),
                pl.List(pl.String()): pa.list_(pa.string())}  # fmt: skip
_ARROW = pa.schema([(name, _ARROW_TYPES[ROW_SCHEMA[name]]) for name in _FILLED])
_ARROW_TIMES = (pa.int64(), pa.string())  # of ``ts``: an epoch, ISO 8601
_LARGEST_EPOCH_S = 10**11
_EPOCH_S_TO_US, _EPOCH_MS_TO_US = 1_000_000, 1_000


class SoundReadings:
    """Reads payloads that hold one reading, perhaps with a profile, of known fields that are all in order.

    Parameters
    ----------
    largest : int
        A longer payload is left to others [B].
    aliases : mapping of str to str
        Other names of meters, in lower case.
    """

    def __init__(self, largest: int, aliases: Mapping[str, str] | None = None) -> None:
        self._largest = largest
        self._aliases = aliases or {}
        self._decode = msgspec.json.Decoder(_Reading).decode
        # What the last messages had: fields that nobody sends cost as much as others.
        self._fields: tuple[str, ...] = _FILLED
        self._time: pa.DataType = _ARROW_TIMES[0]

    def rows(self, payload: bytes, topic: str, source: str, received_at: int | None) -> list[Row] | None:
        """Return the rows of a payload, or None where the native decoder must look at it.

        Parameters
        ----------
        payload : bytes
            The message.
        topic : str
            Its MQTT topic.
        source : str
            Configured source name.
        received_at : int
            When it reached us [µs since 1970 UTC].
        """
        meter_id = self._meter_of(topic)
        if meter_id is None or received_at is None or len(payload) > self._largest:
            return None
        try:
            reading = self._decode(payload)
            ts = parse_time(reading.ts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DecodingError):
            return None
        latest = received_at + DAY
        if reading.meter_id not in {None, meter_id} or not EARLIEST <= ts <= latest:
            return None
        if reading.error_codes is not None:
            reading.error_codes = [code for code in reading.error_codes if code] or None
        values = msgspec.structs.astuple(reading)
        row = (meter_id, ts, values[_SOURCE] or source, *values[_SOURCE + 1 : -1], *_REST)
        profile = reading.profile
        if profile is None and row[_FIRST_VALUE] is not None:
            return [row]
        rows = [] if row[_FIRST_VALUE:_AFTER_VALUES] == _NO_VALUES else [row]
        if profile is not None and not _add_profile(rows, row, profile, latest):
            return None
        return rows or None

    def frame(self, messages: Sequence[RawRow], source: str) -> pl.DataFrame | None:
        """Return the readings of messages that hold one plain reading each.

        Parameters
        ----------
        messages : sequence of (topic, received_at, payload)
            As they came in.
        source : str
            Configured source name.

        Returns
        -------
        polars.DataFrame or None
            Those columns of :data:`ingest.row_schema.ROW_SCHEMA` that hold something, a row a message in their order;
            None where one of the messages is not entirely in order or holds a profile: :meth:`rows` tells which.
        """
        topics, received, payloads = zip(*messages, strict=True)
        if None in received or max(map(len, payloads)) > self._largest:
            return None
        meters = list(map(self._meter_of if self._aliases else _topic_meter, topics))
        if None in meters:
            return None
        table = self._table(payloads)
        if table is None:
            return None
        found = pl.DataFrame(pl.from_arrow(table))
        times = _times(found["ts"])
        if times is None:
            return None
        known = pl.DataFrame({"_meter": pl.Series(meters, dtype=pl.String), "_ts": times,
                              "_received": pl.Series(received, dtype=pl.Int64)})  # fmt: skip
        found = pl.concat([found, known], how="horizontal")
        if not found.select(_sound(set(found.columns))).item():
            return None
        own = pl.col("source").replace("", None) if "source" in found.columns else pl.lit(None, dtype=pl.String)
        found = found.with_columns(meter_id=pl.col("_meter"), ts=pl.col("_ts"), source=own.fill_null(source))
        return found.select(name for name in ROW_SCHEMA if name in found.columns)

    def _table(self, payloads: Sequence[bytes]) -> pa.Table | None:
        """Return the fields of payloads of one plain object each, None where Arrow cannot or may not read them."""
        text = b"\n".join(payloads)
        count = len(payloads)
        # Every line is one payload and begins and ends like an object: as many rows as lines are one object a line.
        if not (
            text.startswith(b"{") and text.endswith(b"}") and b"\\" not in text
            and text.count(b"\n") == text.count(b"}\n{") == count - 1
        ):  # fmt: skip
            return None
        try:
            text.isascii() or text.decode()
        except UnicodeDecodeError:
            return None
        # First as the last messages were, then with all fields, then with the other form of time.
        other = _ARROW_TIMES[self._time == _ARROW_TIMES[0]]
        for fields, time in ((self._fields, self._time), (_FILLED, self._time), (_FILLED, other)):
            table = _read(text, fields, time)
            if table is not None and table.num_rows == count:
                if fields is _FILLED:
                    self._fields = tuple(
                        name for name in _FILLED if name == "ts" or table[name].null_count < table.num_rows
                    )
                    table = table.select(list(self._fields))
                self._time = time
                return table
        return None

    def _meter_of(self, topic: str) -> str | None:
        """Return the meter that a topic names, None where it names none."""
        meter_id = _topic_meter(topic)
        return self._aliases.get(meter_id.lower(), meter_id) if meter_id is not None and self._aliases else meter_id


@lru_cache(maxsize=200_000)  # of a meter and its topic, some 200 B
def _topic_meter(topic: str) -> str | None:
    try:
        return check_meter_id(meter_id_of_topic(topic))
    except DecodingError:
        return None


def _read(text: bytes, fields: Sequence[str], time: pa.DataType) -> pa.Table | None:
    schema = pa.schema([pa.field("ts", time) if name == "ts" else _ARROW.field(name) for name in fields])
    try:
        return pyarrow.json.read_json(
            pa.BufferReader(text),
            # One block and one thread: a slice is small, and the other cores have their own work.
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        return None


def _times(found: pl.Series) -> pl.Series | None:
    """Return measuring times [µs since 1970 UTC], None where one of them is not of the two common forms."""
    if found.null_count():
        return None
    if found.dtype == pl.String:
        try:
            return pl.Series(list(map(parse_time, found.to_list())), dtype=pl.Int64)
        except DecodingError:
            return None
    low, high = found.min(), found.max()
    assert isinstance(low, int) and isinstance(high, int)  # noqa: S101, PT018 - of whole numbers, at least one
    if low >= 0 and high < _LARGEST_EPOCH_S:
        return found * _EPOCH_S_TO_US
    return found * _EPOCH_MS_TO_US if low >= _LARGEST_EPOCH_S and high < 10**15 else None


def _sound(columns: set[str]) -> pl.Expr:
    """Return whether all values of the `columns` are what the contract allows; what is not there is allowed."""
    wanted = [
        pl.col("_ts") >= EARLIEST,
        pl.col("_ts") <= pl.col("_received") + DAY,
        pl.any_horizontal(*(pl.col(name).is_not_null() for name in _VALUES if name in columns), pl.lit(value=False)),
        *(pl.col(name).is_between(-LARGEST, LARGEST) for name in _NUMBERS if name in columns),
        *(pl.col(name).str.len_chars() <= LONGEST_TEXT for name in _TEXTS if name in columns),
        *(pl.col(name).is_in(sorted(words)) for name, words in WORDS.items() if name in columns),
    ]
    if "meter_id" in columns:
        wanted.append(pl.col("meter_id") == pl.col("_meter"))
    if "error_codes" in columns:
        codes = pl.col("error_codes").list
        lengths = codes.eval(pl.element().str.len_chars())
        # A list without codes, an empty code and a null among codes are for others to tidy up.
        wanted += [codes.len() > 0, lengths.list.min() >= 1, lengths.list.max() <= LONGEST_TEXT,
                   codes.drop_nulls().list.len() == codes.len()]  # fmt: skip
    return pl.all_horizontal(condition.fill_null(value=True).all() for condition in wanted)


def _add_profile(rows: list[Row], row: Row, profile: _Profile, latest: int) -> bool:
    """Add the rows of a profile to the `row` that carries it; return whether all of its times are plausible."""
    try:
        start, step = parse_time(profile.start, "profile.start"), profile.step_s * 1_000_000
    except DecodingError:
        return False
    registers = profile.volume_m3
    if start + step < EARLIEST or start + len(registers) * step > latest:
        return False
    meter_id, source = row[0], row[_SOURCE]
    rest = tuple(value if name in _OF_PROFILE else None for name, value in zip(_FILLED, row, strict=False))
    rest = (*rest[_FIRST_VALUE + 1 :], *_REST)
    rows.extend(
        (meter_id, ts, source, None, register, *rest)
        for ts, register in zip(range(start + step, start + (len(registers) + 1) * step, step), registers, strict=True)
        if register is not None
    )
    return True
