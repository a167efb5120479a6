"""What makes a group stand out: its lot, its module, its installer, its place, or nothing that can be told.

Groups overlap. A lot whose meters carry one vendor's module stands out when the module is bad, and the vendor when the
lot is. What overlaps is taken apart into three parts and each is compared with the rate of everybody else:

- the *rest* of the other group, without the one in question: fails it too, it is the other group that is bad;
- the one in question *elsewhere*, outside the other group: fails it there as well, it is bad itself;
- both: what they share, which says nothing.

Where neither of the first two has enough to say, the two cannot be told apart, and it is said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl
from scipy import stats

from diagnostics.batches.cohort import STRATA, Cohort

RULE = "batch"
BOTH = 0.7  # share of a group's failures from which on another group comes into question
EXCESS_P = 0.01
NO_EXCESS_P = 0.1
LEAST_CASES = 3
LEAST_RATIO = 1.5
LEAST_EXPECTED = 0.5  # failures below which a comparison tells nothing
PRIOR_FAILURES = 3.0  # the rate of all meters stands for so many in each stratum
MOST_PLACES = 12

# Which groups come into question as the true reason of another one, the most telling first.
_OTHERS: Mapping[str, tuple[str, ...]] = {
    "production_batch": ("module_vendor", "firmware", "installer", "site"),
    "module_vendor": ("production_batch", "firmware", "installer"),
    "model": ("production_batch", "module_vendor", "firmware"),
    "firmware": ("production_batch", "module_vendor"),
    "region": ("production_batch", "installer", "site"),
    "site": ("production_batch", "installer"),
    "installer": ("production_batch", "site"),
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


@dataclass(frozen=True)
class Question:
    """The meters at risk of a fault, each with what it was to expect.

    Parameters
    ----------
    fault : str
        The fault.
    devices : polars.DataFrame
        One row a meter: scopes, strata, ``days``, ``failed`` and ``odd``, whether it is of a group that stands out.
    """

    fault: str
    devices: pl.DataFrame

    @classmethod
    def of(cls, cohort: Cohort, fault: str, asked: pl.DataFrame) -> Question:
        """Return the question of one fault.

        Parameters
        ----------
        cohort : Cohort
        fault : str
        asked : polars.DataFrame
            ``scope, group`` of those that stand out: what others are to expect is learned without them.
        """
        devices = cohort.at_risk(fault)
        until = pl.coalesce("failed", "left")
        odd = pl.any_horizontal(
            [pl.lit(value=False)]
            + [
                pl.col(scope).is_in(own["group"].implode()).fill_null(value=False)
                for (scope,), own in asked.partition_by("scope", as_dict=True).items()
                if scope not in {"region", "model"}  # too much of the fleet to be left out
            ]
        )
        return cls(
            fault,
            devices.with_columns(
                (until - pl.col("entered")).dt.total_days().clip(1).cast(pl.Float64).alias("days"),
                pl.col("failed").is_not_null().alias("failed"),
                odd.alias("odd"),
            ),
        )

    @cached_property
    def in_place(self) -> pl.DataFrame:
        """The devices with what they were to expect in their region and exposure."""
        return self._expected(["region", *STRATA[self.fault]])

    @cached_property
    def in_exposure(self) -> pl.DataFrame:
        """The devices with what they were to expect by their exposure alone, whatever the region."""
        return self._expected(list(STRATA[self.fault]))

    @cached_property
    def without_cold(self) -> pl.DataFrame:
        """The same as if nothing were known of cold."""
        return self._expected([name for name in STRATA[self.fault] if name != "cold"])

    def _expected(self, strata: list[str]) -> pl.DataFrame:
        telling = ~pl.col("odd")
        if self.devices.filter(telling).height < 0.3 * self.devices.height:
            telling = pl.lit(value=True)
        sums = self.devices.group_by(strata).agg(
            pl.col("days").filter(telling).sum().alias("all_days"),
            (pl.col("failed") & telling).sum().alias("all_failed"),
        )
        overall = float(sums["all_failed"].sum()) / max(float(sums["all_days"].sum()), 1.0)
        prior = PRIOR_FAILURES / max(overall, 1e-9)
        rate = (pl.col("all_failed") + PRIOR_FAILURES) / (pl.col("all_days") + prior)
        rated = sums.with_columns(rate.alias("rate")).select(*strata, "rate")
        return self.devices.join(rated, on=strata, how="left", nulls_equal=True, maintain_order="left").with_columns(
            (pl.col("rate") * pl.col("days")).alias("expected")
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Some meters, and how they fare.

    Parameters
    ----------
    meters, observed : int
        How many, and how many of them failed.
    expected : float
        Failures that everybody else's rate lets expect.
    """

    meters: int
    observed: int
    expected: float

    @classmethod
    def of(cls, devices: pl.DataFrame) -> Part:
        """Sum up devices with the column ``expected``."""
        return cls(devices.height, int(devices["failed"].sum()), float(devices["expected"].sum()))

    @property
    def p_value(self) -> float:
        """Probability of so many by chance."""
        return float(stats.poisson.sf(self.observed - 1, max(self.expected, 1e-12)))

    @property
    def fails(self) -> bool:
        """Whether they fail more often than expected."""
        enough = self.observed >= LEAST_CASES and self.observed >= LEAST_RATIO * self.expected
        return enough and self.p_value <= EXCESS_P

    def is_fine(self, ratio: float) -> bool:
        """Tell whether they fare as expected although an excess by `ratio` would have shown."""
        due = self.expected * max(ratio, LEAST_RATIO)
        would_show = due >= LEAST_EXPECTED and stats.poisson.cdf(self.observed, due) <= NO_EXCESS_P
        return bool(not self.fails and would_show)


def cause_of(question: Question, scope: str, key: str, verdict: str) -> Told:
    """Return what makes a group stand out.

    Parameters
    ----------
    question : Question
        The meters at risk of the fault.
    scope, key : str
        The group.
    verdict : str
        ``act``, ``watch`` or ``not_separable``; of the last no cause is named.
    """
    devices = question.in_exposure if scope == "region" else question.in_place
    own = (pl.col(scope) == key).fill_null(value=False)
    group = devices.filter(own)
    whole = Part.of(group)
    evidence = [_places(group)] if scope not in {"region", "site"} else []
    others, explained = _overlaps(devices, own, scope, group, whole)
    evidence += others
    if verdict == "not_separable":
        return Told("unknown", [*evidence, _likely("unknown")])
    if explained is not None:
        cause = _named(explained, question, group)
        return Told(cause, [*evidence, _likely(cause)])
    cause, further = _by_itself(question, scope, key, group)
    return Told(cause, [*evidence, *further, _likely(cause)])


def _overlaps(
    devices: pl.DataFrame, own: pl.Expr, scope: str, group: pl.DataFrame, whole: Part
) -> tuple[list[dict[str, object]], str | None]:
    """Return the comparisons with groups that share most failures, and the scope of the one that explains them."""
    told: list[dict[str, object]] = []
    failed = group.filter("failed")
    ratio = whole.observed / max(whole.expected, 1e-9)
    for other in _OTHERS[scope]:
        if failed.is_empty() or failed[other].drop_nulls().is_empty():
            continue
        name, count = failed.group_by(other).len().drop_nulls(other).sort("len", other, descending=[True, False]).row(0)
        if count < BOTH * failed.height:
            continue
        same = (pl.col(other) == name).fill_null(value=False)
        rest, elsewhere = Part.of(devices.filter(same & ~own)), Part.of(devices.filter(own & ~same))
        fails_rest, fails_elsewhere = rest.fails, elsewhere.fails
        decided = "open"
        if fails_rest and not fails_elsewhere:
            decided = "other"
        elif fails_elsewhere or rest.is_fine(ratio):
            decided = "own"
        elif elsewhere.is_fine(ratio):
            decided = "other"
        told.append(_overlap(other, name, rest, elsewhere, decided))
        if decided == "other":
            return told, other
    return told, None


def _overlap(other: str, name: str, rest: Part, elsewhere: Part, decided: str) -> dict[str, object]:
    return {
        "rule": RULE,
        "what": "batch_overlap",
        "value": name,
        "unit": "",
        "scope": other,
        "decided": decided,
        "rest_meters": rest.meters,
        "rest_observed": rest.observed,
        "rest_expected": round(rest.expected, 2),
        "elsewhere_meters": elsewhere.meters,
        "elsewhere_observed": elsewhere.observed,
        "elsewhere_expected": round(elsewhere.expected, 2),
    }


def _places(group: pl.DataFrame) -> dict[str, object]:
    """Return how a group fares in each of its regions."""
    parts = (
        group.group_by("region")
        .agg(pl.len().alias("meters"), pl.col("failed").sum().alias("observed"), pl.col("expected").sum().round(2))
        .sort("observed", "meters", "region", descending=[True, True, False], nulls_last=True)
    )
    more = parts.filter((pl.col("observed") > pl.col("expected")) & (pl.col("observed") > 0)).height
    listed: Sequence[Mapping[str, object]] = parts.head(MOST_PLACES).rename({"region": "place"}).to_dicts()
    return {"rule": RULE, "what": "batch_places", "value": more, "unit": "", "of": parts.height, "places": listed}


def _named(scope: str, question: Question, group: pl.DataFrame) -> str:
    """Return the cause that another group's being bad is."""
    return _OWN.get(scope) or _of_place(question.fault, group)


def _of_place(fault: str, group: pl.DataFrame) -> str:
    """Return what a bad place is a case of, by the fault and what the place is like."""
    failed = group.filter("failed")
    if failed.is_empty():
        return "unknown"
    if fault == "low_temperature":
        return "low_temperature"
    if fault == "actuator":
        return "sediment"
    if int(failed["flood"].sum()) >= BOTH * failed.height:
        return "moisture"
    if fault == "battery" and int((failed["radio"] == "weak").sum()) >= BOTH * failed.height:
        return "coverage"
    return "unknown"


def _by_itself(question: Question, scope: str, key: str, group: pl.DataFrame) -> tuple[str, list[dict[str, object]]]:
    """Return the cause of a group that no other one explains."""
    if scope in _OWN:
        return _OWN[scope], []
    if scope == "region":
        plain = Part.of(question.without_cold.filter(pl.col(scope) == key))
        like = Part.of(question.in_exposure.filter(pl.col(scope) == key))
        # What meters in like cold have elsewhere, too, is the cold's.
        if question.fault == "low_temperature" or (plain.fails and not like.fails):
            return "low_temperature", [_cold(plain, like)]
        return "unknown", [_cold(plain, like)]
    return _of_place(question.fault, group), []


def _cold(plain: Part, like: Part) -> dict[str, object]:
    return {
        "rule": RULE,
        "what": "batch_cold",
        "value": like.observed,
        "unit": "",
        "expected": round(plain.expected, 2),
        "in_like_cold": round(like.expected, 2),
    }


def _likely(cause: str) -> dict[str, object]:
    return {"rule": RULE, "what": "likely_cause", "value": cause, "unit": ""}
