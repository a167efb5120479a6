from __future__ import annotations

from typing import Any

import msgspec
import pytest

from diagnostics.settings import ProfileSettings, RuleSettings


def fields(kind: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return every leaf field of nested settings with its annotated type."""
    leaves = []
    for field in msgspec.structs.fields(kind):
        inner = f"{path}.{field.name}".strip(".")
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            leaves += fields(field.type, inner)
        else:
            leaves.append((inner, field.type))
    return leaves


LEAVES = [*fields(RuleSettings), *fields(ProfileSettings, "profile")]


@pytest.mark.parametrize(("path", "kind"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_threshold_is_described(path: str, kind: Any) -> None:
    """The commented settings file is generated from these sentences."""
    info = msgspec.inspect.type_info(kind)

    assert isinstance(info, msgspec.inspect.Metadata), path
    assert (info.extra_json_schema or {}).get("description"), path


def test_unknown_key_is_refused() -> None:
    """A misspelt threshold is an error, not a silent default."""
    with pytest.raises(msgspec.ValidationError, match="act_dayz"):
        msgspec.toml.decode(b"[coil.backward]\nact_dayz = 3", type=RuleSettings)


def test_threshold_out_of_its_range_is_refused() -> None:
    """The limits stand beside the threshold."""
    with pytest.raises(msgspec.ValidationError, match=r"coil\.backward\.window_days"):
        msgspec.toml.decode(b"[coil.backward]\nwindow_days = 61", type=RuleSettings)
