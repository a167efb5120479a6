"""Sites with a bad lot: registry, daily rows and findings in the lake, and the batch findings of a diagnosis."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from lake import registry
from lake.meter import Meter
from lake.schemas import BATCH_FINDINGS, DAILY, FINDINGS, FORECASTS, READINGS
from lake.site_database import opened
from metriage.diagnosing import DiagnosisLine
from metriage.site import Site
from metriage.site_facts import SiteFacts

AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
METERS = 600
BAD = 60  # meters of the bad lot
REGIONS = ("north", "east", "south")


def group_site(site: Site, lot: str, **names: str) -> Site:
    """Fill a site: of the bad lot `lot` each third meter has a coil fault, of the others one in fifty.

    Parameters
    ----------
    site : Site
        A fresh one.
    lot : str
        Name of the bad lot.
    **names : str
        Registry columns that are the same for all meters.
    """
    ids = [f"m{number:04d}" for number in range(METERS)]
    held = [
        Meter(
            meter_id=meter,
            production_batch=lot if number < BAD else f"L{number % 9}",
            region=REGIONS[number % 3],
            installed_on=date(2021, 3, 1),
            warranty_months=72.0,
            customer_ref=f"customer {number}",
            **names,  # type: ignore[arg-type]
        )
        for number, meter in enumerate(ids)
    ]
    with opened(site.database) as connection:
        registry.store(connection, held)
    lake = site.lake
    lake.append(DAILY, _days(ids))
    # Each third one in every region.
    bad = [meter for number, meter in enumerate(ids[:BAD]) if number // 3 % 3 == 0]
    failed = [*bad, *ids[BAD + 39 :: 50]]
    findings = _findings(failed, lot)
    lake.append(FINDINGS, findings)
    lake.append(READINGS, _readings(failed[:3]))
    line = DiagnosisLine(lake, lake, site.settings, "live", facts=SiteFacts(site.database, "UTC"))
    groups, ahead = line.groups("d1", AS_OF, lake.read(DAILY), findings, FINDINGS.empty().lazy())
    lake.append(BATCH_FINDINGS, groups)
    lake.append(FORECASTS, ahead)
    return site


def _days(ids: list[str]) -> pl.DataFrame:
    day = AS_OF.date() - timedelta(days=1)
    rows = {"meter_id": ids, "day": [day] * len(ids), "as_of": [AS_OF] * len(ids), "readings": [24] * len(ids),
            "first_seen_ts": [FIRST] * len(ids)}  # fmt: skip
    return DAILY.conform(pl.DataFrame(rows, schema={name: DAILY.polars[name] for name in rows}))


def _findings(failed: list[str], lot: str) -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "diagnosis_id": "d1",
            "mode": "live",
            "as_of": AS_OF,
            "meter_id": meter,
            "kind": "fault",
            "fault": "coil",
            "verdict": "act",
            "severity": 2,
            "onset": FIRST + timedelta(days=20 + 3 * place),
            "cause": "production_batch",
            "rules": ["coil.backward"],
            "evidence": '[{"rule":"coil.backward","what":"backward_days","value":5,"unit":"d"}]',
            "production_batch": lot,
        }
        for place, meter in enumerate(failed)
    ]
    return FINDINGS.conform(pl.DataFrame(rows, schema={name: FINDINGS.polars[name] for name in rows[0]}))


def _readings(meters: list[str]) -> pl.DataFrame:
    rows = [
        {"meter_id": meter, "ts": FIRST + timedelta(days=day), "received_at": FIRST + timedelta(days=day),
         "volume_m3": 100.0 + day, "event_date": (FIRST + timedelta(days=day)).date(), "extra": '{"synthetic":true}'}
        for meter in meters
        for day in range(150)
    ]  # fmt: skip
    return READINGS.conform(pl.DataFrame(rows, schema={name: READINGS.polars[name] for name in rows[0]}))
