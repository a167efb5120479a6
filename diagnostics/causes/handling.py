"""What people do to a meter: tampering, and several programs that operate it."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import ConflictCauseSettings, TamperCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, flag, no_weight, weighed
from diagnostics.causes.valves import RUNS_ON, with_valve_signs
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text


@cause(
    "tamper",
    settings=lambda settings: settings.tamper,
    source="step 5 of the service procedure: seals, dents, screws; magnet and removal codes",
    en=Text(
        "Tampering",
        "The meter reported a magnet, an opening or a removal near the onset, or a technician found signs of it.",
        "Check seal, magnets, plugs and screws before anything else; take photos.",
    ),
    zh=Text("人为破坏", "症状前后有磁干扰、拆表等代码，或现场见破坏痕迹。", "先查铅封、磁铁、堵头及螺钉并拍照留证。"),
)
def tamper(cases: Cases, settings: TamperCauseSettings) -> pl.DataFrame:
    """Weigh tamper codes near the onset, what technicians found, and a valve that closes and stops nothing."""
    rows = cases.of("coil", "battery", "actuator")
    if rows.is_empty():
        return no_weight()
    codes = cases.seen.codes.filter(pl.col("family") == "tamper").select("meter_id", "code", "first_ts")
    near = (
        rows.select(*CASE, "onset")
        .join(codes, on="meter_id")
        .filter((pl.col("first_ts") - pl.col("onset")).abs() <= pl.duration(days=settings.near_days))
        .group_by(CASE)
        .agg(pl.col("code").first(), pl.col("first_ts").min().alias("code_ts"))
    )
    signs = pl.col("tamper_signs").fill_null(value=False) | ~pl.col("seal_intact").fill_null(value=True)
    found = cases.seen.facts.inspections.filter(signs).select("meter_id", pl.lit(value=True).alias("found")).unique()
    hits = (
        with_valve_signs(rows, cases)
        .join(near, on=CASE, how="left", maintain_order="left")
        .join(found, on="meter_id", how="left", maintain_order="left")
    )
    return weighed(
        hits,
        pl.max_horizontal(
            flag(pl.col("found"), settings.found_weight),
            flag(pl.col("code").is_not_null(), settings.code_weight),
            flag(RUNS_ON, belief(settings.actuator_share, pl.lit(settings.runs_on_ratio))),
        ),
        together(
            observation("cause.tamper", "code", pl.col("code"), since=pl.col("code_ts")),
            observation(
                "cause.tamper",
                "closed_flow",
                pl.when(RUNS_ON).then(pl.col("leaked_m3").round(3)),
                "m³",
                share=pl.col("leaked_share").round(2),
            ),
            observation("cause.tamper", "found_on_site", pl.when(pl.col("found")).then(pl.lit("tamper_signs"))),
        ),
    )


@cause(
    "software_conflict",
    settings=lambda settings: settings.conflict,
    source="step 8 of the service procedure: several programs operating one meter",
    en=Text(
        "Several programs",
        "More than one program delivers or operates the meter, and they contradict each other.",
        "Find out which programs read and operate it; leave one; read again before anything is exchanged.",
    ),
    zh=Text(
        "软件冲突", "多个程序读取或操作该表且相互矛盾。", "查明操作该表的所有软件，只保留一个；复核后再决定是否更换。"
    ),
)
def software_conflict(cases: Cases, settings: ConflictCauseSettings) -> pl.DataFrame:
    """Weigh days with several sources around the onset, more so where they disagree.

    A cell does not care whether they agree: each that polls the meter empties it.
    """
    rows = cases.of("coil", "battery", "actuator")
    if rows.is_empty():
        return no_weight()
    several = pl.col("sources") > 1
    days = cases.near(-settings.near_days, settings.near_days).group_by(CASE).agg(
        several.sum().cast(pl.Int64).alias("days"),
        pl.col("source_disagreements").sum().alias("disagreements"),
        pl.col("source_names").explode().drop_nulls().unique().sort().alias("names"),
    )  # fmt: skip
    hits = rows.join(days, on=CASE).filter(pl.col("days") > 0)
    differ = pl.col("disagreements") > 0
    return weighed(
        hits,
        pl.when(pl.col("fault") == "battery").then(settings.drain_weight).when(differ).then(settings.differ_weight)
        .otherwise(settings.several_weight),
        together(
            observation(
                "cause.software_conflict", "sources", pl.col("days"), "d", names=pl.col("names").list.join(", "),
                disagreements=pl.col("disagreements"),
            ),
        ),
    )  # fmt: skip
