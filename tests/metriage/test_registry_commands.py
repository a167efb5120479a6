"""The registry on the command line: counts, refused rows, exit codes, and meters that nobody registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from lake import facts, registry
from lake.site_database import opened
from metriage.options import INCOMPLETE
from metriage.site import Site
from tests.metriage.sites import Done, hourly, stored

Run = Callable[..., Done]


def imported(metriage: Run, site: Site, text: str, *options: str) -> Done:
    file = site.folder / "meters.csv"
    file.write_text(text, encoding="utf-8")
    return metriage("registry", "import", file, "--dir", site.folder, *options)


def test_import_counts_new_changed_and_unchanged(metriage: Run, site: Site) -> None:
    """Twice the same file changes nothing."""
    first = imported(metriage, site, "meter_id,model\nm1,a\nm2,b\n")
    again = imported(metriage, site, "meter_id,model\nm1,a\nm2,c\nm3,d\n")

    assert (0, "meters.csv: 2 rows: 2 new, 0 changed, 0 unchanged, 0 refused\n") == (first.code, first.out)
    assert (0, "meters.csv: 3 rows: 1 new, 1 changed, 1 unchanged, 0 refused\n") == (again.code, again.out)


def test_good_rows_are_imported_and_bad_ones_listed(metriage: Run, site: Site) -> None:
    """With file, row, column, reason; also what only the registry itself can know. The exit code says so."""
    text = "meter_id,别名,caliber_mm,户名,produced_on\nm1,a,20,x,\nm/2,,,,\nm3,,big,,\nm4,A,,,\nm5,,-15,,2021-13-01\n"
    done = imported(metriage, site, text)

    assert INCOMPLETE == done.code
    assert [
        "meters.csv, row 3, meter_id: 'm/2' is no meter id: 1 to 64 of A-Z a-z 0-9 . _ : -, the first alphanumeric",
        "meters.csv, row 4, caliber_mm: 'big' is no number in mm; write 20 or 0.5",
        "meters.csv, row 5, 别名: 'A' already names meter 'm1'; an alias may name one meter only",
        "meters.csv, row 6, produced_on: '2021-13-01' is no day; write 2024-07-09, 2024/7/9 or 2024年7月9日",
        "meters.csv, row 6, caliber_mm: -15 is out of range; allowed is 1 to 4000",
    ] == done.err.splitlines()
    assert [
        "columns that mean nothing here: 户名",
        "meters.csv: 5 rows: 1 new, 0 changed, 0 unchanged, 4 refused",
    ] == done.out.splitlines()
    with opened(site.database) as connection:
        assert ["m1"] == [meter.meter_id for meter in registry.meters(connection)]


def test_import_json_lists_all(metriage: Run, site: Site) -> None:
    """However many they are; the screen shows the first."""
    text = "meter_id\n" + "m/1\n" * 60
    document = json.loads(imported(metriage, site, text, "--json").out)
    shown = imported(metriage, site, text).err.splitlines()

    assert {"file", "rows", "new", "changed", "unchanged", "refused", "ignored_columns"} == set(document)
    assert (60, 60) == (document["rows"], len(document["refused"]))
    assert {"row": 2, "column": "meter_id"}.items() <= document["refused"][0].items()
    assert (51, "… and 10 more cells; --json lists all") == (len(shown), shown[-1])


def test_file_that_cannot_be_read_changes_nothing(metriage: Run, site: Site) -> None:
    """A quote without its other half at the end of a good file."""
    done = imported(metriage, site, 'meter_id,model\nm1,a\nm2,"b')

    assert 1 == done.code
    assert "meters.csv, line 3: unexpected end of data" in done.err
    with opened(site.database) as connection:
        assert [] == list(registry.meters(connection))


def test_list_shows_meters_as_of_a_time(metriage: Run, site: Site) -> None:
    """With what matters for codes and lots; all of it as JSON."""
    imported(metriage, site, "meter_id,firmware,recorded_at\nm1,1.0,\nm1,2.0,2024-03-01\n")
    imported(metriage, site, "meter_id,model,aliases\nm1,LX,868\n")
    now = metriage("registry", "list", "--dir", site.folder).out
    before = metriage("registry", "list", "--dir", site.folder, "--as-of", "2024-02-01", "--json").out

    assert "m1  LX  2.0  =868\n1 meters\n" == now
    [meter] = json.loads(before)["meters"]
    assert ("1.0", ["868"], None) == (meter["firmware"], meter["aliases"], meter["recorded_at"])


def test_unregistered_meters_are_listed_with_first_and_last_seen(metriage: Run, site: Site) -> None:
    """Those of the lake that the registry does not have; one that became an alias says of whom."""
    stored(site, hourly("m1", 2), hourly("m2", 2, first=1), hourly("IMEI1", 1))
    imported(metriage, site, "meter_id,aliases\nm1,imei1\n")
    shown = metriage("registry", "list", "--unregistered", "--dir", site.folder).out
    document = json.loads(metriage("registry", "list", "--unregistered", "--dir", site.folder, "--json").out)

    assert [
        "IMEI1  2024-01-01 00:00  2024-01-01 23:00  (alias of m1)",
        "m2  2024-01-02 00:00  2024-01-03 23:00",
        "2 of 3 meters that report are not registered",
    ] == shown.splitlines()
    assert ["IMEI1", "m2"] == [row["meter_id"] for row in document["unregistered"]]
    assert "2024-01-02T00:00:00+00:00" == document["unregistered"][1]["first_seen"]


def test_exchanged_meters_in_the_lists(metriage: Run, site: Site) -> None:
    """The old record ends, readings after that are told; the new one stands at the place of the old one."""
    stored(site, hourly("m1", 20), hourly("m2", 5, first=10), hourly("m3", 5))
    imported(metriage, site, "meter_id,region,removed_on\nm1,north,\nm3,south,2024-01-05\n")
    with opened(site.database) as connection:
        row = {"meter_id": "m1", "inspected_at": datetime(2024, 1, 11, 9, tzinfo=UTC), "new_meter_id": "m2"}
        facts.store(connection, facts.INSPECTION_KIND, [row])

    def listed(*options: str) -> Done:
        return metriage("registry", "list", "--dir", site.folder, *options)

    assert "m1  north  removed 2024-01-11\nm3  south  removed 2024-01-05\n2 meters\n" == listed().out
    assert "m1  north\nm3  south  removed 2024-01-05\n2 meters\n" == listed("--as-of", "2024-01-10").out
    assert [
        "m1  2024-01-01 00:00  2024-01-20 23:00  removed 2024-01-11",
        "1 meters report after their removal",
    ] == listed("--after-removal").out.splitlines()
    assert "m2  2024-01-11 00:00  2024-01-15 23:00  (in place of m1)" == listed("--unregistered").out.splitlines()[0]
    [late] = json.loads(listed("--after-removal", "--json").out)["after_removal"]
    assert ("m1", "2024-01-11") == (late["meter_id"], late["removed_on"])


def test_lists_of_an_empty_site(metriage: Run, site: Site) -> None:
    """Nothing registered, nothing reported."""
    assert "0 meters\n" == metriage("registry", "list", "--dir", site.folder).out
    assert "0 of 0 meters" in metriage("registry", "list", "--unregistered", "--dir", site.folder).out


def test_spoofed_terminal_in_a_refused_row(metriage: Run, site: Site) -> None:
    """Control characters of a file do not reach the terminal."""
    done = imported(metriage, site, "meter_id,model\nm1,\x1b[2Jred\n")

    assert INCOMPLETE == done.code
    assert "\x1b" not in done.err + done.out
