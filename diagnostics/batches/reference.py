"""What each group is to expect: the rates of the *other* groups, stratum by stratum and place by place.

Indirect standardisation with the group itself left out. Strata in which others have seen little are drawn to the
wider stratum they are part of, by as much as strata differ; places shift what is expected by as much as places differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.shrinkage import spread_of
from diagnostics.batches.tails import Codes, Floats, sums

_LEAST_SHAPE, _MOST_SHAPE = 0.5, 2000.0


@dataclass(frozen=True, slots=True)
class Cells:
    """Exposure as arrays, one element a group, stratum and place.

    Parameters
    ----------
    frame : polars.DataFrame
        The rows.
    group : ndarray of int, shape (n,)
        Number of the group; -1 where it is not known.
    groups : int
        How many groups there are.
    strata, places : tuple of ndarray of int
        Number of the stratum by the first 0, 1, … columns; of the place by each column.
    days, failures : ndarray of float, shape (n,)
    """

    frame: pl.DataFrame
    group: Codes
    groups: int
    strata: tuple[Codes, ...]
    places: tuple[Codes, ...]
    days: Floats
    failures: Floats

    @classmethod
    def of(cls, frame: pl.DataFrame, strata: Sequence[str], places: Sequence[str]) -> Cells:
        """Return the rows of `frame`, which is sorted by group, with groups, strata and places numbered."""
        named = frame["group"].is_not_null().to_numpy()
        group = np.where(named, codes(frame, ["group"]), -1).astype(np.int64)
        first = int(group[named].min()) if named.any() else 0
        group = np.where(named, group - first, -1)
        return cls(
            frame=frame,
            group=group,
            groups=int(group.max(initial=-1)) + 1,
            strata=tuple(codes(frame, strata[:depth]) for depth in range(len(strata) + 1)),
            places=tuple(codes(frame, [name]) for name in places),
            days=frame["days"].to_numpy().astype(np.float64),
            failures=frame["failures"].to_numpy().astype(np.float64),
        )

    def by_group(self, values: Floats) -> Floats:
        """Return the sums of `values` of each group."""
        known = self.group >= 0
        return sums(self.group[known], values[known], self.groups)


def codes(frame: pl.DataFrame, columns: Sequence[str]) -> Codes:
    """Return the number of each row's key, counted from 0 in order of appearance."""
    if not columns:
        return np.zeros(frame.height, dtype=np.int64)
    keys = frame.select(columns)
    numbered = keys.unique(maintain_order=True).with_row_index("code")
    joined = keys.join(numbered, on=list(columns), how="left", nulls_equal=True, maintain_order="left")
    return joined["code"].to_numpy().astype(np.int64)


@dataclass(frozen=True, slots=True)
class Reference:
    """What the groups are to expect.

    Parameters
    ----------
    cell_expected : ndarray of float, shape (n,)
        Expected failures of each cell.
    cell_spread : ndarray of float, shape (n,)
        Relative variance of the rate of the cell's stratum.
    others_days, others_failures : ndarray of float, shape (n,)
        What other groups were exposed to and had in the cell's stratum.
    compared : ndarray of bool, shape (n,)
        Whether others tell enough about the cell's stratum.
    shared : tuple of ndarray of bool, shape (n,)
        Whether others tell enough about the cell's place, for each column of places.
    place_spread : tuple of ndarray of float, shape (n,)
        Relative variance of the effect of the cell's place.
    place_dispersion : tuple of float
        Spread of the effects of places.
    """

    cell_expected: Floats
    cell_spread: Floats
    others_days: Floats
    others_failures: Floats
    compared: NDArray[np.bool_]
    shared: tuple[NDArray[np.bool_], ...]
    place_spread: tuple[Floats, ...]
    place_dispersion: tuple[float, ...]


def reference(cells: Cells, set_aside: NDArray[np.bool_], settings: BatchSettings) -> Reference:
    """Return what each cell is to expect by what others had.

    Parameters
    ----------
    cells : Cells
    set_aside : ndarray of bool, shape (groups,)
        Groups that do not tell what others are to expect.
    settings : BatchSettings
    """
    # A group that is set aside tells nothing; one of unknown group tells like any other.
    telling = ~np.append(set_aside, False)[cells.group]
    days, failures = cells.days * telling, cells.failures * telling
    strata = stratum_rates(cells, days, failures, settings)
    expected = cells.days * strata.rate
    compared = _enough(cells, cells.strata[-1], strata.others_days * strata.rate, expected, settings)
    place_spreads, place_dispersions, shared = [], [], []
    usual = strata.common * days
    for place in cells.places:
        effect, effect_spread, dispersion, expected_there, common_effect = _place_effects(
            cells, place, failures, usual, settings
        )
        expected = expected * effect
        usual = usual * common_effect
        place_spreads.append(effect_spread)
        place_dispersions.append(dispersion)
        shared.append(_enough(cells, place, expected_there, strata.common * cells.days, settings))
    return Reference(
        cell_expected=expected,
        cell_spread=strata.spread,
        others_days=strata.others_days,
        others_failures=strata.others_failures,
        compared=compared,
        shared=tuple(shared),
        place_spread=tuple(place_spreads),
        place_dispersion=tuple(place_dispersions),
    )


def _enough(
    cells: Cells, key: Codes, others_expected: Floats, expected: Floats, settings: BatchSettings
) -> NDArray[np.bool_]:
    """Tell whether others are there: with failures to expect, or at least with as much as the group has there itself.

    At small sites nobody expects a whole failure; there it is enough that the others are as many.
    """
    own = own_sums(cells, key, expected)
    return (others_expected > 0) & (others_expected >= np.minimum(own, settings.others_expected))


def own_sums(cells: Cells, key: Codes, values: Floats) -> Floats:
    """Return for each cell the sum of `values` over its own group and `key`; 0 where the group is not known."""
    width = int(key.max(initial=0)) + 1
    pair = np.where(cells.group >= 0, cells.group * width + key, cells.groups * width)
    _, code = np.unique(pair, return_inverse=True)
    return np.where(cells.group >= 0, sums(code, values)[code], 0.0)


@dataclass(frozen=True, slots=True)
class StratumRates:
    """Rates of the strata, one element a cell.

    Parameters
    ----------
    rate : ndarray of float, shape (n,)
        Failures a day at risk of others in the cell's stratum.
    spread : ndarray of float, shape (n,)
        Its relative variance.
    common : ndarray of float, shape (n,)
        The rate with nobody left out.
    others_days, others_failures : ndarray of float, shape (n,)
        What it rests on.
    """

    rate: Floats
    spread: Floats
    common: Floats
    others_days: Floats
    others_failures: Floats


def stratum_rates(cells: Cells, days: Floats, failures: Floats, settings: BatchSettings) -> StratumRates:
    """Return the rate of each cell's stratum in those that tell, the cell's own group left out.

    Parameters
    ----------
    cells : Cells
    days, failures : ndarray of float, shape (n,)
        Exposure and counts of those that tell; 0 for others.
    settings : BatchSettings
    """
    rate, common = np.empty(0), np.empty(0)
    shape, others_days, others_failures = np.empty(0), np.empty(0), np.empty(0)
    for depth, key in enumerate(cells.strata):
        all_days, all_failures = sums(key, days), sums(key, failures)
        others_days = np.maximum(all_days[key] - own_sums(cells, key, days), 0.0)
        others_failures = np.maximum(all_failures[key] - own_sums(cells, key, failures), 0.0)
        if depth == 0:
            shape = others_failures + 0.5
            rate = np.where(others_days > 0, shape / np.maximum(others_days, 1e-9), 0.0)
            common = np.full(key.size, (all_failures.sum() + 0.5) / max(float(all_days.sum()), 1e-9))
            continue
        prior = _shape(spread_of(all_failures, sums(key, days * common), settings.stratum_dispersion))
        shape = others_failures + prior
        # Where nobody else was seen at all there is no rate, and no stratum gives one.
        rate = np.where(rate > 0, shape / (others_days + prior / np.maximum(rate, 1e-300)), 0.0)
        wider = _first(key, common)
        common = ((all_failures + prior) / (all_days + prior / np.maximum(wider, 1e-300)))[key]
    return StratumRates(rate, 1.0 / shape, common, others_days, others_failures)


def _shape(spread: float) -> float:
    """Return of how many failures the wider stratum or the usual place is worth."""
    return float(np.clip(1.0 / max(spread, 1e-9), _LEAST_SHAPE, _MOST_SHAPE))


def _first(key: Codes, values: Floats) -> Floats:
    """Return one of the equal values of each key."""
    found = np.zeros(int(key.max(initial=-1)) + 1)
    found[key] = values
    return found


def _place_effects(
    cells: Cells, place: Codes, failures: Floats, usual: Floats, settings: BatchSettings
) -> tuple[Floats, Floats, float, Floats, Floats]:
    """Return effect, its spread, the dispersion of places, what others expect there, and the effect of all."""
    expected, observed = sums(place, usual), sums(place, failures)
    dispersion = spread_of(observed, expected, settings.place_dispersion)
    prior = _shape(dispersion)
    others_expected = np.maximum(expected[place] - own_sums(cells, place, usual), 0.0)
    others_observed = np.maximum(observed[place] - own_sums(cells, place, failures), 0.0)
    everywhere = np.zeros_like(place)
    left_expected = expected.sum() - own_sums(cells, everywhere, usual)
    left_observed = observed.sum() - own_sums(cells, everywhere, failures)
    # Others as a whole are the measure of places: without this a bad group would make all others look good.
    level = np.where(left_observed > 0, left_expected / np.maximum(left_observed, 1e-9), 1.0)
    effect = (prior + level * others_observed) / (prior + others_expected)
    spread = 1.0 / (prior + others_observed)
    common = (prior + observed) / (prior + expected)
    return effect, spread, dispersion, others_expected, common[place]
