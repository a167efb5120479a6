"""Hard codes: which messages shall not wait for the next regular commit of the lake.

Whether a code becomes a finding is the diagnosis's business. Here it is only told that a meter carries a hard one that
it did not carry before: a code that stands in each message for months must not make a commit each time.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ingest.profiles.dialects import Dialects

REMEMBERED_S = 48 * 3600.0  # meters that report once a day must not look new each day
_MOST_REMEMBERED = 200_000

_CODED = {"meter_id": pl.String(), "status": pl.Int64(), "error_codes": pl.List(pl.String()), "profile": pl.String()}


class HotCodes:
    """Tells which meters carry hard codes that they did not carry before.

    Parameters
    ----------
    limits : mapping of str to int
        Mildest severity of a hard code, by its family; families that are not named have none.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._seen: dict[int, float] = {}  # hash of meter and family, and when it was last seen [s]

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._limits)

    @property
    def is_hard(self) -> pl.Expr:
        """Whether a row with ``family`` and ``severity`` is a hard code."""
        return pl.any_horizontal(
            pl.lit(value=False),
            *((pl.col("family") == name) & (pl.col("severity") <= limit) for name, limit in self._limits.items()),
        )

    def remember(self, codes: pl.DataFrame, now_s: float) -> int:
        """Take note of hard codes, and return how many are new: pairs of a meter and a family.

        Parameters
        ----------
        codes : polars.DataFrame
            ``meter_id`` and ``family`` of hard codes.
        now_s : float
            The clock [s].
        """
        keys = [hash(pair) for pair in codes.select("meter_id", "family").unique().iter_rows()]
        fresh = sum(now_s - self._seen.get(key, -REMEMBERED_S) >= REMEMBERED_S for key in keys)
        for key in keys:  # the order of the dictionary is that of the last sight
            self._seen.pop(key, None)
            self._seen[key] = now_s
        while len(self._seen) > _MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return fresh

    def carried(self, readings: pl.DataFrame, dialects: Dialects) -> pl.DataFrame:
        """Return ``meter_id, family`` of the hard codes that decoded readings carry.

        Parameters
        ----------
        readings : polars.DataFrame
            Columns of :data:`ingest.row_schema.ROW_SCHEMA`, those that hold something.
        dialects : Dialects
            Vendor profiles of the meters.
        """
        held = {name for name in ("status", "error_codes") if name in readings.columns}
        carrying = readings.filter(
            pl.any_horizontal(
                pl.lit(value=False),
                *([pl.col("status").fill_null(0) != 0] if "status" in held else []),
                *([pl.col("error_codes").list.len().fill_null(0) > 0] if "error_codes" in held else []),
            )
        )
        if carrying.is_empty():
            return pl.DataFrame(schema={"meter_id": pl.String, "family": pl.String})
        fixed = pl.col("profile_fixed") if "profile_fixed" in readings.columns else pl.lit(value=False)
        rows = carrying.select(
            *(pl.col(name) if name in readings.columns else pl.lit(None, dtype=dtype).alias(name)
              for name, dtype in _CODED.items()),
            profile_fixed=fixed.fill_null(value=False),
        )  # fmt: skip
        spoken = dialects.resolved(rows)
        said = ["profile", "status", "error_codes"]
        # Fleets say the same few things again and again: each is translated once.
        sentences = spoken.select(said).unique(maintain_order=True).with_row_index("sentence")
        families = [
            (place, translation.family, translation.severity)
            for place, profile, status, codes in sentences.iter_rows()
            for translation in dialects.profile(profile).translate(status, codes or [])
        ]
        schema = {"sentence": pl.UInt32, "family": pl.String, "severity": pl.Int64}
        hard = pl.DataFrame(families, schema=schema, orient="row").filter(self.is_hard)
        if hard.is_empty():
            return pl.DataFrame(schema={"meter_id": pl.String, "family": pl.String})
        meant = sentences.join(hard.select("sentence", "family").unique(), on="sentence")
        return spoken.join(meant, on=said, nulls_equal=True).select("meter_id", "family").unique()
