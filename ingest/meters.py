"""What ingest knows of meters before it reads their messages: keys, and other names by which they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingest.keys import NO_KEYS, Keys, load_keys
from ingest.settings import WriterSettings


@dataclass(frozen=True, slots=True)
class Meters:
    """Keys and aliases as of one moment.

    Parameters
    ----------
    keys : Keys
        Keys of encrypted meters.
    aliases : mapping of str to str
        Meter id by other name, in lower case.
    encrypted : frozenset of str
        Meters whose module encrypts.
    """

    keys: Keys = NO_KEYS
    aliases: Mapping[str, str] = field(default_factory=dict)
    encrypted: frozenset[str] = frozenset()


NO_METERS = Meters()


def load_meters(settings: WriterSettings) -> Meters:
    """Return what the site knows of its meters now.

    Raises
    ------
    SettingsError
        The file of keys is not in order.
    """
    file = settings.ingest.keys_file
    return Meters(keys=load_keys(Path(settings.site) / file)) if file else NO_METERS
