"""The types of decoded readings; apart from their names, since the receiver needs no Polars."""

from __future__ import annotations

import polars as pl

from ingest.message import ROW_COLUMNS
from lake.schemas import READINGS

_OWN_TYPES = {"ts": pl.Int64(), "ambiguous": pl.Boolean(), "profile": pl.String(), "profile_fixed": pl.Boolean()}
ROW_SCHEMA = pl.Schema({name: _OWN_TYPES.get(name) or READINGS.polars[name] for name in ROW_COLUMNS})
