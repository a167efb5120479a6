"""Files as sources: what they are packed in, what is wrong with them, and what of them is a message."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.files import FileSource, open_sources
from ingest.settings import CodecSettings
from lake.errors import InputFileError
from tests.ingest.messages import ALICANTE

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
