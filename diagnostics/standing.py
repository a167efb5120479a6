"""What stands of an earlier diagnosis where only some rules are asked again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from diagnostics.rules import RULES
from diagnostics.rules.rule import FIRED

# What a rule said, complete: see :func:`diagnostics.diagnosis.diagnose`.
SPOKEN = pl.Schema(
    {
        **FIRED,
        "rule": pl.String(),
        "kind": pl.String(),
        "fault": pl.String(),
        "inhibitors": pl.List(pl.String()),
        "order": pl.Int64(),
    }
)


def standing(findings: pl.DataFrame, asked: Collection[str]) -> pl.DataFrame:
    """Return what the rules that are not `asked` said, as far as findings keep it.

    A finding tells the strength of all its rules together. The one that spoke is the first; of the others only that
    they fired is known, so they count as ``watch``.

    Parameters
    ----------
    findings : polars.DataFrame
        Open findings of one diagnosis of these meters: few, since each is taken apart.
    asked : collection of str
        Ids of the rules that are asked again.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`SPOKEN`, one row a finding and rule.
    """
    rows = [row for finding in findings.iter_rows(named=True) for row in _spoken(finding, asked)]
    return pl.DataFrame(rows, schema=SPOKEN, orient="row")


_ORDER = {name: place for place, name in enumerate(RULES)}


def _spoken(finding: Mapping[str, Any], asked: Collection[str]) -> Iterator[dict[str, Any]]:
    seen: dict[str, list[str]] = {}
    for item in json.loads(finding["evidence"] or "[]"):
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        seen.setdefault(str(item.get("rule")), []).append(text)
    for place, name in enumerate(finding["rules"] or ()):
        if name in asked or name not in RULES:
            continue
        yield {
            "meter_id": finding["meter_id"],
            "strength": finding["verdict"] if place == 0 else "watch",
            "severity": finding["severity"],
            "onset": finding["onset"],
            "evidence": seen.get(name, []),
            "cause": finding["cause"],
            "cause_confidence": finding["cause_confidence"],
            "rule": name,
            "kind": finding["kind"],
            "fault": finding["fault"],
            "inhibitors": list(RULES[name].inhibited_by),
            "order": _ORDER[name],
        }
