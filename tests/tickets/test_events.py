"""The event body: the contract's fields, its size, its texts, and hostile strings as plain data."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.schemas import INSPECTIONS
from lake.vocabulary import METER
from tickets.events import BODY_LIMIT_BYTES, event_body, event_data, evidence_items
from tickets.meters import Warranty
from tickets.store import Ticket
from tickets.sync import SyncReport

Run = Callable[..., SyncReport]
Make = Callable[..., dict[str, Any]]
Outbox = Callable[[], list[dict[str, Any]]]

TEXTS = [name for name, column in METER.items() if column.dtype == "string" and name != "meter_id"]
CONTRACT = [
    "ticket_id",
    "dedup_key",
    "seq",
    "kind",
    "parent",
    "state",
    "fault",
    "cause",
    "probability",
    "priority",
    "impact",
    "urgency",
    "emergency",
    "title",
    "summary",
    "language",
    "meter",
    "batch",
    "warranty",
    "due",
    "evidence",
    "worksheet",
    "spares",
    "first_seen",
    "last_seen",
    "count",
    "links",
]
HOSTILE = "=cmd|'/C calc'!A0 <script>alert(1)</script> \x1b[31m\u202egnp\x00 {{7*7}} ../../etc " + "x" * 10_000


def test_event_has_every_field_of_the_contract(run: Run, finding: Make, outbox: Outbox) -> None:
    """All fields are there, those not known yet as null or empty."""
    run(finding())
    (event,) = outbox()
    data = event["data"]

    assert list(event) == ["type", "timestamp", "data"]
    assert [name for name in CONTRACT if name not in data] == []
    assert data["emergency"] == {"is": False, "reasons": []}
    assert data["warranty"] == {"state": "unknown"} | dict.fromkeys(Warranty.__struct_fields__[1:])
    assert data["due"] == dict.fromkeys(
        (
            "acknowledge_by",
            "warranty_answer_by",
            "on_site_by",
            "conclusion_by",
            "report_by",
            "interim_answer_by",
        )
    )
    assert set(data["meter"]) == set(METER)
    assert (data["parent"], data["links"], data["spares"]) == (None, {}, {"region": "north", "recommended": None})
    assert event["timestamp"] == "2024-07-02T00:00:00Z"


@pytest.mark.parametrize(
    ("language", "title", "summary"),
    [
        ("en", "Battery fault: meter A, cause moisture or immersion", "Recommended: Exchange the battery."),
        ("zh", "电池故障：水表 A，原因：受潮或进水", "建议：Exchange the battery。"),
    ],
)
def test_texts_speak_the_language_of_the_site(
    run: Run, finding: Make, outbox: Outbox, language: str, title: str, summary: str
) -> None:
    """Title, summary and worksheet use the words of the trade."""
    run(finding(), language=language)
    data = outbox()[0]["data"]

    assert (data["title"], data["language"]) == (title, language)
    assert summary in data["summary"]


def test_unknown_cause_is_said(run: Run, finding: Make, outbox: Outbox) -> None:
    """If the cause is not clear, the ticket says so, and that no conclusion goes out."""
    run(finding(cause=None))
    data = outbox()[0]["data"]

    assert data["cause"] == "unknown"
    assert data["title"].endswith("cause not known yet")
    assert "no conclusion goes to the customer" in data["summary"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_worksheet_has_the_eight_steps(run: Run, finding: Make, outbox: Outbox, language: str) -> None:
    """Each step says what is known and what to check; the fault's own questions stand in step 7."""
    registry = pl.DataFrame(
        {"meter_id": ["A"], "installed_on": [date(2023, 5, 1)], "warranty_months": [12], "installation": ["basement"]}
    )
    run(finding(), finding(meter_id="B", fault="actuator"), language=language, registry=registry)
    battery, actuator = (event["data"] for event in outbox())
    questions = [
        [line for line in actuator["worksheet"][6]["to_check"] if line not in battery["worksheet"][6]["to_check"]]
    ]

    assert [step["step"] for step in battery["worksheet"]] == list(range(1, 9))
    assert all(step["title"] and step["to_check"] for step in battery["worksheet"])
    assert any("2024-05-01" in line for line in battery["worksheet"][0]["known"])
    assert any(word in line for line in battery["worksheet"][3]["known"] for word in ("basement", "地下室"))
    assert actuator["worksheet"][0]["known"] == []
    assert any(word in line for line in questions[0] for word in ("Sand or impurities", "泥沙或杂质"))
    assert battery["warranty"] == dict.fromkeys(Warranty.__struct_fields__) | {
        "state": "expired", "ends_on": "2024-05-01", "basis": "installed_on", "months": 12, "dead_on_arrival": False,
    }  # fmt: skip


def test_broken_seal_and_early_fault_stand_in_the_event(run: Run, finding: Make, outbox: Outbox) -> None:
    """The warranty says why it is void; a fault within 15 days of the installation is dead on arrival."""
    registry = pl.DataFrame(
        {"meter_id": ["A", "B"], "installed_on": [date(2024, 6, 20)] * 2, "warranty_months": [72, 72]}
    )
    told = {"meter_id": "A", "inspected_at": datetime(2024, 6, 25, tzinfo=UTC), "inspector": "李", "seal_intact": False}
    inspections = INSPECTIONS.conform(pl.DataFrame([told], schema={name: INSPECTIONS.polars[name] for name in told}))
    run(finding(), finding(meter_id="B", onset=None), registry=registry, inspections=inspections)
    broken, whole = (event["data"] for event in outbox())

    assert {
        "state": "void", "ends_on": "2030-06-20", "void_since": "2024-06-25T00:00:00Z", "void_by": "李",
        "dead_on_arrival": True,
    }.items() <= broken["warranty"].items()  # fmt: skip
    assert ("in_warranty", None) == (whole["warranty"]["state"], whole["warranty"]["dead_on_arrival"])
    assert any("dead on arrival" in line for line in broken["worksheet"][0]["known"])
    assert broken["worksheet"][4]["known"] == ["lead seal found broken on 2024-06-25 00:00 UTC", "seen by 李"]
    assert "Warranty: void, the lead seal was found broken." in broken["summary"]
    assert whole["worksheet"][4]["known"] == []


def test_huge_evidence_is_cut_and_links_stay(run: Run, finding: Make, outbox: Outbox) -> None:
    """A body stays below 20 kB; what was left out is counted."""
    evidence = json.dumps([{"n": number, "text": "发讯圈" * 20} for number in range(1000)])
    links = {"picture": "https://metriage.example.org/" + "p" * 500}
    run(finding(evidence=evidence), links=lambda _: links)
    (event,) = outbox()
    data = event["data"]

    assert 15_000 < len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()) < BODY_LIMIT_BYTES
    assert data["links"] == links
    assert len(data["evidence"]) + data["evidence_omitted"] == 1000
    assert data["evidence"][0]["n"] == 0


def test_one_huge_item_makes_room_for_the_others(run: Run, finding: Make, outbox: Outbox) -> None:
    """An item that does not fit is left out alone."""
    run(finding(evidence=json.dumps(["x" * 50_000, {"battery_v": 3.3}])))
    data = outbox()[0]["data"]

    assert (data["evidence"], data["evidence_omitted"]) == ([{"battery_v": 3.3}], 1)


def test_hostile_strings_are_plain_data(run: Run, finding: Make, outbox: Outbox, connection: Any) -> None:
    """Markup and formulae are data; control and steering characters do not reach title and summary."""
    registry = pl.DataFrame({"meter_id": ["A"]} | {name: [HOSTILE] for name in TEXTS})
    hostile = {"action": HOSTILE, "cause": "unknown", "rules": [HOSTILE[:80]], "region": HOSTILE, "evidence": "{\x00"}
    run(finding(**hostile), registry=registry)
    (body,) = connection.execute("SELECT body FROM outbox").fetchone()
    data = outbox()[0]["data"]

    assert len(body) < BODY_LIMIT_BYTES
    for text in (data["title"], data["summary"], *data["meter"].values()):
        assert not {unicodedata.category(character) for character in str(text)} & {"Cc", "Cf"}
    assert not data["title"].startswith(("=", "+", "-", "@"))
    assert "<script>alert(1)</script>" in data["meter"]["model"]
    assert data["meter"]["caliber_mm"] is None
    assert data["evidence"] == [{"text": "{"}]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("null", ()),
        ("[]", ()),
        ("[1, {}]", (1, {})),
        ('"a"', ("a",)),
        ("NaN", ({"text": "NaN"},)),
        ("1e999", ({"text": "1e999"},)),
        ("[" * 3000 + "]" * 3000, ({"text": "[" * 999 + "…"},)),
    ],
)
def test_evidence_items_takes_any_text(text: str, items: tuple[Any, ...]) -> None:
    """Evidence that is no JSON comes as its text."""
    assert evidence_items(text) == items


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["en", "zh"]),
    st.dictionaries(st.sampled_from(TEXTS), st.text(min_size=1, max_size=300)),
    st.recursive(
        st.none() | st.floats() | st.text(max_size=50),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.text(max_size=3000),
)
def test_any_body_is_json_below_the_limit(
    ticket: Ticket, language: Any, fields: dict[str, str], evidence: Any, action: str
) -> None:
    """Whatever registry and meters say, the body is JSON and below the limit."""
    import msgspec

    from tickets.meters import meter_from

    meter = meter_from({"meter_id": "A" * 64} | {name: text * 10 for name, text in fields.items()})
    changed = _changed(ticket, meter=msgspec.json.encode(meter).decode(), evidence=json.dumps(evidence), action=action)
    body = event_body(
        "ticket.opened",
        at=ticket.last_seen,
        data=event_data(changed, on=ticket.last_seen.date(), language=language),
    )

    assert len(body) < BODY_LIMIT_BYTES
    assert json.loads(body)["data"]["meter"]["meter_id"] == "A" * 64


def _changed(ticket: Ticket, **changes: Any) -> Ticket:
    import dataclasses

    return dataclasses.replace(ticket, **changes)


@pytest.fixture
def ticket(run: Run, finding: Make, connection: Any) -> Ticket:
    """Return a stored ticket."""
    from tickets import desk

    run(finding())
    return desk.get(connection, "1")
