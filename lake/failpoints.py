"""Named moments at which a crash must lose nothing; the crash harness kills the process there.

In production `reach` is a call that returns at once. Two variables of the environment arm it, for every process of the
daemon and for commands alike; a process dies of SIGKILL, which no handler or ``finally`` sees.

``METRIAGE_KILL_AT=name`` or ``name:n``
    Die on reaching `name` (for the n-th time). A process that is started again dies again.
``METRIAGE_KILL_FILE=path``
    Die on reaching the name that stands in this file, once: the file is first renamed to ``path.reached.<pid>``. So
    one moment after the other can be armed while everything runs.
"""

from __future__ import annotations

import os
import signal

# Every name, in the order in which a message meets them; `docs/durability.md` and the harness go through this list.
FAILPOINTS = {
    "receive.connected": "the broker has answered whether it has our session, nothing of that is noted",
    "spool.begun": "a group of messages is in an open transaction of the spool",
    "spool.committed": "the group is fsynced in the spool, nothing is acknowledged yet",
    "receive.acknowledged": "the acknowledgements are written to the socket",
    "lake.files_written": "the Parquet files of a commit are written, not yet synced",
    "lake.files_synced": "they are synced, the log does not name them yet",
    "lake.committed": "the log entry is there, not yet synced",
    "lake.synced": "the log entry is synced",
    "writer.between_tables": "one table has the batch, the next one has not",
    "writer.tables_done": "every table has the batch, the account has not",
    "writer.accounted": "the account has it, the spool still holds it",
    "spool.trimmed": "the spool has forgotten what the lake holds",
    "replay.stored": "the readings and codes of a replay are in the lake, the account does not know of it",
    "replay.accounted": "the account has a replay, the quarantine still holds its messages",
    "replay.cleared": "the quarantine has let go of them, the plan still stands",
    "compact.files_synced": "the rewritten day files are synced, the log does not name them yet",
    "compact.committed": "the log names the rewritten files instead of the old ones",
    "compact.vacuuming": "old files are about to be removed",
    "diagnosis.profiled": "the daily rows of a diagnosis are in the lake, its findings are not",
    "diagnosis.told": "its findings are in the lake, no ticket knows of them",
    "hot.found": "findings of hard codes are in the lake, no ticket knows of them",
    "tickets.taken": "tickets and outbox know of the findings, nothing is delivered",
}

_TARGET, _, _COUNT = os.environ.get("METRIAGE_KILL_AT", "").partition(":")
_FILE = os.environ.get("METRIAGE_KILL_FILE", "")
_ARMED = bool(_TARGET or _FILE)
_left = int(_COUNT or 1)

if _TARGET and _TARGET not in FAILPOINTS:
    raise SystemExit(f"METRIAGE_KILL_AT names no failpoint: {_TARGET}; there are {', '.join(FAILPOINTS)}")


def reach(name: str) -> None:
    """Pass the moment `name`, or die there if the crash harness says so."""
    if _ARMED and (_counted_down(name) or _taken(name)):
        os.kill(os.getpid(), signal.SIGKILL)


def _counted_down(name: str) -> bool:
    global _left  # noqa: PLW0603 - one countdown a process is the point
    if name != _TARGET:
        return False
    _left -= 1
    return _left == 0


def _taken(name: str) -> bool:
    """Tell whether the file names this moment, and take it away, so that one process dies of it and no other."""
    if not _FILE:
        return False
    try:
        with open(_FILE, encoding="ascii") as stream:  # noqa: PTH123 - pathlib is slow to import, this is everywhere
            if stream.read() != name:
                return False
        os.rename(_FILE, f"{_FILE}.reached.{os.getpid()}")  # noqa: PTH104 - as above
    except FileNotFoundError:
        return False
    return True
