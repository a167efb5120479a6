"""Files as sources: what they are packed in, what is wrong with them, and what of them is a message."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.files import FileSource, open_sources
from ingest.local_time import moment
from ingest.settings import CodecSettings
from ingest.spool import Spool
from lake.errors import InputFileError
from tests.ingest.messages import ALICANTE, account_of, decode, drain, lake_of, named
from tests.ingest.sheets import sheet, with_cells

HEADER = b"user key;datetime;meter reading;diff\n"
ROW = b"m1;01/06/2016 12:00:00;1500;0\n"
BY_NAME = CodecSettings(columns={"meter_id": "id", "ts": "time", "volume_m3": "v"}, units={"volume_m3": "l"})


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def messages(sources: list[FileSource]) -> list[tuple[str, bytes]]:
    return [(origin, payload) for source in sources for origin, _, payload in source.messages()]


def test_files_csv_header_is_no_message(tmp_path: Path) -> None:
    """The first line names the columns; the others are messages that know where they stood."""
    file = written(tmp_path / "a.csv", HEADER + ROW + b"\n" + ROW.replace(b"\n", b"\r\n"))

    assert messages(open_sources([file], "alicante", ALICANTE, "trial")) == [
        ("a.csv:2", ROW[:-1]),
        ("a.csv:4", ROW[:-1]),
    ]


@pytest.mark.parametrize("data", [HEADER + ROW, HEADER + ROW[:-1], b"\xef\xbb\xbf" + HEADER + ROW])
def test_files_line_ends_and_mark(tmp_path: Path, data: bytes) -> None:
    """The last line needs no end, and a byte order mark is no column."""
    sources = open_sources([written(tmp_path / "a.csv", data)], "alicante", ALICANTE, "trial")

    assert [payload for _, payload in messages(sources)] == [ROW[:-1]]


def test_files_packed_are_the_same(tmp_path: Path) -> None:
    """ZIP (every member that holds something) and gzip, in any spelling, are unpacked."""
    inside = zipped(tmp_path / "a.ZIP", **{"one.csv": HEADER + ROW, "empty.csv": b"", "two.csv": HEADER + ROW + ROW})
    packed = written(tmp_path / "b.csv.GZ", gzip.compress(HEADER + ROW))
    found = messages(open_sources([inside, packed], "alicante", ALICANTE, "trial"))

    assert [origin for origin, _ in found] == ["a.ZIP/one.csv:2", "a.ZIP/two.csv:2", "a.ZIP/two.csv:3", "b.csv.GZ:2"]
    assert {payload for _, payload in found} == {ROW[:-1]}


def test_files_by_name_carry_their_header(tmp_path: Path) -> None:
    """A codec by name reads each file in its own column order."""
    one = written(tmp_path / "one.csv", b"id,time,v\n")
    two = written(tmp_path / "two.csv", b'"v", "time","id"\n')
    headers = [source.channel.header for source in open_sources([one, two], "c", BY_NAME, "s")]

    assert headers == [("id", "time", "v"), ("v", "time", "id")]


def test_files_json_lines_and_documents(tmp_path: Path) -> None:
    """A .json file is one document where it is one, and lines where it is not."""
    pretty = written(tmp_path / "a.json", json.dumps([{"ts": 1}], indent=2).encode())
    lines = written(tmp_path / "b.json", b'{"ts": 1}\n{"ts": 2}\n')
    broken = written(tmp_path / "c.json", b"\xff\xfe{")
    found = messages(open_sources([pretty, lines, broken], "native", None, "s"))

    assert [origin for origin, _ in found] == ["a.json", "b.json:1", "b.json:2", "c.json:1"]


def broken_zip(path: Path) -> Path:
    whole = zipped(path, **{"a.csv": HEADER + ROW * 1000}).read_bytes()
    return written(path, whole[: len(whole) // 2])


def damaged_zip(path: Path) -> Path:
    whole = bytearray(zipped(path, **{"a.csv": HEADER + ROW * 1000}).read_bytes())
    whole[60] ^= 0xFF
    return written(path, bytes(whole))


def locked_zip(path: Path) -> Path:
    whole = bytearray(zipped(path, **{"a.csv": HEADER + ROW}).read_bytes())
    whole[6] |= 1  # the bit that says a member is encrypted, in both of its places
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    return written(path, bytes(whole))


def broken_gzip(path: Path) -> Path:
    return written(path, gzip.compress(HEADER + ROW * 1000)[:-40])


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("missing.csv", lambda path: path, "there is no such file"),
        ("folder", lambda path: path.mkdir() or path, "there is no such file"),
        ("empty.csv", lambda path: written(path, b""), "the file is empty"),
        ("empty.gz", lambda path: written(path, gzip.compress(b"")), "the file is empty"),
        ("empty.zip", zipped, "holds no file that is not empty"),
        ("hollow.zip", lambda path: zipped(path, a=b""), "holds no file that is not empty"),
        ("half.zip", broken_zip, "no complete ZIP archive"),
        ("no.zip", lambda path: written(path, b"PK?"), "no complete ZIP archive"),
        ("void.zip", lambda path: written(path, b""), "no complete ZIP archive"),
        ("damaged.zip", damaged_zip, "damaged|no complete ZIP archive"),
        ("locked.zip", locked_zip, "password.*unpack it first"),
        ("half.csv.gz", broken_gzip, "no complete gzip file"),
        ("no.gz", lambda path: written(path, HEADER), "no complete gzip file"),
        ("narrow.csv", lambda path: written(path, b"a;b\n1;2\n"), "line 1: 2 columns where the codec needs 3"),
        ("comma.csv", lambda path: written(path, HEADER.replace(b";", b",")), "is the delimiter right"),
        ("bytes.csv", lambda path: written(path, b"\xff\xfe;\n"), "line 1: the header is not utf-8"),
    ],
)
def test_files_refused(tmp_path: Path, name: str, make: Callable[[Path], Path], expected: str) -> None:
    """A file that is not what it was said to be is refused before anything is read, by name and with advice."""
    good = written(tmp_path / "good.csv", HEADER + ROW)

    with pytest.raises(InputFileError, match=expected) as caught:
        open_sources([good, make(tmp_path / name)], "alicante", ALICANTE, "trial")
    assert name in str(caught.value)


def test_files_missing_column_by_name(tmp_path: Path) -> None:
    """The missing column is named, together with those that are there."""
    file = written(tmp_path / "a.csv", b"id,when,v\n")

    with pytest.raises(InputFileError, match=r"a\.csv, line 1: there is no column 'time'; there are id, when, v"):
        open_sources([file], "c", BY_NAME, "s")


def test_files_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read says so."""
    file = written(tmp_path / "a.csv", HEADER)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputFileError, match=r"a\.csv: cannot be read: Permission denied"):
        open_sources([file], "alicante", ALICANTE, "trial")


def test_files_name_that_is_no_text(tmp_path: Path) -> None:
    """A name that is not UTF-8 is shown with question marks instead of stopping the line."""
    file = written(tmp_path / "a\udcff.csv", HEADER + ROW)

    assert [origin for origin, _ in messages(open_sources([file], "alicante", ALICANTE, "s"))] == ["a?.csv:2"]


@pytest.mark.parametrize("content", [b"meter,time\nm1,2024-01-01\n", b"\n1;2;3\n"])
def test_delimited_text_without_its_codec_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    """A million rows would be a million quarantined messages."""
    file = tmp_path / "rows.csv"
    file.write_bytes(content)

    with pytest.raises(InputFileError, match="--codec NAME"):
        open_sources([file], "native", None, "default")


def test_json_lines_in_a_file_called_csv_are_read(tmp_path: Path) -> None:
    """The text decides, not the name."""
    file = tmp_path / "rows.csv"
    file.write_bytes(b'{"meter_id": "m1"}\n')

    assert len(open_sources([file], "native", None, "default")) == 1


CARD = CodecSettings(
    columns={
        "meter_id": "表号",
        "ts": "读卡时间",
        "volume_m3": "累计用量",
        "error_codes": "屏显",
        "status": "状态字",
    },
    units={"status": "hex"},
    words={"error_codes": {"正常": ""}},
    time_format="%Y/%m/%d %H:%M",
    timezone="Asia/Shanghai",
    source="card",
)
CARD_ROWS: list[list[Any]] = [
    ["阳光小区 2024 年 5 月 IC 卡表抄表记录"],
    ["序号", "表号", "卡号", "读卡时间", "累计用量", "余额", "购水次数", "屏显", "状态字"],
    [1, 14000000012345, "880012", datetime(2024, 5, 31, 9, 5, 30), 1286.43, 35.5, 17, "正常", "00"],  # noqa: DTZ001
    [2, "14000000012346", 880013, "2024/05/31 09:20", 77, -2, 3, "E01、电压低", "2C"],
    [],
    [3, 14000000012347, 880014, "昨天", 12, 0, 1, None, None],
    ["合计：3 户"],
]


def card_file(path: Path) -> Path:
    return sheet(path, CARD_ROWS, merged=["A1:I1", "A7:I7"])


def test_files_card_meters_in_a_spreadsheet(tmp_path: Path) -> None:
    """Meter numbers keep their digits, native and written times are of the codec's zone, card columns are kept."""
    [source] = open_sources([card_file(tmp_path / "card.xlsx")], "card", CARD, "card")
    found = [decode(payload, source.channel, origin, {"card": CARD}) for origin, _, payload in source.messages()]
    readings = [named(row) for decoded in found for row in decoded.rows]

    assert [
        {
            "meter_id": "14000000012345", "ts": "2024-05-31T01:05:30+00:00", "source": "card", "volume_m3": 1286.43,
            "status": 0, "extra": {"序号": "1", "卡号": "880012", "余额": "35.5", "购水次数": "17"},
        },
        {
            "meter_id": "14000000012346", "ts": "2024-05-31T01:20:00+00:00", "source": "card", "volume_m3": 77.0,
            "status": 44, "error_codes": ["E01", "电压低"],
            "extra": {"序号": "2", "卡号": "880013", "余额": "-2", "购水次数": "3"},
        },
    ] == [{**row, "ts": moment(row["ts"]).isoformat(), "extra": json.loads(row["extra"])}
          for row in readings]  # fmt: skip
    assert [("bad_time", "14000000012347")] == [
        (rejection.reason, rejection.meter_id) for decoded in found for rejection in decoded.rejections
    ]


def test_files_spreadsheet_through_the_lake(tmp_path: Path) -> None:
    """The row that could not be read is in quarantine as text, with its number; the others are stored once."""
    [source] = open_sources([card_file(tmp_path / "card.xlsx")], "card", CARD, "card")
    for _ in range(2):
        with Spool(tmp_path / "spool") as spool:
            spool.append(source.channel, list(source.messages()))
        drain(tmp_path, {"card": CARD})
    lake = lake_of(tmp_path)

    assert {"card.xlsx:6"} == set(lake["quarantine"]["topic"])
    assert {"3,14000000012347,880014,昨天,12,0,1,,".encode()} == set(lake["quarantine"]["payload"])
    assert 2 == lake["readings"].height
    assert {"stored": 2, "duplicate": 2, "quarantined": 2} == dict(account_of(tmp_path).messages)


def test_files_hand_held_export_in_gb18030(tmp_path: Path) -> None:
    """A Chinese CSV export, its header in its own encoding."""
    codec = CodecSettings(
        columns={"meter_id": "表号", "ts": "抄表时间", "volume_m3": "读数（吨）"},
        time_format="%Y-%m-%d %H:%M:%S",
        timezone="Asia/Shanghai",
        encoding="gb18030",
    )
    text = "表号,户名,抄表时间,读数（吨）\r\n14000000012345,李娜,2024-05-31 09:05:00,1286\r\n"
    [source] = open_sources([written(tmp_path / "a.csv", text.encode("gb18030"))], "hand", codec, "hand")
    [message] = source.messages()
    [row] = decode(message[2], source.channel, message[0], {"hand": codec}).rows

    assert ("14000000012345", 1286.0, '{"户名":"李娜"}') == (
        named(row)["meter_id"], named(row)["volume_m3"], named(row)["extra"],
    )  # fmt: skip


def test_files_spreadsheet_by_number(tmp_path: Path) -> None:
    """Columns by their numbers, without a header; cells that are left out at the end are empty ones."""
    codec = CodecSettings(
        columns={"meter_id": 1, "ts": 2, "volume_m3": 3, "battery_v": 5}, header=False, delimiter=";", sheet=1
    )
    file = sheet(tmp_path / "a.xlsx", [["m1", "2024-05-31T09:05:00Z", 1.5, 'said "a;b"']])
    [source] = open_sources([file], "c", codec, "s")
    [(origin, _, payload)] = source.messages()
    [row] = decode(payload, source.channel, origin, {"c": codec}).rows

    assert ("a.xlsx:1", b'm1;2024-05-31T09:05:00Z;1.5;"said ""a;b""";') == (origin, payload)
    assert '{"column_4":"said \\"a;b\\""}' == named(row)["extra"]


def test_files_digits_that_excel_lost_are_no_meter(tmp_path: Path) -> None:
    """A number of 16 digits is only 15 of them: quarantined rather than stored under another meter."""
    codec = CodecSettings(columns={"meter_id": 1, "ts": 2, "volume_m3": 3}, header=False)
    file = with_cells(
        tmp_path / "a.xlsx",
        "<row><c><v>1.23456789012346E+15</v></c><c t='str'><v>2024-05-31T09:05:00Z</v></c><c><v>1</v></c></row>",
    )
    [source] = open_sources([file], "c", codec, "s")
    [(origin, _, payload)] = source.messages()

    assert ["bad_meter_id"] == [
        each.reason for each in decode(payload, source.channel, origin, {"c": codec}).rejections
    ]


@pytest.mark.parametrize(
    ("rows", "codec", "expected"),
    [
        ([], CARD, "a.xlsx: the sheet is empty"),
        (
            [["表号", "时间"]],
            CARD,
            "a.xlsx, line 1: no column '屏显' in any of the first rows; this one has 表号",
        ),
        ([["id", "time"]], ALICANTE, "a.xlsx, line 1: 2 columns where the codec needs 3"),
        ([["id", "time", "v"]], ALICANTE, "a.xlsx: the sheet holds no rows"),
        ([["id", "time", "v"], [1, 2, 3]], None, "this is a spreadsheet: say how to read its rows with --codec NAME"),
        (
            [["a", "b", "c"], [1, 2, 3]],
            CodecSettings(columns={"meter_id": 1, "ts": 2, "seq": 3}, encoding="latin-1"),
            "a spreadsheet may hold any sign, latin-1 may not",
        ),
        (
            [["a", "b", "c"], [1, 2, 3]],
            CodecSettings(columns={"meter_id": 1, "ts": 2, "seq": 3}, sheet="六月"),
            "there is no sheet '六月'; there are 'Sheet'",
        ),
    ],
)
def test_files_spreadsheet_refused(
    tmp_path: Path, rows: list[list[Any]], codec: CodecSettings | None, expected: str
) -> None:
    """Before anything is read, with what to do."""
    file = sheet(tmp_path / "a.xlsx", rows)

    with pytest.raises(InputFileError) as caught:
        open_sources([file], "c" if codec else "native", codec, "s")
    assert expected in str(caught.value)


def test_files_spreadsheet_in_an_archive(tmp_path: Path) -> None:
    """Says to unpack it, instead of reading it as text."""
    file = zipped(tmp_path / "a.zip", **{"b.xlsx": card_file(tmp_path / "b.xlsx").read_bytes()})

    with pytest.raises(InputFileError, match=r"member b\.xlsx is a spreadsheet; unpack it first"):
        open_sources([file], "card", CARD, "s")
