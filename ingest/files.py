"""Files as sources: JSON lines, and delimited text, as they are or packed in ZIP or gzip; spreadsheets.

A row of a spreadsheet becomes a line of its codec, so that the spool, the quarantine and a replay see text.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ingest.decoders.delimited import DelimitedDecoder
from ingest.message import Channel
from ingest.settings import CodecSettings
from ingest.spreadsheet import SUFFIXES, is_spreadsheet, read_rows
from lake.errors import DecodingError, InputFileError

_BOM = b"\xef\xbb\xbf"
_HEADER_WITHIN = 50  # rows of a spreadsheet in which its header stands, behind titles and notes


@dataclass(frozen=True, slots=True)
class FilePart:
    """One text inside a file: the file itself, or one member of an archive.

    Parameters
    ----------
    path : Path
        The file.
    member : str, optional
        Member of a ZIP archive.
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """Name for messages and for the origin of quarantined lines."""
        return _shown(self.path.name if self.member is None else f"{self.path.name}/{self.member}")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (1-based line number, line without its end)."""
        with self._open() as stream:
            for number, line in enumerate(stream, start=1):
                text = line.removeprefix(_BOM) if number == 1 else line
                yield number, text.rstrip(b"\r\n")

    def whole(self) -> bytes:
        """Return all bytes."""
        with self._open() as stream:
            return stream.read()

    def _open(self) -> BinaryIO:
        if self.member is not None:
            archive = zipfile.ZipFile(self.path)
            return _Member(archive, self.member)
        if self.path.suffix.lower() == ".gz":
            return io.BufferedReader(gzip.open(self.path, "rb"))
        return self.path.open("rb")


class _Member(io.BufferedReader):
    """A member of a ZIP archive that closes its archive with it."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        super().__init__(archive.open(name))  # type: ignore[arg-type]

    def close(self) -> None:
        super().close()
        self._archive.close()


@dataclass(frozen=True, slots=True)
class SheetPart:
    """A sheet of a spreadsheet, its rows as lines of a codec.

    Parameters
    ----------
    path : Path
        The file.
    settings : CodecSettings
        Sheet, delimiter and encoding.
    """

    path: Path
    settings: CodecSettings

    @property
    def name(self) -> str:
        """Name for messages and for the origin of quarantined rows."""
        return _shown(self.path.name)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (1-based row number, texts of its cells); empty rows are left out."""
        return iter(read_rows(self.path, self.settings.sheet))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (1-based row number, line of delimited text)."""
        width = max((column for column in self.settings.columns.values() if isinstance(column, int)), default=0)
        width = max(width, len(self.settings.names))
        for number, cells in self.rows():
            width = max(width, len(cells))  # the header is the first: rows behind it may leave out empty cells
            yield number, self._line(cells + [""] * (width - len(cells)))

    def _line(self, cells: Sequence[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.settings.delimiter, lineterminator="\n").writerow(cells)
        return text.getvalue().removesuffix("\n").encode(self.settings.encoding)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A checked text, ready to be read as messages.

    Parameters
    ----------
    part : FilePart or SheetPart
        The text.
    channel : Channel
        Codec, source and header of its messages.
    first_line : int
        1-based number of the first line that is a message.
    whole : bool
        The text is one JSON document over several lines.
    """

    part: FilePart | SheetPart
    channel: Channel
    first_line: int = 1
    whole: bool = False

    def messages(self) -> Iterator[tuple[str, None, bytes]]:
        """Yield (origin, received_at, payload) of each message; empty lines are none."""
        if self.whole and isinstance(self.part, FilePart):
            yield self.part.name, None, self.part.whole()
            return
        for number, line in self.part.lines():
            if number >= self.first_line and line.strip():
                yield f"{self.part.name}:{number}", None, line


def open_sources(paths: Sequence[Path], codec: str, settings: CodecSettings | None, source: str) -> list[FileSource]:
    """Return the texts of `paths`, every one of them checked before the first is read.

    Parameters
    ----------
    paths : sequence of Path
        Files; ``.zip`` (every member) and ``.gz`` are unpacked, spreadsheets give the rows of one sheet.
    codec : str
        ``native`` or the name of a ``[codecs.NAME]`` table.
    settings : CodecSettings or None
        That table; None for ``native``.
    source : str
        Source name of the readings.

    Raises
    ------
    InputFileError
        A file is missing, empty, truncated, or lacks columns of its codec.
    """
    parts = [part for path in paths for part in _parts(path, settings)]
    return [
        _source(part, codec, settings, source) if isinstance(part, FilePart) else _sheet_source(part, codec, source)
        for part in parts
    ]


def _shown(name: str) -> str:
    return name.encode(errors="replace").decode()  # a file's name need not be UTF-8


def _parts(path: Path, settings: CodecSettings | None) -> Sequence[FilePart | SheetPart]:
    if not path.is_file():
        raise InputFileError(str(path), "there is no such file")
    if is_spreadsheet(path):
        if settings is None:
            raise InputFileError(str(path), "this is a spreadsheet: say how to read its rows with --codec NAME")
        return [SheetPart(path, settings)]
    if path.suffix.lower() != ".zip":
        part = FilePart(path)
        _check_readable(part)
        return [part]
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            members = [info.filename for info in archive.infolist() if not info.is_dir() and info.file_size]
    except RuntimeError as error:  # encrypted, or packed in a way that this Python cannot unpack
        raise InputFileError(str(path), f"{error}; unpack it first") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputFileError(str(path), f"no complete ZIP archive ({error}); copy or download it again") from error
    if broken is not None:
        raise InputFileError(str(path), f"member {broken} is damaged; copy or download the archive again")
    if not members:
        raise InputFileError(str(path), "the archive holds no file that is not empty")
    packed = next((member for member in members if member.lower().endswith(SUFFIXES)), None)
    if packed is not None:
        raise InputFileError(str(path), f"member {packed} is a spreadsheet; unpack it first")
    return [FilePart(path, member) for member in members]


def _check_readable(part: FilePart) -> None:
    """Read a gzip file to its end, another one to its first line."""
    packed = part.path.suffix.lower() == ".gz"
    try:
        lines = sum(1 for _ in part.lines()) if packed else sum(1 for _ in itertools.islice(part.lines(), 1))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputFileError(str(part.path), f"no complete gzip file ({error}); copy or download it again") from error
    except OSError as error:
        raise InputFileError(str(part.path), f"cannot be read: {error.strerror or error}") from error
    if not lines:
        raise InputFileError(str(part.path), "the file is empty")


def _source(part: FilePart, codec: str, settings: CodecSettings | None, source: str) -> FileSource:
    if settings is None:
        _refuse_delimited(part)
        channel = Channel("file", codec, source, enveloped=True)
        return FileSource(part, channel, whole=_is_document(part))
    if not settings.header:
        return FileSource(part, Channel("file", codec, source, enveloped=False))
    header = next((line for _, line in part.lines()), b"")
    names = _header_names(part, header, settings)
    return FileSource(part, Channel("file", codec, source, enveloped=False, header=names), first_line=2)


def _header_names(part: FilePart, header: bytes, settings: CodecSettings) -> tuple[str, ...]:
    try:
        cells = header.decode(settings.encoding).split(settings.delimiter)
    except UnicodeError as error:
        raise InputFileError(part.name, f"the header is not {settings.encoding}: {error}", line=1) from error
    names = tuple(cell.strip().strip('"') for cell in cells)
    try:
        DelimitedDecoder(settings, names)
    except DecodingError as error:
        raise InputFileError(part.name, f"{error.detail}; compare the columns of the codec", line=1) from error
    most = max((column for column in settings.columns.values() if isinstance(column, int)), default=0)
    if len(names) < most:
        raise InputFileError(
            part.name, f"{len(names)} columns where the codec needs {most}; is the delimiter right?", line=1
        )
    # A codec that goes by number reads files with different headers the same way.
    return () if settings.by_number else names


def _sheet_source(part: SheetPart, codec: str, source: str) -> FileSource:
    """Return a sheet as a source, read once from its first to its last row."""
    settings = part.settings
    try:
        "水é\U0001f4a7".encode(settings.encoding)
    except UnicodeEncodeError as error:
        raise InputFileError(
            part.name, f"a spreadsheet may hold any sign, {settings.encoding} may not; leave out encoding of the codec"
        ) from error
    first_line, names = _sheet_header(part) if settings.header else (1, ())
    if not sum(number >= first_line for number, _ in part.rows()):
        raise InputFileError(part.name, "the sheet holds no rows")
    return FileSource(part, Channel("file", codec, source, enveloped=False, header=names), first_line=first_line)


def _sheet_header(part: SheetPart) -> tuple[int, tuple[str, ...]]:
    """Return the first row behind the header, and the column names where the codec needs them."""
    settings = part.settings
    rows = list(itertools.islice(part.rows(), _HEADER_WITHIN))
    if not rows:
        raise InputFileError(part.name, "the sheet is empty")
    columns = (*settings.columns.values(), *settings.ignore)
    wanted = set() if settings.names else {column for column in columns if isinstance(column, str)}
    least = max((column for column in settings.columns.values() if isinstance(column, int)), default=0)
    for number, cells in rows:
        if wanted <= set(cells) and len(cells) >= least:
            names = tuple(name or f"column_{place}" for place, name in enumerate(cells, start=1))
            return number + 1, () if settings.by_number else names
    number, cells = rows[0]
    missing = next(iter(sorted(wanted - set(cells))), None)
    problem = f"{len(cells)} columns where the codec needs {least}" if missing is None else f"no column {missing!r}"
    raise InputFileError(
        part.name, f"{problem} in any of the first rows; this one has {', '.join(filter(None, cells))}", line=number
    )


def _refuse_delimited(part: FilePart) -> None:
    """Refuse a CSV file without its codec at once, rather than quarantine it line by line."""
    name = part.name.lower().removesuffix(".gz")
    first = next((line.lstrip() for _, line in part.lines() if line.strip()), b"{")
    if name.endswith((".csv", ".tsv")) and not first.startswith((b"{", b"[")):
        raise InputFileError(part.name, "this is delimited text: say how to read it with --codec NAME", line=1)


def _is_document(part: FilePart) -> bool:
    """Tell whether a ``.json`` text is one document over several lines rather than a document a line."""
    if not part.name.lower().endswith(".json"):
        return False
    try:
        msgspec.json.decode(part.whole())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
