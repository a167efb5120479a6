"""``metriage profile check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metriage.site import Site
from tests.metriage.sites import Done
from tests.recordings import ROOT

SHIPPED = sorted((ROOT / "ingest" / "profiles").glob("*.toml"))
GOOD = """\
id = "mine"
version = 3
description = "x"
description_zh = "x"
source = "x"
[[code]]
words = ["E1"]
family = "coil"
severity = 2
meaning = "open"
meaning_zh = "断线"
[[case]]
codes = ["e1"]
gives = [["e1", "coil", 2]]
"""


def write(folder: Path, text: str, name: str = "mine") -> Path:
    """Write a profile."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_shipped_profiles_are_right(metriage: Callable[..., Done]) -> None:
    """Every one of them, with nothing to look at."""
    done = metriage("profile", "check", *SHIPPED)

    assert (0, "") == (done.code, done.err)
    assert len(SHIPPED) == done.out.count("all as expected")
    assert "WRONG" not in done.out
    assert "look" not in done.out


def test_profile_of_a_site(site: Site, metriage: Callable[..., Done]) -> None:
    """Without a FILE those of the site."""
    file = write(site.folder / "profiles", GOOD)

    done = metriage("profile", "check", "--dir", site.folder)

    assert (0, f"{file}: mine, version 3\n  1 cases, all as expected\n", "") == (done.code, done.out, done.err)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('family = "coil"', 'family = "coal"', "WRONG code[0].family: 'coal' is no family; did you mean coil? allowed"),
        ("severity = 2", "severity = 9", "WRONG code[0].severity: 9 is no severity"),
        ("severity = 2", 'severity = "2"', "WRONG code[0].severity: Expected `int`, got `str`"),
        ("severity = 2", "sev = 2", "WRONG code[0].sev: is no key of the format"),
        ('id = "mine"', 'id = "other"', "WRONG id: is 'other', but the file is called mine.toml"),
        ('id = "mine"', "id = mine", "WRONG file: is no TOML in UTF-8: Invalid value (at line 1, column 6)"),
        ("[[case]]", '[[match]]\nmanufacturer = ["axi"]\n[[case]]',
         "WRONG match: manufacturer = 'axi' is claimed by the profile 'axioma' too"),
        ('["E1"]', '["E1", "e-1"]', "WRONG code[0].words: 'e-1' stands twice, first in code[0].words"),
        ('[["e1", "coil", 2]]', '[["e1", "coil", 1]]',
         "WRONG case[0].gives\n        expected [('e1', 'coil', 1)]\n        found    [('e1', 'coil', 2)]\n  1 cases,"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    tmp_path: Path, metriage: Callable[..., Done], old: str, new: str, expected: str
) -> None:
    """With its key; exit code 1."""
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new))

    done = metriage("profile", "check", file)

    assert (1, "") == (done.code, done.err)
    assert expected in done.out


def test_everything_is_said_at_once(tmp_path: Path, metriage: Callable[..., Done]) -> None:
    """Not the first error only."""
    text = (
        GOOD.replace('"coil"\n', '"x"\n').replace("severity = 2", "severity = 0").replace('meaning_zh = "断线"\n', "")
    )
    document = json.loads(metriage("profile", "check", write(tmp_path, text), "--json").out)

    assert not document["ok"]
    assert [("error", "code[0].family"), ("error", "code[0].severity"), ("warning", "code[0].meaning_zh")] == [
        (each["level"], each["key"]) for each in document["profiles"][0]["problems"]
    ]


def test_warnings_are_no_failure(tmp_path: Path, metriage: Callable[..., Done]) -> None:
    """They are said, and the exit code is 0."""
    done = metriage("profile", "check", write(tmp_path, GOOD.replace('meaning_zh = "断线"\n', "")))

    assert 0 == done.code
    assert "look  code[0].meaning_zh: is missing: the meaning in Chinese" in done.out


def test_json(tmp_path: Path, metriage: Callable[..., Done]) -> None:
    """Expected beside found."""
    file = write(tmp_path, GOOD.replace('"coil", 2]', '"battery", 2]'))
    document = json.loads(metriage("profile", "check", file, "--json").out)

    assert {
        "ok": False,
        "profiles": [
            {
                "file": str(file),
                "id": "mine",
                "version": 3,
                "ok": False,
                "problems": [],
                "cases": 1,
                "failures": [
                    {"case": 0, "what": "gives", "expected": [["e1", "battery", 2]], "found": [["e1", "coil", 2]]}
                ],
            }
        ],
    } == document


def test_ties_between_the_files_given(tmp_path: Path, metriage: Callable[..., Done]) -> None:
    """Each of both is told."""
    text = GOOD + '[[match]]\nmodel = ["M1"]\n'
    first = write(tmp_path, text)
    second = write(tmp_path, text.replace('"mine"', '"yours"'), "yours")

    done = metriage("profile", "check", first, second)

    assert 1 == done.code
    assert "model = 'M1' is claimed by the profile 'yours' too" in done.out
    assert "model = 'M1' is claimed by the profile 'mine' too" in done.out


def test_neighbour_that_cannot_be_read(site: Site, metriage: Callable[..., Done]) -> None:
    """Is said of the file that was to be compared with it; it is none of its errors."""
    write(site.folder / "profiles", "no = [", "broken")

    done = metriage("profile", "check", write(site.folder / "profiles", GOOD))

    assert 0 == done.code
    assert "look  match: could not be compared with a neighbour: " in done.out


def test_generic_of_the_site_is_the_fallback(site: Site, metriage: Callable[..., Done]) -> None:
    """A word that only it knows can be referred to."""
    write(site.folder / "profiles", GOOD.replace('"mine"', '"generic"'), "generic")
    file = write(
        site.folder / "profiles", GOOD.replace("E1", "E2").replace("e1", "e2") + '[[bits]]\nmask = 1\nword = "E1"\n'
    )

    assert 0 == metriage("profile", "check", file, "--dir", site.folder).code
    assert 0 == metriage("profile", "check", "--dir", site.folder).code


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, metriage: Callable[..., Done], name: str) -> None:
    """Exit code 2."""
    done = metriage("profile", "check", tmp_path / name)

    assert (2, "") == (done.code, done.out)
    assert "cannot be read" in done.err


def test_nothing_to_check(site: Site, metriage: Callable[..., Done]) -> None:
    """A site without profiles of its own."""
    done = metriage("profile", "check", "--dir", site.folder)

    assert 2 == done.code
    assert "there is nothing to check: name a FILE, or put one into" in done.err
