"""``metriage replay``: what is stored raw decoded again by the settings of now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest.account import State
from ingest.decoders import shapes
from ingest.meters import load_meters
from ingest.profiles.dialects import Dialects
from ingest.profiles.vendor_profile import load_profiles
from ingest.receiver.connection import channel_of
from ingest.replay import Replay
from ingest.retranslation import Retranslation
from lake.errors import SiteFolderError, UsageError
from metriage.site import Site


def replay_site(site: Site, codec: str | None, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Replay the quarantine of a site whose lock is held, translate its codes again, and return what became of it.

    Parameters
    ----------
    site : Site
        The site.
    codec : str or None
        Decode all with this one.
    progress : callable
        Told how many messages were looked at, of how many.

    Raises
    ------
    UsageError
        There is no codec of that name.
    SiteFolderError
        The site has received nothing yet.
    LakeError, SpoolError, SettingsError
        It cannot be done now; what was begun is finished by the next run.
    """
    known = ["auto", *shapes(), *site.settings.codecs]
    if codec is not None and codec not in known:
        raise UsageError(f"there is no codec {codec!r}; known are {', '.join(known)}")
    spool = site.folder / "spool"
    if not (spool / "state.db").exists():
        raise SiteFolderError(f"{site.folder} has received nothing yet: there is nothing to replay")
    brokers = site.settings.broker
    sources = [broker.source for broker in brokers]
    # Where brokers share a source name, what came in tells better than a guess which of them it was.
    channels = {broker.source: channel_of(broker) for broker in brokers if sources.count(broker.source) == 1}
    settings = site.writer_settings
    replay = Replay(settings, channels, codec=codec)
    try:
        done = replay.run(progress)
    finally:
        replay.close()
    fixed = {source: channel.profile for source, channel in channels.items() if channel.profile is not None}
    dialects = Dialects(load_profiles(site.folder), load_meters(settings).makes)
    codes = Retranslation(site.lake, dialects, fixed).run()
    with State(spool, read_only=True) as state:
        tally = state.tally()[1]
    return {
        "looked_at": done.looked_at,
        "changed": done.changed,
        "left_out": done.left_out,
        "messages": {name: count for name, count in done.tally.messages.items() if count},
        "readings": {name: count for name, count in done.tally.readings.items() if count},
        "reasons": {name: count for name, count in done.tally.reasons.items() if count},
        "quarantined": tally.messages["quarantined"],
        "codes": {
            "days": codes.days,
            "changed_days": codes.changed_days,
            "rows": codes.codes,
            "unknown_before": codes.unknown_before,
            "unknown_after": codes.unknown_after,
        },
    }
