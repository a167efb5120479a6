"""Unknown codes: how often, where, beside which symptoms; and the way from them to a profile that knows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lake.schemas import DAILY, ERROR_CODES
from lake.tables import Lake
from metriage.profile_learning import UnknownCode, described, draft, unknown_codes
from metriage.site import Site
from tests.metriage.conftest import Done

DAY = date(2024, 6, 1)
REGISTRY = pl.DataFrame(
    {"meter_id": ["m1", "m2"], "module_vendor": ["云衡", "云衡"], "manufacturer": [None, "X"], "model": ["A", "A"]}
)


def codes_of(*rows: tuple[str, int, str, str]) -> pl.DataFrame:
    """Return rows of error codes: meter, day, code, family."""
    start = datetime(2024, 6, 1, 12, tzinfo=UTC)
    plain = [
        {"meter_id": meter, "ts": start + timedelta(days=day), "code": code, "family": family, "profile_id": "generic"}
        for meter, day, code, family in rows
    ]
    return ERROR_CODES.conform(pl.DataFrame(plain, schema_overrides={"ts": ERROR_CODES.polars["ts"]}))


def days_of(low: int, total: int = 10) -> pl.DataFrame:
    """Return ten days of m1, the first of them with a low battery."""
    return DAILY.conform(
        pl.DataFrame(
            {
                "meter_id": ["m1"] * total,
                "day": [DAY + timedelta(days=day) for day in range(total)],
                "battery_median_v": [3.1 if day < low else 3.6 for day in range(total)],
            }
        )
    )


def test_unknown_words_and_bits_are_counted() -> None:
    """Words by themselves, status words bit by bit; what is known is not listed."""
    codes = codes_of(
        ("m1", 0, "E7", "unknown"), ("m2", 1, "E7", "unknown"), ("m1", 1, "status:0xc", "unknown"),
        ("m1", 2, "LEAK", "leak"),
    )  # fmt: skip
    found = unknown_codes(codes, DAILY.empty(), REGISTRY)

    assert [("E7", None, 2, 2), ("bit 0x4", 4, 1, 1), ("bit 0x8", 8, 1, 1)] == [
        (each.code, each.mask, each.times, each.meters) for each in found
    ]
    assert (DAY, DAY + timedelta(days=1)) == (found[0].first, found[0].last)
    assert {("云衡 A", 1), ("云衡 X A", 1)} == set(found[0].models)


def test_unknown_code_beside_a_symptom() -> None:
    """A symptom that is there with the code and not without it speaks for its family."""
    codes = codes_of(*(("m1", day, "E7", "unknown") for day in range(4)))
    [each] = unknown_codes(codes, days_of(low=4), REGISTRY)

    [symptom] = each.symptoms
    assert ("battery below 3.3 V", 1.0, 0.0, 4) == (symptom.what, symptom.with_code, symptom.without, symptom.days)
    assert "battery" == each.suggestion
    assert any("speaks for the fault battery" in line for line in described(each))


def test_unknown_code_beside_what_is_always_there() -> None:
    """What the other days show as well says nothing about the code."""
    codes = codes_of(*(("m1", day, "E7", "unknown") for day in range(4)))
    [each] = unknown_codes(codes, days_of(low=10), REGISTRY)

    assert ([], None) == (each.symptoms, each.suggestion)


def test_unknown_code_beside_known_codes() -> None:
    """Codes of a known family on the same days count as symptoms."""
    rows = [
        ("m1", day, code, family) for day in range(3) for code, family in (("E7", "unknown"), ("STUCK", "actuator"))
    ]
    [each] = unknown_codes(codes_of(*rows), days_of(low=0), REGISTRY)

    assert "actuator" == each.suggestion


def test_unknown_code_on_too_few_days_has_no_symptoms() -> None:
    """Two days are no evidence."""
    [each] = unknown_codes(codes_of(("m1", 0, "E7", "unknown"), ("m1", 1, "E7", "unknown")), days_of(low=2), REGISTRY)

    assert [] == each.symptoms


@pytest.mark.parametrize("code", ['E"7', "a\nid = 'x'", "\\", "\x00\x1b[31m", "# no", "停阀"])
def test_draft_of_a_hostile_code_is_a_valid_profile(tmp_path: Path, code: str) -> None:
    """Whatever a meter sent as a code, the draft is TOML, and the code stands in it as it came."""
    from ingest.profiles.vendor_profile import load_profiles

    each = UnknownCode(code, None, "generic", 1, 1, DAY, DAY, [("x\ny", 1)])
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "acme.toml").write_text(draft("acme", [each], {"module_vendor": code}), encoding="utf-8")
    profile = load_profiles(tmp_path).get("acme")

    assert ((code,),) == tuple(entry.words for entry in profile.definition.code)
    assert code == profile.matches[0].module_vendor[0]


def received(site: Site, metriage: Callable[..., Done], *readings: dict[str, object]) -> None:
    file = site.folder / "in.jsonl"
    file.write_text("\n".join(json.dumps({"meter_id": "m1"} | reading) for reading in readings), encoding="utf-8")
    metriage("ingest", "--dir", site.folder, "--from", file)


@pytest.mark.slow
def test_profile_completed_from_a_draft_gives_families(site: Site, metriage: Callable[..., Done]) -> None:
    """From unknown codes to a draft, completed and checked, to a replay: families, and nothing doubled."""
    received(
        site, metriage, {"ts": 1717236000, "error_codes": ["E7", "E9"]}, {"ts": 1717322400, "status": 12},
        {"ts": 1717322400 + 60, "volume_m3": 1},
    )  # fmt: skip
    registry = site.folder / "registry.csv"
    registry.write_text("meter_id,module_vendor,model\nm1,Acme,A7\n", encoding="utf-8")
    metriage("registry", "import", registry, "--dir", site.folder)
    done = metriage("profile", "learn", "acme", "--module-vendor", "Acme", "--dir", site.folder)
    file = site.folder / "profiles" / "acme.toml"
    assert 0 == done.code
    assert "E7: 1 times on 1 meters" in done.out
    assert "Acme A7 (1)" in done.out
    assert 0 == metriage("profile", "check", file, "--dir", site.folder).code  # as it is: it translates nothing
    text = file.read_text(encoding="utf-8")
    text = text.replace('words = ["E7"]\nfamily = "unknown"', 'words = ["E7"]\nfamily = "actuator"')
    text = text.replace('mask = 0x4\nfamily = "unknown"', 'mask = 0x4\nfamily = "battery"')
    file.write_text(text, encoding="utf-8")
    before = json.loads(metriage("status", "--json", "--dir", site.folder).out)
    replayed = metriage("replay", "--json", "--dir", site.folder)
    rows = Lake(site.folder / "lake").scan(ERROR_CODES).collect()

    assert 0 == replayed.code
    assert {"actuator": 1, "battery": 1, "unknown": 2} == dict(rows["family"].value_counts().iter_rows())
    assert {"acme"} == set(rows["profile_id"])
    after = json.loads(metriage("status", "--json", "--dir", site.folder).out)
    assert (before["messages"], before["readings"]) == (after["messages"], after["readings"])
    assert 2 == metriage("profile", "learn", "acme", "--dir", site.folder).code  # it is not written over


def test_learn_without_codes(site: Site, metriage: Callable[..., Done]) -> None:
    """A site that received none says so, and writes nothing."""
    done = metriage("profile", "learn", "acme", "--dir", site.folder)

    assert (0, "no unknown codes\n") == (done.code, done.out)
    assert not (site.folder / "profiles" / "acme.toml").exists()


def test_learn_refuses_an_id_that_is_none(site: Site, metriage: Callable[..., Done]) -> None:
    """An id must be a file name and nothing else."""
    done = metriage("profile", "learn", "../x", "--dir", site.folder)

    assert 2 == done.code
    assert "is no id of a profile" in done.err
