"""Where the files of the lake lie: a local folder, or an object store that speaks S3.

Paths are relative to the root of the lake, with ``/`` between their parts: ``readings/_delta_log/….json``. Two promises
carry everything above: what :meth:`Storage.sync` has been told of survives a power cut, and of several writers that
create the same file exactly one succeeds. A folder keeps them by fsync and by hard links; S3 keeps the first by itself
and the second by conditional PUT (``If-None-Match: *``), which :func:`check_conditional_put` tries before it is used.

Object stores are reached through obstore and through deltalake's and Polars' own readers: all three are the same Rust
crate, ``object_store``, so one set of options and one behaviour of retries serves them.
"""

from __future__ import annotations

import contextlib
import io
import os
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import polars as pl

from lake.durability import sync_files, sync_path
from lake.errors import LakeError, SettingsError
from lake.settings import LakeSettings

if TYPE_CHECKING:
    from obstore.store import S3Store

_SETTINGS = "metriage.toml"
_COMPRESSION: Final = "zstd"
_REQUEST_TIMEOUT_S = 30
_RETRIES = 5
_RETRY_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the lake.

    Parameters
    ----------
    path : str
        Relative to the root of the lake.
    size : int
        Its bytes [B].
    modified : datetime
        When it was written (UTC).
    """

    path: str
    size: int
    modified: datetime


class Storage(Protocol):
    """Files below one root; every method raises :class:`lake.errors.LakeError` when the store refuses."""

    @property
    def url(self) -> str:
        """Where the root lies, as told to people; without credentials."""

    @property
    def options(self) -> Mapping[str, str]:
        """What deltalake and Polars must be told to reach :meth:`uri`; holds secrets, never show it."""

    def uri(self, path: str = "") -> str:
        """Return the address of a file or folder for deltalake and Polars."""

    def write_parquet(self, path: str, rows: pl.DataFrame | pl.LazyFrame, *, row_group_rows: int | None = None) -> int:
        """Write a Parquet file, leave nothing behind when that fails, and return its size [B]; not yet durable."""

    def sync(self, paths: Iterable[str], *, missing_ok: bool = False) -> None:
        """Make files durable, and the names in the folders that hold them."""

    def exists(self, path: str) -> bool:
        """Tell whether there is a file."""

    def list(self, folder: str, after: str = "") -> Iterator[StoredFile]:
        """Yield the files below `folder`, in the order of their paths; `after`: only those behind this path."""

    def read(self, path: str) -> bytes | None:
        """Return what a file holds, None where there is none."""

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that must not exist, atomically and durably; return False where it does."""

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; one that is not there is no error."""


class FolderStorage:
    """The lake in a local folder.

    Parameters
    ----------
    folder : Path
        Its root; made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def options(self) -> Mapping[str, str]:
        """None are needed."""
        return {}

    def uri(self, path: str = "") -> str:
        """Return the path of a file or folder."""
        return str(self.folder / path)

    def write_parquet(self, path: str, rows: pl.DataFrame | pl.LazyFrame, *, row_group_rows: int | None = None) -> int:
        """Write a Parquet file; see :class:`Storage`."""
        file = self.folder / path
        with _refusing(self.url, "cannot be written"):
            _make_folder(file.parent)
            try:
                if isinstance(rows, pl.DataFrame):
                    rows.write_parquet(file, compression=_COMPRESSION, statistics=True, row_group_size=row_group_rows)
                else:
                    rows.sink_parquet(file, compression=_COMPRESSION, statistics=True, row_group_size=row_group_rows)
            except BaseException:
                file.unlink(missing_ok=True)
                raise
            return file.stat().st_size

    def sync(self, paths: Iterable[str], *, missing_ok: bool = False) -> None:
        """Flush files, then each folder that holds one of them."""
        with _refusing(self.url, "cannot be synced"):
            files = [self.folder / path for path in paths]
            sync_files(file for file in files if not missing_ok or file.exists())

    def exists(self, path: str) -> bool:
        """Tell whether there is a file or folder."""
        return (self.folder / path).exists()

    def list(self, folder: str, after: str = "") -> Iterator[StoredFile]:
        """Yield the files below `folder`, in the order of their paths; see :class:`Storage`."""
        with _refusing(self.url, "cannot be listed"):
            paths = sorted(
                (Path(root, name).relative_to(self.folder).as_posix(), Path(root, name))
                for root, _, names in os.walk(self.folder / folder)
                for name in names
            )
            for path, file in paths:
                if path <= after:
                    continue
                with contextlib.suppress(FileNotFoundError):  # removed by another process since
                    status = file.stat()
                    yield StoredFile(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def read(self, path: str) -> bytes | None:
        """Return what a file holds, None where there is none."""
        with _refusing(self.url, "cannot be read"):
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that must not exist: beside, synced, then given its name by a hard link."""
        file = self.folder / path
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        with _refusing(self.url, "cannot be written"):
            _make_folder(file.parent)
            try:
                draft.write_bytes(data)
                sync_path(draft)
                file.hardlink_to(draft)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
            sync_path(file.parent)
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; one that is not there is no error."""
        with _refusing(self.url, "cannot be removed"):
            for path in paths:
                (self.folder / path).unlink(missing_ok=True)


class ObjectStorage:
    """The lake in a bucket of an object store that speaks S3.

    Parameters
    ----------
    settings : LakeSettings
        Address and region; ``url`` is ``s3://bucket/prefix``.
    credentials : mapping of str to str
        Options that hold the access key; empty for what the machine's own role gives.
    """

    def __init__(self, settings: LakeSettings, credentials: Mapping[str, str]) -> None:
        from obstore.store import S3Store  # noqa: PLC0415 - a local lake needs none

        self._url = settings.url.rstrip("/")
        bucket, _, prefix = self._url.removeprefix("s3://").partition("/")
        self._options = {"aws_region": settings.region, "aws_conditional_put": "etag", **credentials}
        if settings.endpoint_url is not None:
            self._options["aws_endpoint_url"] = settings.endpoint_url
        if settings.allow_http:
            self._options["aws_allow_http"] = "true"
        try:
            self._store: S3Store = S3Store(
                bucket,
                prefix=prefix or None,
                config={**self._options},  # type: ignore[arg-type] # the names object_store itself reads
                client_options={"timeout": timedelta(seconds=_REQUEST_TIMEOUT_S), "allow_http": settings.allow_http},
                retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_TIMEOUT_S)},
            )
        except Exception as error:  # noqa: BLE001 - obstore's errors share no base below Exception
            raise LakeError(f"the lake in {self._url} cannot be reached: {_first_line(error)}") from None

    @property
    def url(self) -> str:
        """The address of bucket and prefix."""
        return self._url

    @property
    def options(self) -> Mapping[str, str]:
        """Options of ``object_store``; they hold the secret key."""
        return self._options

    def uri(self, path: str = "") -> str:
        """Return the address of an object or of a prefix."""
        return f"{self._url}/{path}".rstrip("/")

    def write_parquet(self, path: str, rows: pl.DataFrame | pl.LazyFrame, *, row_group_rows: int | None = None) -> int:
        """Write a Parquet object; it is there whole and durable, or not at all."""
        if isinstance(rows, pl.LazyFrame):
            with self._refusing("cannot be written"):
                rows.sink_parquet(
                    self.uri(path),
                    compression=_COMPRESSION,
                    statistics=True,
                    row_group_size=row_group_rows,
                    storage_options=dict(self.options),
                    credential_provider=None,
                )
                return int(self._store.head(path)["size"])
        buffer = io.BytesIO()
        with self._refusing("cannot be written"):
            rows.write_parquet(buffer, compression=_COMPRESSION, statistics=True, row_group_size=row_group_rows)
            self._store.put(path, buffer.getvalue())
        return buffer.tell()

    def sync(self, paths: Iterable[str], *, missing_ok: bool = False) -> None:
        """Do nothing: an object that was accepted is durable."""

    def exists(self, path: str) -> bool:
        """Tell whether there is an object."""
        with self._refusing("cannot be read"):
            try:
                self._store.head(path)
            except FileNotFoundError:
                return False
        return True

    def list(self, folder: str, after: str = "") -> Iterator[StoredFile]:
        """Yield the objects below `folder`, in the order of their paths; see :class:`Storage`."""
        with self._refusing("cannot be listed"):
            for chunk in self._store.list(folder, offset=after or None):
                for entry in chunk:
                    yield StoredFile(entry["path"], int(entry["size"]), entry["last_modified"])

    def read(self, path: str) -> bytes | None:
        """Return what an object holds, None where there is none."""
        with self._refusing("cannot be read"):
            try:
                return bytes(self._store.get(path).bytes())
            except FileNotFoundError:
                return None

    def create(self, path: str, data: bytes) -> bool:
        """Write an object that must not exist, by conditional PUT."""
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415

        with self._refusing("cannot be written"):
            try:
                self._store.put(path, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        with self._refusing("cannot be removed"):
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    self._store.delete(path)

    @contextlib.contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, OSError, pl.exceptions.PolarsError) as error:
            raise LakeError(f"the lake in {self._url} {what}: {_first_line(error)}") from None


@contextlib.contextmanager
def _refusing(url: str, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeError(f"the lake in {url} {what}: {error}") from error


def _first_line(error: BaseException) -> str:
    """Return what a store said, without the debugging report that follows it."""
    return str(error).strip().partition("\n")[0]


def _make_folder(folder: Path) -> None:
    """Make a folder whose name survives a power cut, and those above it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_path(folder.parent)


def open_storage(settings: LakeSettings, site: Path) -> Storage:
    """Return the storage that ``[lake]`` of a site names.

    Parameters
    ----------
    settings : LakeSettings
        The table ``[lake]``.
    site : Path
        The site folder, which relative paths start from.

    Raises
    ------
    SettingsError
        The address is none, or the keys to it are not where the settings say.
    """
    if "://" not in settings.url:
        return FolderStorage(Path(site) / settings.url)
    settings.check("lake")
    return ObjectStorage(settings, _credentials(settings, Path(site)))


def site_storage(site: Path) -> Storage:
    """Return the storage of a site folder, from its ``metriage.toml`` where there is one.

    Raises
    ------
    SettingsError
        ``[lake]`` is wrong.
    """
    file = Path(site) / _SETTINGS
    try:
        plain = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        settings = msgspec.convert(plain.get("lake", {}), LakeSettings)
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", file=str(file)) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise SettingsError(str(error), key="lake", file=str(file)) from error
    return open_storage(settings, site)


def _credentials(settings: LakeSettings, site: Path) -> dict[str, str]:
    """Return the access key as options; none where neither variable nor file is given, as on a machine with a role."""
    identifier = os.environ.get(settings.access_key_env, "")
    if settings.secret_key_file is not None:
        file = site / settings.secret_key_file
        try:
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no text"
            raise SettingsError(f"{file} cannot be read: {reason}", key="lake.secret_key_file") from error
    else:
        secret = os.environ.get(settings.secret_key_env, "")
    if not identifier and not secret and settings.endpoint_url is None:
        return {}
    for name, value, key in (
        (settings.access_key_env, identifier, "lake.access_key_env"),
        (settings.secret_key_file or settings.secret_key_env, secret, "lake.secret_key_env"),
    ):
        if not value:
            raise SettingsError(f"{name} is not set or empty; it must hold the key to {settings.url}", key=key)
    return {"aws_access_key_id": identifier, "aws_secret_access_key": secret}


def check_conditional_put(storage: Storage) -> None:
    """Check that of two writers which create the same file one is refused; without that, commits would be lost.

    Raises
    ------
    LakeError
        The store overwrites, or cannot be reached.
    """
    path = f"_metriage/probe-{uuid.uuid4().hex}"
    try:
        first = storage.create(path, b"first")
        second = storage.create(path, b"second")
        kept = storage.read(path)
    finally:
        storage.delete([path])
    if not first or second or kept != b"first":
        raise LakeError(
            f"the lake in {storage.url} cannot be used: the store does not honour If-None-Match: * (conditional PUT), "
            "so that writers would overwrite each other's commits; use a store that does, e.g. AWS S3, Cloudflare R2, "
            "MinIO, Ceph, or a local folder"
        )
