"""Registry files as people keep them: headers, words, dates, numbers, and what is told of wrong rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InputFileError
from lake.meter import WORDS, Meter
from lake.vocabulary import METER
from metriage.input_file import InputFile, read_input
from metriage.registry_file import HEADERS, REGISTRY_FORM, VALUES, meter_of
from tests.ingest.sheets import sheet

SHANGHAI = "Asia/Shanghai"


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> InputFile:
    file = tmp_path / "meters.csv"
    file.write_bytes(text.encode(encoding))
    return read_input(file, REGISTRY_FORM, SHANGHAI)


def meters(found: InputFile) -> list[Meter]:
    return [meter_of(row) for row in found.rows]


def one(tmp_path: Path, column: str, text: str) -> Any:
    found = read(tmp_path, f'meter_id\t{column}\nm1\t"{text}"')
    assert [] == found.problems
    name = REGISTRY_FORM.column_named(column)
    assert name is not None
    return getattr(meters(found)[0], name)


def test_every_column_has_its_headers() -> None:
    """Of the vocabulary, no header twice, and every closed set has its words."""
    spellings = [spelling.lower() for name, others in HEADERS.items() for spelling in (name, *others)]

    assert set(METER) == set(HEADERS)
    assert len(spellings) == len(set(spellings))
    assert {name: list(words) for name, words in WORDS.items()} == {name: list(words) for name, words in VALUES.items()}
    assert list(METER) == [name for name, _, _ in REGISTRY_FORM.documented()]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("meter_id", "meter_id"),
        ("Meter_ID", "meter_id"),
        ("*表号", "meter_id"),
        ("表 号", "meter_id"),
        ("模块厂家", "module_vendor"),
        ("口径（mm）", "caliber_mm"),
        ("口径(寸)", None),
        ("质保期（月）", "warranty_months"),
        ("质保期（年）", None),
        ("质保期", None),
        ("imei", "aliases"),
        ("户名", None),
        ("", None),
    ],
)
def test_column_named(header: str, expected: str | None) -> None:
    """A unit that is not the column's is another column."""
    assert expected == REGISTRY_FORM.column_named(header)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("produced_on", "2021-07-09", date(2021, 7, 9)),
        ("produced_on", "2021/7/9", date(2021, 7, 9)),
        ("produced_on", "2021.7.09", date(2021, 7, 9)),
        ("produced_on", "20210709", date(2021, 7, 9)),
        ("生产日期", "2021年7月9日", date(2021, 7, 9)),
        ("produced_on", "2021-07-09T00:00:00", date(2021, 7, 9)),
        ("produced_on", "2021/7/9 8:30", date(2021, 7, 9)),
        ("caliber_mm", "DN20", 20.0),
        ("口径", "15 mm", 15.0),
        ("caliber_mm", "20.5", 20.5),
        ("battery_capacity_mah", "8500mAh", 8500.0),
        ("battery_capacity_mah", "19Ah", 19000.0),
        ("warranty_months", "72个月", 72.0),
        ("warranty_months", "6年", 72.0),
        ("latitude", "-38.5°", -38.5),
        ("module_encrypted", "是", True),
        ("module_encrypted", "No", False),
        ("flood_prone", "1", True),
        ("flood_prone", "否", False),
        ("sensing", "无磁", "inductive"),
        ("valve_type", "无", "none"),
        ("valve_type", "Ball Motor", "ball_motor"),
        ("安装环境", "表井", "pit"),
        ("model", "LXSY-20 ", "LXSY-20"),
        ("model", "-", None),
        ("model", "N/A", None),
        ("aliases", "868123456789012、70B3D5499ABC0001; a,b", ("868123456789012", "70B3D5499ABC0001", "a", "b")),
        ("recorded_at", "2024-03-01T08:00:00+08:00", datetime(2024, 3, 1, tzinfo=UTC)),
        ("recorded_at", "2024-03-01 08:00:00", datetime(2024, 3, 1, tzinfo=UTC)),
        ("recorded_at", "2024年3月1日", datetime(2024, 2, 29, 16, tzinfo=UTC)),
    ],
)
def test_cell_that_can_be_read(tmp_path: Path, column: str, text: str, expected: object) -> None:
    """As people write it."""
    assert expected == one(tmp_path, column, text)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("produced_on", "07/09/2021", "is no day; write 2024-07-09, 2024/7/9 or 2024年7月9日"),
        ("produced_on", "2021-02-30", "is no day"),
        ("produced_on", "2021-7/9", "is no day"),
        ("produced_on", "44386", "is no day"),
        ("生产日期", "去年", "is no day"),
        ("caliber_mm", "8,500", "is no number in mm; write 20 or 0.5"),
        ("caliber_mm", "nan", "is no number"),
        ("caliber_mm", "20 cm", "is no number"),
        ("battery_capacity_mah", "1e400", "is no number"),
        ("module_encrypted", "maybe", "is neither yes (是) nor no (否)"),
        ("sensing", "coil", "is not allowed there; allowed are reed (干簧管), inductive (无磁)"),
        ("model", "=cmd|'/c calc'!A1", "is a formula without its value"),
        ("model", "#REF!", "or an error of the spreadsheet"),
        ("aliases", "8.68123456789012e+14", "has lost digits in a spreadsheet; make its column text"),
        ("recorded_at", "1999-12-31", "lies before 2000"),
        ("recorded_at", "9999-12-31", "lies before 2000 or after 2100"),
        ("recorded_at", "2024/3/1 8h", "is no time; write 2024-07-09T12:00:00+08:00"),
    ],
)
def test_cell_that_cannot_be_read(tmp_path: Path, column: str, text: str, expected: str) -> None:
    """Row, column as the file calls it, what is wrong and what to do; the other rows are read."""
    found = read(tmp_path, f'meter_id\t{column}\nm1\t"{text}"\nm2\t\n')

    [problem] = found.problems
    assert ("m2", 3) == (found.rows[0]["meter_id"], found.numbers[0])
    assert (2, column) == (problem.row, problem.column)
    assert expected in problem.problem


def test_chinese_file(tmp_path: Path) -> None:
    """In GB18030, with a title, columns that mean nothing here, and aliases in two columns."""
    text = (
        "某市水务集团水表台账\n表号,IMEI,DevEUI,型号,模块厂家,是否加密,户名,口径(mm)\n"
        "14000000012345,868123456789012,70B3D5499ABC0001,LXSY-20,集万讯,是,李娜,20\n"
    )
    found = read(tmp_path, text, "gb18030")

    assert [
        Meter(
            meter_id="14000000012345", aliases=("868123456789012", "70B3D5499ABC0001"), model="LXSY-20",
            module_vendor="集万讯", module_encrypted=True, caliber_mm=20.0,
        )
    ] == meters(found)  # fmt: skip
    assert ("户名",) == found.ignored
    assert ("meter_id", "aliases", "model", "module_vendor", "module_encrypted", "caliber_mm") == found.columns


def test_spreadsheet(tmp_path: Path) -> None:
    """Dates are dates, long numbers keep their digits, a header repeated on every page is none."""
    header = ["表号", "生产日期", "固件版本"]
    rows = [header, [14000000012345, date(2021, 7, 9), 1.2], header, [7, None, None]]
    found = read_input(sheet(tmp_path / "a.xlsx", rows, formats={"A4": "00000000"}), REGISTRY_FORM, SHANGHAI)

    assert [
        Meter(meter_id="14000000012345", produced_on=date(2021, 7, 9), firmware="1.2"),
        Meter(meter_id="00000007"),
    ] == meters(found)


def test_meter_twice_in_a_file(tmp_path: Path) -> None:
    """Saying the same it does no harm, saying something else it is refused; with another time it is another row."""
    found = read(tmp_path, "meter_id,firmware,recorded_at\nm1,1,\nm1,1,\nm1,2,\nm1,2,2024-03-01\nm1,3,2024-06-01\n")

    assert [2, 3, 5, 6] == found.numbers
    assert [(4, "meter_id", "'m1' stands in row 2 already, with other values")] == [
        (problem.row, problem.column, problem.problem) for problem in found.problems
    ]


def test_row_with_more_cells_than_the_header(tmp_path: Path) -> None:
    """A comma in a cell without quotes would shift everything behind it."""
    found = read(tmp_path, "meter_id,model,region\nm1,a,b,north\nm2,a,b,,\n")

    assert ["m2"] == [meter.meter_id for meter in meters(found)]
    assert "has 4 cells, the header 3; is 'north' a part of another cell?" == found.problems[0].problem


def test_two_columns_of_one_meaning(tmp_path: Path) -> None:
    """Nobody knows which one holds."""
    with pytest.raises(InputFileError, match="line 1: '型号' and 'model' both mean model; take one out"):
        read(tmp_path, "表号,型号,model\n")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_hostile_text_is_rows_problems_or_the_one_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in a file."""
    file = tmp_path_factory.mktemp("files") / "a.csv"
    columns = ",".join(HEADERS)
    file.write_bytes(f"{columns}\n{text}\nm1,{text * 3}\n".encode("utf-8", errors="surrogatepass"))
    try:
        found = read_input(file, REGISTRY_FORM, SHANGHAI)
    except InputFileError:
        return
    assert len(found.rows) == len(found.numbers)
