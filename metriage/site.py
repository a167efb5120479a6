"""A site folder: where everything of one installation lies, its settings and its lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.settings import WriterSettings
from lake.errors import SettingsError, SiteFolderError, SiteLockedError
from metriage.settings import FILE, Settings, load_settings

if TYPE_CHECKING:
    from lake.tables import Lake


@dataclass(frozen=True)
class Site:
    """One site folder.

    Parameters
    ----------
    folder : Path
        The folder, absolute.
    """

    folder: Path

    @cached_property
    def settings(self) -> Settings:
        """The settings, read and checked once."""
        return load_settings(self.folder / FILE)

    @property
    def writer_settings(self) -> WriterSettings:
        """What the lake writer needs to know."""
        settings = self.settings
        return WriterSettings(
            site=str(self.folder),
            timezone=settings.site.timezone,
            ingest=settings.ingest,
            codecs=settings.codecs,
            lake=settings.lake,
            hot=settings.hard_severities,
        )

    @property
    def database(self) -> Path:
        """The site database."""
        return self.folder / "metriage.db"

    @property
    def lake(self) -> Lake:
        """The tables, where ``[lake]`` says."""
        from lake.storage import open_storage  # noqa: PLC0415 - keeps the daemon small
        from lake.tables import Lake  # noqa: PLC0415

        return Lake(open_storage(self.settings.lake, self.folder))

    @property
    def lake_folder(self) -> Path | None:
        """The folder of the lake, None where it lies in an object store."""
        url = self.settings.lake.url
        return None if "://" in url else self.folder / url

    @property
    def reports(self) -> Path:
        """Pictures and reports."""
        return self.folder / "reports"

    @contextmanager
    def lock(self, name: str = "metriage") -> Iterator[None]:
        """Hold the lock `name` of this site.

        Raises
        ------
        SiteLockedError
            Another process holds it; the message says which.
        SiteFolderError
            The folder cannot be written.
        """
        file = self.folder / f"{name}.lock"
        try:
            stream = file.open("a+", encoding="utf-8")
        except OSError as error:
            raise SiteFolderError(f"{self.folder} cannot be used: {file.name}: {error.strerror or error}") from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                holder = stream.read().strip() or "another process"
                raise SiteLockedError(f"{self.folder} is in use by {holder}; stop that first", holder) from error
            with suppress(OSError):  # a full disk: the note only tells others who holds the lock
                os.ftruncate(stream.fileno(), 0)
                os.write(stream.fileno(), f"process {os.getpid()} ({name})".encode())
            yield


def open_site(folder: Path) -> Site:
    """Return the site in `folder`.

    Raises
    ------
    SiteFolderError
        It is no site folder.
    """
    folder = folder.resolve()
    try:
        is_site = (folder / FILE).is_file()
    except OSError as error:
        raise SiteFolderError(f"{folder} cannot be read: {error.strerror or error}") from error
    if not is_site:
        raise SiteFolderError(f"{folder} is no site folder: there is no {FILE}. Make one with `metriage init {folder}`")
    return Site(folder)


def check_dialects(site: Site) -> None:
    """Check what tells how messages are read, beside the settings themselves: keys, vendor profiles and their names.

    Raises
    ------
    SettingsError
        One of them is not in order; once the daemon runs, such a mistake is logged and what was known before holds.
    """
    from ingest.keys import load_keys  # noqa: PLC0415 - who reads no messages does not pay for it
    from ingest.profiles.vendor_profile import load_profiles  # noqa: PLC0415

    if site.settings.ingest.keys_file is not None:
        load_keys(site.folder / site.settings.ingest.keys_file)
    profiles = load_profiles(site.folder)
    for place, broker in enumerate(site.settings.broker):
        for key, names in (("vendor", [broker.vendor]), ("topic_vendors", broker.topic_vendors.values())):
            for name in names:
                if name is not None and name not in profiles:
                    raise SettingsError(
                        f"there is no vendor profile {name!r}; there are {', '.join(each.id for each in profiles.all)}",
                        key=f"broker[{place}].{key}",
                        file=str(site.folder / FILE),
                    )
