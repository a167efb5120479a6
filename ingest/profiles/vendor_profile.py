"""Vendor profiles: what a vendor's codes and status word mean, as data files with their own cases.

The format is defined in :mod:`ingest.profiles.format` and explained in ``docs/profiles.md``. Shipped files lie in
``ingest/profiles/``, those of a site in its folder ``profiles/``; one of the site stands for the shipped one of its id.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from ingest.profiles.checks import Problem, problems, unknown_keys
from ingest.profiles.format import Case, Match, ProfileFile
from ingest.profiles.matching import rank
from ingest.profiles.translation import StatusWord, Translation, Words
from lake.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from ingest.profiles.normalising import Normaliser

__all__ = ["GENERIC", "ProfileFile", "Profiles", "Translation", "VendorProfile", "load_profiles", "shipped_profile"]

GENERIC = "generic"


class _Readable(Protocol):
    def read_bytes(self) -> bytes: ...


class VendorProfile:
    """Translates codes and status words, and makes sense of a vendor's numbers.

    Parameters
    ----------
    definition : ProfileFile
        The data file.
    fallback : VendorProfile, optional
        Where it looks up what it does not know itself; not used by a file that says ``falls_back = false``.
    file : str, optional
        Where the file lies, for messages.

    Raises
    ------
    SettingsError
        The file is wrong; ``metriage profile check`` tells all that is.
    """

    def __init__(
        self, definition: ProfileFile, fallback: VendorProfile | None = None, *, file: str | None = None
    ) -> None:
        known = fallback if definition.falls_back else None
        wrong = [each for each in self.all_problems(definition, fallback) if each.level == "error"]
        if wrong:
            raise SettingsError(wrong[0].text, key=f"{definition.id}.{wrong[0].key}", file=file)
        self.definition = definition
        self.file = file
        self._fallback = known
        self._words: Words = Words(definition, known._words if known is not None else None)  # noqa: SLF001 - of its own class
        self._status = StatusWord(definition, self._words)
        self._own_normaliser: Normaliser | None = None

    @property
    def id(self) -> str:
        """Its name."""
        return self.definition.id

    @property
    def version(self) -> int:
        """Raised with every change of its file."""
        return self.definition.version

    @property
    def cases(self) -> tuple[Case, ...]:
        """Its own cases."""
        return self.definition.case

    @property
    def matches(self) -> tuple[Match, ...]:
        """The meters it is for."""
        return self.definition.match

    @property
    def is_template(self) -> bool:
        """Whether somebody must fill it before it translates anything."""
        return self.definition.template

    @property
    def is_encrypted(self) -> bool:
        """Whether nothing of its meters can be read without a key."""
        return self.definition.encrypted

    @staticmethod
    def all_problems(definition: ProfileFile, fallback: VendorProfile | None = None) -> list[Problem]:
        """Return all that is wrong with a data file; one with errors makes no profile."""
        known = fallback if definition.falls_back else None
        return problems(definition, known._words if known is not None else None)  # noqa: SLF001 - of its own class

    @property
    def normalises(self) -> bool:
        """Whether there is anything that :meth:`normalise` could do."""
        return self._normaliser.is_active

    @property
    def _normaliser(self) -> Normaliser:
        if self._own_normaliser is None:
            from ingest.profiles.normalising import Normaliser  # noqa: PLC0415 - who only translates needs no Polars

            inherited = self._fallback._normaliser if self._fallback is not None else None  # noqa: SLF001 - own class
            self._own_normaliser = Normaliser(self.definition, self._status, inherited)
        return self._own_normaliser

    def translate(self, status: int | None, codes: Iterable[str]) -> list[Translation]:
        """Return every code of a reading with its family and severity; unknown ones are kept as ``unknown``."""
        found = [each for code in codes for each in self._words.translate(code)]
        if status:
            found.extend(self._status.translate(status))
        return found

    def meaning(self, code: str, language: str = "en") -> str | None:
        """Return what a code of :meth:`translate` means, None where the profile does not know."""
        sense = self._status.sense(code) or self._words.sense(code)
        if sense is None:
            return None
        return sense.meaning_zh or sense.meaning if language == "zh" else sense.meaning

    def normalise(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return readings with what the vendor's numbers mean.

        Parameters
        ----------
        frame : polars.DataFrame
            Readings of this vendor, with the columns of :data:`ingest.message.ROW_COLUMNS` and any others.

        Returns
        -------
        polars.DataFrame
            ``valve_state``, ``valve_refusal`` and ``battery_v`` filled where they were empty, ``invalid_fields`` and
            ``error_codes`` added to; all else, the values of invalid fields too, is as it was. The frame itself where
            the profile has nothing to say.
        """
        return self._normaliser.normalise(frame) if self.normalises else frame


class Profiles:
    """All vendor profiles of a site.

    Parameters
    ----------
    profiles : iterable of VendorProfile
        With distinct ids.
    """

    def __init__(self, profiles: Iterable[VendorProfile]) -> None:
        self._profiles: Mapping[str, VendorProfile] = {
            profile.id: profile for profile in sorted(profiles, key=lambda each: each.id)
        }

    @property
    def all(self) -> tuple[VendorProfile, ...]:
        """All of them by id."""
        return tuple(self._profiles.values())

    def __contains__(self, name: str) -> bool:
        return name in self._profiles

    def get(self, name: str) -> VendorProfile:
        """Return the profile of an id.

        Raises
        ------
        SettingsError
            There is none of that id.
        """
        try:
            return self._profiles[name]
        except KeyError:
            raise SettingsError(f"there is no vendor profile {name!r}; there are {', '.join(self._profiles)}") from None

    def match(
        self,
        *,
        module_vendor: str | None = None,
        manufacturer: str | None = None,
        model: str | None = None,
        firmware: str | None = None,
        module_encrypted: bool | None = None,
    ) -> VendorProfile | None:
        """Return the profile that fits what the registry knows of a meter most specifically, None where none fits.

        Raises
        ------
        SettingsError
            Two fit it with the same right.
        """
        facts = {"module_vendor": module_vendor, "manufacturer": manufacturer, "model": model, "firmware": firmware}
        fitting = [
            (found, profile)
            for profile in self.all
            if (
                found := max(
                    filter(None, (rank(each, facts, module_encrypted) for each in profile.matches)), default=None
                )
            )
        ]
        if not fitting:
            return None
        best = max(found for found, _ in fitting)
        equal = [profile.id for found, profile in fitting if found == best]
        if len(equal) > 1:
            known = ", ".join(f"{name} = {fact!r}" for name, fact in facts.items() if fact)
            raise SettingsError(
                f"{' and '.join(equal)} fit a meter with {known} with the same right; let a [[match]] of one of them, "
                "in the site's profiles/, name more",
                key="match",
            )
        return self._profiles[equal[0]]


def read_definition(file: _Readable, name: str) -> ProfileFile:
    """Return the data file of a profile; its content may still contradict itself.

    Raises
    ------
    SettingsError
        It cannot be read, or keys or types are wrong.
    """
    try:
        plain = tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", file=name) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is no TOML in UTF-8: {error}", file=name) from error
    unknown = next(unknown_keys(plain), None)
    if unknown is not None:
        raise SettingsError(unknown.text, key=unknown.key, file=name)
    try:
        return msgspec.convert(plain, ProfileFile)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error), file=name) from error


@cache
def shipped_profile(name: str) -> VendorProfile:
    """Return a profile that comes with the product.

    Raises
    ------
    SettingsError
        There is none of that name, or its file is wrong.
    """
    file = resources.files("ingest.profiles") / f"{name}.toml"
    definition = read_definition(file, f"{name}.toml")
    return VendorProfile(definition, None if name == GENERIC else shipped_profile(GENERIC), file=str(file))


def shipped_names() -> list[str]:
    """Return the ids of the profiles that come with the product."""
    entries = resources.files("ingest.profiles").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def load_profiles(site_folder: Path | None) -> Profiles:
    """Return the shipped profiles, and those of a site, which stand for the shipped ones of the same id.

    Parameters
    ----------
    site_folder : Path or None
        Site folder, whose folder ``profiles/`` may be missing.

    Raises
    ------
    SettingsError
        A file of the site is wrong.
    """
    folder = site_folder / "profiles" if site_folder is not None else None
    own = [_of_site(file) for file in sorted(folder.glob("*.toml"))] if folder is not None else []
    names = {definition.id: file for file, definition in own}
    generic = next((VendorProfile(each, file=str(file)) for file, each in own if each.id == GENERIC), None)
    fallback = generic or shipped_profile(GENERIC)
    shipped = (name for name in shipped_names() if name not in names and name != GENERIC)
    return Profiles(
        [
            fallback,
            *(shipped_profile(name) if generic is None else _based_on(name, generic) for name in shipped),
            *(VendorProfile(each, fallback, file=str(file)) for file, each in own if each.id != GENERIC),
        ]
    )


def _based_on(name: str, fallback: VendorProfile) -> VendorProfile:
    shipped = shipped_profile(name)
    return VendorProfile(shipped.definition, fallback, file=shipped.file)


def _of_site(file: Path) -> tuple[Path, ProfileFile]:
    definition = read_definition(file, str(file))
    if definition.id != file.stem:
        raise SettingsError(f"is {definition.id!r}, but the file is called {file.name}", key="id", file=str(file))
    return file, definition
