"""One scheduled diagnosis as a process of its own, at low priority: receiving never waits, and its memory goes with it.

``python -m metriage.diagnosis_process SITE AS_OF`` prints one line of JSON (:class:`Outcome`). It ends when its
standard input does: whoever started it was killed, and his successor begins it anew.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from datetime import datetime
from pathlib import Path

import msgspec

from ingest.log_format import configure_logging
from lake.errors import MetriageError, SiteLockedError

NICE = 10
ORPHANED = 75
_KIBI = 1024


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of it.

    Parameters
    ----------
    days, findings : int
        Daily rows computed and findings written.
    peak_bytes : int
        Most memory it had [B].
    error : str
        Why it failed; empty where it did not.
    busy : bool
        Whether it failed only because another diagnosis of the site is running.
    """

    days: int = 0
    findings: int = 0
    peak_bytes: int = 0
    error: str = ""
    busy: bool = False


def main(folder: str, as_of: str) -> int:
    """Diagnose, print what became of it, and return the exit code."""
    os.nice(NICE)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    configure_logging()
    from metriage.diagnosing import diagnose_site  # noqa: PLC0415 - whoever is orphaned at once need not load it
    from metriage.site import open_site  # noqa: PLC0415

    try:
        site = open_site(Path(folder))
        with site.lock("diagnosis"):
            done = diagnose_site(site, datetime.fromisoformat(as_of))
    except MetriageError as error:
        _tell(Outcome(error=str(error)[:1000], busy=isinstance(error, SiteLockedError)))
        return error.exit_code
    _tell(Outcome(days=done.days, findings=done.findings.height, peak_bytes=_peak_bytes()))
    return 0


def _end_with_parent() -> None:
    while os.read(0, 4096):  # not by way of `sys.stdin`, which the interpreter locks at its end
        pass
    os._exit(ORPHANED)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBI


def _tell(outcome: Outcome) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
