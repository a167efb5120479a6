"""The demonstration, run once as a user runs it: what it found, delivered and drew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lake.schemas import FINDINGS, READINGS
from lake.tables import Lake
from metriage.accounts import account
from metriage.demo import AS_OF
from metriage.samples import sample_messages
from metriage.site import open_site
from tests.metriage.sites import Done

# Meter (its first 8 characters), fault and the time it is fresh, as data/samples/README.md describes them.
EXPECTED = {
    ("12913a45", "coil", AS_OF[0]),
    ("1de2cf65", "coil", AS_OF[0]),
    ("219ffd09", "coil", AS_OF[1]),
    ("synthetic-frost-burst", "low_temperature", AS_OF[1]),
    ("synthetic-valve-sediment", "actuator", AS_OF[1]),
    ("synthetic-valve-stripped", "actuator", AS_OF[1]),
    ("cell-ls14500", "battery", AS_OF[2]),
}
HEALTHY = {"be4c16fa", "14388098", "0860fc3b", "df789230"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acted(demo_site: Path) -> pl.DataFrame:
    """Return the findings to act on."""
    return Lake(demo_site / "lake").read(FINDINGS).filter(pl.col("verdict") == "act")


@pytest.fixture(scope="module")
def events(demo_site: Path) -> list[dict[str, object]]:
    """Return what the inbox took; it keeps nothing whose signature does not hold."""
    lines = (demo_site / "inbox" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["event"] for line in lines]


def short(meter: str) -> str:
    return meter if meter.startswith(("synthetic", "cell")) else meter[:8]


def test_account_holds(demo_site: Path) -> None:
    """Every message that was published was received, none waits, none is refused."""
    messages = account(open_site(demo_site))["messages"]
    sent = sum(1 for _ in sample_messages())

    assert {"received": sent, "stored": sent, "duplicate": 0, "quarantined": 0, "pending": 0} == messages


def test_readings_are_in_the_lake(demo_site: Path) -> None:
    """Profiles expanded."""
    readings = account(open_site(demo_site))["readings"]

    assert readings["stored"] == Lake(demo_site / "lake").scan(READINGS).select(pl.len()).collect().item()


def test_golden_meters_are_found_and_only_they(acted: pl.DataFrame) -> None:
    """Each fault at the first time it can be seen."""
    faults = acted.filter(pl.col("kind") == "fault").group_by("meter_id", "fault").agg(pl.col("as_of").min())

    assert EXPECTED == {(short(meter), fault, as_of) for meter, fault, as_of in faults.iter_rows()}


def test_exchange_and_silence_are_conditions(acted: pl.DataFrame) -> None:
    """Two registers under one id are no coil fault; a silence is none either."""
    conditions = acted.filter(pl.col("kind") == "condition")
    found = {(short(meter), name) for meter, name in conditions.select("meter_id", "fault").iter_rows()}

    assert {("9348c9bb", "exchange"), ("965950f5", "communication"), ("feccd95f", "communication")} <= found


def test_healthy_neighbours_are_left_alone(acted: pl.DataFrame) -> None:
    """Silent after their cut ends, and nothing else."""
    found = {fault for meter, fault in acted.select("meter_id", "fault").iter_rows() if short(meter) in HEALTHY}

    assert found <= {"communication"}


def test_every_ticket_was_delivered(demo_site: Path, events: list[dict[str, object]]) -> None:
    """One event opened for each fault, signed and verified."""
    opened = [event["data"] for event in events if event["type"] == "ticket.opened"]
    subjects = {(short(data["meter"]["meter_id"]), data["fault"]) for data in opened}  # type: ignore[index,call-overload]

    assert {(meter, fault) for meter, fault, _ in EXPECTED} == subjects
    assert len(EXPECTED) == len(opened)
    assert demo_site.joinpath("inbox.secret").stat().st_mode & 0o077 == 0


def test_every_act_has_its_picture(demo_site: Path) -> None:
    """Named after meter, fault and time; each is a real picture."""
    pictures = {file.name for file in (demo_site / "reports").glob("*.png") if file.stat().st_size > 10_000}
    missing = [
        (meter, fault)
        for meter, fault, as_of in EXPECTED
        if not any(name.startswith(meter) and name.endswith(f"-{fault}-{as_of:%Y%m%d}.png") for name in pictures)
    ]

    assert [] == missing


def test_closing_table_says_what_and_where(demo_site: Path) -> None:
    """And what to try next."""
    output = (demo_site.parent / "output.txt").read_text(encoding="utf-8")

    for text in (
        "The line, in ",
        "14,739 messages over MQTT",
        "7 opened",
        "in the inbox",
        "Try next",
        "tickets explain",
    ):
        assert text in output


def test_commands_that_it_proposes_work(demo_site: Path, metriage: Callable[..., Done]) -> None:
    """On the site folder it left."""
    listed = metriage("tickets", "list", "--dir", demo_site)
    explained = metriage("tickets", "explain", "1", "--dir", demo_site)
    status = metriage("status", "--dir", demo_site)

    assert [0, 0, 0] == [listed.code, explained.code, status.code]
    assert "7 tickets" in listed.out
    assert "days on which the register counted backwards: 6 days" in explained.out


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_foreign_folder_is_refused(metriage: Callable[..., Done], tmp_path: Path, kind: str) -> None:
    """Nothing in it is touched."""
    precious = tmp_path / "precious"
    precious.write_text("keep", encoding="utf-8")

    done = metriage("demo", "--dir", tmp_path if kind == "folder" else precious)

    assert 2 == done.code
    assert "choose another --dir" in done.err
    assert "keep" == precious.read_text(encoding="utf-8")
    assert [precious] == list(tmp_path.iterdir())
