"""Inspections, reports, weather, works on the command line: files as people keep them, what is told of wrong rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from metriage.options import INCOMPLETE
from metriage.site import Site
from tests.ingest.sheets import sheet
from tests.metriage.sites import Done

Run = Callable[..., Done]

HOW = "write 2024-07-09T12:00:00+08:00, or 2024-07-09 12:00 of the site's zone"


@pytest.fixture
def shanghai(site: Site) -> Site:
    """Return a site whose zone is UTC+8 all year."""
    (site.folder / "metriage.toml").write_text('broker = []\n[site]\ntimezone = "Asia/Shanghai"\n', encoding="utf-8")
    return Site(site.folder)


@pytest.fixture
def madrid(site: Site) -> Site:
    """Return a site whose zone has summer time."""
    (site.folder / "metriage.toml").write_text('broker = []\n[site]\ntimezone = "Europe/Madrid"\n', encoding="utf-8")
    return Site(site.folder)


def imported(metriage: Run, site: Site, kind: str, content: str | bytes | Path, *options: str) -> Done:
    file = site.folder / "input.csv"
    if isinstance(content, Path):
        file = content
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return metriage(kind, "import", file, "--dir", site.folder, *options)


def listed(metriage: Run, site: Site, kind: str, *options: str) -> list[dict[str, Any]]:
    rows = json.loads(metriage(kind, "list", "--dir", site.folder, "--json", *options).out)[kind]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_inspections_of_a_chinese_file(metriage: Run, shanghai: Site) -> None:
    """In GB18030, with title, blank lines, a header on every page, and 24:00."""
    header = "表号,检查时间,检查人,检查结果,故障原因,铅封,是否浸水,显示,表底数(m³),处理措施,新表号,备注,户名"
    text = (
        f"巡检记录表\n\n{header}\n"
        "m1,2024/3/1 8:30,李娜,电池,受潮,完好,是,无显示,1234.5,换表,m2,井内积水,张\n,,,\n"
        f"{header}\n"
        "m3,2024年3月1日24:00,李娜,未发现故障,,缺失,否,正常,88方,无,-,,王\n"
    )
    done = imported(metriage, shanghai, "inspections", text.encode("gb18030"))

    assert (0, "") == (done.code, done.err)
    assert [
        "columns that mean nothing here: 户名",
        "meters that the registry does not know: m1, m3",
        "input.csv: 2 rows: 2 new, 0 changed, 0 unchanged, 0 refused",
    ] == done.out.splitlines()
    assert [
        {
            "meter_id": "m1", "inspected_at": "2024-03-01T00:30:00+00:00", "inspector": "李娜", "finding": "battery",
            "cause": "moisture", "seal_intact": True, "submerged": True, "display": "blank",
            "register_reading_m3": 1234.5, "action": "exchanged", "new_meter_id": "m2", "note": "井内积水",
        },
        {
            "meter_id": "m3", "inspected_at": "2024-03-01T16:00:00+00:00", "inspector": "李娜",
            "finding": "no_defect_found", "seal_intact": False, "submerged": False, "display": "ok",
            "register_reading_m3": 88.0, "action": "none",
        },
    ] == listed(metriage, shanghai, "inspections")  # fmt: skip


def test_every_wrong_cell_of_a_row_is_named(metriage: Run, shanghai: Site) -> None:
    """Those that cannot be read and those that are out of range; the good rows are taken."""
    text = (
        "meter_id,inspected_at,finding,seal_intact,register_reading_m3,=1+1\n"
        "m/1,yesterday,rust,maybe,1e9,\nm2,2024-03-01,coil,yes,100000001,\nm3,=NOW(),,#REF!,,\nm4,2024-03-02,,,,\n"
    )
    done = imported(metriage, shanghai, "inspections", text)
    document = json.loads(imported(metriage, shanghai, "inspections", text, "--json").out)

    assert INCOMPLETE == done.code
    assert "input.csv: 4 rows: 1 new, 0 changed, 0 unchanged, 3 refused" == done.out.splitlines()[-1]
    assert [
        (2, "inspected_at"), (2, "finding"), (2, "seal_intact"), (2, "register_reading_m3"), (2, "meter_id"),
        (3, "register_reading_m3"), (4, "inspected_at"), (4, "seal_intact"),
    ] == [(each["row"], each["column"]) for each in document["refused"]]  # fmt: skip
    assert "allowed are coil (发讯圈), battery (电池)" in done.err
    assert ["m4"] == [row["meter_id"] for row in listed(metriage, shanghai, "inspections")]


def test_same_key_twice_in_a_file(metriage: Run, site: Site) -> None:
    """The same again does no harm, something else is refused; another record is another row."""
    text = (
        "region,date,min_c,forecast,recorded_at\nnorth,2024-03-01,-3,no,\nnorth,2024-03-01,-3,0,\n"
        "north,2024-03-01,-4,,\nnorth,2024-03-01,-4,no,\nnorth,2024-03-01,-5,yes,2024-02-28T00:00Z\n"
    )
    done = imported(metriage, site, "weather", text)

    assert [
        f"input.csv, row {row}, region: 'north' stands in row 2 already, with other values" for row in (4, 5)
    ] == done.err.splitlines()
    assert INCOMPLETE == done.code


def test_names_that_the_registry_does_not_have_are_told(metriage: Run, site: Site) -> None:
    """Meters by id or alias, and regions; they are taken all the same."""
    file = site.folder / "meters.csv"
    file.write_text("meter_id,aliases,region\nm1,IMEI1,north\n", encoding="utf-8")
    metriage("registry", "import", file, "--dir", site.folder)
    reports = "meter_id,reported_at\n" + "".join(f"{name},2024-03-01\n" for name in ("m1", "imei1", *"abcdefg"))
    works = "region,from\nnorth,2024-03-01\nNorth,2024-03-01\n"

    assert [
        "meters that the registry does not know: a, b, c, d, e and 2 more",
        "input.csv: 9 rows: 9 new, 0 changed, 0 unchanged, 0 refused",
    ] == imported(metriage, site, "reports", reports).out.splitlines()
    assert "regions in which no registered meter is: North\n" in imported(metriage, site, "works", works).out
    assert ["North"] == json.loads(imported(metriage, site, "works", works, "--json").out)["unknown_regions"]


def test_spreadsheet_of_works(metriage: Run, shanghai: Site) -> None:
    """Days and times as cells; a day as the end is its end; a formula without value is refused."""
    rows = [
        ["停水计划", None, None, None],
        ["区域", "开始时间", "结束时间", "停水类型"],
        ["north", datetime(2024, 3, 1, 8, 30), datetime(2024, 3, 1, 17), "抢修"],  # noqa: DTZ001 - as Excel has it
        ["north", date(2024, 3, 5), date(2024, 3, 6), "清洗"],
        ["south", date(2024, 3, 5), "=B5+1", "清洗"],
        ["south", time(8), None, "清洗"],
    ]
    file = sheet(shanghai.folder / "works.xlsx", rows)
    done = imported(metriage, shanghai, "works", file)

    assert [
        "works.xlsx, row 5, 结束时间: '=B5+1' is a formula without its value, or an error of the spreadsheet",
        f"works.xlsx, row 6, 开始时间: '08:00:00' is no time; {HOW}",
    ] == done.err.splitlines()
    assert [
        ("2024-03-01T00:30:00+00:00", "2024-03-01T09:00:00+00:00"),
        ("2024-03-04T16:00:00+00:00", "2024-03-06T16:00:00+00:00"),
    ] == [(row["from"], row["until"]) for row in listed(metriage, shanghai, "works")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-31 01:59", "2024-03-31T00:59:00+00:00"),
        ("2024-03-31 03:00", "2024-03-31T01:00:00+00:00"),
        ("2024-10-27T02:30+02:00", "2024-10-27T00:30:00+00:00"),
        ("2024-10-27 02:30 +0100", "2024-10-27T01:30:00+00:00"),
        ("2024-10-27 3:00", "2024-10-27T02:00:00+00:00"),
        ("2024-10-26 24:00", "2024-10-26T22:00:00+00:00"),
        ("2024-10-27", "2024-10-26T22:00:00+00:00"),
        ("1729989000", "2024-10-27T00:30:00+00:00"),
        ("1729989000000", "2024-10-27T00:30:00+00:00"),
        ("2024-07-09T12:00:00.5Z", "2024-07-09T12:00:00.500000+00:00"),
        ("2024年7月9日8时", "2024-07-09T06:00:00+00:00"),
        ("2024年7月9日 8点05分07秒", "2024-07-09T06:05:07+00:00"),
        ("2024/7/9 8：05", "2024-07-09T06:05:00+00:00"),
    ],
)
def test_time_that_can_be_read(metriage: Run, madrid: Site, text: str, expected: str) -> None:
    """With offset, as an epoch, or local; around both changes of the clocks."""
    done = imported(metriage, madrid, "reports", f'meter_id;reported_at\nm1;"{text}"\n')

    assert 0 == done.code, done.err
    assert [expected] == [row["reported_at"] for row in listed(metriage, madrid, "reports")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-31 02:30", "does not exist in Europe/Madrid: the clocks were put forward over it"),
        (
            "2024-10-27 02:30",
            "comes twice in Europe/Madrid, the clocks were put back; write 2024-10-27T02:30:00+02:00 or",
        ),
        ("2024-10-27 24:01", "is no time"),
        ("2024-10-27 25:00", "is no time"),
        ("2024-02-30 10:00", "is no time"),
        ("10:30", "is no time"),
        ("03/04/2024 10:00", "is no time"),
        ("1999-12-31", "lies before 2000 or after 2100"),
        ("99999999999999", "is no time"),
        ("2098-01-01", "lies in the future"),
        ("", "is missing"),
    ],
)
def test_time_that_cannot_be_read(metriage: Run, madrid: Site, text: str, expected: str) -> None:
    """With what to write instead."""
    done = imported(metriage, madrid, "reports", f"meter_id;reported_at\nm1;{text}\n")

    assert INCOMPLETE == done.code
    assert expected in done.err


def test_json_lists_lines_and_our_own(metriage: Run, site: Site) -> None:
    """A list, one object a line, and what ``list --json`` prints; a name that is left out stays as it was."""
    rows = [
        {"meter_id": "m1", "reported_at": 1709251200, "symptom": "no water", "urgent": True},
        {"meter_id": "m2", "reported_at": "2024-03-01T09:00:00+08:00", "symptom": "display dark", "note": "twice"},
    ]
    as_list = imported(metriage, site, "reports", json.dumps(rows))
    again = imported(metriage, site, "reports", "\n".join(map(json.dumps, [*rows, {**rows[1], "note": None}])))
    first = listed(metriage, site, "reports")
    ours = imported(metriage, site, "reports", json.dumps({"reports": first}))

    assert (0, 0) == (as_list.code, ours.code)
    assert "2 rows: 2 new" in as_list.out
    assert (INCOMPLETE, True) == (again.code, "'m2' stands in row 2 already" in again.err)
    assert "2 rows: 0 new, 0 changed, 2 unchanged, 0 refused" in ours.out
    assert [True, "twice"] == [first[0]["urgent"], first[1]["note"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"meter_id": "m1", "reported_at": "2024-03-01"}, 1]', "input.csv, line 2: 1 is no JSON object"),
        ('[{"meter_id": "m1"}', "input.csv, line 1: is no JSON:"),
        ('{"meter_id": "m1", "reported_at": 0}\n{"meter_id": ', "input.csv, line 2: is no JSON:"),
        ('[{"meter_id": "m1", "meter_id": "m2"}]', "'meter_id' stands twice in an object"),
        ('[{"id": "m1"}]', "input.csv, line 1: names no meter_id; there are 'id'"),
        ("[" * 100_000, "is nested too deep"),
        ('[{"meter_id": "m1", "reported_at": "2024-03-01", "urgent": {"a": 1}}]', "is neither yes (是) nor no (否)"),
        ('[{"meter_id": NaN, "reported_at": Infinity}]', "'Infinity' is no time"),
    ],
)
def test_json_that_cannot_be_read(metriage: Run, site: Site, text: str, expected: str) -> None:
    """File, line, what is wrong."""
    done = imported(metriage, site, "reports", text)

    assert done.code in {1, INCOMPLETE}
    assert expected in done.err


def test_list_of_people(metriage: Run, site: Site) -> None:
    """As of a time; nothing yet is nothing."""
    nothing = metriage("works", "list", "--dir", site.folder)
    text = "region,site,from,until,kind\nnorth,A,2024-03-01T00:00Z,2024-03-02T00:00Z,outage\n"
    imported(metriage, site, "works", text)
    imported(metriage, site, "weather", "region,date,min_c,forecast\nnorth,2024-03-01,-3.5,yes\n")

    assert (0, "0 works\n") == (nothing.code, nothing.out)
    assert (
        "north  A  2024-03-01 00:00 UTC  2024-03-02 00:00 UTC  outage\n1 works\n"
        == metriage("works", "list", "--dir", site.folder).out
    )
    weather = metriage("weather", "list", "--dir", site.folder, "--as-of", "2024-02-28").out
    assert "north  2024-03-01  min_c=-3.5  forecast\n1 days of regions\n" == weather
