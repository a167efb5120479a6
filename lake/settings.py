"""Settings of the lake: where its tables lie, and their upkeep. A description is the key's documentation."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


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


class CompactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Upkeep of the tables: ``[compact]``."""

    every_s: Annotated[
        float, Meta(ge=0, description="how often the daemon compacts [s]; 0: only by `metriage compact`")
    ] = 86400.0
