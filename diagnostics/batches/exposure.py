"""Exposure: days at risk and failures by group and stratum, with late entry, censoring and strata that change."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lake.errors import UsageError

AGE = "age_from_days"
COUNTS = ("devices", "days", "failures")
_DAY = pl.duration(days=1)


def exposure(
    devices: pl.DataFrame,
    strata: Sequence[str] = (),
    *,
    age_bands_days: Sequence[int] = (),
    periods: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return days at risk and failures of each group in each stratum.

    A device is at risk from `entered` until the day before `left`, or until the end of the day on which it `failed`.

    Parameters
    ----------
    devices : polars.DataFrame
        One row a device, or a part of its time: ``device`` (str), ``group`` (str, may be empty: the device then only
        tells what others are to expect), ``entered`` (date, the first day at risk or seen), ``left`` (date, the first
        day no longer at risk), ``failed`` (date or empty: the first failure in between), where ages are asked for
        ``born`` (date of age 0), and the columns of `strata`.
    strata : sequence of str
        Columns of `devices`, or of `periods`, that split the exposure.
    age_bands_days : sequence of int
        Ages at which a new band begins [days]; gives the column ``age_from_days``, the lower end of the band.
    periods : polars.DataFrame, optional
        ``device, since, until`` (dates, `until` exclusive) and strata that hold in between, such as cold days. They
        may not overlap; between them those strata are empty.

    Returns
    -------
    polars.DataFrame
        ``group``, the strata, ``devices``, ``days`` [days], ``failures``, ``since`` and ``until`` (dates), sorted.

    Raises
    ------
    UsageError
        A column is missing, or a row contradicts itself; the message names it.
    """
    checked_arguments(devices, strata)
    changing = [] if periods is None else [name for name in strata if name in periods.columns]
    fixed = [name for name in strata if name not in changing]
    rows = checked_devices(devices, [*fixed, *(["born"] if age_bands_days else [])])
    until = pl.when(pl.col("failed").is_null()).then("left").otherwise(pl.col("failed") + _DAY)
    parts = rows.select(
        "device", "group", *fixed, *(["born"] if age_bands_days else []),
        pl.col("entered").alias("since"), until.alias("until"), "failed",
    )  # fmt: skip
    counted = (
        pl.len() if periods is None and parts["device"].n_unique() == parts.height else pl.col("device").n_unique()
    )
    if periods is not None:
        parts = _in_periods(parts, periods, changing)
    keys = ["group", *strata]
    bands = [parts] if not age_bands_days else _in_bands(parts, age_bands_days)
    if age_bands_days:
        keys.append(AGE)
    days = (pl.col("until") - pl.col("since")).dt.total_days()
    failed = pl.col("failed").is_between("since", pl.col("until") - _DAY)
    summed = [
        band.group_by(keys).agg(
            counted.cast(pl.Int64).alias("devices"),
            days.sum().cast(pl.Int64).alias("days"),
            failed.sum().cast(pl.Int64).alias("failures"),
            pl.col("since").min(),
            pl.col("until").max(),
        )
        for band in bands
    ]
    return pl.concat(summed).sort(keys)


def checked_arguments(table: object, *columns: object) -> None:
    """Refuse what an analyst easily gives instead of a table and of lists of columns.

    Raises
    ------
    UsageError
        With what to give.
    """
    if not isinstance(table, pl.DataFrame):
        raise UsageError(
            f"a polars.DataFrame is needed, not {type(table).__name__}; polars.from_pandas() makes one of pandas'"
        )
    for names in columns:
        if isinstance(names, str):
            raise UsageError(f"strata and places are lists of columns: [{names!r}], not {names!r}")


_NEEDED_DAYS = {
    "entered": "the first day at risk",
    "left": "the day after the last one seen",
    "failed": "the day of the first failure, empty where there was none",
    "born": "the day on which its age is 0",
}


def checked_devices(devices: pl.DataFrame, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Return the device table with plain types.

    Raises
    ------
    UsageError
        A column is missing or of another type, or a row contradicts itself.
    """
    wanted = ("device", "group", "entered", "left", "failed")
    missing = [name for name in (*wanted, *columns) if name not in devices.columns]
    if missing:
        raise UsageError(f"the device table has no column {', '.join(missing)}; it needs {', '.join(wanted)}")
    dates = [name for name in ("entered", "left", "failed", "born") if name in devices.columns]
    for name in dates:
        if devices.schema[name] not in (pl.Date, pl.Null):
            raise UsageError(
                f"device table, column {name}: a day (pl.Date) is needed, not {devices.schema[name]};"
                f" {_NEEDED_DAYS[name]}"
            )
    rows = devices.with_columns(pl.col("device", "group").cast(pl.String), pl.col(dates).cast(pl.Date))
    wrong = (
        (pl.col("device").is_null(), "no device"),
        (pl.col("entered").is_null(), "no day of entry"),
        (pl.col("left").is_null(), "no day on which it left; give the day after the last one seen"),
        (pl.col("left") < pl.col("entered"), "it left before it entered"),
        (pl.col("failed") < pl.col("entered"), "it failed before it entered; leave it out, it was never at risk"),
        (pl.col("failed") > pl.col("left"), "it failed after it had left; such a failure was not seen"),
    )
    bad = rows.select(pl.any_horizontal(condition.fill_null(value=False) for condition, _ in wrong).any()).item()
    if bad:
        for condition, problem in wrong:
            found = rows.with_row_index("row").filter(condition.fill_null(value=False))
            if not found.is_empty():
                row = found.row(0, named=True)
                raise UsageError(f"device table, row {row['row']} (device {row['device']}): {problem}")
    return rows


def _in_periods(parts: pl.DataFrame, periods: pl.DataFrame, changing: list[str]) -> pl.DataFrame:
    """Cut the time of each part where its strata change; what no period covers has none."""
    missing = [name for name in ("device", "since", "until") if name not in periods.columns]
    if missing:
        raise UsageError(f"the table of periods has no column {', '.join(missing)}")
    held = (
        periods.select(
            pl.col("device").cast(pl.String), pl.col("since").cast(pl.Date), pl.col("until").cast(pl.Date), *changing
        )
        .filter(pl.col("until") > pl.col("since"))
        .sort("device", "since")
    )
    again = held.filter((pl.col("device") == pl.col("device").shift(1)) & (pl.col("since") < pl.col("until").shift(1)))
    if not again.is_empty():
        row = again.row(0, named=True)
        raise UsageError(f"periods of device {row['device']} overlap on {row['since']}; give each day one stratum")
    numbered = parts.with_row_index("part")
    met = (
        numbered.join(held, on="device", how="inner", suffix="_held")
        .with_columns(pl.max_horizontal("since", "since_held"), pl.min_horizontal("until", "until_held"))
        .filter(pl.col("until") > pl.col("since"))
        .drop("since_held", "until_held")
        .sort("part", "since")
    )
    before = met.select(
        "part",
        pl.col("until").shift(1).over("part").alias("gap_since"),
        pl.col("since").alias("gap_until"),
    )
    after = met.group_by("part").agg(pl.col("until").max().alias("gap_since"))
    gaps = (
        pl.concat([before, after.with_columns(pl.lit(None, pl.Date).alias("gap_until"))])
        .join(numbered, on="part", how="inner")
        .with_columns(
            pl.coalesce("gap_since", "since").alias("since"), pl.coalesce("gap_until", "until").alias("until")
        )
        .drop("gap_since", "gap_until")
    )
    never = numbered.join(met.select("part").unique(), on="part", how="anti")
    bare = pl.concat([gaps.select(numbered.columns), never]).filter(pl.col("until") > pl.col("since"))
    empty = [pl.lit(None, met.schema[name]).alias(name) for name in changing]
    return pl.concat([met, bare.with_columns(empty).select(met.columns)]).drop("part")


def _in_bands(parts: pl.DataFrame, age_bands_days: Sequence[int]) -> list[pl.DataFrame]:
    """Cut the time of each part at the ages; a device without date of birth has no band."""
    edges = sorted({0, *(int(edge) for edge in age_bands_days)})
    if edges[0] < 0:
        raise UsageError(f"ages of {edges[0]} days cannot begin a band; bands begin at 0 or later")
    bands = [parts.filter(pl.col("born").is_null()).with_columns(pl.lit(None, pl.Int64).alias(AGE))]
    known = parts.filter(pl.col("born").is_not_null())
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        # Time before the day of birth is of the youngest band: dates of making are often those of a paper.
        since = pl.col("since") if low == 0 else pl.max_horizontal("since", pl.col("born") + pl.duration(days=low))
        until = pl.col("until") if high is None else pl.min_horizontal("until", pl.col("born") + pl.duration(days=high))
        band = known.with_columns(since.alias("since"), until.alias("until"), pl.lit(low, pl.Int64).alias(AGE))
        bands.append(band.filter(pl.col("until") > pl.col("since")))
    return bands
