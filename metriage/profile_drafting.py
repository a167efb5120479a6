"""What ``metriage profile learn`` reads of a site, and the draft that it writes there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from lake import registry
from lake.errors import SiteFolderError, UsageError
from lake.schemas import DAILY, ERROR_CODES
from lake.site_database import opened
from metriage.profile_learning import UnknownCode, draft, newest_days, unknown_codes
from metriage.site import Site

_NAME = re.compile(r"[a-z0-9_]{1,40}")
_NO_REGISTRY = dict.fromkeys(("meter_id", "module_vendor", "manufacturer", "model"), pl.String)


def learn_from(
    site: Site, name: str | None, unknown_to: str | None, match: Mapping[str, str]
) -> tuple[list[UnknownCode], Path | None]:
    """Return the unknown codes of a site, and the draft that was written of them.

    Parameters
    ----------
    site : Site
        The site.
    name : str or None
        Id of the profile to draft; None: none is written.
    unknown_to : str or None
        Only codes that this profile does not know.
    match : mapping of str to str
        Registry columns that meters must have, which become the profile's ``[[match]]``.

    Raises
    ------
    UsageError
        The id is none, or there is such a profile already.
    SiteFolderError
        The draft cannot be written.
    """
    file = None if name is None else site.folder / "profiles" / f"{name}.toml"
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no id of a profile: a-z, 0-9 and _")
    if file is not None and file.exists():
        raise UsageError(f"{file} exists already; nothing was changed")
    lake = site.lake
    codes = lake.scan(ERROR_CODES).collect()
    meters = _registry(site)
    if match:
        same = [pl.col(key).str.to_lowercase() == value.lower() for key, value in match.items()]
        meters = meters.filter(*same)
        codes = codes.filter(pl.col("meter_id").is_in(meters["meter_id"].implode()))
    having = codes.filter(pl.col("family") == "unknown")["meter_id"].unique()
    daily = newest_days(lake.scan(DAILY).filter(pl.col("meter_id").is_in(having.implode())).collect())
    found = unknown_codes(codes, daily, meters, unknown_to)
    if file is None or name is None or not found:
        return found, None
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(draft(name, found, match), encoding="utf-8")
    except OSError as error:
        raise SiteFolderError(f"{file} cannot be written: {error.strerror or error}") from error
    return found, file


def _registry(site: Site) -> pl.DataFrame:
    if not site.database.exists():
        return pl.DataFrame(schema=_NO_REGISTRY)
    with opened(site.database) as connection:
        return registry.frame(connection).select(*_NO_REGISTRY)
