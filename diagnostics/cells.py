"""What the voltages of a battery say once cold, and whatever all cells of the kind do that day, is taken off.

Resting voltage and sag under load follow temperature in every healthy cell. The daily row expects them from the
meter's own days at the temperature it measured; here the rest is explained: days colder than any it knows, meters that
send no temperature (their peers of the same day, else the weather of their region), and what the peers do, too.
"""

from __future__ import annotations

import polars as pl

# Slopes beyond what a meter's own days tell; of the order of a real cell's 0.10 V between +15 and -10 °C, rounded up.
COLDER_V_PER_C = 0.003
WEATHER_V_PER_C = 0.005
RATIO_30_C = 3.0  # inner resistance at -10 °C against 20 °C
COLDER_SHARE = 0.5  # of the sag expected beyond the coldest day known
# What remains unknown of a meter without a temperature: with peers, with the weather alone, with neither.
UNKNOWN_V = (0.02, 0.04, 0.12)
UNKNOWN_SAG_V = (0.03, 0.05, 0.15)
COMMON_LIMIT_V = 0.3  # more than this no cold does to all of them
COMMON_LIMIT = 4.0
UNMEASURED = 1.3  # times what peers show, where the meter may hang in a colder place than they
LEAST_SAG_V = 0.03  # as the expectation is taken at least
MAD_TO_SIGMA = 1.25
LEAST_NOISE_V = 0.003
LEAST_NOISE_DAYS = 7


def with_cells(days: pl.DataFrame) -> pl.DataFrame:
    """Return `days` with what is left of a fall and of a sag when everything harmless is taken off.

    Parameters
    ----------
    days : polars.DataFrame
        Daily rows with the columns of :func:`diagnostics.features.with_derived`, :func:`diagnostics.facts.with_place`
        and :func:`diagnostics.peers.with_peers`.

    Returns
    -------
    polars.DataFrame
        With ``cell_fall_v``, fall of the resting voltage that nothing harmless explains [V]; ``cell_sag_v``, the same
        of the sag under load [V]; ``cell_noise_v``, standard deviation of the meter's own healthy days [V].
    """
    case_c = pl.col("case_min_c")
    colder_c = (case_c.median().over("meter_id") - case_c).clip(0)
    compensated = pl.col("battery_compensated").fill_null(value=False)
    beyond_c = (pl.col("battery_base_min_c") - pl.col("battery_temperature_c")).clip(0).fill_null(0)
    noise = MAD_TO_SIGMA * pl.col("battery_base_dev_v") / pl.col("battery_base_dev_days")
    known = pl.col("battery_base_dev_days") >= LEAST_NOISE_DAYS

    common = pl.col("peer_fall_v").clip(0, COMMON_LIMIT_V)
    fall = (
        pl.when(compensated)
        .then(pl.max_horizontal(beyond_c * COLDER_V_PER_C, common))
        .when(common.is_not_null())
        .then(common + UNKNOWN_V[0])
        .when(case_c.is_not_null())
        .then(colder_c * WEATHER_V_PER_C + UNKNOWN_V[1])
        .otherwise(UNKNOWN_V[2])
    )
    sag = _harmless_sag(colder_c)
    return days.with_columns(
        (pl.col("battery_fall_v") - fall).round(4).alias("cell_fall_v"),
        (pl.col("sag_excess_v") - sag).round(4).alias("cell_sag_v"),
        pl.when(known).then(noise).clip(LEAST_NOISE_V).fill_null(2 * LEAST_NOISE_V).alias("cell_noise_v"),
    )


def _harmless_sag(colder_c: pl.Expr) -> pl.Expr:
    """Return the sag beyond its expectation that cold and peers explain [V]."""
    expected = pl.col("load_expected_sag_v").clip(0)
    # Cold multiplies: what peers have more is a share of their own sag.
    common = pl.col("peer_sag_excess").clip(0, COMMON_LIMIT) * expected.clip(LEAST_SAG_V)
    warmth = pl.col("battery_temperature_c")
    beyond = (resistance(warmth) / pl.col("load_base_max_x") - 1).clip(0)
    return (
        pl.when(warmth.is_not_null())
        .then(pl.max_horizontal(beyond * expected * COLDER_SHARE, common))
        .when(common.is_not_null())
        .then(common * UNMEASURED + UNKNOWN_SAG_V[0])
        .when(pl.col("case_min_c").is_not_null())
        .then(expected * (RATIO_30_C ** (colder_c / 30.0) - 1) + UNKNOWN_SAG_V[1])
        .otherwise(UNKNOWN_SAG_V[2])
    )


def resistance(celsius: pl.Expr) -> pl.Expr:
    """Return the inner resistance of a cell at a temperature [°C], in units of that at 20 °C."""
    return pl.lit(RATIO_30_C) ** ((20.0 - celsius) / 30.0)
