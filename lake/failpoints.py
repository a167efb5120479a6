"""Named moments at which a crash must lose nothing; the crash harness kills the process there.

In production `reach` is a call that returns at once. With ``METRIAGE_KILL_AT=name`` or ``name:n`` in the environment,
the process kills itself with SIGKILL when it reaches `name` (for the n-th time), which no handler or ``finally`` sees.
"""

from __future__ import annotations

import os
import signal

# Every name, in the order in which a message meets them; `docs/durability.md` and the harness go through this list.
FAILPOINTS = {
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
    "compact.files_synced": "the rewritten day files are synced, the log does not name them yet",
    "compact.committed": "the log names the rewritten files instead of the old ones",
    "compact.vacuuming": "old files are about to be removed",
}

_TARGET, _, _COUNT = os.environ.get("METRIAGE_KILL_AT", "").partition(":")
_left = int(_COUNT or 1)

if _TARGET and _TARGET not in FAILPOINTS:
    raise SystemExit(f"METRIAGE_KILL_AT names no failpoint: {_TARGET}; there are {', '.join(FAILPOINTS)}")


def reach(name: str) -> None:
    """Pass the moment `name`, or die there if the crash harness says so."""
    global _left  # noqa: PLW0603 - one countdown a process is the point
    if name != _TARGET:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
