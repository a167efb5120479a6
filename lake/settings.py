"""Settings of the lake: where its tables lie, and their upkeep. A description is the key's documentation."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from lake.errors import SettingsError


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the tables lie: ``[lake]``."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="folder (relative to the site folder, or absolute) or s3://bucket/prefix; several sites may "
            "write one lake",
        ),
    ] = "lake"
    endpoint_url: Annotated[
        str | None, Meta(description="address of an S3-compatible server other than AWS, e.g. https://s3.example.org")
    ] = None
    region: Annotated[str, Meta(description="region of the bucket")] = "us-east-1"
    access_key_env: Annotated[str, Meta(description="environment variable that holds the access key id")] = (
        "AWS_ACCESS_KEY_ID"
    )
    secret_key_env: Annotated[str, Meta(description="environment variable that holds the secret access key")] = (
        "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable
    )
    secret_key_file: Annotated[
        str | None, Meta(description="file that holds the secret access key instead (mode 0600)")
    ] = None
    allow_http: Annotated[bool, Meta(description="whether endpoint_url may be http://, as on the own machine")] = False

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            Keys contradict each other.
        """
        for name in ("url", "endpoint_url"):
            if "@" in (getattr(self, name) or "") and "://" in (getattr(self, name) or ""):
                raise SettingsError("keys do not belong into the address; use access_key_env and secret_key_file",
                                    key=f"{key}.{name}")  # fmt: skip
        if "://" not in self.url:
            return
        if not self.url.startswith("s3://") or not self.url.removeprefix("s3://").partition("/")[0]:
            raise SettingsError(f"{self.url!r} is no place for a lake; allowed are a folder or s3://bucket/prefix",
                                key=f"{key}.url")  # fmt: skip
        if self.endpoint_url is None:
            return
        scheme = urlsplit(self.endpoint_url).scheme
        if scheme not in {"http", "https"}:
            raise SettingsError(f"{self.endpoint_url!r} is no address; allowed is https://host[:port]",
                                key=f"{key}.endpoint_url")  # fmt: skip
        if scheme == "http" and not self.allow_http:
            raise SettingsError("http:// shows readings to anyone on the way; use https:// or set allow_http = true",
                                key=f"{key}.endpoint_url")  # fmt: skip


class CompactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Upkeep of the tables: ``[compact]``."""

    every_s: Annotated[
        float, Meta(ge=0, description="how often the daemon compacts [s]; 0: only by `metriage compact`")
    ] = 86400.0
    at_hour: Annotated[
        Annotated[int, Meta(ge=0, le=23)] | None,
        Meta(
            description="local hour of the site at which a daily or rarer run starts; without it, or where every_s is "
            "less than a day, it starts as soon as every_s have passed",
        ),
    ] = 3
    small_files: Annotated[
        int,
        Meta(
            ge=2,
            description="small files of a day that is still being written, or of a table without days, that are worth "
            "being merged; of a day that is over two are",
        ),
    ] = 8
    late_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="a large file is rewritten only when the smaller ones beside it together reach this share of "
            "its size, so that a few late readings do not rewrite a whole day",
        ),
    ] = 0.2
    file_bytes: Annotated[
        int, Meta(ge=1_000_000, description="size that rewritten files have at most, about [bytes]")
    ] = 512_000_000
    keep_days: Annotated[
        int,
        Meta(ge=0, description="days after which readings and error codes expire, by measuring time; 0: never"),
    ] = 0
    keep_quarantine_days: Annotated[
        int, Meta(ge=0, description="days after which quarantined messages expire, by time of receipt; 0: never")
    ] = 0
    vacuum_after_s: Annotated[
        float,
        Meta(
            ge=3600,
            description="how long files stay that the tables no longer name, for readers that began before [s]",
        ),
    ] = 7 * 86400.0
    log_keep_s: Annotated[
        float,
        Meta(
            ge=3600,
            description="how long entries of the tables' logs stay behind their checkpoint [s]; at least "
            "vacuum_after_s. A writer that was killed must be started again within that time",
        ),
    ] = 30 * 86400.0
