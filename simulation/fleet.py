"""A fleet: meters under one weather, written as envelopes of the contract with the truth beside them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from simulation.meter import Message, MeterPlan, Truth, simulate_meter
from simulation.weather import Climate, Spell, air_temperature, local_hours


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Meters that share a climate, a calendar and a zone.

    Parameters
    ----------
    meters : tuple of MeterPlan
        The meters.
    first : date
        First local day.
    days : int
        Number of local days.
    zone : ZoneInfo
        Zone of the calendar.
    climate : Climate
        Its ordinary year.
    spells : tuple of Spell
        Days out of the ordinary.
    """

    meters: tuple[MeterPlan, ...]
    first: date
    days: int
    zone: ZoneInfo
    climate: Climate
    spells: tuple[Spell, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it reached the collector.

    Parameters
    ----------
    topic : str
        MQTT topic.
    received_at : datetime
        UTC; some seconds after the meter measured.
    message : Message
        What the meter sent.
    """

    topic: str
    received_at: datetime
    message: Message

    def line(self) -> str:
        """Return the envelope as one line of JSON, without its end."""
        envelope = {
            "topic": self.topic,
            "received_at": self.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "payload": self.message.payload,
        }
        return json.dumps(envelope, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a simulation produced.

    Parameters
    ----------
    envelopes : list of Envelope
        In order of `received_at`.
    truths : list of Truth
        By meter.
    """

    envelopes: list[Envelope]
    truths: list[Truth]

    def write(self, readings: Path, truth: Path) -> None:
        """Write the envelopes as JSON lines and the truth as CSV."""
        readings.write_text("".join(f"{envelope.line()}\n" for envelope in self.envelopes), encoding="utf-8")
        with truth.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([f.name for f in fields(Truth)])
            writer.writerows([_cell(getattr(row, f.name)) for f in fields(Truth)] for row in self.truths)


def simulate_fleet(plan: FleetPlan, seed: int) -> Fleet:
    """Return the fleet of `plan`; the same seed gives the same bytes.

    Weather and every meter draw from streams of their own: one meter more changes nothing about the others.
    """
    hours = local_hours(plan.first, plan.days, plan.zone)
    air_c = air_temperature(hours, plan.climate, np.random.default_rng([seed, 0]), plan.spells)
    envelopes: list[Envelope] = []
    truths: list[Truth] = []
    for n, meter in enumerate(plan.meters, start=1):
        rng = np.random.default_rng([seed, n])
        messages, known = simulate_meter(meter, hours, air_c, plan.climate, rng)
        truths += known
        for message in messages:
            delay = timedelta(milliseconds=round(1000 * float(rng.uniform(2, 20))))
            received_at = message.ts.astimezone(UTC) + delay
            envelopes.append(Envelope(f"meters/{message.meter_id}/readings", received_at, message))
    return Fleet(sorted(envelopes, key=lambda e: (e.received_at, e.topic)), truths)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
