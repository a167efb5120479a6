"""The one tree of errors."""

from __future__ import annotations

import inspect

import pytest

from lake import errors
from lake.errors import (
    DecodingError,
    DeliveryError,
    InputFileError,
    MetriageError,
    RowError,
    SettingsError,
    SiteLockedError,
    UsageError,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MetriageError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_error_stands_in_the_drawing(kind: type[MetriageError]) -> None:
    """The tree on top of the module shows every class, and every class has its sentence."""
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


def test_exit_codes_of_the_contract() -> None:
    """1 failed, 2 wrong usage or configuration."""
    assert {kind.exit_code for kind in CLASSES if not issubclass(kind, UsageError)} == {1}
    assert {kind.exit_code for kind in CLASSES if issubclass(kind, UsageError)} == {2}
    assert issubclass(SiteLockedError, UsageError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SettingsError("is wrong"), "is wrong"),
        (SettingsError("is wrong", key="a.b"), "a.b: is wrong"),
        (SettingsError("is wrong", key="a.b", file="m.toml"), "m.toml: a.b: is wrong"),
        (DecodingError("not_json", "what?", meter_id="m"), "not_json: what?"),
        (InputFileError("a.csv", "is empty"), "a.csv: is empty"),
        (InputFileError("a.csv", "is short", line=3), "a.csv, line 3: is short"),
        (RowError("caliber_mm", "must be a number"), "caliber_mm: must be a number"),
        (DeliveryError("503", retry=True, retry_after_s=2.0), "503"),
    ],
)
def test_error_message(error: MetriageError, expected: str) -> None:
    """Where it happened comes first."""
    assert expected == str(error)


def test_error_context_is_kept() -> None:
    """What a program may need is an attribute, not only words."""
    decoding = DecodingError("not_json", "what?", meter_id="m")
    delivery = DeliveryError("503", retry=True, retry_after_s=2.0)

    assert ("not_json", "what?", "m") == (decoding.reason, decoding.detail, decoding.meter_id)
    assert (True, 2.0) == (delivery.retry, delivery.retry_after_s)
