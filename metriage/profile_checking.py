"""``metriage profile check``: everything that is wrong with the data files of vendor profiles, at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ingest.profiles.cases import Outcome, run_cases
from ingest.profiles.checks import Problem, unknown_keys
from ingest.profiles.format import Match, ProfileFile
from ingest.profiles.matching import twins
from ingest.profiles.vendor_profile import GENERIC, VendorProfile, read_definition, shipped_names, shipped_profile
from lake.errors import SettingsError, UsageError

_WHERE = re.compile(r"^(?P<text>.*) - at `\$\.?(?P<key>[^`]*)`$", re.DOTALL)


@dataclass(slots=True)
class FileReport:
    """What was found in one file.

    Parameters
    ----------
    file : str
        The file as it was named.
    id : str or None
        The profile's id, where the file could be read as one.
    version : int or None
        Its version.
    problems : list of Problem
        What is wrong, or should be looked at.
    cases : int
        Cases that ran.
    failures : list of Outcome
        What a case expected and did not find.
    """

    file: str
    id: str | None = None
    version: int | None = None
    problems: list[Problem] = field(default_factory=list)
    cases: int = 0
    failures: list[Outcome] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether the file can be used and does what its cases say."""
        return not self.failures and all(problem.level == "warning" for problem in self.problems)


def check_files(files: Sequence[Path], site_folder: Path) -> list[FileReport]:
    """Return what is wrong with each of `files`.

    Parameters
    ----------
    files : sequence of Path
        Data files; none: those in ``profiles/`` of the site folder.
    site_folder : Path
        Site folder whose profiles stand beside the shipped ones; it may be none.

    Raises
    ------
    UsageError
        A file cannot be read, or there is none.
    """
    chosen = list(files) or sorted((site_folder / "profiles").glob("*.toml"))
    if not chosen:
        raise UsageError(f"there is nothing to check: name a FILE, or put one into {site_folder}/profiles/")
    folders = {site_folder / "profiles", *(file.parent for file in chosen if file.resolve().parent.name == "profiles")}
    beside = {file.resolve() for folder in folders for file in folder.glob("*.toml")}
    others = {file: _read_or_problem(file) for file in sorted(beside | {file.resolve() for file in chosen})}
    return [_check(file, others) for file in chosen]


def _read_or_problem(file: Path) -> ProfileFile | str:
    try:
        return read_definition(file, str(file))
    except SettingsError as error:
        return str(error)


def _check(file: Path, others: Mapping[Path, ProfileFile | str]) -> FileReport:
    report = FileReport(str(file))
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    definition = _definition(content, report)
    if definition is None:
        return report
    report.id, report.version = definition.id, definition.version
    if definition.id != file.stem:
        report.problems.append(Problem("id", f"is {definition.id!r}, but the file is called {file.name}"))
    fallback = _fallback(definition, others)
    report.problems += VendorProfile.all_problems(definition, fallback)
    report.problems += _ties(file, definition, others)
    if all(problem.level == "warning" or problem.key in {"id", "match"} for problem in report.problems):
        report.failures = [
            outcome for outcome in run_cases(VendorProfile(definition, fallback)) if not outcome.is_right
        ]
        report.cases = len(definition.case)
    return report


def _definition(content: bytes, report: FileReport) -> ProfileFile | None:
    """Return the file's content as a profile, or note why it is none."""
    try:
        plain: dict[str, Any] = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        report.problems.append(Problem("file", f"is no TOML in UTF-8: {error}"))
        return None
    report.problems += unknown_keys(plain)
    if report.problems:
        return None
    try:
        return msgspec.convert(plain, ProfileFile)
    except msgspec.ValidationError as error:
        found = _WHERE.match(str(error))
        report.problems.append(Problem(found["key"] if found else "file", found["text"] if found else str(error)))
        return None


def _fallback(definition: ProfileFile, others: Mapping[Path, ProfileFile | str]) -> VendorProfile | None:
    if definition.id == GENERIC:
        return None
    own = next((each for each in others.values() if isinstance(each, ProfileFile) and each.id == GENERIC), None)
    return shipped_profile(GENERIC) if own is None else VendorProfile(own)


def _ties(file: Path, definition: ProfileFile, others: Mapping[Path, ProfileFile | str]) -> Iterator[Problem]:
    """Yield what this profile and another one claim with the same right."""
    matches: dict[str, tuple[Match, ...]] = {name: shipped_profile(name).matches for name in shipped_names()}
    for neighbour, content in others.items():
        if isinstance(content, ProfileFile):
            matches[content.id] = content.match
        elif neighbour != file.resolve():
            yield Problem("match", f"could not be compared with a neighbour: {content}", "warning")
    matches.pop(definition.id, None)
    for name, claimed in matches.items():
        for claim in twins(definition.match, claimed):
            yield Problem("match", f"{claim} is claimed by the profile {name!r} too: one of them must name more")
