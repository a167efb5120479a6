"""Age: a meter near the end of what it was built for."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import AgeCauseSettings
from diagnostics.causes.cause import Cases, cause, flag, no_weight, weighed
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

YEAR_D = 365.25


@cause(
    "age",
    settings=lambda settings: settings.age,
    source="verification rules limit household meters to six years; radio cells wear out together after nine to"
    " fourteen",
    en=Text("Age", "The meter is old for its kind.", "Exchange the meter rather than the part; plan its neighbours."),
    zh=Text("老化", "表计已接近或超过使用年限。", "建议整表更换，并安排同期表计轮换。"),
)
def age(cases: Cases, settings: AgeCauseSettings) -> pl.DataFrame:
    """Weigh the years since installation, or since production where that is all that is known."""
    rows = cases.of("coil", "battery", "actuator")
    if rows.is_empty():
        return no_weight()
    since = pl.coalesce("installed_on", "produced_on", "shipped_on")
    years = (pl.col("onset_day") - since).dt.total_days() / YEAR_D
    battery = pl.col("fault") == "battery"
    from_years = pl.when(battery).then(settings.battery_from_years).otherwise(settings.from_years)
    full_years = pl.when(battery).then(settings.battery_full_years).otherwise(settings.full_years)
    grown = ((years - from_years) / (full_years - from_years)).clip(0, 1)
    highest = flag(battery, settings.battery_weight) + flag(~battery, settings.weight)
    return weighed(
        rows,
        (grown * highest).fill_null(0),
        together(
            observation(
                "cause.age", "years_in_service", years.round(1), "a", threshold=from_years,
                basis=pl.when(pl.col("installed_on").is_not_null()).then(pl.lit("installed_on"))
                .otherwise(pl.lit("produced_on")),
            ),
        ),
    )  # fmt: skip
