import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from matplotlib.text import Text

from lake.schemas import DAILY, READINGS
from lake.vocabulary import CONDITIONS, FAULTS, VERDICTS
from metriage import pictures
from metriage.picture_story import plain
from metriage.picture_texts import FAULT_NAMES, LABELS, VERDICT_WORDS
from metriage.pictures import finding_picture

START = datetime(2017, 1, 1, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    r"$\frac{1}{0}$ $$ $",
    "a\x00\x1b[31m\u202e\n\tb",
    "../../etc/passwd",
    "\ud800" + "水" * 10_000,
    "=cmd|' /C calc'!A0",
    "",
)


def readings(days: int = 20, **columns: Any) -> pl.DataFrame:
    """Return hourly readings of one meter with a register that rises, and `columns` on top."""
    hours = 24 * days
    frame: dict[str, Any] = {
        "meter_id": ["m"] * hours,
        "ts": [START + timedelta(hours=n) for n in range(hours)],
        "volume_m3": 100 + np.cumsum(np.random.default_rng(0).exponential(0.01, hours)),
    }
    return READINGS.conform(pl.DataFrame(frame | columns))


def finding(fault: str, **more: Any) -> dict[str, Any]:
    """Return a finding of `fault` with an onset on the tenth day."""
    row = {"meter_id": "m", "fault": fault, "verdict": "act", "onset": START + timedelta(days=10), "evidence": "[]"}
    return row | {"as_of": START + timedelta(days=20)} | more


def drawn(file: Path, row: Mapping[str, Any], rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, **more: Any) -> str:
    """Draw and return all texts on the picture, one a line."""
    texts: list[str] = []
    save = Figure.savefig

    def remember(figure: Figure, *args: Any, **kwargs: Any) -> None:
        texts.extend(text.get_text() for text in figure.findobj(Text))  # type: ignore[attr-defined]
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", remember)
    finding_picture(row, rows, more.pop("daily", DAILY.empty()), file, **more)
    return "\n".join(texts)


@pytest.mark.parametrize("fault", [*FAULTS, *CONDITIONS, "unknown", "not a word"])
def test_finding_picture_of_every_kind(fault: str, tmp_path: Path) -> None:
    """Every fault and condition has a picture of 1000 x 600, even from a bare register."""
    file = finding_picture(finding(fault), readings(), DAILY.empty(), tmp_path / "new" / "f.png")

    assert image.imread(file).shape[:2] == (600, 1000)
    assert [f.name for f in file.parent.iterdir()] == ["f.png"]


@pytest.mark.parametrize("fault", [*FAULTS, "exchange", "communication", "clock", "leak"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_finding_picture_of_few_readings(fault: str, rows: int, tmp_path: Path) -> None:
    """Few readings make a poor picture, but a picture."""
    battery = readings().with_columns(battery_v=pl.lit(3.6), valve_state=pl.lit("open"))

    assert finding_picture(finding(fault), battery.head(rows), DAILY.empty(), tmp_path / "f.png").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_finding_picture_of_a_hostile_meter(text: str, tmp_path: Path) -> None:
    """Whatever a meter calls itself or its refusals is drawn as plain text."""
    rows = readings().with_columns(valve_command=pl.lit("close"), valve_refusal=pl.lit("busy"))
    row = finding("actuator", meter_id=text, verdict=text)

    assert finding_picture(row, rows, DAILY.empty(), tmp_path / "f.png").exists()
    assert finding_picture(finding(text), rows, DAILY.empty(), tmp_path / "f.png", language="zh").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_plain(text: str) -> None:
    """A plain text is one short printable line."""
    line = plain(text)

    assert len(line) <= 64
    assert line == "" or line.isprintable()


@pytest.mark.parametrize(
    "evidence",
    [None, "", "{", "null", "3", "[1, null, []]", "[" * 5000, '{"what": "plateau_fall"}',
     json.dumps([{"what": "plateau_fall", "threshold": "x"}]),
     json.dumps([{"what": "plateau_fall", "threshold": 1e308}]), [{"what": "plateau_fall", "threshold": 0.05}]],
)  # fmt: skip
def test_finding_picture_of_any_evidence(evidence: object, tmp_path: Path) -> None:
    """Evidence of another shape than expected costs a line in the picture at most."""
    rows = readings().with_columns(battery_v=pl.lit(3.6), ambient_temperature_c=pl.lit(20.0))

    assert finding_picture(finding("battery", evidence=evidence), rows, DAILY.empty(), tmp_path / "f.png").exists()


@pytest.mark.parametrize("onset", [None, "", "yesterday", "2017-01-05T00:00:00Z", datetime(2017, 1, 5, tzinfo=UTC)])
def test_finding_picture_of_any_onset(onset: object, tmp_path: Path) -> None:
    """An onset that is missing or cannot be read is left out."""
    assert finding_picture(finding("coil", onset=onset), readings(), DAILY.empty(), tmp_path / "f.png").exists()


def test_finding_picture_says_how_often_the_register_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence counts backward steps and names the worst, in bits where it is a whole number of them."""
    volume = readings()["volume_m3"].to_numpy().copy()
    volume[100:] -= 0.5
    volume[200:] -= 12.288 + volume[200] - volume[199]
    text = drawn(tmp_path / "f.png", finding("coil"), readings(volume_m3=volume), monkeypatch)

    assert "backwards 2 times, worst -12,288 L = 3 × 4096" in text


def test_finding_picture_says_that_a_silence_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence up to the diagnosis is drawn and counted, though no reading ends it."""
    row = finding("communication", as_of=START + timedelta(days=50))

    assert "silent for 30.0 days and still so" in drawn(tmp_path / "f.png", row, readings(), monkeypatch)


def test_finding_picture_counts_what_a_shut_valve_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow after an unanswered close command is summed."""
    hours = 480
    command = [None] * 240 + ["close"] + [None] * 239
    rows = readings(volume_m3=np.arange(hours) * 0.01, valve_state=["open"] * hours, valve_command=command)
    text = drawn(tmp_path / "f.png", finding("actuator"), rows, monkeypatch)

    assert "commands not carried out: 1; 2.39 m³ flowed" in text


def test_finding_picture_of_a_refused_command_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused command is no unanswered one."""
    refusal = [None] * 240 + ["busy"] + [None] * 239
    command = [None if word is None else "close" for word in refusal]
    rows = readings(valve_state=["open"] * 480, valve_command=command, valve_refusal=refusal)
    text = drawn(tmp_path / "f.png", finding("actuator"), rows, monkeypatch)

    assert "refused: busy" in text
    assert "not carried out" not in text


def test_finding_picture_draws_the_voltage_that_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the daily rows hold the expected voltage, that is what the picture shows."""
    days = [date(2017, 1, 1) + timedelta(days=n) for n in range(20)]
    daily = pl.DataFrame({"meter_id": "m", "day": days, "as_of": START, "battery_expected_v": 3.61})
    rows = readings().with_columns(battery_v=pl.lit(3.5), ambient_temperature_c=pl.lit(20.0))
    evidence = json.dumps([{"what": "plateau_fall", "value": 0.11, "unit": "V", "threshold": 0.05}])
    text = drawn(tmp_path / "f.png", finding("battery", evidence=evidence), rows, monkeypatch, daily=daily)

    assert "110 mV below what is expected at this temperature (3.610 V)" in text
    assert "limit: 50 mV below" in text


def test_finding_picture_of_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two interleaved registers are told apart."""
    volume = readings()["volume_m3"].to_numpy().copy()
    volume[[240, 242, 244]] += 250
    text = drawn(tmp_path / "f.png", finding("exchange"), readings(volume_m3=volume), monkeypatch)

    assert "two registers under one id" in text
    assert "2017-01-11 00:00 to 04:00" in text


def test_finding_picture_marks_synthetic_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may take a simulated meter for a real one."""
    rows = readings().with_columns(extra=pl.lit('{"synthetic":true}'))

    assert "SYNTHETIC DATA" in drawn(tmp_path / "f.png", finding("coil"), rows, monkeypatch)


def test_finding_picture_leaves_out_what_the_meter_disowns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement with valid = false draws nothing."""
    volume = readings()["volume_m3"].to_numpy().copy()
    volume[100] = 0
    rows = readings(volume_m3=volume, valid=[n != 100 for n in range(480)])

    assert "backwards" not in drawn(tmp_path / "f.png", finding("coil"), rows, monkeypatch)


def test_finding_picture_in_chinese_without_a_chinese_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """English beats boxes."""
    monkeypatch.setattr(pictures, "cjk_font", lambda: None)
    text = drawn(tmp_path / "f.png", finding("coil"), readings(), monkeypatch, language="zh")

    assert "coil (sensing element)" in text
    assert not any("\u4e00" <= c <= "\u9fff" for c in text)


def test_texts_are_complete() -> None:
    """Both languages name every fault, condition and verdict, and fill the same places."""
    for language in ("en", "zh"):
        assert {*FAULTS, *CONDITIONS} == set(FAULT_NAMES[language])
        assert set(VERDICTS) == set(VERDICT_WORDS[language])
    for key, english in LABELS["en"].items():
        assert english.count("{") == LABELS["zh"][key].count("{"), key
