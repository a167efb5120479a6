"""Which vendor profile each reading is read by, and what it makes of the reading's numbers.

In the order of the contract: what the settings fix for a topic or a source, else the most specific match of what the
registry knows of the meter, else what its decoder takes it for, else ``generic``. A mistake in the settings or the
registry must not stop the line: it is logged once, ``metriage doctor`` tells it, and until then the next in that order
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import structlog

from ingest.meters import Make
from ingest.profiles.vendor_profile import GENERIC, Profiles, VendorProfile, load_profiles
from lake.errors import SettingsError

log = structlog.get_logger(__name__)

Stamp = tuple[tuple[str, int, int], ...]  # name, size and time of change of the site's profiles


class Dialects:
    """The vendor profiles of a site, and of its meters.

    Parameters
    ----------
    profiles : Profiles
        All there are.
    makes : mapping of str to Make
        What the registry knows of meters.
    """

    def __init__(self, profiles: Profiles, makes: Mapping[str, Make]) -> None:
        self._profiles = profiles
        self._unknown: set[str] = set()
        of_make = {make: self._match(make) for make in set(makes.values())}
        of_meter = [(meter, name) for meter, make in makes.items() if (name := of_make[make]) is not None]
        self._of_meter = pl.DataFrame(of_meter, schema={"meter_id": pl.String, "_matched": pl.String}, orient="row")

    def _match(self, make: Make) -> str | None:
        try:
            found = self._profiles.match(**make._asdict())
        except SettingsError as error:
            log.error("vendor profile not chosen", error=str(error))  # noqa: TRY400 - no fault of the code
            return None
        return None if found is None else found.id

    def profile(self, name: str | None) -> VendorProfile:
        """Return the profile of an id of the column ``profile``."""
        return self._profiles.get(name if name is not None and name in self._profiles else GENERIC)

    def apply(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Return readings, in their order, with their ``profile`` and with what it makes of their numbers.

        Parameters
        ----------
        readings : polars.DataFrame
            Decoded readings with ``profile`` (or none) and ``profile_fixed``, see :data:`ingest.message.BESIDE`.
        """
        if readings.is_empty():
            return readings
        readings = self.resolved(readings)
        names = readings["profile"].unique().to_list()
        speaking = [name for name in names if self.profile(name).normalises]
        if not speaking:
            return readings
        if len(names) == 1:
            return self.profile(names[0]).normalise(readings)
        parts = readings.with_row_index("_place").partition_by("profile", as_dict=True)
        normalised = [self.profile(str(name)).normalise(part) for (name,), part in parts.items()]
        return pl.concat(normalised).sort("_place").drop("_place")

    def resolved(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Return readings, in their order, with the ``profile`` that each is read by; see :meth:`apply`."""
        fixed = pl.when("profile_fixed").then("profile")
        if self._of_meter.height:
            readings = readings.join(self._of_meter, on="meter_id", how="left", maintain_order="left")
            chosen = pl.coalesce(fixed, "_matched", "profile", pl.lit(GENERIC))
            readings = readings.with_columns(profile=chosen).drop("_matched")
        else:
            readings = readings.with_columns(pl.col("profile").fill_null(GENERIC))
        missing = {name for name in readings["profile"].unique() if name not in self._profiles}
        for name in sorted(missing - self._unknown):
            log.error("there is no vendor profile of that name: generic is used", profile=name)
        self._unknown |= missing
        if not missing:
            return readings
        return readings.with_columns(profile=pl.col("profile").replace(dict.fromkeys(missing, GENERIC)))


def profiles_stamp(site: Path) -> Stamp:
    """Return what changes when a profile of the site does."""
    found = []
    for file in sorted((site / "profiles").glob("*.toml")):
        try:
            status = file.stat()
        except FileNotFoundError:  # it is just being replaced
            continue
        found.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


class SiteDialects:
    """The dialects of a site, loaded again when its profiles or its registry change.

    Parameters
    ----------
    site : Path
        The site folder.
    """

    def __init__(self, site: Path) -> None:
        self._site = site
        self._stamp: Stamp | None = None
        self._makes: Mapping[str, Make] | None = None
        self._profiles = Profiles([])
        self._dialects = Dialects(self._profiles, {})

    def now(self, makes: Mapping[str, Make]) -> Dialects:
        """Return the dialects as they are now; where a profile of the site is wrong, as they were before.

        Parameters
        ----------
        makes : mapping of str to Make
            What the registry knows of meters; the same object as long as it did not change.
        """
        stamp = profiles_stamp(self._site)
        if stamp != self._stamp:
            self._load()
            self._stamp = stamp
            self._makes = None
        if makes is not self._makes:
            self._makes = makes
            self._dialects = Dialects(self._profiles, makes)
        return self._dialects

    def _load(self) -> None:
        try:
            self._profiles = load_profiles(self._site)
        except SettingsError as error:
            before = "as before" if self._profiles.all else "without the site's own"
            log.error(f"vendor profiles are used {before}", error=str(error))  # noqa: TRY400 - no fault of the code
            self._profiles = self._profiles if self._profiles.all else load_profiles(None)
