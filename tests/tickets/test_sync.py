"""Findings to tickets: what opens, what changes, what stays quiet."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake.site_database import opened
from tickets import desk, store
from tickets.settings import TicketSettings
from tickets.sync import SyncReport, processed_until

Run = Callable[..., SyncReport]
Make = Callable[..., dict[str, Any]]
Outbox = Callable[[], list[dict[str, Any]]]
Day = Callable[[float], datetime]


def _only(connection: sqlite3.Connection) -> store.Ticket:
    (ticket,) = desk.list_tickets(connection, states=store.STATES)
    return ticket


def test_act_opens_one_incident(connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox) -> None:
    """The first act opens an incident and tells of it."""
    report = run(finding())
    ticket = _only(connection)

    assert report == SyncReport(opened=1)
    assert (ticket.ticket_id, ticket.dedup_key, ticket.state) == ("T-000001", "incident/battery/A", "open")
    assert (ticket.impact, ticket.urgency, ticket.priority, ticket.count, ticket.seq) == (3, 2, 2, 1, 1)
    assert [event["type"] for event in outbox()] == ["ticket.opened"]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "watch"},
        {"verdict": "clear"},
        {"verdict": "refused"},
        {"mode": "backtest"},
        {"kind": "condition", "fault": "leak"},
        {"fault": "rust"},
        {"inhibited_by": "communication"},
    ],
)
def test_other_findings_open_nothing(
    connection: sqlite3.Connection, run: Run, finding: Make, changes: dict[str, Any]
) -> None:
    """Only an act of production, of a fault, that nothing else explains, opens an incident."""
    run(finding(**changes))

    assert desk.list_tickets(connection) == []


def test_hot_act_opens(run: Run, finding: Make) -> None:
    """Hot codes are production too."""
    assert run(finding(mode="hot")).opened == 1


def test_configured_condition_opens(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """A condition opens a ticket where it is configured; it has less impact than a fault."""
    run(finding(kind="condition", fault="tamper"), settings=TicketSettings(conditions=("tamper",)))

    assert (_only(connection).fault, _only(connection).impact) == ("tamper", 4)


def test_same_diagnosis_twice_changes_nothing(
    connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox
) -> None:
    """Processing findings again leaves tickets and outbox as they were."""
    rows = [finding(1), finding(2, cause="age"), finding(3, verdict="clear"), finding(1, meter_id="B")]
    run(*rows)
    before = list(connection.iterdump())
    report = run(*rows)

    assert report == SyncReport(known=4)
    assert list(connection.iterdump()) == before
    assert len(outbox()) == 4


def test_rows_in_any_order_give_the_same(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """Findings count in order of their time, however they lie in the table."""
    run(finding(3, verdict="clear"), finding(1), finding(2))

    assert (_only(connection).state, _only(connection).count) == ("pending", 2)


def test_older_finding_does_not_go_back(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """A finding older than one already seen changes nothing, whatever its diagnosis."""
    run(finding(5))
    before = _only(connection)
    report = run(finding(4, cause="age"), finding(4.5, verdict="clear"))

    assert report == SyncReport(known=2)
    assert _only(connection) == before


def test_as_of_leaves_later_findings_out(run: Run, finding: Make) -> None:
    """Nothing known later leaks in."""
    assert run(finding(5), until=4) == SyncReport()
    assert run(finding(5), until=5).opened == 1


def test_second_diagnosis_of_the_same_time_is_seen_once(
    connection: sqlite3.Connection, run: Run, finding: Make
) -> None:
    """A diagnosis made again for the same time may change the ticket but does not count."""
    rows = [finding(1), finding(1, diagnosis_id="again", cause="age")]

    assert run(*rows).known == 0
    assert run(*rows).known == 2
    assert _only(connection).count == 1


def test_unchanged_act_is_counted_quietly(
    connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox, day: Day
) -> None:
    """A repeated act refreshes the ticket; readers hear of it only by the back-off of 1, 7, 30 and 30 days."""
    run(*[finding(number / 2) for number in range(2, 182)])
    ticket = _only(connection)
    events = outbox()
    days = [(datetime.fromisoformat(event["timestamp"]) - day(1)).days for event in events]

    assert (ticket.count, ticket.last_seen, ticket.first_seen) == (180, day(90.5), day(1))
    assert days == [0, 1, 8, 38, 68]
    assert [event["data"]["seq"] for event in events] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cause": "age"}, 1),
        ({"severity": 1, "cause": "age"}, 1),
        ({"severity": 4}, 1),
        ({"rules": ["battery.knee", "battery.load"]}, 1),
        ({"rules": []}, 0),
        ({"evidence": "[1, 2]"}, 0),
        ({"cause_confidence": 0.5, "probability": 0.9}, 0),
    ],
)
def test_change_is_told_when_a_reader_cares(run: Run, finding: Make, change: dict[str, Any], told: int) -> None:
    """Cause, priority and a new rule are news; other evidence is not."""
    run(finding(1))
    report = run(finding(1.5, **change))

    assert (report.updated, report.counted) == (told, 1 - told)


def test_clear_proposes_and_act_takes_back(
    connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox, day: Day
) -> None:
    """A clear proposes the resolution once; a later act takes the proposal back."""
    run(finding(1), finding(2, verdict="clear"), finding(3, verdict="clear"))
    proposed = _only(connection)
    run(finding(4))
    back = _only(connection)

    assert (proposed.state, proposed.proposal is not None and proposed.proposal.diagnosis_id) == ("pending", "d2")
    assert (back.state, back.proposal) == ("open", None)
    assert [(event["type"], event["data"]["state"]) for event in outbox()] == [
        ("ticket.opened", "open"),
        ("ticket.updated", "pending"),
        ("ticket.updated", "open"),
    ]
    assert datetime.fromisoformat(outbox()[1]["data"]["proposed_resolution"]) == day(2)


def test_inhibited_clear_proposes_nothing(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """A clear that is muted (a silent radio shows nothing) is no evidence of health."""
    run(finding(1), finding(2, verdict="clear", inhibited_by="communication"))

    assert _only(connection).state == "open"


def test_clear_resolves_where_configured(
    connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox
) -> None:
    """A site may let the engine resolve."""
    report = run(finding(1), finding(2, verdict="clear"), settings=TicketSettings(on_clear="resolve"))

    assert report == SyncReport(opened=1, resolved=1)
    assert _only(connection).state == "resolved"
    assert outbox()[-1]["type"] == "ticket.resolved"


def test_silence_never_resolves(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """Diagnoses that do not mention the meter change nothing."""
    run(finding(1))
    run(*[finding(number, meter_id="B", verdict="watch") for number in range(2, 60)])

    assert _only(connection).state == "open"


def test_reopen_needs_evidence_after_the_repair(
    connection: sqlite3.Connection, run: Run, finding: Make, day: Day, outbox: Outbox
) -> None:
    """An act that only looks back at the time before the repair is held back; new evidence opens the ticket again."""
    run(finding(1))
    desk.close(connection, "1", at=day(2), actor="lin", language="en")
    looking_back = run(finding(3, evidence=json.dumps({"as_of": "2024-07-04T00:00:00Z", "first": "2024-06-25"})))
    still_closed = _only(connection).state
    new = run(finding(4, onset=day(1)))

    assert (looking_back.held_back, still_closed) == (1, "closed")
    assert new.reopened == 1
    assert (_only(connection).state, _only(connection).finished_at) == ("open", None)
    assert [event["type"] for event in outbox()] == ["ticket.opened", "ticket.resolved", "ticket.reopened"]


def test_wont_fix_is_never_reopened(connection: sqlite3.Connection, run: Run, finding: Make, day: Day) -> None:
    """Who decided not to fix is not asked again."""
    run(finding(1))
    desk.close(connection, "1", at=day(2), actor="lin", language="en", state="wont_fix")
    report = run(*[finding(number, onset=day(3)) for number in range(5, 10)])

    assert report == SyncReport(held_back=5)
    assert _only(connection).state == "wont_fix"


def test_muted_findings_are_recorded(connection: sqlite3.Connection, run: Run, finding: Make, day: Day) -> None:
    """What was muted and by what is kept, once a diagnosis."""
    rows = [finding(number, fault="coil", inhibited_by="battery") for number in (1, 2)]
    run(*rows, finding(1))
    report = run(*rows)
    (muted,) = desk.explain(connection, "1").muted

    assert report == SyncReport(muted=2)
    assert (muted.fault, muted.inhibited_by, muted.first_at, muted.last_at, muted.count) == (
        "coil",
        "battery",
        day(1),
        day(2),
        2,
    )


def test_registry_fills_the_ticket(connection: sqlite3.Connection, run: Run, finding: Make, outbox: Outbox) -> None:
    """A large consumer's meter has more impact; what the registry says travels with the event."""
    registry = pl.DataFrame({"meter_id": ["A", "B"], "model": ["LXS", "x"], "caliber_mm": [80.0, 15.0]})
    run(finding(1), registry=registry)
    run(finding(1.5, severity=1))
    meter = outbox()[0]["data"]["meter"]

    assert (meter["model"], meter["caliber_mm"], meter["production_batch"]) == ("LXS", 80.0, "2301")
    assert (_only(connection).impact, _only(connection).priority) == (2, 1)


def test_identity_is_unique_in_the_database(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """The database itself refuses a second open ticket of one meter and fault."""
    run(finding(1))
    with pytest.raises(sqlite3.IntegrityError, match=r"ticket\.dedup_key"):
        store.insert(connection, _only(connection))


def test_ticket_and_event_are_one_transaction(
    connection: sqlite3.Connection, run: Run, finding: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the event cannot be written, there is no ticket either."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(store, "put", broken)
    with pytest.raises(RuntimeError, match="no room"):
        run(finding(1))

    assert desk.list_tickets(connection) == []


def test_processed_until_is_the_newest_live_finding(
    connection: sqlite3.Connection, run: Run, finding: Make, day: Day
) -> None:
    """The command needs to read only what came since; a hot finding hides no live one that is finished later."""
    before = processed_until(connection)
    run(finding(3, verdict="watch"), finding(1), finding(5, mode="hot"))
    run(finding(2))

    assert (before, processed_until(connection)) == (None, day(3))


def test_strange_rows_do_no_harm(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """Missing and broken optional values have a default."""
    nothing = {"severity": None, "cause": None, "rules": None, "evidence": None, "action": None, "onset": None}
    run(finding(1, **nothing, probability=float("nan")), finding(1, meter_id="B", evidence="{broken", severity=9))
    first, second = desk.list_tickets(connection)

    assert (first.severity, first.cause, first.probability, second.severity) == (3, "unknown", None, 3)


SYNC = """
import sys
from datetime import datetime
from pathlib import Path
import polars as pl
from lake.site_database import opened
from tickets.settings import TicketSettings
from tickets.sync import sync

findings = pl.read_parquet(sys.argv[2])
with opened(Path(sys.argv[1])) as connection:
    for _ in range(3):
        sync(connection, findings, as_of=datetime.fromisoformat("2030-01-01T00:00:00Z"), settings=TicketSettings(),
             language="en")
"""


def test_processes_at_once_open_one_ticket_each(
    tmp_path: Path,
    path: Path,
    finding: Make,
    frame: Callable[..., pl.DataFrame],
    python: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """Four processes that sync the same findings into a new database open one ticket a meter, and tell of it once."""
    rows = [finding(number, meter_id=f"M{meter}") for meter in range(50) for number in (1, 2, 3)]
    frame(rows).write_parquet(tmp_path / "findings.parquet")
    processes = [python(SYNC, path, tmp_path / "findings.parquet") for _ in range(4)]
    codes = [process.wait() for process in processes]
    with opened(path) as connection:
        tickets = desk.list_tickets(connection)
        events = connection.execute("SELECT number, seq, type FROM outbox ORDER BY number, seq").fetchall()

    assert codes == [0, 0, 0, 0]
    assert sorted(ticket.meter_id or "" for ticket in tickets) == sorted(f"M{meter}" for meter in range(50))
    assert {ticket.count for ticket in tickets} == {3}
    assert [tuple(event) for event in events] == [
        (number, seq, kind) for number in range(1, 51) for seq, kind in ((1, "ticket.opened"), (2, "ticket.updated"))
    ]
