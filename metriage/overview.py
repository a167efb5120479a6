"""What ``metriage status`` shows beside the account: the running daemon, disks, gaps, tables, examples of refusals.

Every part is cheap: a small file, a look at the disk, the logs of the tables, one row of a few files. What cannot be
read is said in its place; the account itself never depends on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from ingest.account import FILE as STATE
from ingest.account import State
from ingest.monitoring.vitals_file import as_plain, read_report
from ingest.spool import FILE as SPOOL
from ingest.spool import Spool
from lake.errors import MetriageError, SettingsError, SpoolError
from lake.schemas import GAPS, QUARANTINE, TABLES
from lake.tables import Lake
from metriage.diagnosis_state import diagnosis_state
from metriage.site import Site

_FILES = 10  # of the table quarantine that are looked into for examples, newest first
_EXCERPT = 200
_TIMES = ("received_at", "since", "until")

_CANNOT = (MetriageError, DeltaError, OSError, pl.exceptions.PolarsError)


def overview(site: Site, reasons: Collection[str]) -> dict[str, Any]:
    """Return what stands beside the account in ``status --json``.

    Parameters
    ----------
    site : Site
        The site.
    reasons : collection of str
        Reasons of quarantine to show an example of.
    """
    folder = site.folder / "spool"
    report = read_report(folder)
    daemon = None if report is None else as_plain(report)
    held = _full(site) or (report and (report.holding or next((b.holding for b in report.brokers if b.holding), None)))
    document: dict[str, Any] = {
        "daemon": daemon,
        "holding": held or None,
        "silent": sorted({broker.source for broker in report.brokers if broker.silent}) if report else [],
        "disk": list(_disks(site)),
        "diagnosis": _diagnosis(site),
    }
    try:
        lake = site.lake
        tables = {table.name: lake.snapshot(table) for table in TABLES.values() if lake.exists(table)}
        document["lake"] = {"url": lake.storage.url, "tables": [_size(*named) for named in tables.items()]}
        document["gaps"] = _gaps(site, tables.get(GAPS.name))
        refused = tables.get(QUARANTINE.name)
        found = list(_examples(lake, refused, set(reasons))) if refused is not None and reasons else []
        document["quarantine_examples"] = found
    except _CANNOT as error:
        empty = {"lake": {}, "gaps": {"count": None, "newest": None}, "quarantine_examples": []}
        document = {**empty, **document}
        document["lake"] = {"error": str(error)}
    return document


def _diagnosis(site: Site) -> dict[str, Any]:
    try:
        return diagnosis_state(site)
    except _CANNOT as error:
        return {"error": str(error)}


def _full(site: Site) -> str | None:
    """Say why nothing can be acknowledged, from the disk itself: a daemon on a full disk cannot tell."""
    try:
        limits = site.settings.ingest
        free = shutil.disk_usage(site.folder / "spool").free
        if free < limits.min_free_bytes:
            return f"{free} bytes free on the disk, below ingest.min_free_bytes = {limits.min_free_bytes}"
        if (site.folder / "spool" / SPOOL).exists():
            with Spool(site.folder / "spool", read_only=True) as spool:
                size = spool.size_bytes()
            if size > limits.spool_limit_bytes:
                most = limits.spool_limit_bytes
                return f"the spool holds {size} bytes, above ingest.spool_limit_bytes = {most}"
    except (MetriageError, OSError):
        return None  # wrong settings, or no spool yet: the command says so itself
    return None


def _disks(site: Site) -> Iterator[dict[str, Any]]:
    folders = {"spool": site.folder / "spool"}
    with suppress(SettingsError):  # wrong settings do not tell where the lake is: the command says so itself
        if site.lake_folder is not None:
            folders["lake"] = site.lake_folder
    for name, folder in folders.items():
        try:
            usage = shutil.disk_usage(folder)
        except OSError:  # not made yet
            continue
        yield {"folder": name, "free_bytes": usage.free, "size_bytes": usage.total}


def _size(name: str, table: DeltaTable) -> dict[str, Any]:
    """Return files, rows and bytes of a table as its log tells."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    rows = actions["num_records"].sum() if "num_records" in actions.columns else None
    return {
        "table": name,
        "files": actions.height,
        "rows": int(rows) if rows is not None else None,
        "bytes": int(actions["size_bytes"].sum()),
        "version": int(table.version()),
    }


def _gaps(site: Site, table: DeltaTable | None) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    count = 0
    if table is not None:
        frame = pl.scan_delta(table)
        count = int(frame.select(pl.len()).collect().item())
        rows = frame.sort("received_at", descending=True).head(1).collect().to_dicts()
    waiting = _waiting_gaps(site, table)
    newest = rows[0] if rows else None
    if waiting:
        newest = waiting[-1]
    if newest is not None:
        newest = {name: newest[name] for name in GAPS.columns}
    return {"count": count + len(waiting), "newest": newest}


def _waiting_gaps(site: Site, table: DeltaTable | None) -> list[dict[str, Any]]:
    """Return the gaps that are in the spool and not yet in the lake."""
    folder = site.folder / "spool"
    if not (folder / SPOOL).exists():
        return []
    with Spool(folder, read_only=True) as spool:
        try:
            waiting = spool.gaps(_gap_position(site, table))
        except SpoolError:  # a spool of an earlier version that no daemon has opened since
            return []
    return [msgspec.to_builtins(gap) | {name: _moment(getattr(gap, name)) for name in _TIMES} for _, gap in waiting]


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _gap_position(site: Site, table: DeltaTable | None) -> int:
    """Return the number of the last gap of this site's spool that is in the lake."""
    folder = site.folder / "spool"
    if table is None or not (folder / STATE).exists():
        return 0
    with State(folder, read_only=True) as state:
        return int(table.transaction_version(f"{state.writer_id()}/{GAPS.name}") or 0)


def _examples(lake: Lake, table: DeltaTable, reasons: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the newest refused message of each reason; payloads other than those are not read."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True)).sort("modification_time", descending=True)
    wanted = set(reasons)
    for path in actions["path"].head(_FILES):
        uri = lake.uri(QUARANTINE, unquote(path))
        rows = pl.scan_parquet(uri, storage_options=dict(lake.storage.options) or None)
        last = rows.select("reason").with_row_index().group_by("reason").agg(pl.col("index").max()).collect()
        for reason, index in sorted(last.iter_rows()):
            if reason in wanted:
                wanted.discard(reason)
                yield _example(rows.slice(index, 1).collect().row(0, named=True))
        if not wanted:
            return


def _example(row: dict[str, Any]) -> dict[str, Any]:
    payload: bytes = row["payload"] or b""
    return {
        "reason": row["reason"],
        "received_at": row["received_at"],
        "meter_id": row["meter_id"],
        "topic": (row["topic"] or "")[:_EXCERPT],
        "detail": (row["detail"] or "")[:_EXCERPT],
        "payload": payload[:_EXCERPT].decode("utf-8", "backslashreplace"),
        "payload_bytes": len(payload),
    }
