"""Age: a meter that is old, for what it was built for and among all others."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import AgeCauseSettings
from diagnostics.causes.cause import Cases, belief, cause, no_weight, ratio, share_of, weighed
from diagnostics.causes.valves import LEAKS, OVERRUNS, RUNS_FREE, RUNS_HARDER, RUNS_ON, with_valve_signs
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

YEAR_D = 365.25
BORN = pl.coalesce("installed_on", "produced_on", "shipped_on")


@cause(
    "age",
    settings=lambda settings: settings.age,
    source="verification rules limit household meters to six years; radio cells wear out together after nine to"
    " fourteen",
    en=Text(
        "Age",
        "The meter is old for its kind and among all meters, and nothing else has drained or worn it.",
        "Exchange the meter rather than the part; plan its neighbours.",
    ),
    zh=Text("老化", "表计已接近或超过使用年限，且无其他耗损原因。", "建议整表更换，并安排同期表计轮换。"),
)
def age(cases: Cases, settings: AgeCauseSettings) -> pl.DataFrame:
    """Weigh the years since installation, or since production where that is all that is known.

    What wears out fails the more often the older it is: its rate grows with a power of the age. The ratio is that rate
    over the mean one of all meters, and it falls to nothing below the age at which anything wears out at all.
    """
    rows = cases.of("coil", "battery", "actuator")
    if rows.is_empty():
        return no_weight()
    years = (pl.col("onset_day") - BORN).dt.total_days() / YEAR_D
    wears = wear(years, settings)
    present = cases.seen.features.select("meter_id")
    everyone = cases.seen.facts.meters.join(present, on="meter_id", how="semi").select(
        wear(_years(cases), settings, battery=True).mean().alias("cell"),
        wear(_years(cases), settings, battery=False).mean().alias("rest"),
    )
    battery = pl.col("fault") == "battery"
    mean = pl.when(battery).then(pl.lit(everyone["cell"].item())).otherwise(pl.lit(everyone["rest"].item()))
    young = (years / settings.from_years).clip(0, 1) ** 2
    older = (wears / mean).clip(0, settings.most_ratio) * young
    # An old cell is exhausted, whatever the others are; a fleet that is old as a whole is old all the same.
    full = pl.when(battery).then(settings.battery_full_years).otherwise(settings.full_years)
    older = pl.max_horizontal(older, pl.when(years >= full).then(settings.full_ratio))
    hits = with_valve_signs(rows, cases)
    symptom = ratio(RUNS_HARDER, settings.harder_ratio) * ratio(LEAKS, settings.leaks_ratio)
    symptom *= ratio(RUNS_FREE, settings.free_ratio) * ratio(OVERRUNS, settings.overruns_ratio)
    symptom *= ratio(RUNS_ON, settings.runs_on_ratio)
    return weighed(
        hits.filter(years.is_not_null()),
        belief(share_of(settings.shares()), older, symptom),
        together(
            observation(
                "cause.age", "years_in_service", years.round(1), "a", threshold=settings.from_years,
                times=older.round(1),
                basis=pl.when(pl.col("installed_on").is_not_null()).then(pl.lit("installed_on"))
                .otherwise(pl.lit("produced_on")),
            ),
        ),
    )  # fmt: skip


def wear(years: pl.Expr, settings: AgeCauseSettings, battery: bool | None = None) -> pl.Expr:
    """Return how often meters of an age fail by it, up to a factor: a power of the age."""
    cell, rest = years.clip(0) ** settings.battery_growth, years.clip(0) ** settings.growth
    if battery is None:
        return pl.when(pl.col("fault") == "battery").then(cell).otherwise(rest)
    return cell if battery else rest


def _years(cases: Cases) -> pl.Expr:
    return (pl.lit(cases.seen.as_of.date()) - BORN).dt.total_days() / YEAR_D
