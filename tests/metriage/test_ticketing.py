"""From a site's findings to its tickets and their delivery."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from lake import facts, registry
from lake.meter import Meter
from lake.site_database import opened
from metriage.site import Site
from metriage.ticketing import sync_site
from tests.metriage.sites import START, Done, finding, told
from tickets.inbox import Inbox
from tickets.signature import Secret


def with_webhook(site: Site, port: int, secret: Secret) -> Site:
    file = site.folder / "webhook.secret"
    file.touch(mode=0o600)
    file.write_text(secret.text, encoding="utf-8")
    (site.folder / "metriage.toml").write_text(
        f'broker = []\n[[webhook]]\nname = "desk"\nurl = "http://127.0.0.1:{port}/"\nsecret_file = "webhook.secret"\n'
        "allow_private = true\n",
        encoding="utf-8",
    )
    return Site(site.folder)


def test_findings_become_tickets_and_are_delivered_once(site: Site, tmp_path: Path) -> None:
    """Live ones of act; the back-test's never."""
    told(
        site,
        finding(),
        finding(meter_id="B", mode="backtest"),
        finding(meter_id="C", verdict="watch"),
        finding(meter_id="D", kind="condition", fault="leak"),
    )
    secret = Secret.create()
    with Inbox(secret, tmp_path / "inbox") as inbox:
        connected = with_webhook(site, inbox.port, secret)
        report, delivery = sync_site(connected, START)
        again, _ = sync_site(connected, START)
        events = inbox.events

    assert (1, 0) == (report.opened, again.opened)
    assert (1, True) == (delivery.delivered, delivery.is_complete)
    assert ["ticket.opened"] == [event["event"]["type"] for event in events]
    assert "A" == events[0]["event"]["data"]["meter"]["meter_id"]


def test_registry_and_inspections_reach_the_event(site: Site, tmp_path: Path) -> None:
    """What was known as of the time: the place an exchanged meter took over, and the seal that was broken."""
    told(site, finding(meter_id="B"))
    day = timedelta(days=1)
    with opened(site.database) as connection:
        registry.store(
            connection,
            [Meter(meter_id="A", region="north", site="3 号楼"), Meter(meter_id="B", warranty_months=72.0)],
        )
        facts.store(
            connection,
            facts.INSPECTION_KIND,
            [
                {"meter_id": "A", "inspected_at": START - 9 * day, "action": "exchanged", "new_meter_id": "B"},
                {"meter_id": "B", "inspected_at": START - day, "inspector": "李", "seal_intact": False},
                {"meter_id": "B", "inspected_at": START + day, "inspector": "王", "seal_intact": False},
            ],
        )
    secret = Secret.create()
    with Inbox(secret, tmp_path / "inbox") as inbox:
        sync_site(with_webhook(site, inbox.port, secret), START)
        [event] = inbox.events

    data = event["event"]["data"]
    assert ("north", "3 号楼", "2023-12-23") == tuple(
        data["meter"][name] for name in ("region", "site", "installed_on")
    )
    assert ("void", "李", True) == tuple(data["warranty"][name] for name in ("state", "void_by", "dead_on_arrival"))


def test_findings_after_the_as_of_time_wait(site: Site) -> None:
    """They are taken up by the next run."""
    told(site, finding(), finding(meter_id="B", diagnosis_id="d2", as_of=START + timedelta(days=1)))

    first, _ = sync_site(site, START)
    second, _ = sync_site(site, START + timedelta(days=1))

    assert (1, 1) == (first.opened, second.opened)


def test_second_diagnosis_of_the_same_time_is_taken_up(site: Site) -> None:
    """A forgotten file was imported and the same time diagnosed again."""
    told(site, finding())
    sync_site(site, START)
    told(site, finding(diagnosis_id="d2"), finding(diagnosis_id="d2", meter_id="B"))

    report, _ = sync_site(site, START)

    assert (1, 1) == (report.opened, report.counted)


def test_site_without_findings_has_no_tickets(site: Site) -> None:
    """A new site."""
    report, delivery = sync_site(site, START)

    assert (0, True) == (report.events, delivery.is_complete)


def test_undelivered_is_exit_code_three_and_says_why(site: Site, metriage: Callable[..., Done]) -> None:
    """The receiver is away; the ticket is there all the same."""
    told(site, finding())
    with_webhook(site, 1, Secret.create())

    done = metriage("tickets", "sync", "--dir", site.folder, "--as-of", "2024-01-01")

    assert 3 == done.code
    assert done.out.startswith("opened 1,")
    assert "waiting 1" in done.out
    assert "webhook desk: no connection to 127.0.0.1" in done.err


def test_ticket_from_finding_to_close(site: Site, metriage: Callable[..., Done]) -> None:
    """All the commands of a ticket's life, for people."""
    told(site, finding())
    here = ("--dir", site.folder)

    sync = metriage("tickets", "sync", *here, "--as-of", "2024-01-01")
    listed = metriage("tickets", "list", *here)
    shown = metriage("tickets", "show", "1", *here)
    noted = metriage("tickets", "note", "1", "called the customer", "--by", "li", *here)
    closed = metriage("tickets", "close", "T-000001", "--as", "wont_fix", "--reason", "demolished", *here)
    explained = metriage("tickets", "explain", "1", *here)
    left = metriage("tickets", "list", *here)

    assert [0] * 7 == [done.code for done in (sync, listed, shown, noted, closed, explained, left)]
    assert "no [[webhook]] in metriage.toml" in sync.out
    assert "T-000001" in listed.out
    assert "resting voltage, daily median: 3.31 V" in shown.out
    assert "moisture (80 % sure)" in shown.out
    assert "2023-12-29 00:00 UTC" in shown.out
    for internal in ("judged", "repeats", "dedup", "seq"):
        assert internal not in shown.out
    assert "noted on T-000001\n" == noted.out
    assert "T-000001: will not be fixed\n" == closed.out
    assert "li: note called the customer" in explained.out
    assert "will not be fixed demolished" in explained.out
    assert "no open tickets; --all lists finished ones too\n" == left.out


def test_json_of_tickets_has_lists_and_objects(site: Site, metriage: Callable[..., Done]) -> None:
    """Evidence and meter are no texts of JSON; times are ISO 8601."""
    told(site, finding())
    here = ("--dir", site.folder, "--json")

    sync = json.loads(metriage("tickets", "sync", *here, "--as-of", "2024-01-01").out)
    listed = json.loads(metriage("tickets", "list", *here).out)
    shown = json.loads(metriage("tickets", "show", "1", *here).out)
    explained = json.loads(metriage("tickets", "explain", "1", *here).out)
    noted = json.loads(metriage("tickets", "note", "1", "seen", *here).out)
    closed = json.loads(metriage("tickets", "close", "1", *here).out)

    assert 1 == sync["sync"]["opened"]
    ticket = listed["tickets"][0]
    assert ticket == explained["ticket"] == noted == {name: shown[name] for name in ticket}
    assert [{"rule": "battery.plateau", "what": "voltage", "value": 3.31, "unit": "V"}] == ticket["evidence"]
    assert "A" == ticket["meter"]["meter_id"]
    assert "2024-01-01T00:00:00+00:00" == ticket["first_seen"]
    assert ["opened"] == [entry["what"] for entry in explained["history"]]
    assert "closed" == closed["state"]


def test_site_language_is_the_language_of_tables(site: Site, metriage: Callable[..., Done]) -> None:
    """Labels, faults, causes, states and evidence."""
    told(site, finding())
    (site.folder / "metriage.toml").write_text('broker = []\n[site]\nlanguage = "zh"\n', encoding="utf-8")
    metriage("tickets", "sync", "--dir", site.folder, "--as-of", "2024-01-01")

    listed = metriage("tickets", "list", "--dir", site.folder).out
    shown = metriage("tickets", "show", "1", "--dir", site.folder).out

    assert [] == [word for word in ("工单", "电池", "受潮或进水", "未处理") if word not in listed]
    assert [] == [word for word in ("处理建议", "静态电压日中值：3.31 V", "置信度 80 %") if word not in shown]


@pytest.mark.parametrize("ticket", ["7", "T-7", "x", "../1", ""])
def test_unknown_ticket_is_said(site: Site, metriage: Callable[..., Done], ticket: str) -> None:
    """In every command that takes one."""
    for words in (["show", ticket], ["explain", ticket], ["note", ticket, "text"], ["close", ticket]):
        done = metriage("tickets", *words, "--dir", site.folder)

        assert 1 == done.code
        assert done.err.startswith("metriage: ")


def test_damaged_database_is_said(site: Site, metriage: Callable[..., Done]) -> None:
    """No traceback."""
    (site.folder / "metriage.db").write_bytes(b"this is no database" * 100)

    done = metriage("tickets", "list", "--dir", site.folder)

    assert 2 == done.code
    assert "cannot be used as the site database" in done.err


def test_tickets_lie_in_the_site_database(site: Site) -> None:
    """Where the contract says."""
    told(site, finding())
    sync_site(site, START)

    with closing(sqlite3.connect(site.folder / "metriage.db")) as connection:
        assert [("A", "battery")] == connection.execute("SELECT meter_id, fault FROM ticket").fetchall()
