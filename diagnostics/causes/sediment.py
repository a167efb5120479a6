"""Sediment: a valve that works harder, works in the pipe before, other valves of the zone that fail, sand found."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import SedimentCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, weighed
from diagnostics.causes.neighbours import beside_others
from diagnostics.causes.valves import LEAKS, OVERRUNS, RUNS_FREE, RUNS_HARDER, RUNS_ON, STANDS_STILL, with_valve_signs
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

# Works that stir up a pipe, by the words of their kind; radio works and the like do not.
PIPE_WORKS = r"(?i)pipe|main|flush|network|repair|burst|water|管|冲洗|施工|停水"
NO_PIPE_WORKS = r"(?i)radio|gateway|base.?station|network maintenance|网关|基站|通信"


@cause(
    "sediment",
    settings=lambda settings: settings.sediment,
    source="step 7 of the service procedure: sand and impurities in the pipe; several valves of a zone after works",
    en=Text(
        "Sediment",
        "The valve works harder, pipe works came before, other valves of the zone fail, or sand was found.",
        "Flush the branch, run the valve to and fro, clean the strainer; tell the operator of the pipe.",
    ),
    zh=Text(
        "泥沙杂质",
        "阀门阻力增大、此前有管道施工、同片区多只阀门异常或现场见泥沙。",
        "冲洗支管、反复开关阀、清洗滤网；告知管网单位。",
    ),
)
def sediment(cases: Cases, settings: SedimentCauseSettings) -> pl.DataFrame:
    """Weigh what points to grit in the pipe: how the valve moves, and that it is not alone in it."""
    rows = cases.of("actuator")
    if rows.is_empty():
        return no_weight()
    hits = with_valve_signs(rows, cases)
    others = beside_others(cases, ("actuator",), settings.near_days)
    for part in (others, _works(cases, settings), _found(cases)):
        hits = hits.join(part, on=CASE, how="left", maintain_order="left")
    # Grit brakes the motor or keeps the seat open. It makes no motor turn freely and kills no driver.
    symptom = ratio(RUNS_HARDER, settings.harder_ratio) * ratio(LEAKS, settings.leaks_ratio)
    symptom *= ratio(RUNS_FREE | STANDS_STILL, settings.free_ratio) * ratio(OVERRUNS, settings.overruns_ratio)
    symptom *= ratio(RUNS_ON, settings.runs_on_ratio)
    shown = pl.any_horizontal(RUNS_HARDER, LEAKS, RUNS_FREE, STANDS_STILL, OVERRUNS, RUNS_ON).fill_null(value=False)
    symptom *= ratio(shown, 1.0, settings.silent_ratio)
    beside = pl.col("excess").clip(settings.alone_ratio, settings.neighbours_ratio)
    worked = pl.col("works_ts").is_not_null()
    own = pl.col("sand_here").fill_null(value=False)
    told = "cause.sediment"
    return weighed(
        hits,
        pl.when(own).then(settings.found_weight).otherwise(
            belief(
                settings.share, symptom, beside, ratio(worked, settings.works_ratio),
                ratio(pl.col("sand_near").fill_null(value=False), settings.found_near_ratio),
            )
        ),
        together(
            observation(told, "motor_current", pl.when(RUNS_HARDER).then(pl.col("moved_current").round(2)), "1"),
            observation(told, "travel_time", pl.when(RUNS_HARDER).then(pl.col("moved_travel").round(2)), "1"),
            observation(told, "closed_flow", pl.when(LEAKS).then(pl.col("leaked_m3").round(3)), "m³"),
            observation(told, "neighbours_failed", pl.when(pl.col("excess") > 1).then("others"),
                        times=pl.col("excess").round(1)),
            observation(told, "works_before_onset", pl.col("works_kind"), since=pl.col("works_ts")),
            observation(told, "found_on_site", pl.when(own).then(pl.lit("sediment_seen"))),
        ),
    )  # fmt: skip


def _works(cases: Cases, settings: SedimentCauseSettings) -> pl.DataFrame:
    """Return the last pipe works of the region or site that began within the months before the onset."""
    kind = pl.col("kind").fill_null("")
    works = cases.seen.facts.works.filter(kind.str.contains(PIPE_WORKS) & ~kind.str.contains(NO_PIPE_WORKS)).select(
        "region", pl.col("site").alias("works_site"), pl.col("from").alias("works_ts"),
        pl.col("kind").alias("works_kind"),
    )  # fmt: skip
    return (
        cases.rows.join(works, on="region")
        .filter(
            pl.col("works_site").is_null() | (pl.col("works_site") == pl.col("site")),
            pl.col("works_ts") <= pl.col("onset") + pl.duration(days=1),
            pl.col("works_ts") >= pl.col("onset") - pl.duration(days=settings.works_days),
        )
        .sort("works_ts")
        .group_by(CASE, maintain_order=True)
        .agg(pl.col("works_ts", "works_kind").last())
    )


def _found(cases: Cases) -> pl.DataFrame:
    """Return where a technician saw sand: in this meter, or in another one of its site."""
    seen = cases.seen.facts.inspections.filter(pl.col("sediment_seen")).select("meter_id").unique()
    own = cases.rows.join(seen, on="meter_id", how="semi").select(*CASE, pl.lit(value=True).alias("sand_here"))
    places = cases.seen.facts.meters.join(seen, on="meter_id", how="semi").select("region", "site").drop_nulls()
    near = cases.rows.join(places.unique(), on=["region", "site"], how="semi").select(
        *CASE, pl.lit(value=True).alias("sand_near")
    )
    return cases.rows.select(CASE).join(own, on=CASE, how="left").join(near, on=CASE, how="left")
