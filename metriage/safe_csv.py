"""CSV for people's spreadsheets: texts from meters and registries must not become formulae there."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl

from metriage.labels import printable

# What a spreadsheet begins a formula by, also in the wide forms of Chinese keyboards.
_FORMULA = "=+-@|%"


def write_safe_csv(rows: pl.DataFrame, file: Path) -> Path:
    """Write rows as CSV in UTF-8 with a byte order mark, by which spreadsheets know it.

    A text that a spreadsheet would calculate gets an apostrophe in front; steering characters are left out; numbers,
    dates and times stay what they are.

    Parameters
    ----------
    rows : polars.DataFrame
        Lists of texts are joined.
    file : Path
        Where to write; its folder is there.
    """
    plain = rows.with_columns(
        pl.col(name).list.join("; ") for name, dtype in rows.schema.items() if dtype == pl.List(pl.String)
    )
    texts = [name for name, dtype in plain.schema.items() if dtype == pl.String]
    safe = plain.with_columns(
        pl.col(name).map_elements(safe_text, return_dtype=pl.String, skip_nulls=True) for name in texts
    )
    file.write_bytes(b"\xef\xbb\xbf" + safe.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ", float_precision=4).encode())
    return file


def safe_text(text: str) -> str:
    r"""Return a text that a spreadsheet shows instead of calculating it.

    Examples
    --------
    >>> safe_text("LOT-7"), safe_text('=HYPERLINK("http://x")'), safe_text("＝1+1"), safe_text(" @x")
    ('LOT-7', '\'=HYPERLINK("http://x")', "'＝1+1", "' @x")
    """
    shown = printable(text)
    first = unicodedata.normalize("NFKC", shown.lstrip())[:1]
    return f"'{shown}" if first and first in _FORMULA else shown
