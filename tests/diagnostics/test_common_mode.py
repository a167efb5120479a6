"""What many modules of a vendor show in the same cold, and what one shows alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from diagnostics.common_mode import common_in_cold, dips_of_codes
from diagnostics.facts import Facts
from diagnostics.features import View

NOW = datetime(2024, 1, 11, tzinfo=UTC)
COLD = date(2024, 1, 6)


def seen(vendors: dict[str, str | None], cold_c: float = -12.0, codes: pl.DataFrame | None = None) -> View:
    """Return ten days of meters by module vendor, of which one is cold."""
    days = pl.DataFrame(
        [
            {"meter_id": meter, "day": COLD + timedelta(days=n), "model": "A", "module_vendor": vendor,
             "case_min_c": cold_c if n == 0 else 6.0}
            for meter, vendor in vendors.items()
            for n in range(-5, 5)
        ],
        schema_overrides={"module_vendor": pl.String},
    )  # fmt: skip
    return View(NOW, days, pl.DataFrame(), pl.DataFrame() if codes is None else codes, Facts())


def shown(*meters: str, on: date = COLD) -> pl.DataFrame:
    """Return the sign of some meters on one day."""
    return pl.DataFrame({"meter_id": meters, "day": [on] * len(meters)})


FLEET: dict[str, str | None] = {f"m{n}": "North" for n in range(40)}


def test_many_of_a_vendor_in_the_same_cold_share_it() -> None:
    told = common_in_cold(seen(FLEET), shown("m0", "m1", "m2", "m3"))

    assert (4, True) == (told.height, bool(told["common"].all()))


def test_few_are_each_their_own() -> None:
    assert [False, False] == common_in_cold(seen(FLEET), shown("m0", "m1"))["common"].to_list()


def test_warm_days_are_never_the_colds() -> None:
    meters = ("m0", "m1", "m2", "m3")

    assert common_in_cold(seen(FLEET, cold_c=4.0), shown(*meters)).is_empty()
    assert common_in_cold(seen(FLEET), shown(*meters, on=COLD + timedelta(days=4))).is_empty()


def test_model_stands_in_where_the_vendor_is_not_known() -> None:
    told = common_in_cold(seen(dict.fromkeys(FLEET, None)), shown("m0", "m1", "m2", "m3"))

    assert told["common"].all()


def test_grave_codes_are_no_dips() -> None:
    told = pl.DataFrame({"meter_id": ["m0", "m1", "m2", "m3"] * 2, "day": [COLD] * 8, "family": ["battery"] * 8,
                         "severity": [2] * 4 + [1] * 4})  # fmt: skip
    mild, grave = told.filter(pl.col("severity") == 2), told.filter(pl.col("severity") == 1)

    assert 4 == dips_of_codes(seen(FLEET, codes=mild)).height
    assert dips_of_codes(seen(FLEET, codes=grave)).is_empty()
