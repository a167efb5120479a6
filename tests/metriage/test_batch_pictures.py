"""Pictures of groups: whatever the rows hold, and whatever their names are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from matplotlib.text import Text

from lake.schemas import BATCH_FINDINGS
from metriage.batch_pictures import funnel_picture, group_timeline, places_picture, scope_timeline
from metriage.labels import Language

START = datetime(2024, 1, 1, tzinfo=UTC)
HOSTILE = r"$\frac{1}{0}$" + "\x1b[31m\n<script>" + "水" * 300


def groups(*keys: str, days: int = 1, verdict: str = "normal") -> pl.DataFrame:
    """Return batch findings of lots over so many diagnoses; the first one has the verdict."""
    rows = [
        {"scope": "production_batch", "fault": "coil", "key": key, "as_of": START + timedelta(days=7 * day),
         "observed": day + place, "expected": 0.5 + place, "ratio": 1.2, "ratio_low": 0.5, "ratio_high": 2.0,
         "q_value": 0.5, "verdict": verdict if place == 0 else "normal"}
        for place, key in enumerate(keys)
        for day in range(days)
    ]  # fmt: skip
    names = rows[0] if rows else {"key": 0}
    return BATCH_FINDINGS.conform(pl.DataFrame(rows, schema={name: BATCH_FINDINGS.polars[name] for name in names}))


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written on the pictures that a test draws."""
    told: list[str] = []
    save = Figure.savefig

    def remember(figure: Figure, *args: object, **kwargs: object) -> None:
        told.extend(text.get_text() for text in figure.findobj(Text))  # type: ignore[attr-defined]
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", remember)
    return told


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("verdict", ["act", "watch", "not_separable", "normal"])
def test_funnel_names_what_stands_out(tmp_path: Path, texts: list[str], language: Language, verdict: str) -> None:
    """And nothing else."""
    file = funnel_picture(groups("A", "B", verdict=verdict), tmp_path / "f.png", scope="production_batch", fault="coil",
                          language=language)  # fmt: skip

    assert image.imread(file).shape[:2] == (560, 1000)
    assert (verdict != "normal") == ("A" in texts)
    assert "B" not in texts


@pytest.mark.parametrize("rows", [groups(), groups("A").with_columns(pl.lit(0.0).alias("expected"))])
def test_funnel_of_nothing_says_so(tmp_path: Path, texts: list[str], rows: pl.DataFrame) -> None:
    """Where nobody is expected to fail there is nothing to compare."""
    funnel_picture(rows, tmp_path / "f.png", scope="production_batch", fault="coil")

    assert "nothing to draw yet" in texts


def test_group_that_is_asked_for_is_pointed_out(tmp_path: Path, texts: list[str]) -> None:
    """Also where it does not stand out."""
    funnel_picture(groups("A", "B"), tmp_path / "f.png", scope="production_batch", fault="coil", key="B")

    assert "B" in texts


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path, texts: list[str]) -> None:
    """Neither mathematics nor control characters, and not the whole width."""
    rows = groups(HOSTILE, "B", days=3, verdict="act")
    last = rows.filter(pl.col("as_of") == pl.col("as_of").max())
    funnel_picture(last, tmp_path / "f.png", scope="production_batch", fault="coil", key=HOSTILE)
    scope_timeline(rows, tmp_path / "s.png", scope="production_batch", fault="coil")
    group_timeline([date(2024, 1, 1), date(2024, 1, 8)], [0, 1], [0.1, 0.2], tmp_path / "g.png", title=HOSTILE)
    places_picture([{"place": HOSTILE, "observed": 1, "expected": 0.5}], tmp_path / "p.png", title=HOSTILE)

    written = "".join(texts)
    assert r"$\frac" in written
    assert "\x1b" not in written
    assert max(len(text) for text in texts) < 160


@pytest.mark.parametrize("weeks", [0, 1, 60])
def test_timeline_of_any_length(tmp_path: Path, texts: list[str], weeks: int) -> None:
    """With one week there is no line."""
    days = [date(2024, 1, 1) + timedelta(days=7 * week) for week in range(weeks)]

    group_timeline(days, list(range(weeks)), [0.1 * week for week in range(weeks)], tmp_path / "g.png", title="A")

    assert (weeks < 2) == ("nothing to draw yet" in texts)


def test_timeline_of_a_scope_needs_two_diagnoses(tmp_path: Path, texts: list[str]) -> None:
    """With one there is no line."""
    scope_timeline(groups("A", verdict="act"), tmp_path / "s.png", scope="production_batch", fault="coil")
    assert "nothing to draw before a second diagnosis" in texts

    scope_timeline(groups("A", days=2, verdict="act"), tmp_path / "s.png", scope="production_batch", fault="coil")
    assert "A" in texts
