"""Lots, vendors and neighbours: what chance, age and place bring together is nobody's fault."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from diagnostics.cause_settings import CauseSettings
from diagnostics.causes.groups import excess, installation, module, production_batch
from diagnostics.causes.neighbours import beside_others
from tests.diagnostics.causes.made import ONSET, made, weights

SETTINGS = CauseSettings()
NEW, OLD = date(2021, 2, 1), date(2014, 2, 1)


def fleet(of_lot: date, sites: int = 30, vendor: str = "v") -> dict[str, dict[str, Any]]:
    """Return thirty meters of one lot among three hundred of others, in as many sites as told."""
    lot = {f"b{n}": {"region": "r", "site": f"s{n % sites}", "production_batch": "lot", "installed_on": of_lot,
                     "produced_on": of_lot, "module_vendor": vendor} for n in range(30)}  # fmt: skip
    rest = {f"g{n}": {"region": "r", "site": f"s{n % 30}", "production_batch": f"lot{n % 12}", "installed_on": NEW,
                      "produced_on": NEW, "module_vendor": "w"} for n in range(300)}  # fmt: skip
    return {**lot, **rest}


FAILING = {**{f"b{n}": "battery" for n in range(5)}, **{f"g{n}": "battery" for n in range(6)}}


def test_lot_with_an_excess_is_bad() -> None:
    found = weights(production_batch(made(FAILING, registry=fleet(NEW)), SETTINGS.lot))

    assert {f"b{n}" for n in range(5)} == set(found)
    assert min(found.values()) > SETTINGS.unknown_weight


def test_old_lot_is_not_blamed_for_its_years() -> None:
    new, old = (
        excess(made(FAILING, registry=fleet(born)), ("production_batch",), SETTINGS.lot).filter(key="lot")
        for born in (NEW, OLD)
    )

    assert old["expected"].item() > 2 * new["expected"].item()
    assert old["belief"].item() < SETTINGS.unknown_weight < new["belief"].item()


def test_cases_of_one_site_are_the_sites() -> None:
    spread, clump = (
        excess(made(FAILING, registry=fleet(NEW, sites=sites)), ("production_batch",), SETTINGS.lot).filter(key="lot")
        for sites in (30, 1)
    )

    assert (5, 2) == (spread["observed"].item(), clump["observed"].item())


def test_cases_of_one_lot_prove_nothing_against_its_vendor() -> None:
    assert not {f"b{n}" for n in range(5)} & set(weights(module(made(FAILING, registry=fleet(NEW)), SETTINGS.module)))


@pytest.mark.parametrize(("same_lot", "counts"), [(False, 1.0), (True, 0.5)])
def test_neighbours_of_the_same_lot_count_half(same_lot: bool, counts: float) -> None:
    registry = {
        f"m{n}": {"region": "r", "site": "s", "production_batch": "l" if same_lot else f"l{n}"} for n in range(4)
    }

    found = beside_others(made({f"m{n}": "actuator" for n in range(3)}, registry=registry), ("actuator",), 40)

    expected = 3 * 3 / 4
    assert [2] * 3 == found["others"].to_list()
    assert [pytest.approx((2 * counts + 0.5) / (expected + 0.5))] * 3 == found["excess"].to_list()


def test_neighbour_that_failed_long_before_does_not_count() -> None:
    registry = {meter: {"region": "r", "site": "s"} for meter in ("a", "b")}
    cases = made({"a": "coil", "b": "coil"}, registry=registry, onsets={"b": ONSET - timedelta(days=30)})

    assert [0, 0] == beside_others(cases, ("coil",), 10)["others"].to_list()


def test_vendor_of_valves_that_are_worn_is_not_blamed() -> None:
    """Six lots of one vendor, valves that all run harder: no electronics, or hardly."""
    registry = {f"m{n}": {"region": "r", "site": f"s{n}", "production_batch": f"l{n % 6}",
                          "module_vendor": "v" if n < 24 else "w"} for n in range(200)}  # fmt: skip
    failing = {f"m{n}": "actuator" for n in range(8)}
    moved = [{"valve_moved": True, "current_ratio": 2.0 if n >= 30 else 1.0} for n in range(40)]

    plain = weights(module(made(failing, registry=registry), SETTINGS.module))
    worn = weights(module(made(failing, registry=registry, days=dict.fromkeys(failing, moved)), SETTINGS.module))

    assert min(plain.values()) > SETTINGS.unknown_weight
    assert max(worn.values()) < max(plain.values()) / 2


def test_installer_is_not_blamed_for_cells() -> None:
    registry = {f"m{n}": {"region": "r", "site": f"s{n}", "production_batch": f"l{n % 6}",
                          "installer": "i" if n < 24 else "j"} for n in range(200)}  # fmt: skip

    coils, cells = (
        weights(installation(made({f"m{n}": fault for n in range(8)}, registry=registry), SETTINGS.installer))
        for fault in ("coil", "battery")
    )

    assert 8 == len(coils)
    assert {} == cells
