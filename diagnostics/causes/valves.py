"""How a valve fails, which tells causes apart: works harder, turns freely, does not turn, overruns, leaks."""

from __future__ import annotations

import polars as pl

from diagnostics.causes.cause import CASE, Cases

DEAD_RATIO = 0.2  # a motor that draws so little of its usual current has not turned
FREE_RATIO = 0.8  # less than ever: nothing brakes it, the gear has lost the ball
HARDER_RATIO = 1.3
SLOWER_RATIO = 1.4
LEAST_SHARE = 0.3  # of the movements since the onset
CLOSED_FLOW = "actuator.closed_flow"
SEAT_SHARE = 0.7  # of the usual use: less seeps through a seat, as much means that the way is open

# Columns of with_valve_signs; null where the meter has not moved its valve or does not tell.
RUNS_HARDER = pl.col("runs_harder")
RUNS_FREE = pl.col("runs_free")
STANDS_STILL = pl.col("stands_still")
OVERRUNS = pl.col("overruns")
LEAKS = pl.col("leaks")
RUNS_ON = pl.col("runs_on")


def with_valve_signs(rows: pl.DataFrame, cases: Cases) -> pl.DataFrame:
    """Return `rows` with how the valve moved since the onset.

    Parameters
    ----------
    rows : polars.DataFrame
        Cases.
    cases : Cases
        Where they are from.

    Returns
    -------
    polars.DataFrame
        With more columns, null for other faults than the actuator's: ``runs_harder`` (current above its baseline, or
        travel time where no current is sent), ``runs_free`` (current below any before), ``stands_still`` (hardly any
        current: the motor was not driven), ``overruns`` (usual current, but longer: the end position is not seen),
        ``leaks`` (it moves as ever and some water passes it closed), ``runs_on`` (the same, but as much water as ever:
        something holds it open or leads around it). And ``moved_current``, ``moved_travel``, medians of the movements
        that show it, to their baselines [1]; ``leaked_m3`` through the closed valve [m³] and ``leaked_share``, a
        day's median to the usual use of a day [1].
    """
    current, travel = pl.col("current_ratio"), pl.col("travel_ratio")
    moved = pl.col("valve_moved").fill_null(value=False)
    since = cases.near(0, 10_000).filter(pl.col("fault") == "actuator")
    dead, free, harder = current < DEAD_RATIO, current.is_between(DEAD_RATIO, FREE_RATIO), current >= HARDER_RATIO
    slower = travel >= SLOWER_RATIO
    told = since.filter(moved).group_by(CASE).agg(
        dead.mean().alias("dead"), free.mean().alias("free"), harder.mean().alias("harder"),
        slower.mean().alias("slower"),
        current.filter(harder).median().alias("hard_current"), current.filter(current < FREE_RATIO).median()
        .alias("weak_current"), travel.filter(slower).median().alias("moved_travel"),
    )  # fmt: skip
    leaking = cases.around.filter(pl.col("fault") == "actuator", pl.col("closed_flow_m3") > 0)
    leaked = leaking.group_by(CASE).agg(
        pl.col("closed_flow_m3").sum().alias("leaked_m3"),
        (pl.col("closed_flow_m3").median() / pl.col("usual_m3").median()).alias("leaked_share"),
    )
    # The rule also sees what passes between the readings of a meter that tells a day at once.
    seeps = cases.fired.filter(pl.col("rule") == CLOSED_FLOW).select("meter_id", pl.lit(value=True).alias("seeps"))
    known = (
        rows.join(seeps.unique(), on="meter_id", how="left", maintain_order="left")
        .join(told, on=CASE, how="left", maintain_order="left")
        .join(leaked, on=CASE, how="left", maintain_order="left")
    )
    # Meters that send no current are judged by the time alone.
    timed = pl.col("dead").is_null() & pl.col("slower").is_not_null()
    still = pl.when(timed).then(False).otherwise(pl.col("dead") >= LEAST_SHARE)
    hard = (pl.col("harder") >= LEAST_SHARE) | (pl.col("harder").is_null() & (pl.col("slower") >= LEAST_SHARE))
    loose = pl.when(timed).then(False).otherwise(pl.col("free") >= LEAST_SHARE) & ~hard
    over = (pl.col("slower") >= LEAST_SHARE) & ~hard & ~loose
    as_ever = ~(still | hard | loose | over).fill_null(value=False)
    through = (pl.col("leaked_share").is_finite() & (pl.col("leaked_share") >= SEAT_SHARE)).fill_null(value=False)
    passes = ((pl.col("leaked_m3") > 0) | pl.col("seeps")).fill_null(value=False)
    actuator = pl.col("fault") == "actuator"
    return known.with_columns(
        pl.when(actuator).then(still).alias("stands_still"),
        pl.when(actuator).then(hard & ~still).alias("runs_harder"),
        pl.when(actuator).then(loose & ~still).alias("runs_free"),
        pl.when(actuator).then(over & ~still).alias("overruns"),
        pl.when(actuator).then(passes & as_ever & ~through).alias("leaks"),
        pl.when(actuator).then(as_ever & through).alias("runs_on"),
        pl.when(still | loose).then(pl.col("weak_current")).when(hard).then(pl.col("hard_current"))
        .alias("moved_current"),
    )  # fmt: skip
