"""``metriage compact``: what it tells, what it counts, and that one run at a time is enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake.errors import SettingsError
from lake.schemas import READINGS
from metriage.settings import load_settings
from metriage.site import Site, open_site
from metriage.upkeep import site_counters
from tests.metriage.sites import Done, hourly, stored


def settled(site: Site, text: str) -> Site:
    (site.folder / "metriage.toml").write_text(f"broker = []\n{text}", encoding="utf-8")
    return open_site(site.folder)


def test_compact_merges_days_and_says_so(site: Site, metriage: Callable[..., Done]) -> None:
    """As a table for people and as JSON for programs."""
    stored(site, *(hourly(meter, 2) for meter in "abc"))

    dry = json.loads(metriage("compact", "--dir", site.folder, "--dry-run", "--json").out)
    done = json.loads(metriage("compact", "--dir", site.folder, "--json").out)
    again = metriage("compact", "--dir", site.folder)

    assert [True, False] == [dry["dry_run"], done["dry_run"]]
    names = ("table", "files_before", "files_after", "rows_after", "rewritten", "deduplicated", "expired")
    assert [("readings", 6, 6, 144, 2, 0, 0)] == [tuple(table[name] for name in names) for table in dry["tables"]]
    assert [("readings", 6, 2, 144, 2, 0, 0)] == [tuple(table[name] for name in names) for table in done["tables"]]
    assert 0 == again.code
    assert "2 → 2" in again.out


def test_compact_of_a_new_site(site: Site, metriage: Callable[..., Done]) -> None:
    """Nothing to do is no error."""
    done = metriage("compact", "--dir", site.folder)

    assert (0, "the lake has no tables yet") == (done.code, done.out.strip())


def test_second_run_at_once_is_refused(site: Site, metriage: Callable[..., Done]) -> None:
    """It says who is at work, and exits 2."""
    with site.lock("compact"):
        done = metriage("compact", "--dir", site.folder)

    assert 2 == done.code
    assert "is in use by process" in done.err


def test_expired_and_doubled_readings_are_counted(site: Site, metriage: Callable[..., Done]) -> None:
    """The account stays exact: what was stored is here, expired, or turned out to be a duplicate."""
    lake = stored(site, hourly("a", 2), hourly("a", 1))
    assert {"expired": 0, "deduplicated": 0} == site_counters(site)

    metriage("compact", "--dir", site.folder)
    assert ({"expired": 0, "deduplicated": 24}, 48) == (site_counters(site), lake.read(READINGS).height)

    site = settled(site, "[compact]\nkeep_days = 30\n")
    metriage("compact", "--dir", site.folder)
    assert ({"expired": 48, "deduplicated": 24}, 0) == (site_counters(site), lake.read(READINGS).height)


@pytest.mark.parametrize(
    "line", ["small_files = 1", "late_share = 0", "at_hour = 24", "vacuum_after_s = 10", "keep_days = -1"]
)
def test_settings_that_would_hurt_are_refused(tmp_path: Path, line: str) -> None:
    """By name."""
    file = tmp_path / "metriage.toml"
    file.write_text(f"[compact]\n{line}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=f"compact.{line.partition(' ')[0]}"):
        load_settings(file)


def test_account_stays_exact(site: Site, metriage: Callable[..., Done]) -> None:
    """Expired readings stay stored and are told apart; what compaction found doubled counts as duplicate."""
    file = site.folder / "readings.jsonl"
    lines = [{"meter_id": "a", "ts": f"2024-01-0{day}T00:00:00Z", "volume_m3": day} for day in (1, 2, 3)]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    metriage("ingest", "--dir", site.folder, "--from", file)
    lake = site.lake
    lake.append(READINGS, lake.read(READINGS).head(1))  # as a writer that did not see another's commit

    metriage("compact", "--dir", site.folder)
    before = json.loads(metriage("status", "--dir", site.folder, "--json").out)["readings"]
    settled(site, "[compact]\nkeep_days = 30\n")
    metriage("compact", "--dir", site.folder)
    after = json.loads(metriage("status", "--dir", site.folder, "--json").out)["readings"]

    expected = {"received": 3, "stored": 2, "duplicate": 1, "quarantined": 0, "pending": 0, "conflict": 0, "expired": 0}
    assert expected == before
    assert expected | {"expired": 3} == after
