"""``metriage simulate``: the command around :mod:`simulation`; scenarios from their names or from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lake.errors import InputFileError, UsageError
from simulation.labelled_fleet import FleetOrder, write_fleet
from simulation.scenarios import Scenario, scenario

MARK = "fleet.json"
_KEYS = {"based_on", "ranges", "start"}


def simulate_fleet(
    out: Path,
    *,
    meters: int,
    days: int,
    seed: int,
    start: str | None,
    named: str,
    without: tuple[str, ...] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Make a labelled fleet in `out` and return what was made.

    Raises
    ------
    UsageError
        The order cannot be met, or `out` holds something else.
    InputFileError
        The TOML file cannot be read.
    """
    chosen = read_scenario(named)
    order = FleetOrder(chosen, meters, days, seed, chosen.start if start is None else _day(start), without)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(f"{out} holds files that no simulation made; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return write_fleet(order, out, progress)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error


def read_scenario(named: str) -> Scenario:
    """Return the scenario of a name, or of a TOML file with ``based_on``, ``start`` and a table ``[ranges]``.

    Raises
    ------
    UsageError
        There is no such scenario, or a range is none.
    InputFileError
        The file is no TOML.
    """
    if not named.endswith(".toml"):
        return scenario(named)
    file = Path(named)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(named, f"cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputFileError(named, f"is no TOML: {error}") from error
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise UsageError(f"{named}: unknown key {unknown[0]!r}; allowed are {', '.join(sorted(_KEYS))}")
    base = scenario(str(content.get("based_on", "standard")))
    ranges = content.get("ranges", {})
    if not isinstance(ranges, dict):
        raise UsageError(f"{named}: ranges must be a table, [ranges]")
    return replace(
        base,
        name=file.stem,
        start=_day(str(content["start"])) if "start" in content else base.start,
        ranges=MappingProxyType({**base.ranges, **{name: _range(named, name, each) for name, each in ranges.items()}}),
    )


def _range(file: str, name: str, value: Any) -> tuple[float, float]:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise UsageError(f"{file}: ranges.{name} is {value!r}; write a number or [low, high]")
    return float(ends[0]), float(ends[1])


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day such as 2023-10-15") from None
