"""The cases of a vendor profile, run: what was expected beside what was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import polars as pl

from ingest.profiles.format import Case
from ingest.row_schema import ROW_SCHEMA

if TYPE_CHECKING:
    from ingest.profiles.vendor_profile import VendorProfile


class Outcome(NamedTuple):
    """One thing that a case says.

    Parameters
    ----------
    case : int
        Number of the case in the file, counted from 0.
    what : str
        ``gives``, ``sticky``, or the name of a field.
    expected, found : object
        What the case says, and what the profile made of it.
    """

    case: int
    what: str
    expected: object
    found: object

    @property
    def is_right(self) -> bool:
        """Whether both are the same."""
        return self.expected == self.found


def run_cases(profile: VendorProfile) -> Iterator[Outcome]:
    """Yield the outcome of everything that the cases of a profile say."""
    for number, case in enumerate(profile.cases):
        row = profile.normalise(reading_of(case)).row(0, named=True)
        told = profile.translate(row["status"], row["error_codes"] or ())
        yield Outcome(number, "gives", list(case.gives), [(each.code, each.family, each.severity) for each in told])
        yield Outcome(number, "sticky", sorted(case.sticky), sorted(each.code for each in told if each.sticky))
        for name, expected in case.becomes.items():
            yield Outcome(number, name, expected, row[name])


def reading_of(case: Case) -> pl.DataFrame:
    """Return the reading of a case as the one row of a frame."""
    row: dict[str, Any] = {
        "meter_id": "case",
        "ts": 0,
        "source": "case",
        **case.fields,
        "status": case.status,
        "error_codes": list(case.codes) or None,
        "extra": msgspec.json.encode(case.extra, order="sorted").decode() if case.extra else None,
    }
    return pl.DataFrame([{name: row.get(name) for name in ROW_SCHEMA}], schema=ROW_SCHEMA)
