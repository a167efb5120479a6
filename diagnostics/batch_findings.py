"""Rows of the table ``batch_findings``: which groups of meters stand out, and what makes them.

That a group stands out is the statistics' word (:mod:`diagnostics.batches`). What makes it so is asked of those alone
that do, by comparing what overlaps: the same lot elsewhere, other lots of the same module, a region and its cold.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from diagnostics.batch_causes import Told, causes
from diagnostics.batch_settings import BatchSettings
from diagnostics.batches import Look, assess_many
from diagnostics.batches.cohort import STRATA, Cohort, places_of, strata_of
from lake.schemas import BATCH_FINDINGS
from lake.vocabulary import BATCH_SCOPES, FAULTS

ASKED = ("act", "watch", "not_separable")
AGE_BANDS_D = (0, 365, 1095, 2190)  # years in which meters are new, in their prime, ageing, old
RULE = "batch"


def batch_findings(cohort: Cohort, settings: BatchSettings | None = None) -> pl.DataFrame:
    """Return what is to be said of every group of meters.

    Parameters
    ----------
    cohort : Cohort
        Who was at risk and who failed.
    settings : BatchSettings, optional

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.BATCH_FINDINGS`, sorted by scope, fault and key; ``diagnosis_id, mode, as_of``
        are empty.
    """
    settings = settings or BatchSettings()
    tables, strata, places = {}, {}, {}
    for fault in FAULTS:
        devices = cohort.at_risk(fault)
        for scope in BATCH_SCOPES:
            table = _table(devices, scope, fault)
            if table["group"].drop_nulls().n_unique() < 2:  # nobody to compare with
                continue
            named = f"{scope} {fault}"
            tables[named, fault] = table
            strata[named] = strata_of(scope, fault)
            places[named] = tuple(name for name in places_of(scope) if name in table.columns)
    if not tables:
        return BATCH_FINDINGS.empty()
    look = Look(every_days=settings.look_days, horizon=settings.horizon_looks)
    judged = assess_many(
        tables, strata=strata, places=places, settings=settings, look=look, age_bands_days=AGE_BANDS_D
    ).with_columns(pl.col("scope").str.split(" ").list.first())
    asked = judged.filter(pl.col("verdict").is_in(ASKED))
    told = _told(cohort, asked, settings) if asked.height else _NOTHING
    rows = judged.join(told, on=["scope", "fault", "group"], how="left", maintain_order="left")
    order = pl.col("fault").replace_strict({name: place for place, name in enumerate(FAULTS)}, return_dtype=pl.Int64)
    return BATCH_FINDINGS.conform(
        rows.select(
            "scope",
            pl.col("group").alias("key"),
            "fault",
            pl.col("devices").alias("meters"),
            pl.col("exposure_days").cast(pl.Float64).alias("exposure_meter_days"),
            "observed",
            "expected",
            "ratio",
            "ratio_low",
            "ratio_high",
            "p_value",
            "q_value",
            "verdict",
            "cause",
            pl.coalesce("evidence", pl.lit("[]")).alias("evidence"),
        ).sort("scope", order, "key")
    )


_NOTHING = pl.DataFrame(
    schema={"scope": pl.String, "fault": pl.String, "group": pl.String, "cause": pl.String, "evidence": pl.String}
)


def _table(devices: pl.DataFrame, scope: str, fault: str) -> pl.DataFrame:
    wanted = dict.fromkeys((*STRATA[fault], *places_of(scope)))
    columns = ["device", "entered", "left", "failed", "born", *(name for name in wanted if name != scope)]
    return devices.select(pl.col(scope).alias("group"), *columns)


def _told(cohort: Cohort, asked: pl.DataFrame, settings: BatchSettings) -> pl.DataFrame:
    """Return cause and evidence of the groups that stand out."""
    rows = []
    for fault in asked["fault"].unique(maintain_order=True):
        own = asked.filter(pl.col("fault") == fault)
        answers = causes(cohort, fault, own, settings)
        for group in own.iter_rows(named=True):
            told = answers[group["scope"], group["group"]]
            rows.append(
                {"scope": group["scope"], "fault": fault, "group": group["group"], "cause": told.cause,
                 "evidence": _evidence(group, told)}
            )  # fmt: skip
    return pl.DataFrame(rows, schema=_NOTHING.schema)


def _evidence(group: dict[str, object], told: Told) -> str:
    """Return what decided it as JSON, in the form of every evidence: a list of observations."""
    why: dict[str, object] = group["why"]  # type: ignore[assignment]
    seen = {
        "rule": RULE,
        "what": "batch_excess",
        "value": group["observed"],
        "unit": "",
        "expected": _rounded(group["expected"]),
        "meters": group["devices"],
        "ratio": _rounded(group["ratio"]),
        "ratio_low": _rounded(group["ratio_low"]),
        "ratio_high": _rounded(group["ratio_high"]),
        "reason": why["reason"],
    }
    chance = {
        "rule": RULE,
        "what": "batch_chance",
        "value": _significant(group["p_value"]),
        "unit": "1",
        "q_value": _significant(group["q_value"]),
        "looks": group["looks"],
        "crude_expected": _rounded(why["crude_expected"]),
        "spread": _rounded(group["dispersion"]),
    }
    alone = {
        "rule": RULE,
        "what": "batch_alone",
        "value": _rounded(why["not_compared"]),
        "unit": "1",
        "observed": _rounded(why["kept_observed"]),
        "expected": _rounded(why["kept_expected"]),
        "p_value": _significant(why["kept_p_value"]),
    }
    listed = [seen, chance, alone, *_places(why), *told.evidence, *_strata(why)]
    return msgspec.json.encode(listed).decode()


def _places(why: dict[str, object]) -> list[dict[str, object]]:
    """Return in how many places there are more than expected, where it is in several."""
    places = _plain(why["places"])
    if len(places) < 2:
        return []
    more = sum(float(str(row["observed"])) > float(str(row["expected"])) for row in places)
    return [
        {"rule": RULE, "what": "batch_places", "value": more, "unit": "", "of": len(places), "places": places}
    ]  # fmt: skip


def _strata(why: dict[str, object]) -> list[dict[str, object]]:
    strata = _plain(why["strata"])
    return [{"rule": RULE, "what": "batch_strata", "value": len(strata), "unit": "", "strata": strata}]


def _plain(listed: object) -> list[dict[str, object]]:
    rows: Sequence[dict[str, object]] = listed if isinstance(listed, list) else []
    return [{name: _rounded(value) for name, value in row.items()} for row in rows]


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def _significant(value: object) -> object:
    return float(f"{value:.3g}") if isinstance(value, float) else value
