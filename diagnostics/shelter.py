"""How cold it gets at a meter, from the air of its region and the kind of its installation.

Assumed, and the order is that of field reports: exposed boxes freeze in a night, pits after several cold days, heated
rooms hardly. Whoever measures tells better: the meter itself, and others of its region and kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Shelter:
    """How a case follows the air.

    Parameters
    ----------
    share : float
        Share of a change of the air that arrives [1].
    lift_c : float
        Temperature of the case when the air has 0 °C [°C].
    lag_d : float
        Days over which it averages the air; 0: it follows the day's lowest temperature.
    """

    share: float
    lift_c: float
    lag_d: float


SHELTERS: Mapping[str, Shelter] = {
    "outdoor": Shelter(1.0, 0.0, 0.0),
    "pit": Shelter(0.8, 4.5, 4.0),
    "basement": Shelter(0.5, 7.0, 6.0),
    "indoor": Shelter(0.15, 15.0, 6.0),
}
BARE = "outdoor"  # what is supposed where the registry says nothing


def of_kind(kind: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return share [1] and lift [°C] of a kind of installation."""
    shares = {name: each.share for name, each in SHELTERS.items()}
    lifts = {name: each.lift_c for name, each in SHELTERS.items()}
    return tuple(kind.replace_strict(known, return_dtype=pl.Float64) for known in (shares, lifts))  # type: ignore[return-value]


def drivers(weather: pl.DataFrame, usual_swing_c: float = 8.0) -> pl.DataFrame:
    """Return what drives the case of each kind of installation.

    Parameters
    ----------
    weather : polars.DataFrame
        Columns of :data:`lake.vocabulary.WEATHER`; of a region and day the measured row goes before a forecast.
    usual_swing_c : float
        Difference of a day's highest and lowest temperature where it is not told [°C].

    Returns
    -------
    polars.DataFrame
        ``region, day, kind, forecast, driver_c`` (the day's lowest air temperature, or for sheltered kinds the mean of
        the days that they take to cool) and ``swing_c`` (the day's highest less its lowest; 0 where it is a mean).
    """
    low, high = pl.col("min_c"), pl.col("max_c")
    known = (
        weather.filter(pl.col("region").is_not_null() & low.is_not_null())
        .with_columns(pl.col("forecast").fill_null(value=False))
        .sort("region", "date", "forecast")
        .unique(["region", "date"], keep="first", maintain_order=True)
        .with_columns((high - low).clip(0).fill_null(usual_swing_c).alias("swing_c"))
        .with_columns(pl.coalesce("mean_c", low + pl.col("swing_c") / 2).alias("mean_c"))
    )
    parts = []
    for kind, shelter in SHELTERS.items():
        lagged = pl.col("mean_c").ewm_mean(com=shelter.lag_d).over("region")
        driver, swing = (lagged, pl.lit(0.0)) if shelter.lag_d > 0 else (low, pl.col("swing_c"))
        parts.append(
            known.select(
                "region", pl.col("date").alias("day"), pl.lit(kind).alias("kind"), "forecast",
                driver.alias("driver_c"), swing.alias("swing_c"),
            )
        )  # fmt: skip
    return pl.concat(parts)
