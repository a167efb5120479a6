"""What carries an excess: the lot itself, or something else that most of its failures share.

A lot may be bad; or its module, its firmware, the installer, the region or the zone of the pipe. Each excess is split
by every other scope: the same lot elsewhere, and others in the same place, tell which one explains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.exposure import exposure
from diagnostics.batches.reference import Cells, stratum_rates
from diagnostics.batches.tails import Floats, log_probability
from lake.errors import UsageError

ANSWERS = ("itself", "other", "together", "open")
_RATIOS = np.geomspace(1.3, 12.0, 16)  # an excess by how much is not known beforehand

_COMPARED = {
    "scope": pl.String, "group": pl.String, "other_scope": pl.String, "other_key": pl.String, "answer": pl.String,
    "inside_observed": pl.Float64, "inside_expected": pl.Float64,
    "elsewhere_observed": pl.Float64, "elsewhere_expected": pl.Float64, "elsewhere_keys": pl.Int64,
    "others_observed": pl.Float64, "others_expected": pl.Float64, "others_groups": pl.Int64,
    "itself": pl.Float64, "other": pl.Float64, "together": pl.Float64,
}  # fmt: skip


def comparisons(
    table: pl.DataFrame,
    called: pl.DataFrame,
    *,
    scopes: Sequence[str],
    strata: Sequence[str],
    settings: BatchSettings | None = None,
) -> pl.DataFrame:
    """Split the excess of each called group by every other scope.

    Parameters
    ----------
    table : polars.DataFrame
        Devices, or cells of :func:`~diagnostics.batches.exposure.exposure`, with the columns of `scopes` and `strata`.
        The column ``group`` is not used.
    called : polars.DataFrame
        ``scope`` and ``group`` of the excesses.
    scopes : sequence of str
        Columns that name groups, such as lot, module, firmware, installer, site and region.
    strata : sequence of str
        Columns that tell of exposure.
    settings : BatchSettings, optional

    Returns
    -------
    polars.DataFrame
        One row a called group and other scope. ``other_key`` is where most of the excess lies; ``inside`` is the group
        there, ``elsewhere`` the same group under other keys (how many: ``elsewhere_keys``), ``others`` what shares the
        key but is of other groups. ``itself``, ``other`` and ``together`` are the probabilities that the group, the
        other key, or only both of them together carry the excess, alike before data; ``answer`` is the one that
        reaches the confidence of the settings, else ``open``.

    Raises
    ------
    UsageError
        A column or a scope is missing.
    """
    chosen = BatchSettings() if settings is None else settings
    unknown = sorted(set(called["scope"].to_list()) - set(scopes))
    if unknown:
        raise UsageError(f"scope {', '.join(unknown)} is none of {', '.join(scopes)}")
    split = list(dict.fromkeys([*scopes, *strata]))
    rows = table
    if "device" in table.columns:
        rows = exposure(table.with_columns(pl.lit(None, pl.String).alias("group")), split)
    missing = [name for name in (*split, "days", "failures") if name not in rows.columns]
    if missing:
        raise UsageError(f"the table has no column {', '.join(missing)}")
    rows = (
        rows.group_by(split)
        .agg(pl.col("days", "failures").sum())
        .sort(split)
        .with_columns(pl.lit(None, pl.String).alias("group"))
    )
    cells = Cells.of(rows, strata, ())
    keys = {name: rows[name].cast(pl.String).fill_null("").to_numpy() for name in scopes}
    members = {(scope, group): keys[scope] == group for scope, group in called.select("scope", "group").unique().rows()}
    expected = _expected(cells, list(members.values()), chosen)
    found = [
        _split(cells, expected, keys, members, scope, group, other, chosen)
        for scope, group in called.select("scope", "group").unique(maintain_order=True).rows()
        for other in scopes
        if other != scope
    ]
    return pl.DataFrame(found, schema=_COMPARED, orient="row")


def carriers(compared: pl.DataFrame) -> pl.DataFrame:
    """Return what carries the excess of each called group, by all its comparisons.

    Something else carries it if any comparison says so, the surest one first; the group itself, if every comparison
    rules the others out; if one of them stays open, the answer does.

    Parameters
    ----------
    compared : polars.DataFrame
        What :func:`comparisons` returned.

    Returns
    -------
    polars.DataFrame
        One row a called group: ``scope, group, answer, carrier_scope, carrier_key``, where something else carries it or
        might, and the counts of the comparison that decided it.
    """
    order = pl.col("answer").replace_strict({"other": 0, "together": 1, "open": 2, "itself": 3}, return_dtype=pl.Int8)
    # Of comparisons that agree, the one that speaks loudest against the group decides, or, for it, tells most.
    weight = pl.when(pl.col("answer") == "itself").then(pl.col("elsewhere_expected")).otherwise(
        pl.max_horizontal("other", "together")
    )  # fmt: skip
    decided = (
        compared.with_columns(order.alias("order"), weight.alias("weight"))
        .sort("scope", "group", "order", "weight", "other_scope", descending=[False, False, False, True, False])
        .unique(["scope", "group"], keep="first", maintain_order=True)
    )
    itself = pl.col("answer") == "itself"
    return decided.select(
        "scope", "group", "answer",
        pl.when(itself).then("scope").otherwise("other_scope").alias("carrier_scope"),
        pl.when(itself).then("group").otherwise("other_key").alias("carrier_key"),
        "other_scope", "other_key", "inside_observed", "inside_expected", "elsewhere_observed", "elsewhere_expected",
        "elsewhere_keys", "others_observed", "others_expected", "others_groups",
    )  # fmt: skip


def _expected(cells: Cells, called: list[NDArray[np.bool_]], settings: BatchSettings) -> Floats:
    """Return what each cell is to expect by those that are of no called group, where these are enough."""
    ordinary = ~np.any(called, axis=0) if called else np.ones(cells.days.size, dtype=bool)
    if cells.days[ordinary].sum() < settings.set_aside_share * cells.days.sum() / 4:
        ordinary = np.ones(cells.days.size, dtype=bool)
    rates = stratum_rates(cells, cells.days * ordinary, cells.failures * ordinary, settings)
    return cells.days * rates.common


def _split(
    cells: Cells,
    expected: Floats,
    keys: dict[str, NDArray[np.object_]],
    members: dict[tuple[str, str], NDArray[np.bool_]],
    scope: str,
    group: str,
    other: str,
    settings: BatchSettings,
) -> tuple[object, ...]:
    own = members[scope, group]
    names, code = np.unique(keys[other][own], return_inverse=True)
    observed = np.bincount(code, weights=cells.failures[own])
    there = np.bincount(code, weights=expected[own])
    known = names != ""
    if not known.any():
        return (scope, group, other, None, "itself", *(0.0,) * 4, 0, *(0.0,) * 2, 0, 1.0, 0.0, 0.0)
    worst = int(np.argmax(np.where(known, observed - there, -np.inf)))
    shared = (keys[other] == names[worst]) & ~own
    # Other groups of the same scope that are called, too, do not tell what is usual under this key.
    for (called_scope, _), cells_of in members.items():
        if called_scope == scope:
            shared &= ~cells_of
    inside = (float(observed[worst]), float(there[worst]))
    elsewhere = (float(observed.sum() - observed[worst]), float(there.sum() - there[worst]))
    others = (float(cells.failures[shared].sum()), float(expected[shared].sum()))
    chances = _chances(inside, elsewhere, others, settings)
    answer = _answer(chances, settings.carrier_confidence)
    return (
        scope, group, other, str(names[worst]), answer, *inside, *elsewhere,
        int(np.sum(known & (there > 0))) - 1, *others, int(np.unique(keys[scope][shared]).size), *chances,
    )  # fmt: skip


def _chances(
    inside: tuple[float, float], elsewhere: tuple[float, float], others: tuple[float, float], settings: BatchSettings
) -> tuple[float, float, float]:
    """Return the probabilities that the group, the other key, or only both together carry the excess."""

    def told(part: tuple[float, float], raised: bool) -> Floats:
        ratio = _RATIOS if raised else np.ones_like(_RATIOS)
        return log_probability(np.asarray(part[0]), part[1] * ratio, settings.place_dispersion)

    hypotheses = ((True, True, False), (True, False, True), (True, False, False))
    log_likelihood = np.empty(len(hypotheses))
    for number, which in enumerate(hypotheses):
        parts = [told(part, raised) for part, raised in zip((inside, elsewhere, others), which, strict=True)]
        log_likelihood[number] = np.logaddexp.reduce(np.sum(parts, axis=0))
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    return float(weight[0]), float(weight[1]), float(weight[2])


def _answer(chances: tuple[float, float, float], confidence: float) -> str:
    """Return what the probabilities amount to.

    Without the group elsewhere, ``itself`` and ``together`` say the same, and so do ``other`` and ``together`` where
    nobody else shares the key: the simpler word is used.
    """
    itself, other, together = chances
    if together >= confidence:
        return "together"
    if itself + together >= confidence:
        return "itself"
    return "other" if other + together >= confidence else "open"
