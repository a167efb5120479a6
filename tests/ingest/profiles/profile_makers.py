"""Profiles and readings for the tests of vendor profiles."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from ingest.profiles.format import ProfileFile
from ingest.profiles.vendor_profile import VendorProfile
from ingest.row_schema import ROW_SCHEMA

CODE = {"words": ["A"], "family": "coil", "severity": 1, "meaning": "m", "meaning_zh": "义"}


def definition(**fields: object) -> ProfileFile:
    """Return a data file."""
    return msgspec.convert({"id": "p", "version": 1, **fields}, ProfileFile)


def profile(fallback: VendorProfile | None = None, **fields: object) -> VendorProfile:
    """Return a profile with one code, the word A."""
    return VendorProfile(definition(**{"code": [CODE], **fields}), fallback)


def readings(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return readings; ``extra`` may be an object."""
    filled = [{"meter_id": "m", "ts": 0, "source": "s", **row} for row in rows]
    for row in filled:
        if isinstance(row.get("extra"), dict):
            row["extra"] = msgspec.json.encode(row["extra"]).decode()
    return pl.DataFrame([{name: row.get(name) for name in ROW_SCHEMA} for row in filled], schema=ROW_SCHEMA)
