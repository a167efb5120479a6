"""Stored codes and status words translated again, after a vendor profile or the registry was put right.

The readings keep what the meters sent; what it means is worked out from them anew, day by day, and a day's rows are
replaced in one commit where they differ. So it can be cut short and begun again, and nothing is doubled. The numbers of
the readings (valve state, battery, invalid fields) stay as they were read when they came in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from ingest.batch import error_code_rows
from ingest.profiles.dialects import Dialects
from lake.row_changes import change_rows
from lake.schemas import ERROR_CODES, READINGS
from lake.tables import Lake

_KEY = ("meter_id", "ts", "source", "received_at")
# A writer that was just killed between two tables will still add the codes of its batch itself.
_SETTLED = timedelta(hours=1)


@dataclass(slots=True)
class Retranslated:
    """What was done.

    Parameters
    ----------
    days : int
        Days that were looked at.
    changed_days : int
        Of these, with other rows now.
    codes : int
        Rows of the changed days now.
    unknown_before, unknown_after : int
        Rows of family ``unknown`` in all days.
    """

    days: int = 0
    changed_days: int = 0
    codes: int = 0
    unknown_before: int = 0
    unknown_after: int = 0


class Retranslation:
    """Translates the codes of a lake again.

    Parameters
    ----------
    lake : Lake
        The lake; its writers should stand still.
    dialects : Dialects
        Profiles and makes as they are now.
    fixed : mapping of str to str
        Profiles that the settings fix for a source.
    now : callable, optional
        The clock (UTC).
    """

    def __init__(
        self,
        lake: Lake,
        dialects: Dialects,
        fixed: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lake = lake
        self._dialects = dialects
        self._fixed = fixed
        self._now = now

    def run(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Retranslated:
        """Translate every day again, and return what was done.

        Raises
        ------
        LakeError
            A table cannot be read or written; the days before are done.
        """
        done = Retranslated()
        days = self._days()
        for day in days:
            self._day(day, done)
            done.days += 1
            progress(done.days, len(days))
        return done

    def _days(self) -> list[date]:
        """Return the days that have codes, or readings that might have some."""
        carrying = self._lake.scan(READINGS).filter(_carries()).select("event_date")
        known = self._lake.scan(ERROR_CODES).select("event_date")
        return sorted(pl.concat([carrying, known]).unique().collect()["event_date"].to_list())

    def _day(self, day: date, done: Retranslated) -> None:
        start = datetime.combine(day, datetime.min.time(), UTC)
        readings = self._lake.scan(READINGS, start=start, end=start + timedelta(days=1)).filter(_carries()).collect()
        seen: list[tuple[pl.DataFrame, pl.DataFrame]] = []

        def again(held: pl.DataFrame) -> pl.DataFrame | None:
            rows = self._rows(readings, held)
            seen.append((held, rows))
            return None if _same(held, rows) else rows

        replaced = change_rows(self._lake, ERROR_CODES, again, partitions=[str(day)])
        if not seen:  # codes that meant nothing before mean something now
            rows = self._rows(readings, ERROR_CODES.empty())
            seen.append((ERROR_CODES.empty(), rows))
            if rows.height:
                self._lake.append(ERROR_CODES, rows)
                replaced = 1
        held, rows = seen[-1]
        done.unknown_before += _unknown(held)
        done.unknown_after += _unknown(rows)
        if replaced:
            done.changed_days += 1
            done.codes += rows.height

    def _rows(self, readings: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the table ``error_codes`` for readings, of which `held` are there already."""
        known = held.select(*_KEY, was="profile_id").unique(_KEY)
        usual = held.group_by("meter_id").agg(usual=pl.col("profile_id").mode().first())
        rows = readings.join(known, on=list(_KEY), how="left", nulls_equal=True, maintain_order="left")
        settled = pl.col("was").is_not_null() | (pl.col("received_at") <= self._now() - _SETTLED)
        rows = rows.filter(settled).join(usual, on="meter_id", how="left", maintain_order="left")
        # What a decoder took the meter for is not stored with the reading, but with the codes it brought.
        fixed = pl.col("source").replace_strict(self._fixed, default=None, return_dtype=pl.String)
        rows = rows.with_columns(
            profile=pl.coalesce(fixed, "was", "usual"), profile_fixed=fixed.is_not_null(), ambiguous=pl.lit(value=False)
        )
        rows = self._dialects.apply(rows.drop("was", "usual"))
        codes = error_code_rows(rows.with_columns(position=pl.lit(0)), self._dialects.profile)
        schema = {**ERROR_CODES.polars, "position": pl.Int64()}
        return pl.DataFrame(codes, schema=schema).drop("position")


def _carries() -> pl.Expr:
    """Return whether a reading may have codes: by its own, its status, or by fields of the vendor's."""
    codes = pl.col("error_codes").list.len().fill_null(0) > 0
    return codes | (pl.col("status").fill_null(0) != 0) | pl.col("extra").is_not_null()


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    names = ERROR_CODES.polars.names()
    return one.select(names).sort(names, nulls_last=True).equals(other.select(names).sort(names, nulls_last=True))


def _unknown(rows: pl.DataFrame) -> int:
    return int((rows["family"] == "unknown").sum())
