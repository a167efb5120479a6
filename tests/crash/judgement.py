"""What the lake and the account say, against what was sent. Reads the files as any Delta reader does, not our code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tests.crash.traffic import Expected
from tests.processes import status_of

_READING = pl.Schema(
    {"meter_id": pl.String(), "ts": pl.Int64(), "seq": pl.Int64(), "volume_m3": pl.Float64(), "status": pl.Int64(),
     "codes": pl.String()}
)  # fmt: skip
_CODE = pl.Schema({"meter_id": pl.String(), "ts": pl.Int64(), "status": pl.Int64(), "code": pl.String()})
_SHOWN = 5


@dataclass(slots=True)
class Verdict:
    """What a check found.

    Parameters
    ----------
    lost, doubled : int
        Rows that are missing, and rows beyond the first of the same kind, in all tables.
    redelivered : int
        Messages that came more often than they were sent.
    problems : list of str
        Everything that is wrong, for people; empty when all is well.
    """

    lost: int = 0
    doubled: int = 0
    redelivered: int = 0
    problems: list[str] = field(default_factory=list)


def table(site: Path, name: str) -> pl.DataFrame | None:
    """Return a table of the lake, None where it was never written."""
    folder = site / "lake" / name
    return pl.read_delta(str(folder)) if any((folder / "_delta_log").glob("0*")) else None


def judge(site: Path, expected: Expected) -> Verdict:
    """Judge a site whose daemon has stopped after everything arrived."""
    verdict = Verdict()
    status = status_of(site)
    verdict.redelivered = status["messages"]["received"] - expected.sent
    _judge_readings(site, expected, status, verdict)
    _judge_codes(site, expected, verdict)
    _judge_quarantine(site, expected, status, verdict)
    _judge_account(expected, status, verdict)
    return verdict


def _judge_readings(site: Path, expected: Expected, status: dict[str, Any], verdict: Verdict) -> None:
    wanted = pl.DataFrame(
        [(r.meter_id, r.ts, r.seq, r.volume_m3, r.status, "\n".join(r.error_codes)) for r in expected.rows()],
        schema=_READING,
        orient="row",
    )
    found = table(site, "readings")
    if found is None:
        verdict.lost += wanted.height
        verdict.problems.append(f"there is no table readings; {wanted.height} rows are missing")
        return
    conflicts = int(found["flags"].list.contains("conflict").sum())
    rows = found.select(
        "meter_id", pl.col("ts").dt.epoch("s"), "seq", "volume_m3", "status",
        pl.col("error_codes").list.join("\n").fill_null("").alias("codes"),
    )  # fmt: skip
    _compare("readings", wanted, rows, verdict)
    counted = status["readings"]
    for what, said, seen in (
        ("stored, lake", counted["stored"], rows.height),
        ("conflict, lake", counted["conflict"], conflicts),
        ("conflict, sent", conflicts, expected.conflicts),
    ):
        if said != seen:
            verdict.problems.append(f"readings: {what}: {said} is not {seen}")


def _judge_codes(site: Path, expected: Expected, verdict: Verdict) -> None:
    codes = [
        (r.meter_id, r.ts, r.status, code)
        for r in expected.rows()
        for code in (*r.error_codes, *([f"status:{r.status:#x}"] if r.status else []))
    ]
    wanted = pl.DataFrame(codes, schema=_CODE, orient="row")
    found = table(site, "error_codes")
    rows = (
        pl.DataFrame(schema=_CODE)
        if found is None
        else found.select("meter_id", pl.col("ts").dt.epoch("s"), "status", "code")
    )
    _compare("error_codes", wanted, rows, verdict)


def _compare(name: str, wanted: pl.DataFrame, rows: pl.DataFrame, verdict: Verdict) -> None:
    """Count what is missing, doubled or was never sent."""
    keys = wanted.columns
    lost = wanted.join(rows, on=keys, how="anti", nulls_equal=True)
    strange = rows.join(wanted, on=keys, how="anti", nulls_equal=True)
    twice = rows.group_by(keys).len().filter(pl.col("len") > 1)
    verdict.lost += lost.height
    verdict.doubled += int((twice["len"] - 1).sum())
    for what, frame in (("missing", lost), ("never sent", strange), ("more than once", twice)):
        if frame.height:
            examples = ", ".join(map(repr, frame.sort("ts").head(_SHOWN).rows()))
            verdict.problems.append(f"{name}: {frame.height} rows {what}, such as {examples}")


def _judge_quarantine(site: Path, expected: Expected, status: dict[str, Any], verdict: Verdict) -> None:
    """Every refused message is there with its bytes; once a time it was received."""
    found = table(site, "quarantine")
    rows: Counter[tuple[bytes, str]] = Counter()
    if found is not None:
        for payload, reason, readings in found.select("payload", "reason", "readings").iter_rows():
            rows[payload, reason] += readings
    lost = Counter(expected.poison) - rows
    extra = rows - Counter(expected.poison)
    strange = [key for key in rows if key not in expected.poison]
    verdict.lost += lost.total()
    # A message that came again is refused again: the account counts it, and so must the table.
    if extra.total() > verdict.redelivered:
        verdict.doubled += extra.total() - verdict.redelivered
        verdict.problems.append(f"quarantine: {extra.total()} rows too many, with {verdict.redelivered} redelivered")
    if lost or strange:
        verdict.problems.append(
            f"quarantine: {lost.total()} missing, such as {list(lost)[:_SHOWN]}; "
            f"{len(strange)} never sent, such as {strange[:_SHOWN]}"
        )
    reasons: Counter[str] = Counter()
    for (_, reason), count in rows.items():
        reasons[reason] += count
    if dict(reasons) != status["quarantine"]:
        verdict.problems.append(f"quarantine: the account says {status['quarantine']}, the table {dict(reasons)}")


def _judge_account(expected: Expected, status: dict[str, Any], verdict: Verdict) -> None:
    verdict.problems += unbalanced(status)
    messages, readings = status["messages"], status["readings"]
    again = verdict.redelivered
    excess = {name: messages[name] - expected.messages[name] for name in ("stored", "duplicate", "quarantined")}
    if (
        messages["pending"]
        or excess["stored"]
        or min(again, *excess.values()) < 0
        or excess["duplicate"] + excess["quarantined"] != again
    ):
        verdict.problems.append(f"messages: {messages}; sent {expected.sent}, once each: {expected.messages}")
    if readings["received"] < expected.sent_readings or (not again and readings["received"] != expected.sent_readings):
        verdict.problems.append(f"readings: {readings}; sent {expected.sent_readings}")


def unbalanced(status: dict[str, Any]) -> list[str]:
    """Return where ``received = stored + duplicate + quarantined + pending`` does not hold."""
    return [
        f"{kind}: the account does not add up: {counted}"
        for kind, counted in ((kind, status[kind]) for kind in ("messages", "readings"))
        if counted["received"] != sum(counted[name] for name in ("stored", "duplicate", "quarantined", "pending"))
    ]


def glance(site: Path) -> list[str]:
    """Return what is wrong at a moment at which the daemon is dead and messages may be waiting.

    A batch may be in the lake and not yet in the account, which then counts it as pending.
    """
    status = status_of(site)
    problems = unbalanced(status)
    found = table(site, "readings")
    rows = 0 if found is None else found.height
    stored, pending = (status["readings"][name] for name in ("stored", "pending"))
    if not stored <= rows <= stored + pending:
        problems.append(f"the account says {stored} stored and {pending} pending readings, the lake holds {rows}")
    problems += _repeated(found)
    return problems


def _repeated(found: pl.DataFrame | None) -> Iterator[str]:
    if found is None:
        return
    keys = [pl.col("meter_id"), "ts", "seq", "volume_m3", "status", pl.col("error_codes").list.join("\n")]
    twice = found.height - found.select(keys).unique().height
    if twice:
        yield f"{twice} rows of readings stand twice in the lake"


def judge_hostile(site: Path, messages: Sequence[tuple[str, bytes]], others: int) -> list[str]:
    """Return what is wrong after hostile messages, and `others` good ones, came through without redelivery.

    What must become of each is the decoder's to say; that each became exactly one thing, and that what was refused is
    kept byte for byte, is checked here.
    """
    status = status_of(site)
    problems = unbalanced(status)
    counted = status["messages"]
    if counted["received"] != len(messages) + others or counted["pending"]:
        problems.append(f"{len(messages) + others} messages were sent, the account says {counted}")
    readings, refused = table(site, "readings"), table(site, "quarantine")
    assert readings is not None
    assert refused is not None
    if readings.height != status["readings"]["stored"]:
        problems.append(f"the lake holds {readings.height} readings, the account says {status['readings']}")
    if refused["readings"].sum() != status["readings"]["quarantined"]:
        problems.append(f"the lake holds {refused['readings'].sum()} refused, the account says {status['readings']}")
    # The same bytes may be in order on one topic and not on another.
    kept = set(refused.drop_nulls("payload").select("topic", "payload").iter_rows())
    quarantined = sum(message in kept for message in messages)
    if quarantined != counted["quarantined"] or kept - set(messages):
        problems.append(f"{quarantined} messages are in quarantine byte for byte, the account says {counted}")
    return problems
