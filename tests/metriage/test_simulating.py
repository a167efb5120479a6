"""``metriage simulate`` as people use it, and its files as the product takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake.errors import InputFileError, UsageError
from metriage.simulating import read_scenario, simulate_fleet
from metriage.site_template import make_site
from tests.metriage.sites import Done

Command = Callable[..., Done]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fleet in which some clocks are lost."""
    folder = tmp_path_factory.mktemp("simulated")
    file = folder / "lost_clocks.toml"
    file.write_text("[ranges]\nlost_clock_share = [0.1, 0.1]\n")
    out = folder / "fleet"
    simulate_fleet(out, meters=120, days=60, seed=5, start="2023-11-01", named=str(file))
    return out


def test_simulate_prints_what_it_made(metriage: Command, tmp_path: Path) -> None:
    """Faults by cause, and that it is synthetic."""
    done = metriage("simulate", tmp_path / "out", "--meters", "80", "--days", "40", "--seed", "2")

    assert 0 == done.code
    assert "synthetic fleet of 80 meters over 40 days" in done.out
    assert "Faults by cause" in done.out


def test_simulate_as_json(metriage: Command, tmp_path: Path) -> None:
    """One object, the same that lies in fleet.json."""
    done = metriage("simulate", tmp_path / "out", "--meters", "40", "--days", "40", "--without", "codes", "--json")

    assert json.loads(done.out) == json.loads((tmp_path / "out" / "fleet.json").read_text(encoding="utf-8"))
    assert ["codes"] == json.loads(done.out)["without"]
    assert "error_codes" not in (tmp_path / "out" / "readings.jsonl").read_text(encoding="utf-8")


def test_simulate_over_a_fleet_replaces_it(metriage: Command, tmp_path: Path) -> None:
    """Over anything else it refuses."""
    words = ("simulate", tmp_path / "out", "--meters", "30", "--days", "30")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("do not lose this")

    assert [0, 0] == [metriage(*words).code, metriage(*words).code]
    refused = metriage("simulate", tmp_path / "other")
    assert 2 == refused.code
    assert "holds files that no simulation made" in refused.err
    assert ["thesis.txt"] == [file.name for file in (tmp_path / "other").iterdir()]


@pytest.mark.parametrize("words", [("--scenario", "tropics"), ("--start", "soon"), ("--days", "3"), ("--without", "x")])
def test_simulate_with_wrong_words(metriage: Command, tmp_path: Path, words: tuple[str, str]) -> None:
    """Exit code 2, nothing was made."""
    done = metriage("simulate", tmp_path / "out", *words)

    assert 2 == done.code
    assert done.err
    assert not (tmp_path / "out").exists()


def test_read_scenario_from_a_file(tmp_path: Path) -> None:
    """Ranges on top of a named scenario's; a single number is a range of itself."""
    file = tmp_path / "dry_summer.toml"
    file.write_text('based_on = "mild"\nstart = "2024-06-01"\n[ranges]\nrain_mm = 2\npeople = [1, 2]\n')
    chosen = read_scenario(str(file))

    assert ("dry_summer", "2024-06-01") == (chosen.name, chosen.start.isoformat())
    assert ((2.0, 2.0), (1.0, 2.0), (0, 0)) == tuple(chosen.ranges[n] for n in ("rain_mm", "people", "cold_snaps"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ranges = 3", "must be a table"),
        ("colour = 3", "unknown key 'colour'"),
        ("[ranges]\npeople = [1, 2, 3]", "number or"),
        ("[ranges]\npeople = true", "number or"),
        ("[ranges]\npeopel = 1", "no parameter 'peopel'"),
        ('based_on = "tropics"', "no scenario 'tropics'"),
    ],
)
def test_read_scenario_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """It says what."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)

    with pytest.raises(UsageError, match=said):
        read_scenario(str(file))


def test_read_scenario_that_is_no_toml(tmp_path: Path) -> None:
    """Neither is a file that is missing."""
    (tmp_path / "a.toml").write_text("= 3")

    with pytest.raises(InputFileError, match="no TOML"):
        read_scenario(str(tmp_path / "a.toml"))
    with pytest.raises(InputFileError, match="cannot be read"):
        read_scenario(str(tmp_path / "b.toml"))


def test_simulated_files_are_taken(metriage: Command, tmp_path: Path, fleet: Path) -> None:
    """Every row of every file; in quarantine lies what was meant for it, and nothing else."""
    site = tmp_path / "site"
    make_site(site)
    meant = json.loads((fleet / "fleet.json").read_text(encoding="utf-8"))["meant_for_quarantine"]

    for name in ("registry", "weather", "works", "inspections", "reports"):
        done = metriage(name, "import", fleet / f"{name}.csv", "--dir", site, "--json")
        assert (0, []) == (done.code, json.loads(done.out)["refused"])
    done = metriage("ingest", "--from", fleet / "readings.jsonl", "--dir", site, "--json")
    account = json.loads(done.out)

    assert meant > 0
    assert {"time_too_early": meant} == account["quarantine"]
    assert 3 == done.code
    assert json.loads((fleet / "fleet.json").read_text(encoding="utf-8"))["messages"] == account["messages"]["received"]
