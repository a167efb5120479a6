"""What ingest knows of meters before it reads their messages: keys, other names by which they come, and their make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ingest.keys import NO_KEYS, Keys, load_keys
from ingest.settings import WriterSettings
from lake import registry
from lake.meter import Meter
from lake.site_database import FILE_NAME, opened


class Make(NamedTuple):
    """What tells the vendor profile of a registered meter; None where the registry does not know it.

    Parameters
    ----------
    module_vendor, manufacturer, model, firmware : str or None
        As the registry says.
    module_encrypted : bool or None
        Whether the module encrypts its payloads.
    """

    module_vendor: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    firmware: str | None = None
    module_encrypted: bool | None = None


class Stamp(NamedTuple):
    """What shows cheaply whether keys or registry changed since they were read.

    Parameters
    ----------
    registry : tuple of (int, int)
        Inode of the site database, so that one restored from a backup is another one, and version of its registry.
    keys : tuple of (int, int, int)
        Inode, size and time of change [ns] of the file of keys, its mode included.
    """

    registry: tuple[int, int] = (0, 0)
    keys: tuple[int, int, int] = (0, 0, 0)


_NOTHING_READ = Stamp()


@dataclass(frozen=True, slots=True)
class Meters:
    """Keys, aliases and makes as of one moment.

    Parameters
    ----------
    keys : Keys
        Keys of encrypted meters.
    aliases : mapping of str to str
        Meter id by other name, in lower case.
    makes : mapping of str to Make
        By meter id, every registered meter.
    encrypted : frozenset of str
        Meters whose module encrypts.
    stamp : Stamp
        As of when.
    """

    keys: Keys = NO_KEYS
    aliases: Mapping[str, str] = field(default_factory=dict)
    makes: Mapping[str, Make] = field(default_factory=dict)
    encrypted: frozenset[str] = frozenset()
    stamp: Stamp = _NOTHING_READ


NO_METERS = Meters()


def load_meters(settings: WriterSettings, known: Meters = NO_METERS) -> Meters:
    """Return what the site knows of its meters now; `known` itself where nothing has changed since.

    Two looks at files and one small query where nothing changed, so it can be asked at every batch.

    Parameters
    ----------
    settings : WriterSettings
        Site folder and file of keys.
    known : Meters
        What was loaded before.

    Raises
    ------
    SettingsError
        The file of keys is not in order.
    SiteFolderError, LakeError
        The site database cannot be read.
    """
    site = Path(settings.site)
    keys_file = site / settings.ingest.keys_file if settings.ingest.keys_file else None
    keys_stamp = _keys_stamp(keys_file)
    keys = known.keys if keys_stamp == known.stamp.keys else load_keys(keys_file) if keys_file else NO_KEYS
    database = site / FILE_NAME
    if not database.exists():
        return _as_known(Meters(keys, stamp=Stamp(keys=keys_stamp)), known)
    with opened(database) as connection:
        connection.execute("BEGIN")  # version, aliases and makes are those of one moment
        stamp = Stamp((database.stat().st_ino, registry.version(connection)), keys_stamp)
        if stamp.registry == known.stamp.registry:
            return _as_known(replace(known, keys=keys, stamp=stamp), known)
        shared: dict[Make, Make] = {}  # a million meters are of a few hundred makes
        makes = {meter.meter_id: shared.setdefault(make, make) for meter in registry.meters(connection)
                 for make in (_make(meter),)}  # fmt: skip
        encrypted = frozenset(meter_id for meter_id, make in makes.items() if make.module_encrypted)
        return Meters(keys, registry.aliases(connection), makes, encrypted, stamp)


def _as_known(meters: Meters, known: Meters) -> Meters:
    return known if meters.stamp == known.stamp else meters


def _make(meter: Meter) -> Make:
    return Make(meter.module_vendor, meter.manufacturer, meter.model, meter.firmware, meter.module_encrypted)


def _keys_stamp(file: Path | None) -> tuple[int, int, int]:
    """Return what changes with the file of keys; of one that cannot be looked at, something that never was before."""
    if file is None:
        return _NOTHING_READ.keys
    try:
        status = file.stat()
    except OSError:
        return -1, -1, -1  # reading it tells why
    return status.st_ino, status.st_size, status.st_ctime_ns
