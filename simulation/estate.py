"""Who hangs where: regions, sites, production lots, installers and the meters themselves, without any fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from lake.vocabulary import INSTALLATIONS
from simulation.calendar_hours import Calendar
from simulation.parameters import Draws, Ints, constant
from simulation.vendors import Vendor
from simulation.weather import Bools, Floats

INDOOR, OUTDOOR, BASEMENT, PIT = (INSTALLATIONS.index(kind) for kind in ("indoor", "outdoor", "basement", "pit"))
KINDS = ("household", "rare", "business")
HOUSEHOLD, RARE, BUSINESS = range(len(KINDS))
_REGIONS = ("Northgate", "Riverside", "Hillfoot", "Oldtown", "Eastfield", "Lakeside")
_INSTALLERS = ("Pipe & Sons", "Aqua Fit", "Blue Works", "Mainline", "Rapid Install")
_SITE_KIND_SHARE = constant(
    "site_kind_share", 0.85, "1", "of a site's meters hang as the site's do, the others indoors"
)
_PRIMARY_VENDOR_SHARE = constant("primary_vendor_share", 0.75, "1", "of a site's meters are of one vendor")


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites, one row each.

    Parameters
    ----------
    region, installation, vendor, installer : ndarray of int, shape (n_sites,)
        Places in the lists of the fleet.
    flood_prone, valves : ndarray of bool, shape (n_sites,)
        Whether it may be under water; whether its meters have valves.
    rssi_dbm, age_y : ndarray of float, shape (n_sites,)
        Signal, and age of its meters at the record's begin.
    """

    region: Ints
    installation: Ints
    vendor: Ints
    installer: Ints
    flood_prone: Bools
    valves: Bools
    rssi_dbm: Floats
    age_y: Floats


@dataclass(frozen=True, slots=True)
class Estate:
    """The meters, one row each; nothing here says what will fail.

    Parameters
    ----------
    vendors : tuple of Vendor
        Module vendors.
    sites : Sites
        Where they hang.
    regions : tuple of str
        Names.
    site, region, vendor, model, firmware, lot, installation, kind : ndarray of int, shape (n_meters,)
        Places in the lists of the fleet, the vendor, or the words.
    valve, flood_prone, waterproof : ndarray of bool, shape (n_meters,)
        Has a valve; may be under water; is IP68.
    rssi_dbm, age_y, people : ndarray of float, shape (n_meters,)
        Signal; years since installation at the record's begin, negative for later ones; persons behind it.
    first_hour, last_hour : ndarray of int, shape (n_meters,)
        Hours between which it hangs there.
    start_m3 : ndarray of float, shape (n_meters,)
        Register when it begins.
    replaces : ndarray of int, shape (n_meters,)
        Meter whose place it took within the record, -1 for none.
    """

    vendors: tuple[Vendor, ...]
    sites: Sites
    regions: tuple[str, ...]
    site: Ints
    region: Ints
    vendor: Ints
    model: Ints
    firmware: Ints
    lot: Ints
    installation: Ints
    kind: Ints
    valve: Bools
    flood_prone: Bools
    waterproof: Bools
    rssi_dbm: Floats
    age_y: Floats
    people: Floats
    first_hour: Ints
    last_hour: Ints
    start_m3: Floats
    replaces: Ints

    @property
    def size(self) -> int:
        """Return the number of meters."""
        return len(self.site)

    def meter_id(self, meter: int) -> str:
        """Return the id of a meter, by its place."""
        return f"synthetic-{self.site[meter] + 1:03d}-{meter + 1:06d}"

    def site_name(self, site: int) -> str:
        """Return the name of a site."""
        return f"Estate {site + 1:03d}"

    def lot_name(self, lot: int) -> str:
        """Return the name of a lot."""
        return f"SYN-{lot + 1:04d}"

    def installer_name(self, meter: int) -> str:
        """Return the name of a meter's installer."""
        return _INSTALLERS[self.sites.installer[self.site[meter]]]

    def sensing(self) -> list[str]:
        """Return how each meter's register is sensed."""
        return [self.vendors[v].models[m][1] for v, m in zip(self.vendor, self.model, strict=True)]

    def installed_on(self, calendar: Calendar, meter: int) -> date:
        """Return the day of installation."""
        return calendar.first - timedelta(days=round(float(self.age_y[meter]) * 365.25))


def make_estate(meters: int, vendors: tuple[Vendor, ...], calendar: Calendar, draws: Draws) -> Estate:
    """Return an estate of `meters` meters."""
    rng = draws.rng
    regions = int(np.clip(round(meters / 400), 2, len(_REGIONS)))
    sizes = np.round(draws.many("meters_of_a_site", meters)).astype(np.int64)
    count = int(np.searchsorted(np.cumsum(sizes), meters)) + 1
    site = np.repeat(np.arange(count), sizes[:count])[:meters]
    sites = _sites(count, regions, vendors, draws)
    own = rng.random(meters) < _PRIMARY_VENDOR_SHARE
    vendor = np.where(own, sites.vendor[site], _vendors(vendors, meters, rng))
    kind = sites.installation[site]
    installation = np.where(rng.random(meters) < _SITE_KIND_SHARE, kind, INDOOR)
    age_y = np.clip(sites.age_y[site] + rng.normal(0, 0.15, meters), 0.05, None)
    first_hour = np.zeros(meters, dtype=np.int64)
    new = draws.some("new_share", meters)
    first_hour[new] = rng.integers(24 * 5, max(calendar.hours * 2 // 3, 24 * 5 + 1), int(new.sum()))
    age_y[new] = -first_hour[new] / 24 / 365.25
    last_hour = np.full(meters, calendar.hours, dtype=np.int64)
    exchanged = draws.some("exchanged_share", meters) & ~new
    last_hour[exchanged] = rng.integers(calendar.hours // 4, calendar.hours, int(exchanged.sum()))
    use = np.full(meters, HOUSEHOLD)
    use[draws.some("rare_share", meters)] = RARE
    use[draws.some("business_share", meters)] = BUSINESS
    models = np.array([len(each.models) for each in vendors])
    versions = np.array([len(each.firmwares) for each in vendors])
    people = draws.many("people", meters)
    wet = (installation == PIT) | (installation == BASEMENT)
    return Estate(
        vendors=vendors,
        sites=sites,
        regions=_REGIONS[:regions],
        site=site,
        region=sites.region[site],
        vendor=vendor,
        # One site buys one model of each vendor.
        model=(site + vendor) % models[vendor],
        firmware=np.asarray(rng.integers(0, versions[vendor])),
        lot=_lots(vendor, age_y, draws),
        installation=installation,
        kind=use,
        valve=sites.valves[site],
        flood_prone=sites.flood_prone[site] & wet,
        waterproof=np.where(installation == PIT, rng.random(meters) < 0.8, rng.random(meters) < 0.3),
        rssi_dbm=sites.rssi_dbm[site] + draws.many("meter_rssi_db", meters) - 10.0 * wet,
        age_y=age_y,
        people=people,
        first_hour=first_hour,
        last_hour=last_hour,
        start_m3=np.round(np.maximum(age_y, 0) * people * 38 * rng.uniform(0.6, 1.3, meters), 3),
        replaces=np.full(meters, -1, dtype=np.int64),
    )


def succeed(estate: Estate, old: Ints, hour: Ints, calendar: Calendar, draws: Draws) -> Estate:
    """Return the estate with a new meter for each one taken out at an hour; it comes from its vendor's spare stock."""
    count = len(old)
    names = ("site", "region", "vendor", "model", "firmware", "installation", "kind", "valve", "flood_prone", "people")
    copied: dict[str, Any] = {name: np.append(getattr(estate, name), getattr(estate, name)[old]) for name in names}
    last_hour = estate.last_hour.copy()
    last_hour[old] = hour
    spare_lot = int(estate.lot.max(initial=0)) + 1 + estate.vendor[old]
    return replace(
        estate,
        **copied,
        lot=np.concatenate([estate.lot, spare_lot]),
        waterproof=np.concatenate([estate.waterproof, np.ones(count, dtype=np.bool_)]),
        rssi_dbm=np.concatenate([estate.rssi_dbm, estate.rssi_dbm[old] + draws.rng.normal(0, 1.5, count)]),
        age_y=np.concatenate([estate.age_y, -hour / 24 / 365.25]),
        first_hour=np.concatenate([estate.first_hour, hour + 1]),
        last_hour=np.concatenate([last_hour, np.full(count, calendar.hours)]),
        start_m3=np.concatenate([estate.start_m3, np.round(draws.rng.uniform(0.0, 0.3, count), 3)]),
        replaces=np.concatenate([estate.replaces, old]),
    )


def _sites(count: int, regions: int, vendors: tuple[Vendor, ...], draws: Draws) -> Sites:
    rng = draws.rng
    limits = np.cumsum([draws.one("outdoor_share"), draws.one("pit_share"), draws.one("basement_share")])
    place = np.searchsorted(limits, (rng.permutation(count) + rng.random(count)) / count)
    installation = np.array([OUTDOOR, PIT, BASEMENT, INDOOR])[place]
    return Sites(
        region=rng.permutation(np.arange(count) % regions),
        installation=installation,
        vendor=_vendors(vendors, count, rng),
        installer=rng.integers(0, len(_INSTALLERS), count),
        flood_prone=draws.some("flood_share", count) & ((installation == PIT) | (installation == BASEMENT)),
        valves=draws.some("valve_share", count),
        rssi_dbm=draws.many("site_rssi_dbm", count),
        age_y=draws.many("age_y", count),
    )


def _vendors(vendors: tuple[Vendor, ...], size: int, rng: np.random.Generator) -> Ints:
    """Return a vendor for each, every one nearly as often as its share says."""
    limits = np.cumsum([each.share for each in vendors])
    return np.searchsorted(limits / limits[-1], (rng.permutation(size) + rng.random(size)) / size).astype(np.int64)


def _lots(vendor: Ints, age_y: Floats, draws: Draws) -> Ints:
    """Cut each vendor's meters, in order of their production, into lots."""
    produced = age_y + draws.rng.uniform(0.1, 0.6, len(vendor))
    order = np.lexsort([-produced, vendor])
    sizes = np.cumsum(np.round(draws.many("meters_of_a_lot", len(vendor))))
    running = np.searchsorted(sizes, np.arange(len(vendor)), side="right")
    # A lot belongs to one vendor: where the vendor changes, the next lot begins.
    starts = np.concatenate([[True], (np.diff(running) != 0) | (np.diff(vendor[order]) != 0)])
    lot = np.empty(len(vendor), dtype=np.int64)
    lot[order] = np.cumsum(starts) - 1
    return lot
