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
LEAST_TELLING = 0.3  # share of the meters that has to be left when all that stand out are left out

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


class Question:
    """The meters at risk of a fault, and what others let them expect.

    Parameters
    ----------
    cohort : Cohort
        Who was at risk and who failed.
    fault : str
        The fault.
    asked : polars.DataFrame
        ``scope, group`` of those that stand out: where enough are left, what others are to expect is learned without
        any of them; always without the one that is asked about.
    """

    def __init__(self, cohort: Cohort, fault: str, asked: pl.DataFrame) -> None:
        self.fault = fault
        odd = [
            pl.col(scope).is_in(own["group"].implode()).fill_null(value=False)
            for (scope,), own in asked.partition_by("scope", as_dict=True).items()
        ]
        self.devices = cohort.at_risk(fault).with_columns(
            (pl.coalesce("failed", "left") - pl.col("entered")).dt.total_days().clip(1).cast(pl.Float64).alias("days"),
            pl.col("failed").is_not_null().alias("failed"),
            pl.any_horizontal(pl.lit(value=False), *odd).alias("odd"),
        )
        even = self.devices.filter(~pl.col("odd"))
        self._telling = even if even.height >= LEAST_TELLING * self.devices.height else self.devices
        self._sums: dict[tuple[str, ...], pl.DataFrame] = {}

    def expecting(self, rows: pl.DataFrame, strata: Sequence[str], group: pl.DataFrame) -> pl.DataFrame:
        """Return `rows` of the devices with ``expected``: their days at the rate of others in the same strata.

        Parameters
        ----------
        rows : polars.DataFrame
            Some of the devices.
        strata : sequence of str
            Columns.
        group : polars.DataFrame
            Those of the group that is asked about, which tell nothing themselves.
        """
        keys = tuple(strata)
        if keys not in self._sums:
            self._sums[keys] = _sums(self._telling, keys)
        own = group if self._telling is self.devices else group.filter(~pl.col("odd"))
        left = self._sums[keys].join(_sums(own, keys), on=list(keys), how="left", nulls_equal=True, suffix="_own")
        days = (pl.col("days") - pl.col("days_own").fill_null(0)).clip(0)
        failed = (pl.col("failed") - pl.col("failed_own").fill_null(0)).clip(0)
        others = left.select(*keys, days.alias("days_of"), failed.alias("failed_of"))
        # One failure more keeps what nobody had yet from being impossible.
        usual = (float(others["failed_of"].sum()) + 0.5) / max(float(others["days_of"].sum()), 1.0)
        rate = (pl.col("failed_of") + PRIOR_FAILURES) / (pl.col("days_of") + PRIOR_FAILURES / usual)
        rated = others.select(*keys, rate.alias("rate"))
        return rows.join(rated, on=list(keys), how="left", nulls_equal=True, maintain_order="left").with_columns(
            (pl.col("rate").fill_null(usual) * pl.col("days")).alias("expected")
        )


def _sums(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    return rows.group_by(keys).agg(pl.col("days").sum(), pl.col("failed").sum().cast(pl.Float64))


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
    own = (pl.col(scope) == key).fill_null(value=False)
    group = question.devices.filter(own)
    evidence, explained = _overlaps(question, own, scope, group)
    if verdict == "not_separable":
        return Told("unknown", [*evidence, _likely("unknown")])
    if explained is not None:
        cause = _OWN.get(explained) or _of_place(question.fault, group)
        return Told(cause, [*evidence, _likely(cause)])
    cause, further = _by_itself(question, scope, group)
    return Told(cause, [*evidence, *further, _likely(cause)])


def _overlaps(
    question: Question, own: pl.Expr, scope: str, group: pl.DataFrame
) -> tuple[list[dict[str, object]], str | None]:
    """Return the comparisons with groups that share most failures, and the scope of the one that explains them."""
    shared = {other: name for other in _OTHERS[scope] if (name := _shared(group, other)) is not None}
    if not shared:
        return [], None
    within = [(pl.col(other) == name).fill_null(value=False) for other, name in shared.items()]
    place = () if scope == "region" else ("region",)
    strata = [*place, *STRATA[question.fault]]
    devices = question.expecting(question.devices.filter(own | pl.any_horizontal(within)), strata, group)
    whole = Part.of(devices.filter(own))
    ratio = whole.observed / max(whole.expected, 1e-9)
    told: list[dict[str, object]] = []
    for (other, name), same in zip(shared.items(), within, strict=True):
        rest, elsewhere = Part.of(devices.filter(same & ~own)), Part.of(devices.filter(own & ~same))
        decided = _decided(rest, elsewhere, ratio)
        told.append(_overlap(other, name, rest, elsewhere, decided))
        if decided == "other":
            return told, other
    return told, None


def _shared(group: pl.DataFrame, other: str) -> str | None:
    """Return the name of another group that most failures of a group belong to; None where there is none."""
    failed = group.filter("failed")
    counts = failed.drop_nulls(other).group_by(other).len().sort("len", other, descending=[True, False])
    if counts.is_empty() or counts["len"][0] < BOTH * failed.height:
        return None
    return str(counts[other][0])


def _decided(rest: Part, elsewhere: Part, ratio: float) -> str:
    """Return which of two groups it is: the one in question (own), the other one, or open."""
    if rest.fails and not elsewhere.fails:
        return "other"
    if elsewhere.fails or rest.is_fine(ratio):
        return "own"
    return "other" if elsewhere.is_fine(ratio) else "open"


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


def _by_itself(question: Question, scope: str, group: pl.DataFrame) -> tuple[str, list[dict[str, object]]]:
    """Return the cause of a group that no other one explains."""
    if scope in _OWN:
        return _OWN[scope], []
    if scope != "region":
        return _of_place(question.fault, group), []
    strata = STRATA[question.fault]
    plain = Part.of(question.expecting(group, [name for name in strata if name != "cold"], group))
    like = Part.of(question.expecting(group, strata, group))
    # What meters in like cold have elsewhere, too, is the cold's.
    by_cold = question.fault == "low_temperature" or (plain.fails and not like.fails)
    return "low_temperature" if by_cold else "unknown", [_cold(plain, like)]


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
