"""What people wrote down of a fleet: registry, weather, works, visits, complaints; and, apart from them, the truth."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from lake.vocabulary import INSPECTION, INSTALLATIONS, METER, REPORT, WEATHER, WORK
from simulation.block_life import BlockResult, Outcome
from simulation.estate import PIT
from simulation.fault_plan import FaultPlan, World
from simulation.parameters import Draws, constant

Rows = list[dict[str, Any]]
_WARRANTY_MONTHS = 72
_ANNOUNCED_H = constant("announced_h", 50, "h", "time before their begin at which works are announced")
_TRUTH = ("meter_id", "fault", "cause", "onset", "noticed_at", "end", "reversible", "detectable")
_SYMPTOMS = {
    "coil": ("bill far too low", "display does not move", "reading on the meter and in the app differ"),
    "battery": ("display is blank", "no data in the app for days"),
    "actuator": ("valve does not open", "no water although paid", "water runs although shut off"),
    "low_temperature": ("no water since this morning", "meter is frozen", "water runs out of the meter box"),
}
_IDLE_SYMPTOMS = ("bill too high", "no water", "app shows no data", "question about the reading")


HEADERS = {
    "registry.csv": tuple(METER),
    "weather.csv": tuple(WEATHER),
    "works.csv": tuple(WORK),
    "inspections.csv": tuple(INSPECTION),
    "reports.csv": tuple(REPORT),
    "truth.csv": _TRUTH,
    "truth_culprits.csv": ("scope", "key", "fault", "cause"),
}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV below the header of their file; times in UTC, nothing for None."""
    header = HEADERS[path.name]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(row.get(name)) for name in header] for row in rows)


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def registry_rows(world: World) -> Rows:
    """Return the registry; meters taken out have a second row, known from that day on."""
    estate, calendar = world.estate, world.calendar
    rows: Rows = []
    sensing = estate.sensing()
    for meter in range(estate.size):
        vendor = estate.vendors[estate.vendor[meter]]
        installed = estate.installed_on(calendar, meter)
        produced = installed - timedelta(days=30 + int(estate.lot[meter] * 37 + meter * 13) % 190)
        row: dict[str, Any] = dict.fromkeys(METER)
        row |= {
            "meter_id": estate.meter_id(meter),
            "model": vendor.models[estate.model[meter]][0],
            "manufacturer": "Synthetic Meters",
            "module_vendor": vendor.name,
            "module_encrypted": False,
            "sensing": sensing[meter],
            "valve_type": "ball_motor" if estate.valve[meter] else "none",
            "battery_type": vendor.cell,
            "battery_capacity_mah": int(vendor.capacity_mah),
            "caliber_mm": 15 if "15" in vendor.models[estate.model[meter]][0] else 20,
            "ip_rating": "IP68" if estate.waterproof[meter] else "IP65",
            "firmware": vendor.firmwares[estate.firmware[meter]],
            "production_batch": estate.lot_name(int(estate.lot[meter])),
            "produced_on": produced,
            "shipped_on": produced + timedelta(days=14),
            "installed_on": installed,
            "warranty_months": _WARRANTY_MONTHS,
            "installation": INSTALLATIONS[estate.installation[meter]],
            "flood_prone": bool(estate.flood_prone[meter]),
            "installer": estate.installer_name(meter),
            "project": f"Project {estate.sites.region[estate.site[meter]] + 1}",
            "region": estate.regions[estate.region[meter]],
            "site": estate.site_name(int(estate.site[meter])),
            "timezone": calendar.zone,
            "customer_ref": f"synthetic-customer-{meter + 1:06d}",
        }
        first = int(estate.first_hour[meter])
        if first:
            row["recorded_at"] = calendar.moment(first)
        rows.append(row)
        if estate.last_hour[meter] < calendar.hours:
            gone = calendar.moment(int(estate.last_hour[meter]))
            rows.append(row | {"removed_on": gone.date(), "recorded_at": gone})
    return rows


def weather_rows(world: World) -> Rows:
    """Return a row a region and day; those behind the record are forecasts."""
    weather, calendar = world.weather, world.calendar
    rows: Rows = []
    for region, name in enumerate(world.estate.regions):
        for day in range(weather.day_c.shape[1]):
            low, mean, high = (round(float(value), 1) for value in weather.day_c[region, day])
            ahead = day >= calendar.days
            rows.append(
                {
                    "region": name,
                    "date": calendar.first + timedelta(days=day),
                    "min_c": low,
                    "mean_c": mean,
                    "max_c": high,
                    "precipitation_mm": float(weather.rain_mm[region, day]),
                    "forecast": ahead,
                    "recorded_at": calendar.moment(calendar.hours) if ahead else None,
                }
            )
    return rows


def works_rows(world: World) -> Rows:
    """Return the works and outages that were announced."""
    estate, calendar = world.estate, world.calendar
    rows: Rows = [
        {
            "region": estate.regions[each.region],
            "site": estate.site_name(each.site) if each.site >= 0 else None,
            "from": calendar.moment(each.first),
            "until": calendar.moment(each.last),
            "kind": each.kind,
            "recorded_at": calendar.moment(each.first - _ANNOUNCED_H),
        }
        for each in world.happenings.all
        if each.announced
    ]
    return sorted(rows, key=lambda row: (row["from"], row["region"], row["site"] or ""))


class Paperwork:
    """Visits, complaints and the truth.

    Parameters
    ----------
    world, plan, results
        The fleet and what became of it.
    draws : Draws
        Source of chance of its own.
    """

    def __init__(self, world: World, plan: FaultPlan, results: Sequence[BlockResult], draws: Draws) -> None:
        self.world, self.plan, self.draws, self.rng = world, plan, draws, draws.rng
        self.outcomes: list[Outcome] = [each.outcome for each in results]
        new = np.flatnonzero(world.estate.replaces >= 0)
        self.successors = dict(zip(world.estate.replaces[new].tolist(), new.tolist(), strict=True))
        self.readings = [reading for each in results for reading in each.readings]
        self.at_home = np.concatenate([each.at_home for each in results])
        faulty = np.concatenate([each.meter for each in self.outcomes])
        self.healthy = np.setdiff1d(np.arange(world.estate.size), faulty)

    def truths(self) -> Rows:
        """Return the truth file's rows, by meter."""
        moment = self.world.calendar.moment
        rows: Rows = []
        for each in self.outcomes:
            for n, meter in enumerate(each.meter):
                values = (
                    self.world.estate.meter_id(int(meter)), str(each.fault[n]), str(each.cause[n]),
                    moment(each.onset[n]), moment(each.noticed[n]),
                    moment(each.end[n]) if np.isfinite(each.end[n]) else None,
                    bool(each.reversible[n]), bool(each.detectable[n]),
                )  # fmt: skip
                rows.append(dict(zip(_TRUTH, values, strict=True)))
        return rows

    def culprits(self) -> Rows:
        """Return lots, firmwares and installers that are truly bad."""
        return [
            {"scope": each.scope, "key": each.key, "fault": each.fault, "cause": each.cause}
            for each in self.plan.culprits
        ]

    def inspections(self) -> Rows:
        """Return technicians' visits: to faults that were noticed, and some in vain."""
        rng, estate, moment = self.rng, self.world.estate, self.world.calendar.moment
        rows: Rows = []
        for each in self.outcomes:
            for n in np.flatnonzero(~np.isnan(each.visited)):
                meter, fault, cause = int(each.meter[n]), str(each.fault[n]), str(each.cause[n])
                told = cause if rng.random() < 0.8 else "unknown"
                wet = estate.installation[meter] == PIT and estate.flood_prone[meter]
                row: dict[str, Any] = dict.fromkeys(INSPECTION)
                row |= {
                    "meter_id": estate.meter_id(meter),
                    "inspected_at": moment(each.visited[n]),
                    "inspector": f"synthetic-technician-{int(rng.integers(1, 9))}",
                    "finding": fault,
                    "cause": told,
                    "seal_intact": bool(cause != "tamper" or rng.random() < 0.3),
                    "tamper_signs": cause == "tamper",
                    "body_damage": bool(fault == "low_temperature" and each.mode[n] == "dead"),
                    "submerged": bool(cause == "moisture" or (wet and rng.random() < 0.2)),
                    "sediment_seen": cause == "sediment",
                    "display": "blank" if fault == "battery" else "ok",
                    "action": self._action(bool(each.repaired[n]), bool(each.exchanged[n])),
                    "new_meter_id": self._successor(meter) if each.exchanged[n] else None,
                }
                rows.append(row)
        # An empty home is visited in vain more often: nothing moves there.
        odd = np.where(self.at_home[self.healthy] < 0.6, 5.0, 0.7)
        visited = self.healthy[rng.random(len(self.healthy)) < odd * self.draws.one("no_defect_share")]
        for meter in visited:
            row = dict.fromkeys(INSPECTION)
            row |= {
                "meter_id": estate.meter_id(int(meter)),
                "inspected_at": moment(rng.uniform(24, self.world.calendar.hours - 1)),
                "inspector": f"synthetic-technician-{int(rng.integers(1, 9))}",
                "finding": "no_defect_found",
                "seal_intact": True,
                "tamper_signs": False,
                "body_damage": False,
                "submerged": False,
                "sediment_seen": False,
                "display": "ok",
                "action": "none",
            }
            rows.append(row)
        rows += self._site_readings()
        return sorted(rows, key=lambda row: (row["inspected_at"], row["meter_id"]))

    def _action(self, repaired: bool, exchanged: bool) -> str:
        if exchanged:
            return "exchanged"
        return "repaired" if repaired else str(self.rng.choice(["none", "returned"]))

    def _successor(self, meter: int) -> str | None:
        """Return the id of the meter that took a meter's place."""
        new = self.successors.get(meter)
        return None if new is None else self.world.estate.meter_id(new)

    def _site_readings(self) -> Rows:
        """Return what readers wrote down on site; they read the register and judge nothing."""
        rows: Rows = []
        for each in self.readings:
            row: dict[str, Any] = dict.fromkeys(INSPECTION)
            row |= {
                "meter_id": self.world.estate.meter_id(each.meter),
                "inspected_at": self.world.calendar.moment(each.hour),
                "inspector": f"synthetic-reader-{int(self.rng.integers(1, 5))}",
                "finding": "other",
                "display": "ok",
                "register_reading_m3": round(each.wheels_m3, 3),
                "action": "none",
                "note": "meter reading round",
            }
            rows.append(row)
        return rows

    def reports(self) -> Rows:
        """Return customers' complaints: of faults that were noticed, and of nothing."""
        rng, calendar = self.rng, self.world.calendar
        share = self.draws.one("reported_share")
        rows: Rows = []
        for each in self.outcomes:
            for n, meter in enumerate(each.meter):
                hour = each.noticed[n] + rng.uniform(0.5, 60)
                if hour >= calendar.hours or rng.random() >= share:
                    continue
                symptom = str(rng.choice(_SYMPTOMS[str(each.fault[n])]))
                urgent = bool(rng.random() < (0.5 if each.fault[n] in {"actuator", "low_temperature"} else 0.1))
                rows.append(self._report(int(meter), hour, symptom, urgent=urgent))
        asking = self.healthy[rng.random(len(self.healthy)) < self.draws.one("idle_report_share")]
        rows += [
            self._report(int(m), rng.uniform(24, calendar.hours - 1), str(rng.choice(_IDLE_SYMPTOMS)), urgent=False)
            for m in asking
        ]
        return sorted(rows, key=lambda row: (row["reported_at"], row["meter_id"]))

    def _report(self, meter: int, hour: float, symptom: str, *, urgent: bool) -> dict[str, Any]:
        return {
            "meter_id": self.world.estate.meter_id(meter),
            "reported_at": self.world.calendar.moment(hour),
            "symptom": symptom,
            "urgent": urgent,
        }
