"""``metriage batch``: what stands out is listed, and the dossier of a lot holds what it says, harmlessly."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from lake import registry
from lake.meter import Meter
from lake.site_database import opened
from metriage.site import Site, open_site
from metriage.site_template import make_site
from tests.metriage.group_sites import BAD, METERS, group_site
from tests.metriage.sites import Done, hourly, stored

Run = Callable[..., Done]

HOSTILE = '=HYPERLINK("http://x","y")<script>alert(1)</script>{{ 7*7 }}$x_1$[red]'


@pytest.fixture(scope="module")
def lot_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site with the bad lot B-7, which no test changes."""
    folder = tmp_path_factory.mktemp("lot") / "site"
    make_site(folder)
    return group_site(open_site(folder), "B-7", model="LXS", module_vendor="V")


def read_csv(file: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))))


def test_list_shows_what_stands_out(metriage: Run, lot_site: Site) -> None:
    """And how many were looked at; --all shows the others, too."""
    done = metriage("batch", "list", "--dir", lot_site.folder)
    every = metriage("batch", "list", "--all", "--scope", "production_batch", "--dir", lot_site.folder)

    assert 0 == done.code
    assert "B-7" in done.out
    assert "L3" not in done.out
    assert "groups to act on: 1, to watch: 0" in done.out
    assert "L3" in every.out


def test_list_json_has_rows_of_the_contract(metriage: Run, lot_site: Site) -> None:
    """With evidence as a list."""
    document = json.loads(metriage("batch", "list", "--json", "--dir", lot_site.folder).out)

    row = document["batch_findings"][0]
    assert ("production_batch", "B-7", "coil", "act", "production_batch") == tuple(
        row[name] for name in ("scope", "key", "fault", "verdict", "cause")
    )
    assert (BAD, 21) == (row["meters"], row["observed"])
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert "batch_excess" in [item["what"] for item in row["evidence"]]


def test_list_before_any_diagnosis_says_so(metriage: Run, site: Site) -> None:
    """And is no failure."""
    done = metriage("batch", "list", "--dir", site.folder)

    assert (0, True) == (done.code, "no diagnosis has looked at groups yet" in done.out)
    assert {"batch_findings": [], "pictures": []} == json.loads(
        metriage("batch", "list", "--json", "--dir", site.folder).out
    )


def test_list_draws_every_scope_that_has_failures(metriage: Run, lot_site: Site, tmp_path: Path) -> None:
    """A funnel and a timeline each."""
    done = metriage("batch", "list", "--pictures", tmp_path / "p", "--dir", lot_site.folder)

    assert 0 == done.code
    assert ["funnel-production_batch-coil.png", "funnel-region-coil.png", "timeline-production_batch-coil.png",
            "timeline-region-coil.png"] == sorted(file.name for file in (tmp_path / "p").iterdir())  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_show_writes_the_dossier(metriage: Run, lot_site: Site, tmp_path: Path, language: str) -> None:
    """A page with pictures and the 8D headings, tables, raw evidence, and a list of it all with digests."""
    done = metriage("batch", "show", "B-7", "--out", tmp_path / "d", "--language", language, "--dir", lot_site.folder)

    assert 0 == done.code
    page = (tmp_path / "d" / "index.html").read_text(encoding="utf-8")
    assert 3 == page.count("data:image/png;base64,")
    assert [f"D{number}" for number in range(1, 9)] == re.findall(r"<h3>(D\d) ", page)
    assert ("批次" in page) == (language == "zh")
    failures = read_csv(tmp_path / "d" / "failures.csv")
    assert 21 == len(failures) - 1
    assert BAD == len(read_csv(tmp_path / "d" / "registry.csv")) - 1
    assert 21 == pl.read_parquet(tmp_path / "d" / "findings.parquet").height
    assert 35 + 38 + 41 == pl.read_parquet(tmp_path / "d" / "readings.parquet").height  # the record begins later
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["files"]:
        digest = hashlib.sha256((tmp_path / "d" / entry["name"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["name"]


def test_show_leaves_customers_out(metriage: Run, lot_site: Site, tmp_path: Path) -> None:
    """The folder goes to a supplier."""
    metriage("batch", "show", "B-7", "--out", tmp_path / "d", "--dir", lot_site.folder)

    assert [] == [file.name for file in (tmp_path / "d").iterdir() if b"customer 3" in file.read_bytes()]
    assert "customer_ref" not in read_csv(tmp_path / "d" / "registry.csv")[0]


def test_show_of_hostile_names_harms_nobody(metriage: Run, site: Site) -> None:
    """Neither the terminal, nor the browser, nor the spreadsheet, nor the file system."""
    group_site(site, HOSTILE, installer=HOSTILE, model="<img src=x onerror=alert(1)>")

    done = metriage("batch", "show", HOSTILE, "--dir", site.folder)

    assert 0 == done.code
    assert "[red]" in done.out
    (folder,) = [file for file in site.reports.iterdir() if file.is_dir()]
    assert re.fullmatch(r"[A-Za-z0-9._-]+", folder.name)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "{{ 7*7 }}" in page
    cells = [cell for name in ("failures", "registry", "comparison") for row in read_csv(folder / f"{name}.csv")
             for cell in row]  # fmt: skip
    assert [] == [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["B-8"], "the last diagnosis has no group B-8"),
        (["B-7", "--scope", "region"], "the last diagnosis has no region B-7"),
        (["B-7", "--scope", "lot"], "--scope lot is none of production_batch"),
        (["B-7", "--fault", "leak"], "--fault leak is none of coil"),
        (["B"], "there are B-7"),
    ],
)
def test_show_of_what_is_not_there_says_what_is(
    metriage: Run, lot_site: Site, arguments: list[str], message: str
) -> None:
    """Exit code 2: wrong usage."""
    done = metriage("batch", "show", *arguments, "--dir", lot_site.folder)

    assert (2, True) == (done.code, message in done.err), done.err


def test_show_asks_which_where_two_scopes_share_a_name(metriage: Run, site: Site) -> None:
    """A lot may be called like a region."""
    group_site(site, "north")

    asked = metriage("batch", "show", "north", "--dir", site.folder)
    told = metriage("batch", "show", "north", "--scope", "region", "--fault", "battery", "--dir", site.folder)

    assert (2, True) == (asked.code, "--scope production_batch or region" in asked.err)
    assert 0 == told.code
    assert "region north: battery" in told.out


def test_show_json_is_the_dossier(metriage: Run, lot_site: Site, tmp_path: Path) -> None:
    """Meters with their failures, forecasts, and where the page lies."""
    done = metriage("batch", "show", "B-7", "--json", "--out", tmp_path / "d", "--dir", lot_site.folder)

    document = json.loads(done.out)
    assert {"batch_findings", "meters", "excluded", "forecasts", "dossier"} == set(document)
    assert (BAD, 21) == (len(document["meters"]), sum(row["failed"] is not None for row in document["meters"]))
    assert {30, 90, 365} == {row["days"] for row in _failures(document["forecasts"])}
    assert (tmp_path / "d" / "index.html").samefile(document["dossier"])
    assert METERS > BAD


def _failures(rows: list[dict[str, str]]) -> list[dict[str, int]]:

    return [
        {"days": (datetime.fromisoformat(row["until"]) - datetime.fromisoformat(row["from"])).days}
        for row in rows
        if row["kind"] == "failures"
    ]


def test_show_of_a_time_looked_at_apart_has_its_meters(metriage: Run, site: Site, tmp_path: Path) -> None:
    """Its daily rows were thrown away; those of the days before it are there."""
    stored(site, *(hourly(meter, 14, backward_on=[3, 4, 5, 6, 7]) for meter in ("m1", "m2")))
    with opened(site.database) as connection:
        registry.store(
            connection, [Meter(meter_id="m1", production_batch="A"), Meter(meter_id="m2", production_batch="B")]
        )
    for day in ("2024-01-13", "2024-01-10"):
        assert 0 == metriage("diagnose", "--as-of", day, "--dir", site.folder).code

    done = metriage("batch", "show", "A", "--fault", "coil", "--as-of", "2024-01-10", "--json", "--out", tmp_path / "d",
                    "--dir", site.folder)  # fmt: skip

    document = json.loads(done.out)
    assert "2024-01-11T00:00:00+00:00" == document["batch_findings"][0]["as_of"]
    assert [("m1", "observed", True)] == [
        (row["meter_id"], row["ended"], row["failed"] is not None) for row in document["meters"]
    ]


def test_dossier_replaces_no_files_of_others(metriage: Run, lot_site: Site, tmp_path: Path) -> None:
    """A fleet has a registry.csv, too; an earlier dossier is replaced."""
    (tmp_path / "registry.csv").write_text("mine")

    refused = metriage("batch", "show", "B-7", "--out", tmp_path, "--dir", lot_site.folder)
    fresh = metriage("batch", "show", "B-7", "--out", tmp_path / "new", "--dir", lot_site.folder)
    again = metriage("batch", "show", "B-7", "--out", tmp_path / "new", "--dir", lot_site.folder)

    assert (2, 0, 0) == (refused.code, fresh.code, again.code)
    assert "holds other files" in refused.err
    assert "mine" == (tmp_path / "registry.csv").read_text()


def test_folder_that_cannot_be_written_is_told_of(metriage: Run, lot_site: Site, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")

    for command in (("show", "B-7", "--out"), ("list", "--pictures")):
        done = metriage("batch", *command, file / "sub", "--dir", lot_site.folder)

        assert 2 == done.code
        assert "cannot write to" in done.err
        assert "Traceback" not in done.err


def test_unknown_scope_fault_or_group_is_refused_with_those_that_there_are(metriage: Run, lot_site: Site) -> None:
    scope = metriage("batch", "list", "--scope", "lot", "--dir", lot_site.folder)
    fault = metriage("batch", "list", "--fault", "nix", "--dir", lot_site.folder)
    other = metriage("batch", "show", "B-7", "--scope", "region", "--dir", lot_site.folder)
    before = metriage("batch", "show", "B-7", "--as-of", "2020-01-01", "--dir", lot_site.folder)

    assert (2, 2, 2, 2) == (scope.code, fault.code, other.code, before.code)
    assert "production_batch" in scope.err
    assert "coil" in fault.err
    assert "it is the name of a" in other.err
    assert "by 2020-01-01; the first one did on" in " ".join(before.err.split())
