"""What makes a group stand out, in a word: its lot, its module, its installer, its place, the cold, or nothing known.

Groups overlap: a lot whose meters carry one vendor's module stands out when the module is bad, and the vendor when the
lot is. :func:`diagnostics.batches.comparisons` takes them apart by the same group elsewhere and by others in the same
place; here its answers become one of the causes, by what kind of group it is that carries the excess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches import assess, comparisons
from diagnostics.batches.cohort import STRATA, Cohort
from lake.vocabulary import BATCH_SCOPES

RULE = "batch"
BOTH = 0.7  # share of a group's failures from which on another group comes into question
NO_EXCESS_P = 0.01
NO_EXCESS_RATIO = 1.5

# Which groups come into question as the true reason of another one.
_OTHERS: Mapping[str, tuple[str, ...]] = {
    "production_batch": ("module_vendor", "firmware", "installer", "site", "region"),
    "module_vendor": ("production_batch", "firmware", "installer", "region"),
    "model": ("production_batch", "module_vendor", "firmware", "region"),
    "firmware": ("production_batch", "module_vendor", "region"),
    "region": ("production_batch", "installer", "site"),
    "site": ("production_batch", "installer"),
    "installer": ("production_batch", "site", "region"),
}

# What a group that is bad by itself is a case of. A bad model has no word of its own among the causes.
_OWN: Mapping[str, str] = {
    "production_batch": "production_batch",
    "module_vendor": "module",
    "firmware": "module",
    "installer": "installation",
    "model": "unknown",
}


@dataclass(frozen=True, slots=True)
class Told:
    """The answer.

    Parameters
    ----------
    cause : str
        A word of :data:`lake.vocabulary.CAUSES`.
    evidence : list of dict
        The comparisons that decided it.
    """

    cause: str
    evidence: list[dict[str, object]] = field(default_factory=list)


def causes(cohort: Cohort, fault: str, asked: pl.DataFrame, settings: BatchSettings) -> dict[tuple[str, str], Told]:
    """Return what makes each group stand out with a fault.

    Parameters
    ----------
    cohort : Cohort
        Who was at risk and who failed.
    fault : str
        The fault.
    asked : polars.DataFrame
        ``scope, group, devices, verdict, observed, expected`` of the groups; where lot and place cannot be separated no
        cause is named.
    settings : BatchSettings

    Returns
    -------
    dict of (scope, group) to Told
    """
    devices = cohort.at_risk(fault).with_columns(
        pl.col("failed").is_not_null().alias("has_failed"), pl.lit(None, dtype=pl.String).alias("group")
    )
    scopes = [scope for scope in BATCH_SCOPES if devices[scope].null_count() < devices.height]
    compared = comparisons(
        devices, asked.select("scope", "group"), scopes=scopes, strata=STRATA[fault], settings=settings
    )
    cold = _in_like_cold(devices, fault, settings) if "region" in asked["scope"].to_list() else {}
    called = asked.filter(pl.col("verdict").is_in(["act", "watch"]))
    sizes = {(row["scope"], row["group"]): row["devices"] for row in called.iter_rows(named=True)}
    told = {}
    for row in asked.iter_rows(named=True):
        scope, group = row["scope"], row["group"]
        failed = devices.filter((pl.col(scope) == group) & pl.col("has_failed"))
        overlaps = _overlaps(compared, scope, group, failed.height)
        narrower = _narrower(overlaps, sizes, row["devices"])
        told[scope, group] = _told(
            row, fault, failed, overlaps, narrower, cold.get(group) if scope == "region" else None
        )
    return told


def _told(
    row: Mapping[str, object],
    fault: str,
    failed: pl.DataFrame,
    overlaps: pl.DataFrame,
    narrower: str | None,
    cold: tuple[float, float] | None,
) -> Told:
    scope = str(row["scope"])
    evidence = [_overlap(overlap) for overlap in overlaps.iter_rows(named=True)]
    by_cold = False
    if cold is not None:
        expected, p_value = cold
        evidence.append(_cold(row, expected))
        # What meters in like cold have elsewhere, too, is the cold's.
        observed = float(str(row["observed"]))
        by_cold = observed < NO_EXCESS_RATIO * expected or p_value > NO_EXCESS_P
    others = overlaps.filter(pl.col("answer") == "other")
    if row["verdict"] == "not_separable":
        # Group and place coincide; whether a lot within it carries the failures may be told all the same.
        cause = str(_OWN.get(others["other_scope"][0]) or "unknown") if others.height else "unknown"
    elif others.height:
        cause = _OWN.get(others["other_scope"][0]) or _of_place(fault, failed)
    elif narrower is not None:
        cause = _OWN.get(narrower) or _of_place(fault, failed)
    elif scope == "region":
        cause = "low_temperature" if by_cold or fault == "low_temperature" else "unknown"
    else:
        cause = _OWN.get(scope) or _of_place(fault, failed)
    likely: dict[str, object] = {"rule": RULE, "what": "likely_cause", "value": cause, "unit": ""}
    return Told(cause, [*evidence, likely])


def _overlaps(compared: pl.DataFrame, scope: str, group: str, failed: int) -> pl.DataFrame:
    """Return the comparisons with groups that share most failures; what explains them comes first, the surest of it."""
    return compared.filter(
        (pl.col("scope") == scope)
        & (pl.col("group") == group)
        & pl.col("other_scope").is_in(_OTHERS[scope])
        & pl.col("other_key").is_not_null()
        & (pl.col("inside_observed") >= BOTH * max(failed, 1))
    ).sort(pl.col("answer") == "other", "other", descending=True, maintain_order=True)


def _narrower(overlaps: pl.DataFrame, sizes: Mapping[tuple[str, str], int], devices: int) -> str | None:
    """Return the scope of a smaller group that stands out by itself, where nothing tells it from the larger one.

    A vendor of whose five failures four are of one bad lot is no case of the vendor.
    """
    for row in overlaps.filter(pl.col("answer") == "open").iter_rows(named=True):
        if sizes.get((row["other_scope"], row["other_key"]), devices) < devices:
            return str(row["other_scope"])
    return None


def _overlap(row: Mapping[str, object]) -> dict[str, object]:
    return {
        "rule": RULE,
        "what": "batch_overlap",
        "value": row["other_key"],
        "unit": "",
        "scope": row["other_scope"],
        "decided": row["answer"],
        **{name: _rounded(row[name]) for name in (
            "inside_observed", "inside_expected", "elsewhere_observed", "elsewhere_expected", "elsewhere_keys",
            "others_observed", "others_expected", "others_groups",
        )},
    }  # fmt: skip


def _of_place(fault: str, failed: pl.DataFrame) -> str:
    """Return what a bad place is a case of, by the fault and what the failed meters' places are like."""
    if failed.is_empty():
        return "unknown"
    if fault == "low_temperature":
        return "low_temperature"
    if fault == "actuator":
        return "sediment"
    if _most(failed["flood"]):
        return "moisture"
    if fault == "battery" and _most(failed["radio"] == "weak"):
        return "coverage"
    return "low_temperature" if _most(failed["cold"] == "hard") else "unknown"


def _most(holds: pl.Series) -> bool:
    return int(holds.sum()) >= BOTH * len(holds)


def _in_like_cold(devices: pl.DataFrame, fault: str, settings: BatchSettings) -> dict[str, tuple[float, float]]:
    """Return for each region what meters in like cold elsewhere let it expect, and the tail of what it has."""
    table = devices.with_columns(pl.col("region").alias("group"))
    found = assess(table, strata=STRATA[fault], settings=settings)
    return {name: (expected, p) for name, expected, p in found.select("group", "expected", "p_value").iter_rows()}


def _cold(row: Mapping[str, object], in_like_cold: float) -> dict[str, object]:
    return {
        "rule": RULE,
        "what": "batch_cold",
        "value": row["observed"],
        "unit": "",
        "expected": _rounded(row["expected"]),
        "in_like_cold": _rounded(in_like_cold),
    }


def _rounded(value: object) -> object:
    return round(value, 2) if isinstance(value, float) else value
