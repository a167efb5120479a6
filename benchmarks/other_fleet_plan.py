"""What :mod:`benchmarks.other_fleet` simulates: vendors, climates, meters with their circumstances, planned faults.

What is known of them, and the truth, is written here too.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rng = np.random.Generator

LOCAL = timezone(timedelta(hours=8))  # Asia/Shanghai has no summer time
FESTIVAL = {2025: (1, 29), 2026: (2, 17), 2027: (2, 6), 2028: (1, 26)}  # first day of the lunar year
_INCIDENCE = 0.8  # times the rates of single faults: 4 to 5 % of 2,000 meters in 150 days with the excess


@dataclass(frozen=True, slots=True)
class Vendor:
    """What one vendor's meters are built of and how they report; resolutions in V and m³, exercise in days."""

    name: str
    model: str
    share: float
    style: str  # hourly, quarter (every 6 h), daily (with a profile)
    sensing: str
    valve: str
    cell: str
    capacity_mah: int
    volt_step: float
    step_m3: float
    exercise_d: int
    clock: str  # how it writes time: utc, local, epoch_ms
    stalled_word: str  # valve_state after a stall; empty: the position it last reached
    extras: frozenset[str]


VENDORS = (
    Vendor("Aquilo", "AQ-2", 0.34, "daily", "inductive", "ball_motor", "ER26500", 8500, 0.01, 0.001, 30, "utc", "fault",
           frozenset({"ambient", "load", "signal", "coverage"})),
    Vendor("Linghe", "LH15", 0.24, "quarter", "reed", "ball_motor", "ER18505", 4000, 0.001, 0.01, 15, "local", "",
           frozenset({"ambient", "load", "flow"})),
    Vendor("Songpu", "SP-N1", 0.10, "hourly", "hall", "pilot", "ER34615", 19000, 0.1, 0.001, 30, "epoch_ms", "unknown",
           frozenset({"load"})),
    Vendor("Veldbron", "VB-U", 0.14, "daily", "optical", "none", "ER34615", 19000, 0.001, 0.001, 0, "utc", "",
           frozenset({"ambient", "water", "coverage"})),
    Vendor("Jinquan", "JQ-C", 0.18, "quarter", "inductive", "ceramic", "ER26500", 8500, 0.01, 0.001, 7, "local",
           "fault", frozenset({"ambient", "load", "signal"})),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Region:
    """A climate: yearly mean, half swing, daily range and depth of a cold snap [°C or K]; heated homes or not."""

    name: str
    share: float
    mean_c: float
    swing_k: float
    daily_k: float
    snap_k: float
    heated: bool
    places: tuple[float, float, float, float]  # shares of indoor, outdoor, basement, pit
    latitude: float


REGIONS = (
    Region("north", 0.20, 8.0, 18.0, 10.0, 10.0, True, (0.70, 0.03, 0.15, 0.12), 41.8),
    Region("plain", 0.30, 14.0, 14.0, 10.0, 10.0, True, (0.55, 0.15, 0.10, 0.20), 34.7),
    Region("river", 0.30, 17.0, 12.0, 8.0, 9.0, False, (0.45, 0.30, 0.08, 0.17), 30.2),
    Region("south", 0.20, 22.0, 8.0, 8.0, 5.0, False, (0.40, 0.40, 0.08, 0.12), 23.1),
)
PLACES = ("indoor", "outdoor", "basement", "pit")
_LAGS_H = (8.0, 2.0, 24.0, 72.0)  # of the places, in that order


@dataclass(slots=True)
class Fault:
    """One truth: a fault with the way it shows (``kind``); times in hours since the start of the record."""

    fault: str
    kind: str
    cause: str
    onset_h: float
    noticed_h: float = np.nan
    end_h: float = np.nan
    reversible: bool = False
    detectable: bool = True


@dataclass(slots=True)
class Meter:
    """One meter, its place and its circumstances; times in hours since the start of the record."""

    meter_id: str
    vendor: Vendor
    region: int
    site: int
    place: int
    lot: str
    produced: date
    installed: date
    age_y: float
    firmware: str
    installer: int
    ip65: bool
    use: str
    rssi_dbm: float
    flooded: bool = False
    begin_h: float = 0.0
    stop_h: float = np.inf
    removed: date | None = None
    exchange_h: float = np.inf
    closures: list[tuple[float, float]] = field(default_factory=list)
    fault: Fault | None = None


@dataclass(slots=True)
class Fleet:
    """All meters and what is common to them; windows are (begin, end) in hours."""

    seed: int
    start: date
    days: int
    meters: list[Meter]
    outdoor_c: Array  # region × hour
    cavity_c: NDArray[np.float32]  # meter × hour
    rain_mm: Array  # region × day
    water_off: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    radio_off: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    works: list[tuple[int, int, float, float, str]] = field(default_factory=list)
    flood: tuple[int, float] = (0, 0.0)
    bad_lots: dict[str, str] = field(default_factory=dict)

    @property
    def hours(self) -> int:
        """Length of the record [h]."""
        return 24 * self.days

    @property
    def epoch_s(self) -> int:
        """Start of the record [s since 1970]."""
        return int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=LOCAL).timestamp())

    def truths(self) -> list[tuple[Meter, Fault]]:
        """Return the faulty meters whose fault has begun within the record."""
        return [(m, m.fault) for m in self.meters if m.fault is not None and m.fault.onset_h < self.hours]

    def bill_h(self, hour: float) -> float:
        """Return the first bill, on the 5th of a month, ten days or more after an hour [h]."""
        day = self.start + timedelta(hours=hour) + timedelta(days=10 + int(hour % 24 > 0))
        month = day.replace(day=5) if day.day <= 5 else (day.replace(day=1) + timedelta(days=32)).replace(day=5)
        return 24.0 * (month - self.start).days + 10


def _weather(rng: Rng, start: date, days: int) -> tuple[Array, Array]:
    """Return outdoor temperature by region and hour [°C] and precipitation by region and day [mm]."""
    noon = np.arange(days + 2) - 1.0
    of_year = (start - date(start.year, 1, 1)).days + noon
    snaps = days * np.array([0.32, 0.56]) + rng.normal(0, 0.03 * days, 2)
    common = ar1(rng, days + 2, 0.75, 2.0)
    hour = np.arange(24 * days)
    outdoor, rain = [], []
    for region in REGIONS:
        mean = region.mean_c + region.swing_k * np.cos(2 * np.pi * (of_year - 201) / 365.25)
        mean += common + ar1(rng, days + 2, 0.7, 1.5)
        for snap in snaps + rng.normal(0, 0.7, 2):
            mean -= region.snap_k * rng.uniform(0.75, 1.15) * np.exp(-(((noon - snap) / rng.uniform(1.6, 3.0)) ** 2))
        wet = ar1(rng, days, 0.5, 1.0) > (1.1 if region.mean_c < 15 else 0.5)
        rain.append(np.where(wet, rng.gamma(0.8, 7.0 if region.mean_c > 15 else 4.0, days), 0.0))
        swing = region.daily_k * np.repeat(np.where(wet, 0.6, 1.0), 24) / 2
        outdoor.append(
            np.interp(hour, 24 * noon + 12, mean) + swing * np.cos(2 * np.pi * (hour - 15) / 24)
            + ar1(rng, 24 * days, 0.9, 0.5)
        )  # fmt: skip
    return np.array(outdoor), np.array(rain)


def ar1(rng: Rng, n: int, memory: float, sd: float) -> Array:
    """Return a stationary first-order autoregression."""
    out = rng.normal(0, sd, n)
    for k in range(1, n):
        out[k] = memory * out[k - 1] + np.sqrt(1 - memory**2) * out[k]
    return out


def _cavities(rng: Rng, meters: Sequence[Meter], outdoor: Array) -> NDArray[np.float32]:
    """Return the temperature round each meter by hour [°C]: an anchor and a lagged share of the air outside."""
    lagged = np.repeat(outdoor[:, None, :], len(PLACES), axis=1)
    pull = 1 / np.array(_LAGS_H)
    for k in range(1, outdoor.shape[1]):
        lagged[:, :, k] = lagged[:, :, k - 1] + pull * (outdoor[:, None, k] - lagged[:, :, k - 1])
    out = np.empty((len(meters), outdoor.shape[1]), np.float32)
    for i, meter in enumerate(meters):
        region, place = REGIONS[meter.region], PLACES[meter.place]
        if place == "outdoor":
            share, anchor = rng.uniform(0.8, 1.0), 10.0
        elif place == "pit":
            share, anchor = rng.uniform(0.35, 0.7), region.mean_c + 2
        elif place == "basement":
            share, anchor = rng.uniform(0.25, 0.45), 13.0
        elif region.heated and rng.random() < 0.88:
            share, anchor = rng.uniform(0.05, 0.15), 19.0
        else:  # an unheated home, or a niche in the stairs
            share, anchor = rng.uniform(0.4, 0.65), 12.0 if region.heated else 16.0
        out[i] = share * lagged[meter.region, meter.place] + (1 - share) * anchor + rng.normal(0, 0.5)
    return out


def _make_meters(rng: Rng, count: int, start: date, days: int) -> list[Meter]:
    """Draw sites, lots and meters; most meters of a site come from one vendor and few lots."""
    sites = max(6, count // 40)
    site_region = np.sort(rng.choice(len(REGIONS), sites, p=[r.share for r in REGIONS]))
    site_region[: len(REGIONS)] = np.arange(len(REGIONS))
    shares = np.array([v.share for v in VENDORS])
    site_vendor = rng.choice(len(VENDORS), sites, p=shares)
    lots: list[list[tuple[str, date]]] = []
    for vendor in VENDORS:
        made = [start - timedelta(days=int(d)) for d in rng.uniform(70, 3050, max(2, round(count * vendor.share / 75)))]
        lots.append([(f"{vendor.name[:2].upper()}{m:%y}W{m:%V}{'ABCDEFGH'[rng.integers(8)]}", m) for m in sorted(made)])
    site_lots = [[rng.dirichlet(np.full(len(lot), 0.6)) for lot in lots] for _ in range(sites)]
    meters = []
    for i in range(count):
        site = int(rng.integers(sites))
        v = int(site_vendor[site]) if rng.random() < 0.7 else int(rng.choice(len(VENDORS), p=shares))
        vendor, region = VENDORS[v], int(site_region[site])
        lot, produced = lots[v][rng.choice(len(lots[v]), p=site_lots[site][v])]
        installed = min(produced + timedelta(days=int(rng.uniform(30, 300))), start - timedelta(days=5))
        begin = 0.0
        if rng.random() < 0.02:
            begin = 24.0 * int(rng.uniform(0.1, 0.7) * days) + 10
            installed = start + timedelta(days=begin // 24)
        place = int(rng.choice(len(PLACES), p=REGIONS[region].places))
        penalty = (0.0, -2.0, 9.0, 8.0)[place]
        meters.append(Meter(
            meter_id=f"{86000000 + 37 * i + v:08d}", vendor=vendor, region=region, site=site, place=place, lot=lot,
            produced=produced, installed=installed, age_y=(start - installed).days / 365.25,
            firmware=f"{v + 1}.{rng.choice([2, 4, 7], p=[0.5, 0.35, 0.15])}", installer=int(rng.integers(9)),
            ip65=bool(rng.random() < (0.5 if place < 2 else 0.2)),
            use=str(rng.choice(["family", "single", "shop", "vacant"], p=[0.79, 0.11, 0.06, 0.04])),
            rssi_dbm=float(min(-62, rng.normal(-90 - penalty, 8))), begin_h=begin,
        ))  # fmt: skip
    return meters


def _draw_works(rng: Rng, fleet: Fleet) -> int:
    """Draw works and outages of water and radio; return the site that the works filled with sand."""
    sites = sorted({m.site for m in fleet.meters})
    where = {m.site: m.region for m in fleet.meters}
    for site in sites:
        for _ in range(rng.poisson(0.35)):  # water off for some hours, mostly announced
            begin = 24 * rng.integers(fleet.days) + rng.uniform(8, 14)
            fleet.water_off[site].append((begin, begin + rng.uniform(3, 9)))
            if rng.random() < 0.8:
                kind = str(rng.choice(["outage", "pipe works"]))
                fleet.works.append((where[site], site, begin, begin + 10, kind))
        for _ in range(rng.poisson(0.3)):  # base station down; announced only when planned
            begin = rng.uniform(0, fleet.hours)
            end = begin + rng.gamma(1.5, 24)
            fleet.radio_off[site].append((begin, end))
            if rng.random() < 0.4:
                fleet.works.append((where[site], site, begin, end, "radio maintenance"))
    valved = Counter(m.site for m in fleet.meters if m.vendor.valve != "none")
    sandy = int(rng.choice([s for s, n in valved.most_common(max(1, len(valved) // 3))]))
    begin = 24 * int(rng.uniform(0.15, 0.35) * fleet.days) + 9.0
    fleet.water_off[sandy].append((begin, begin + 8))
    fleet.works.append((where[sandy], sandy, begin, begin + 32, "pipe works"))
    fleet.works.append((where[sandy], sandy, begin + 32, begin + 36, "flushing"))
    return sandy


def _draw_circumstances(rng: Rng, fleet: Fleet) -> None:
    """Draw the flood, closed valves, meters that fall silent by radio, and exchanges."""
    where = {m.site: m.region for m in fleet.meters}
    sites = sorted(where)
    low = Counter(m.site for m in fleet.meters if m.place >= 2 and REGIONS[m.region].mean_c > 15)
    flooded = low.most_common(1)[0][0] if low else sites[-1]
    day = int(rng.uniform(0.2, 0.6) * fleet.days)
    fleet.flood = (flooded, 24.0 * day + 6)
    fleet.rain_mm[where[flooded], day] += rng.uniform(70, 120)
    for m in fleet.meters:
        m.flooded = m.site == flooded and m.place >= 2 and bool(rng.random() < 0.8)
        empty = m.use == "vacant"
        if m.vendor.valve != "none" and rng.random() < (0.5 if empty else 0.08):  # arrears, or nobody lives there
            begin = 24 * rng.integers(fleet.days) + rng.uniform(9, 16)
            m.closures.append((begin, begin + 24 * (rng.uniform(30, 120) if empty else rng.gamma(2, 4))))
        if rng.random() < 0.007:  # silent for good: antenna, SIM, a wall before it; nothing of the four faults
            m.stop_h = rng.uniform(0.1, 1.0) * fleet.hours
    first, second, third = rng.choice(len(fleet.meters), 3, replace=False)
    old, new = fleet.meters[first], fleet.meters[second]
    old.stop_h = new.begin_h = 24.0 * int(0.4 * fleet.days) + 11
    old.removed = new.installed = fleet.start + timedelta(days=int(0.4 * fleet.days))
    new.site, new.region, new.place = old.site, old.region, old.place
    new.age_y, new.use = 0.0, old.use
    fleet.meters[third].exchange_h = 24.0 * int(0.55 * fleet.days) + 14  # a new body under the old id


@dataclass(slots=True)
class _Lottery:
    """Gives faults to meters that qualify; a meter has one at most, and none if it comes, goes or is exchanged."""

    rng: Rng
    fleet: Fleet
    half_day_c: NDArray[np.float32]  # mean of twelve hours from each on

    def sound(self) -> NDArray[np.bool_]:
        """Return which meters may still be given a fault."""
        return np.array([
            m.fault is None and np.isinf(m.stop_h) and np.isinf(m.exchange_h) and m.begin_h == 0
            for m in self.fleet.meters
        ])  # fmt: skip

    def give(self, i: int, fault: str, kind: str, cause: str, onset_h: float) -> None:
        """Give a meter a fault, unless it does not qualify."""
        m = self.fleet.meters[i]
        if m.fault is None and np.isinf(m.stop_h) and np.isinf(m.exchange_h) and m.begin_h == 0:
            m.fault = Fault(fault, kind, cause, onset_h)

    def hour(self, low: float = 0.06, high: float = 0.97) -> float:
        """Return any hour between two shares of the record."""
        return float(self.rng.uniform(low, high) * self.fleet.hours)

    def cold_hour(self, i: int, below_c: float) -> float:
        """Return an hour at which one of the cold spells has got hold of a meter, or NaN."""
        cold = np.flatnonzero(self.half_day_c[i] < below_c)
        if not len(cold):
            return np.nan
        begins = cold[np.diff(cold, prepend=-100) > 48]
        return float(self.rng.choice(begins) + 12 + self.rng.integers(0, 12))

    def spread(
        self, rate: float, weight: Array, fault: str, kind: str, cause: str,
        between: tuple[float, float] = (0.06, 0.97), below_c: float = np.nan,
    ) -> None:  # fmt: skip
        """Give a fault to so many in 1,000 meters and 150 days, drawn by weight, in time or when it is cold."""
        weight = weight * self.sound()
        expected = _INCIDENCE * rate * len(weight) / 1000 * self.fleet.days / 150
        n = min(int(self.rng.poisson(expected)), int((weight > 0).sum()))
        for i in self.rng.choice(len(weight), n, replace=False, p=weight / weight.sum()).tolist() if n else ():
            onset = self.hour(*between) if np.isnan(below_c) else self.cold_hour(i, below_c)
            worn = self.fleet.meters[i].age_y > self.rng.uniform(2, 6)
            if np.isfinite(onset):
                self.give(i, fault, kind, ("age" if worn else "unknown") if cause == "wear" else cause, onset)


def _plan_excess(lottery: _Lottery, sandy: int) -> None:
    """Choose the bad lots, and give meters what lots, sand, flood and one installer do."""
    fleet, rng = lottery.fleet, lottery.rng
    sizes = Counter(m.lot for m in fleet.meters).most_common()
    valved = {m.lot for m in fleet.meters if m.vendor.valve != "none"}
    kinds = {"actuator": ["drift", "stripped"], "coil": ["frozen", "partial"], "battery": ["deplete"]}
    for fault in list(kinds)[: 1 + len(fleet.meters) // 800]:
        free = [lot for lot, _ in sizes if lot not in fleet.bad_lots and (fault != "actuator" or lot in valved)]
        lot = str(rng.choice(free[: max(1, len(free) // 3)]))
        fleet.bad_lots[lot] = fault
        kind = str(rng.choice(kinds[fault]))
        for i, m in enumerate(fleet.meters):
            if m.lot == lot and rng.random() < 0.10 * fleet.days / 150:
                lottery.give(i, fault, kind, "production_batch", lottery.hour())
    for i, m in enumerate(fleet.meters):
        if m.site == sandy and m.vendor.valve != "none" and rng.random() < 0.2:
            lottery.give(i, "actuator", "drift", "sediment", fleet.works[-1][3] + 24 * rng.uniform(2, 20))
        if m.flooded and rng.random() < (0.5 if m.ip65 else 0.12):
            wet = str(rng.choice(["moist", "partial", "frozen"], p=[0.6, 0.2, 0.2]))
            fault = "battery" if wet == "moist" else "coil"
            lottery.give(i, fault, wet, "moisture", fleet.flood[1] + 24 * rng.uniform(0.5, 8))
        if m.installer == 4 and rng.random() < 0.02 * fleet.days / 150:
            lottery.give(i, "coil", "partial", "installation", lottery.hour())


def _plan_single(lottery: _Lottery) -> None:
    """Give faults to single meters by what they are and where they hang."""
    meters, spread = lottery.fleet.meters, lottery.spread

    def where(test: Callable[[Meter], float]) -> Array:
        return np.array([float(test(m)) for m in meters])

    age = where(lambda m: max(m.age_y, 0.0))
    wear = 0.3 + age / 4
    valve = wear * where(lambda m: m.vendor.valve != "none")
    damp = where(lambda m: m.ip65 and m.place >= 2)
    frost = (lottery.half_day_c < -4).sum(axis=1).astype(float)
    chill = np.sqrt((lottery.half_day_c < -2).sum(axis=1))
    spread(1.6, wear, "coil", "frozen", "wear")
    spread(1.1, wear, "coil", "partial", "wear")
    spread(0.9, wear * where(lambda m: m.vendor.sensing == "reed"), "coil", "double", "wear")
    spread(0.8, wear * where(lambda m: m.vendor.sensing in {"inductive", "optical"}), "coil", "backward", "wear")
    spread(0.6, where(lambda m: m.vendor.sensing != "inductive"), "coil", "jump", "unknown")
    spread(1.1, wear * where(lambda m: m.vendor.sensing == "inductive"), "coil", "fading", "wear")
    spread(0.5, damp, "coil", "partial", "moisture")
    spread(0.4, where(lambda m: m.vendor.sensing in {"reed", "hall"}), "coil", "magnet", "tamper")
    spread(1.5, chill, "coil", "cold", "low_temperature", below_c=-2)
    spread(1.1, frost, "coil", "cracked", "low_temperature", below_c=-4)
    spread(3.0, np.maximum(age - 5.5, 0), "battery", "deplete", "age", (0.1, 1.1))
    spread(1.2, where(lambda m: m.rssi_dbm < -103 and m.age_y > 1.5), "battery", "deplete", "coverage", (0.1, 1.1))
    spread(0.9, where(lambda m: m.age_y > 1), "battery", "storm", "report_storm", (0.05, 0.7))
    spread(0.8, damp, "battery", "moist", "moisture", (0.05, 0.8))
    spread(0.7, where(lambda m: m.firmware == "2.2" and m.age_y > 2), "battery", "deplete", "module", (0.1, 1.1))
    spread(0.5, where(lambda m: m.age_y > 1), "battery", "deplete", "unknown", (0.1, 1.1))
    spread(0.5, np.ones(len(meters)), "battery", "sudden", "unknown")
    spread(1.5, chill, "battery", "pulse", "low_temperature", below_c=-2)
    spread(1.5, valve, "actuator", "stall_close", "wear")
    spread(0.8, valve, "actuator", "stall_open", "wear")
    spread(1.1, valve, "actuator", "drift", "sediment", (0.03, 0.7))
    spread(1.1, valve, "actuator", "seat", "wear")
    spread(0.8, valve, "actuator", "stripped", "wear")
    for kind, rate in (("freeze", 3.0), ("burst", 2.2), ("dead", 1.5)):
        spread(rate, frost, "low_temperature", kind, "low_temperature", below_c=-4)
    for m in meters:
        if m.fault is not None and m.fault.kind == "seat" and lottery.rng.random() < 0.8:
            # A leaking seat shows only where the valve is closed for a while.
            m.closures = [(m.fault.onset_h, m.fault.onset_h + 24 * lottery.rng.uniform(4, 25))]
        elif m.fault is not None and m.fault.fault == "low_temperature":
            m.closures = []  # what freezes here is a line in use


def build_fleet(meters: int, days: int, seed: int, start: date) -> Fleet:
    """Return a fleet with weather, circumstances and planned faults; nothing is simulated by the hour yet."""
    rng = np.random.default_rng([seed, 1])
    outdoor, rain = _weather(rng, start, days)
    drawn = _make_meters(rng, meters, start, days)
    fleet = Fleet(seed, start, days, drawn, outdoor, np.empty((0, 0), np.float32), rain)
    sandy = _draw_works(rng, fleet)
    _draw_circumstances(rng, fleet)
    fleet.cavity_c = _cavities(rng, drawn, outdoor)
    half_day = np.lib.stride_tricks.sliding_window_view(fleet.cavity_c, 12, axis=1).mean(axis=2)
    lottery = _Lottery(rng, fleet, half_day)
    _plan_excess(lottery, sandy)  # first, so that it is there in small fleets too
    _plan_single(lottery)
    return fleet


def _write_csv(path: Path, header: str, rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(header.split(","))
        out.writerows(rows)


def write_tables(fleet: Fleet, out: Path) -> None:
    """Write registry, weather, works, truth and the bad lots."""

    def when(hour: float) -> str:
        at = fleet.epoch_s + round(3600 * hour) if np.isfinite(hour) else None
        return "" if at is None else datetime.fromtimestamp(at, LOCAL).isoformat()

    def registered(m: Meter) -> list[Any]:
        vendor, region, far = m.vendor, REGIONS[m.region], 0.01 * (int(m.meter_id) % 50)
        wet = m.place >= 2 and (m.site == fleet.flood[0] or m.site % 6 == 1)
        return [
            m.meter_id, vendor.model, vendor.name, vendor.name, "false", vendor.sensing, vendor.valve, vendor.cell,
            vendor.capacity_mah, 40 if m.use == "shop" else 20, "IP65" if m.ip65 else "IP68", m.firmware, m.lot,
            m.produced, m.produced + timedelta(days=20), m.installed, m.removed or "", 72, PLACES[m.place],
            str(wet).lower(), f"crew-{m.installer}", f"project-{region.name}", region.name, f"site-{m.site:03d}",
            "Asia/Shanghai", round(region.latitude + far, 4), round(115 + far, 4), f"C{m.meter_id[2:]}",
        ]  # fmt: skip

    header = (
        "meter_id,model,manufacturer,module_vendor,module_encrypted,sensing,valve_type,battery_type,battery_capacity_mah,"
        "caliber_mm,ip_rating,firmware,production_batch,produced_on,shipped_on,installed_on,removed_on,warranty_months,"
        "installation,flood_prone,installer,project,region,site,timezone,latitude,longitude,customer_ref"
    )
    _write_csv(out / "registry.csv", header, (registered(m) for m in fleet.meters))
    air = fleet.outdoor_c.reshape(len(REGIONS), fleet.days, 24)
    _write_csv(out / "weather.csv", "region,date,min_c,mean_c,max_c,precipitation_mm,forecast", (
        [region.name, fleet.start + timedelta(days=d), *(f"{f(air[r, d]):.1f}" for f in (np.min, np.mean, np.max)),
         f"{fleet.rain_mm[r, d]:.1f}", "false"]
        for r, region in enumerate(REGIONS) for d in range(fleet.days)
    ))  # fmt: skip
    _write_csv(out / "works.csv", "region,site,from,until,kind", (
        [REGIONS[region].name, f"site-{site:03d}", when(begin), when(end), kind]
        for region, site, begin, end, kind in sorted(fleet.works, key=lambda w: w[2])
    ))  # fmt: skip
    _write_csv(out / "truth.csv", "meter_id,fault,cause,onset,noticed_at,end,reversible,detectable", (
        [m.meter_id, f.fault, f.cause, when(f.onset_h), when(f.noticed_h), when(f.end_h),
         str(f.reversible).lower(), str(f.detectable).lower()]
        for m, f in fleet.truths()
    ))  # fmt: skip
    _write_csv(out / "bad_lots.csv", "production_batch,fault", sorted(fleet.bad_lots.items()))
