"""Meters at risk of frost in the days of a forecast: how cold each will get, for how long, and whether its water moves.

Pure arithmetic on what is known as of a time. Each meter that sends a temperature tells itself how far its case
follows the air; for others the kind of installation does (:mod:`diagnostics.shelter`).
"""

from __future__ import annotations

from datetime import date

import polars as pl

from diagnostics.facts import Facts
from diagnostics.settings import FrostRiskSettings
from diagnostics.shelter import BARE, drivers, of_kind
from lake.schemas import TIME

DAY_H = 24.0
Z90 = 1.645  # half a 90 % interval, in standard deviations
SUPPOSED_C = 2.5  # standard deviation of a case temperature that only the kind of installation tells; assumed
LEAST_SD_C = 0.7
FORECAST_SD_C = 1.0  # of a forecast minimum for tomorrow, and what each further day adds; assumed
FORECAST_SD_C_PER_D = 0.3
TIERS = ("caution", "warning", "severe")

FROST_RISK = pl.Schema(
    {
        "meter_id": pl.String(),
        "score": pl.Float64(),
        "score_low": pl.Float64(),
        "score_high": pl.Float64(),
        "tier": pl.String(),
        "from": TIME,
        "until": TIME,
        "lowest_c": pl.Float64(),
        "lowest_low_c": pl.Float64(),
        "lowest_high_c": pl.Float64(),
        "degree_hours": pl.Float64(),
        "frost_days": pl.Int64(),
        "share": pl.Float64(),
        "learned_days": pl.Int64(),
        "away": pl.Boolean(),
        "running": pl.Boolean(),
        "installation": pl.String(),
    }
)


def frost_risk(
    days: pl.DataFrame, features: pl.DataFrame, facts: Facts, today: date, settings: FrostRiskSettings | None = None
) -> pl.DataFrame:
    """Return the meters that the forecast puts at risk of frost.

    The chance that a pipe freezes grows with the degree-hours below 0 °C at the meter (the heat that has to leave the
    water), is greater where water stands and smaller where it runs. How much a pipe bears is known roughly: half of
    all would be frozen at ``half_degree_hours``, with a wide spread. It is a score to rank by, not a promise.

    Parameters
    ----------
    days, features : polars.DataFrame
        As in :class:`diagnostics.features.View`.
    facts : Facts
        Registry, and weather with forecast days.
    today : date
        Local day of the diagnosis: forecasts for it and later days count.
    settings : FrostRiskSettings, optional

    Returns
    -------
    polars.DataFrame
        One row a meter at risk, sorted by ``meter_id``: ``score`` and its interval [1], ``tier`` (caution, warning,
        severe), ``from, until`` (begin of the first and end of the last frost day, UTC of the weather's days),
        ``lowest_c`` with a 90 % interval, ``degree_hours`` below 0 °C [K·h], ``frost_days``, ``share`` of the air's
        difference that arrives at the case, ``learned_days`` (0: supposed from the installation), ``away`` (the
        register stands), ``running`` (it never stands) and ``installation``.
    """
    settings = settings or FrostRiskSettings()
    if not settings.enabled:
        return pl.DataFrame(schema=FROST_RISK)
    air = drivers(facts.weather, settings.swing_c)
    ahead = air.filter(pl.col("forecast") & (pl.col("day") >= today))
    if ahead.is_empty() or days.is_empty():
        return pl.DataFrame(schema=FROST_RISK)
    meters = _relation(days, air, settings).join(_water(features, settings), on="meter_id", maintain_order="left")
    each = meters.join(ahead, on=["region", "kind"], maintain_order="left_right").with_columns(
        (pl.col("level_c") + pl.col("share") * (pl.col("driver_c") - pl.col("mean_driver_c"))).alias("low_c"),
        (pl.col("swing_c") * pl.col("share").clip(0, 1)).alias("swing_c"),
        (pl.col("sd_c").pow(2) + (pl.col("share") * _forecast_sd(today)).pow(2)).sqrt().alias("sd_c"),
    )
    each = each.with_columns(
        *(
            _degree_hours(pl.col("low_c") + sign * Z90 * pl.col("sd_c"), pl.col("swing_c")).alias(name)
            for name, sign in (("dh", 0.0), ("dh_warm", 1.0), ("dh_cold", -1.0))
        ),
        (pl.col("low_c") <= settings.warning_c).alias("hard"),
    )
    frosty = pl.col("low_c") < 0
    summed = each.group_by("meter_id", maintain_order=True).agg(
        pl.col("low_c").min().alias("lowest_c"),
        pl.col("sd_c").get(pl.col("low_c").arg_min()).alias("sd_c"),
        pl.col("dh", "dh_warm", "dh_cold").sum(),
        frosty.sum().cast(pl.Int64).alias("frost_days"),
        (pl.col("hard") & pl.col("hard").shift(1, fill_value=False)).any().alias("hard_days"),
        pl.col("day").filter(frosty).min().alias("first"),
        pl.col("day").filter(frosty).max().alias("last"),
        pl.col("share", "learned_days", "away", "running", "installation").first(),
    )
    factor = pl.when("away").then(settings.away_factor).when("running").then(settings.running_factor).otherwise(1.0)
    scores = {
        name: (1 / (1 + (settings.half_degree_hours / (pl.col(dh) * factor).clip(1e-6)).pow(settings.steepness)))
        for name, dh in (("score", "dh"), ("score_low", "dh_warm"), ("score_high", "dh_cold"))
    }  # fmt: skip
    step = (
        (pl.col("lowest_c") <= settings.caution_c).cast(pl.Int64)
        + (pl.col("lowest_c") <= settings.warning_c).cast(pl.Int64)
        + (pl.col("hard_days") | (pl.col("away") & (pl.col("lowest_c") <= settings.warning_c))).cast(pl.Int64)
    )
    names = pl.DataFrame({"step": range(len(TIERS) + 1), "tier": [None, *TIERS]}, schema_overrides={"tier": pl.String})
    return (
        summed.with_columns(step.cast(pl.Int64).alias("step"))
        .filter(pl.col("step") > 0)
        .join(names, on="step", how="left", maintain_order="left")
        .select(
            "meter_id",
            *(score.round(4).alias(name) for name, score in scores.items()),
            "tier",
            pl.col("first").cast(TIME).alias("from"),
            (pl.col("last") + pl.duration(days=1)).cast(TIME).alias("until"),
            pl.col("lowest_c").round(1),
            (pl.col("lowest_c") - Z90 * pl.col("sd_c")).round(1).alias("lowest_low_c"),
            (pl.col("lowest_c") + Z90 * pl.col("sd_c")).round(1).alias("lowest_high_c"),
            pl.col("dh").round(0).alias("degree_hours"),
            "frost_days",
            pl.col("share").round(2),
            "learned_days",
            "away",
            "running",
            "installation",
        )
        .cast(FROST_RISK)
        .sort("meter_id")
    )


def _forecast_sd(today: date) -> pl.Expr:
    return FORECAST_SD_C + FORECAST_SD_C_PER_D * (pl.col("day") - pl.lit(today)).dt.total_days()


def _relation(days: pl.DataFrame, air: pl.DataFrame, settings: FrostRiskSettings) -> pl.DataFrame:
    r"""Return how the case of each meter follows the air.

    Least squares on the days with a measured temperature, drawn towards what the installation lets expect: with weight
    w on the share :math:`s_0`, and of some days on the level,

    .. math:: s = \frac{\sum (x-\bar x)(y-\bar y) + w s_0}{\sum (x-\bar x)^2 + w}
    """
    placed = days.select(
        "meter_id", "day", "region", pl.col("installation"), pl.col("installation").fill_null(BARE).alias("kind"),
        "ambient_min_c",
    ).filter(pl.col("region").is_not_null())  # fmt: skip
    share0, lift0 = of_kind(pl.col("kind"))
    seen = placed.join(
        air.filter(~pl.col("forecast")).select("region", "kind", "day", "driver_c"),
        on=["region", "kind", "day"], how="left", maintain_order="left",
    )  # fmt: skip
    both = pl.col("ambient_min_c").is_not_null() & pl.col("driver_c").is_not_null()
    x, y = pl.col("driver_c").filter(both), pl.col("ambient_min_c").filter(both)
    n = pl.col("learned_days")
    sums = seen.group_by("meter_id", maintain_order=True).agg(
        pl.col("region", "kind", "installation").last(),
        both.sum().cast(pl.Int64).alias("learned_days"),
        x.mean().alias("mean_x"),
        y.mean().alias("mean_y"),
        ((x - x.mean()) ** 2).sum().alias("sxx"),
        ((y - y.mean()) ** 2).sum().alias("syy"),
        ((x - x.mean()) * (y - y.mean())).sum().alias("sxy"),
    )
    with_prior = sums.with_columns(share0.alias("share0"), lift0.alias("lift0")).with_columns(
        pl.col("mean_x").fill_null(0.0).alias("mean_driver_c")
    )
    slope = (pl.col("sxy").fill_null(0) + settings.share_weight * pl.col("share0")) / (
        pl.col("sxx").fill_null(0) + settings.share_weight
    )
    expected = pl.col("lift0") + pl.col("share0") * pl.col("mean_driver_c")
    level = (n * pl.col("mean_y").fill_null(0) + settings.level_days * expected) / (n + settings.level_days)
    share = pl.col("share")
    left = (pl.col("syy") - 2 * share * pl.col("sxy") + share**2 * pl.col("sxx")).clip(0)
    own = (left / (n - 2).clip(1)).sqrt().clip(LEAST_SD_C)
    return (
        with_prior.with_columns(slope.clip(0, 1.2).alias("share"), level.alias("level_c"))
        .with_columns(pl.when(n >= settings.level_days).then(own).otherwise(pl.lit(SUPPOSED_C)).alias("sd_c"))
        .select(
            "meter_id", "region", "kind", "installation", "learned_days", "mean_driver_c", "share", "level_c", "sd_c"
        )
    )


def _water(features: pl.DataFrame, settings: FrostRiskSettings) -> pl.DataFrame:
    """Return where the water stands because nobody is there, and where it never does."""
    silent = pl.col("silent_h") > DAY_H * 2
    return features.select(
        "meter_id",
        ((pl.col("standing_h") >= settings.away_h) & ~silent).fill_null(value=False).alias("away"),
        (pl.col("least_flow_m3h_7d") > 0).fill_null(value=False).alias("running"),
    )


def _degree_hours(low_c: pl.Expr, swing_c: pl.Expr) -> pl.Expr:
    r"""Return the degree-hours below 0 °C of a day [K·h] whose temperature is a sine between its extremes.

    With mean m and amplitude a it is :math:`\frac{24}{\pi}\left(\sqrt{a^2-m^2} - m \arccos(m/a)\right)` where the
    sine crosses zero.

    Examples
    --------
    >>> pl.select(_degree_hours(pl.lit(-10.0), pl.lit(0.0)).round(1), b=_degree_hours(pl.lit(1.0), pl.lit(8.0))).row(0)
    (240.0, 0.0)
    """
    half = (swing_c / 2).clip(1e-9)
    mean = low_c + half
    ratio = (mean / half).clip(-1, 1)
    crossing = DAY_H / 3.141592653589793 * half * ((1 - ratio**2).sqrt() - ratio * ratio.arccos())
    return pl.when(mean <= -half).then(-mean * DAY_H).otherwise(crossing)
