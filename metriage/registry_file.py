"""The registry as people keep it: which header means which column, which word which value, and what is wrong in a row.

The one list of headers and words; ``docs/registry.md`` is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ingest.excerpt import excerpt
from lake.errors import InputFileError, RowError
from lake.meter import WORDS, Meter
from lake.vocabulary import METER
from metriage.table_file import Table, open_table

# Beside the column's own name. Several columns of one file may hold aliases.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "meter_id": ("表号", "水表号", "水表编号", "表编号", "表具编号", "表计编号"),
    "aliases": (
        "别名",
        "表身号",
        "钢号",
        "出厂编号",
        "序列号",
        "通讯地址",
        "表地址",
        "卡号",
        "DevEUI",
        "IMEI",
        "IMEI号",
    ),
    "model": ("型号", "水表型号", "表型号", "规格型号"),
    "manufacturer": ("厂家", "水表厂家", "生产厂家", "表厂", "制造商"),
    "module_vendor": ("模块厂家", "模块厂商", "模组厂家", "通讯模块厂家"),
    "module_encrypted": ("模块加密", "是否加密"),
    "sensing": ("采样方式", "传感方式", "发讯方式"),
    "valve_type": ("阀门类型", "阀型"),
    "battery_type": ("电池型号", "电池类型"),
    "battery_capacity_mah": ("电池容量",),
    "caliber_mm": ("口径", "公称口径", "管径", "DN"),
    "ip_rating": ("防护等级",),
    "firmware": ("固件版本", "软件版本", "程序版本"),
    "production_batch": ("生产批次", "批次", "批次号", "批号"),
    "produced_on": ("生产日期", "制造日期"),
    "shipped_on": ("发货日期", "出厂日期", "供货日期"),
    "installed_on": ("安装日期", "装表日期", "挂表日期"),
    "removed_on": ("拆除日期", "拆表日期", "换下日期"),
    "warranty_months": ("质保月数", "质保期(月)", "保修期(月)"),
    "installation": ("安装环境",),
    "flood_prone": ("易积水", "是否易积水", "易淹"),
    "installer": ("安装单位", "施工单位", "安装队", "安装人"),
    "project": ("项目", "项目名称", "工程名称"),
    "region": ("区域", "地区", "片区"),
    "site": ("小区", "小区名称", "站点", "地点"),
    "timezone": ("时区",),
    "latitude": ("纬度",),
    "longitude": ("经度",),
    "customer_ref": ("户号", "用户号", "用户编号", "客户编号"),
    "recorded_at": ("记录时间", "登记时间"),
}

# Beside the word itself.
VALUES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sensing": {
        "reed": ("干簧管", "双干簧管", "干簧"),
        "inductive": ("无磁", "无磁传感", "电感"),
        "hall": ("霍尔",),
        "optical": ("光电", "光电直读", "直读"),
        "ultrasonic": ("超声波", "超声"),
    },
    "valve_type": {
        "none": ("无", "无阀", "不带阀"),
        "ball_motor": ("球阀", "电动球阀"),
        "pilot": ("先导阀", "先导式", "电磁先导阀"),
        "ceramic": ("陶瓷阀", "陶瓷片", "陶瓷"),
    },
    "installation": {
        "indoor": ("室内", "户内"),
        "outdoor": ("室外", "户外"),
        "basement": ("地下室",),
        "pit": ("表井", "水表井", "井内"),
    },
}

YES = ("yes", "true", "1", "y", "是", "有")
NO = ("no", "false", "0", "n", "否", "无")
NOTHING = ("", "-", "--", "—", "/", "n/a", "null")  # an empty cell

# What may stand beside a number or in brackets behind a header, and what it stands for.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "caliber_mm": {"mm": 1, "毫米": 1},
    "battery_capacity_mah": {"mah": 1, "毫安时": 1, "ah": 1000},
    "warranty_months": {"月": 1, "个月": 1, "months": 1, "年": 12, "years": 12},
    "latitude": {"°": 1, "度": 1},
    "longitude": {"°": 1, "度": 1},
}

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})-|/(\d{1,2})/|\.(\d{1,2})\.|年(\d{1,2})月|(\d\d))(\d{1,2})日?", re.ASCII)
_CLOCK = re.compile(r"[T ]\d{1,2}:\d\d(:\d\d(\.\d+)?)?$", re.ASCII)
_NUMBER = re.compile(r"(?:DN)?(-?\d+(?:\.\d+)?)\s*(\D*)", re.ASCII | re.IGNORECASE)
_LOST = re.compile(r"\d(\.\d+)?[eE]\+\d+", re.ASCII)
_ALIASES = re.compile(r"[\s,;|，；、]+")
_TEXT = re.compile(r"[=#]")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a row.

    Parameters
    ----------
    row : int
        1-based row or line of the file.
    column : str
        The column as the file calls it.
    problem : str
        What is wrong and what to do.
    """

    row: int
    column: str
    problem: str


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """The rows of a file that can be taken, and those that cannot.

    Parameters
    ----------
    name : str
        The file's name.
    columns : tuple of str
        Columns of the registry that it speaks of.
    ignored : tuple of str
        Its other columns.
    headers : mapping of str to str
        What the file calls each column.
    meters : list of Meter
        Rows in order.
    rows : list of int
        The row of each.
    problems : list of Problem
        The other rows.
    """

    name: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    headers: Mapping[str, str]
    meters: list[Meter]
    rows: list[int]
    problems: list[Problem]


def column_named(header: str) -> str | None:
    """Return the column that a header means, None where it means none.

    Examples
    --------
    >>> column_named("Meter_ID"), column_named("口径（mm）"), column_named("质保期(年)"), column_named("户名")
    ('meter_id', 'caliber_mm', None, None)
    """
    plain = header.lower().replace(" ", "").replace("（", "(").replace("）", ")").strip("*")
    name, _, unit = plain.removesuffix(")").partition("(")
    column = _COLUMNS.get(plain) or _COLUMNS.get(name)
    if column is None or plain in _COLUMNS:
        return column
    return None if unit and _UNITS.get(column, {}).get(unit) != 1 else column


def read_registry(path: Path, timezone: str) -> RegistryFile:
    """Return what a file says of meters.

    Parameters
    ----------
    path : Path
        CSV or XLSX.
    timezone : str
        Zone of times that carry none.

    Raises
    ------
    InputFileError
        It cannot be read at all, or two of its columns mean the same.
    """
    table = open_table(path, lambda cells: any(column_named(cell) == "meter_id" for cell in cells))
    places, headers = _places(table)
    read = RegistryFile(
        table.name,
        tuple(name for name in METER if name in headers),
        tuple(cell for cell in table.header.cells if cell and column_named(cell) is None),
        headers,
        [],
        [],
        [],
    )
    seen: dict[tuple[str, datetime | None], tuple[int, Meter]] = {}
    for number, cells in table.rows:
        if cells == table.header.cells:  # printed lists repeat it on every page
            continue
        try:
            meter = _meter(cells, places, len(table.header.cells), timezone)
            before, other = seen.setdefault((meter.meter_id, meter.recorded_at), (number, meter))
            if other != meter:
                raise RowError("meter_id", f"{meter.meter_id!r} stands in row {before} already, with other values")
        except RowError as error:
            read.problems.append(Problem(number, headers.get(error.column, error.column), error.message))
        else:
            read.meters.append(meter)
            read.rows.append(number)
    return read


def _places(table: Table) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Return (place, column) of the columns that mean something, and what the file calls them."""
    places = [(place, name) for place, cell in enumerate(table.header.cells) if (name := column_named(cell))]
    headers: dict[str, str] = {}
    for place, name in places:
        header = table.header.cells[place]
        if name in headers and name != "aliases":
            raise InputFileError(
                table.name, f"{headers[name]!r} and {header!r} both mean {name}; take one out", line=table.header.number
            )
        headers.setdefault(name, header)
    return places, headers


def _meter(cells: Sequence[str], places: Sequence[tuple[int, str]], width: int, timezone: str) -> Meter:
    """Return the meter of a row.

    Raises
    ------
    RowError
        A cell does not fit its column.
    """
    surplus = next((cell for cell in cells[width:] if cell), None)
    if surplus is not None:
        raise RowError("", f"has {len(cells)} cells, the header {width}; is {excerpt(surplus)} a part of another cell?")
    values: dict[str, Any] = {"meter_id": ""}
    for place, name in places:
        text = cells[place] if place < len(cells) else ""
        if text.lower() in NOTHING:
            continue
        if _TEXT.match(text):
            raise RowError(name, f"{excerpt(text)} is a formula without its value, or an error of the spreadsheet")
        value = _READERS[name](text, timezone)
        values[name] = (*values.get(name, ()), *value) if name == "aliases" else value
    return Meter(**values)


def _id(name: str, text: str, _: str) -> str:
    if _LOST.fullmatch(text):
        raise RowError(name, f"{text!r} has lost digits in a spreadsheet; make its column text and enter it anew")
    return text


def _aliases(text: str, _: str) -> tuple[str, ...]:
    return tuple(_id("aliases", alias, _) for alias in _ALIASES.split(text) if alias)


def _text(text: str, _: str) -> str:
    return text


def _word(name: str, text: str, _: str) -> str:
    plain = text.lower().replace(" ", "_").replace("-", "_")
    found = next((word for word, others in VALUES[name].items() if plain == word or text in others), None)
    if found is None:
        allowed = ", ".join(f"{word} ({others[0]})" for word, others in VALUES[name].items())
        raise RowError(name, f"{excerpt(text)} is not allowed there; allowed are {allowed}")
    return found


def _flag(name: str, text: str, _: str) -> bool:
    word = text.lower()
    if word not in {*YES, *NO}:
        raise RowError(name, f"{excerpt(text)} is neither yes (是) nor no (否)")
    return word in YES


def _number(name: str, text: str, _: str) -> float:
    found = _NUMBER.fullmatch(text)
    factor = None if found is None else {"": 1.0, **_UNITS.get(name, {})}.get(found[2].lower())
    if found is None or factor is None:
        unit = METER[name].unit
        raise RowError(name, f"{excerpt(text)} is no number{f' in {unit}' if unit else ''}; write 20 or 0.5")
    return float(found[1]) * factor


def _date(name: str, text: str, _: str) -> date:
    found = _DATE.fullmatch(_CLOCK.sub("", text))
    try:
        year, *months, day = found.groups() if found else ()
        return date(int(year), int(next(filter(None, months))), int(day))
    except ValueError:
        raise RowError(name, f"{excerpt(text)} is no day; write 2024-07-09, 2024/7/9 or 2024年7月9日") from None


def _time(name: str, text: str, timezone: str) -> datetime:
    """Return a time; one without zone is of the site's, a day means its beginning."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        day = _date(name, text, timezone)
        moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - its zone is the site's, below
        if _CLOCK.search(text):
            raise RowError(name, f"{excerpt(text)} is no time; write 2024-07-09T12:00:00+08:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    if not _EARLIEST <= moment < _LATEST:
        raise RowError(name, f"{excerpt(text)} lies before 2000 or after 2100")
    return moment.astimezone(UTC)


_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_COLUMNS = {spelling.lower(): name for name, others in HEADERS.items() for spelling in (name, *others)}


_Reader = Callable[[str, str], Any]  # of a cell and the zone of times that carry none


def _reader(name: str) -> _Reader:
    if name in WORDS:
        return partial(_word, name)
    special: dict[str, _Reader] = {
        "meter_id": partial(_id, name),
        "aliases": _aliases,
        "recorded_at": partial(_time, name),
    }
    by_type: dict[str, _Reader] = {
        "float64": partial(_number, name), "bool": partial(_flag, name), "date": partial(_date, name),
    }  # fmt: skip
    return special.get(name) or by_type.get(METER[name].dtype) or _text


_READERS = {name: _reader(name) for name in METER}


def documented() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield (column, other headers, words of its values), for the documentation."""
    for name, column in METER.items():
        words = [f"`{word}` {' '.join(others)}" for word, others in VALUES.get(name, {}).items()]
        if column.dtype == "bool":
            words = [f"`yes` {' '.join(YES[1:])}", f"`no` {' '.join(NO[1:])}"]
        yield name, HEADERS[name], "; ".join(words)
