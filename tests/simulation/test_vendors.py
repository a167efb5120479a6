import pytest

from lake.errors import UsageError
from simulation.vendors import SIGNALS, VENDORS, without


def test_vendors_do_not_exist() -> None:
    """Their names say so."""
    assert all(vendor.name.startswith("Synthetic ") for vendor in VENDORS)
    assert len(VENDORS) == len({vendor.name for vendor in VENDORS})


def test_vendors_lack_what_real_ones_lack() -> None:
    """For every signal there is one that sends it and one that does not."""
    for name in ("temperature", "load", "travel", "current", "amplitude", "codes", "coverage"):
        assert {True, False} == {bool(getattr(vendor, name)) for vendor in VENDORS}
    assert {"none", "register", "own"} == {vendor.flow for vendor in VENDORS}
    assert {"daily", "bare", "four", "hourly"} == {vendor.reporting for vendor in VENDORS}
    assert 0.1 in {vendor.battery_step_v for vendor in VENDORS}


def test_without_takes_signals_from_all() -> None:
    """And leaves the rest alone."""
    poorer = without(VENDORS, ("codes", "fine_voltage"))

    assert {(False, 0.1)} == {(vendor.codes, vendor.battery_step_v) for vendor in poorer}
    assert [vendor.load for vendor in VENDORS] == [vendor.load for vendor in poorer]


def test_without_a_signal_that_is_none() -> None:
    """It lists those there are."""
    with pytest.raises(UsageError, match=", ".join(SIGNALS)):
        without(VENDORS, ("smell",))
