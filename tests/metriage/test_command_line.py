"""The command as its users meet it: help, exit codes, JSON, messages, and hostile content in the lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import metriage as package
from metriage.command_line import app
from metriage.options import INCOMPLETE
from metriage.site import Site
from tests.metriage.sites import START, Done, finding, hourly, stored, told
from tests.recordings import ROOT

COMMANDS = [
    "backtest",
    "batch list",
    "batch show",
    "compact",
    "demo",
    "diagnose",
    "doctor",
    "ingest",
    "init",
    "inspections import",
    "inspections list",
    "profile check",
    "profile learn",
    "registry import",
    "registry list",
    "replay",
    "reports import",
    "reports list",
    "run",
    "simulate",
    "status",
    "tickets close",
    "tickets explain",
    "tickets list",
    "tickets note",
    "tickets show",
    "tickets sync",
    "weather import",
    "weather list",
    "works import",
    "works list",
]


def names(group: typer.main.TyperGroup, before: str = "") -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += names(command, f"{before}{name} ") if inner else [f"{before}{name}"]  # type: ignore[arg-type]
    return sorted(found)


def parameters(command: str) -> list[Any]:
    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    return list(found.params)


def test_commands_are_those_of_the_contract_that_exist() -> None:
    """A new one is added here, to the documentation, and nowhere else."""
    group = typer.main.get_command(app)

    assert COMMANDS == names(group)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(metriage: Callable[..., Done], command: str) -> None:
    """A sentence, and its options explained; no text of theirs is taken for markup."""
    done = metriage(*command.split(), "--help")

    assert 0 == done.code
    assert "Usage:" in done.out
    said = " ".join(done.out.replace("│", " ").split())
    explained = [" ".join(item.help.split()) for item in parameters(command) if item.help]
    assert [] == [text for text in explained if text not in said]
    assert command in {"init", "simulate"} or "--dir" in said


def test_help_and_version(metriage: Callable[..., Done]) -> None:
    """Nothing given is a question for help."""
    assert f"metriage {package.__version__}\n" == metriage("--version").out
    assert "Usage:" in metriage("--help").out
    assert 2 == metriage().code


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["tickets", "nonsense"],
        ["backtest", "2024-01-01"],
        ["tickets", "close", "1", "--as", "lost"],
        ["diagnose", "--as-of", "tomorrow"],
        ["diagnose", "--as-of", "2024-07-09T12:00:00"],
        ["backtest", "2024-01-02", "2024-01-01"],
        ["backtest", "2024-01-01", "2024-01-02", "--every", "soon"],
        ["ingest"],
        ["ingest", "readings.jsonl"],
        ["ingest", "--from", "readings.jsonl", "--codec", "nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_two(site: Site, metriage: Callable[..., Done], words: list[str]) -> None:
    """Said on standard error; nothing was done."""
    before = {file: file.stat().st_mtime_ns for file in site.folder.rglob("*") if file.suffix == ".parquet"}

    done = metriage(*words, *([] if words == ["nonsense"] else ["--dir", site.folder]))

    assert (2, "") == (done.code, done.out)
    assert done.err
    assert before == {file: file.stat().st_mtime_ns for file in site.folder.rglob("*") if file.suffix == ".parquet"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"init", "demo", "simulate"}])
def test_no_site_folder_is_said(tmp_path: Path, metriage: Callable[..., Done], command: str) -> None:
    """With the command that makes one; nothing is left behind."""
    needed = {"backtest": ["2024-01-01", "2024-01-02"], "tickets note": ["1", "text"]}
    by_last = {"import": ["a.csv"], "show": ["1"], "explain": ["1"], "close": ["1"]}
    words = needed.get(command, by_last.get(command.rsplit(maxsplit=1)[-1], []))

    done = metriage(*command.split(), *words, "--dir", tmp_path)

    assert 2 == done.code
    assert f"is no site folder: there is no metriage.toml. Make one with `metriage init {tmp_path}`" in done.err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["doctor", "diagnose", "tickets list", "tickets sync", "ingest"])
def test_wrong_settings_are_said_by_every_command(site: Site, metriage: Callable[..., Done], command: str) -> None:
    """Key, file and what is allowed. Only status needs no settings: what is in the lake is there."""
    file = site.folder / "metriage.toml"
    file.write_text("[site]\nzone = 1\n", encoding="utf-8")

    done = metriage(*command.split(), "--dir", site.folder)

    assert (2, "") == (done.code, done.out)
    assert f"metriage: {file}: site.zone: there is no such key; allowed here are timezone, language\n" == done.err


def test_files_without_from_are_told_how(site: Site, metriage: Callable[..., Done]) -> None:
    """The commonest slip."""
    done = metriage("ingest", "a.jsonl", "--dir", site.folder)

    assert "to read a.jsonl, write: metriage ingest --from a.jsonl" in done.err


def test_unknown_codec_names_the_known_ones(site: Site, metriage: Callable[..., Done]) -> None:
    """From the settings."""
    done = metriage("ingest", "--from", "a.csv", "--codec", "csv", "--dir", site.folder)

    assert "there is no payload shape and no [codecs.csv] of that name; known are auto," in done.err


def test_files_that_cannot_be_read_are_said(site: Site, metriage: Callable[..., Done], tmp_path: Path) -> None:
    """Missing, a folder, a truncated ZIP, an empty one: exit code 1, and nothing of it is in the account."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("a.jsonl", "{}\n" * 1000)
    archive.write_bytes(archive.read_bytes()[:60])
    empty = tmp_path / "empty.jsonl"
    empty.touch()

    for file in (tmp_path / "missing.jsonl", tmp_path, archive, empty):
        done = metriage("ingest", "--from", file, "--dir", site.folder)
        assert done.code in {1, 2}
        assert done.err.startswith(f"metriage: {file}")

    assert 0 == json.loads(metriage("status", "--json", "--dir", site.folder).out)["messages"]["received"]


def test_quarantined_is_exit_code_three_once(site: Site, metriage: Callable[..., Done], tmp_path: Path) -> None:
    """Of the run that quarantined, not of those after it."""
    bad, good = tmp_path / "bad.jsonl", tmp_path / "good.jsonl"
    bad.write_text("no json\n", encoding="utf-8")
    good.write_text('{"meter_id": "A", "ts": "2024-01-01T00:00:00Z", "volume_m3": 1}\n', encoding="utf-8")

    first = metriage("ingest", "--from", bad, "--dir", site.folder)
    second = metriage("ingest", "--from", good, "--dir", site.folder)

    assert (INCOMPLETE, 0) == (first.code, second.code)
    assert "quarantined: 1 not_json - the payload is not valid JSON" in first.out


def test_second_daemon_is_refused(site: Site, metriage: Callable[..., Done]) -> None:
    """And told who is there."""
    (site.folder / "metriage.toml").write_text('[[broker]]\nurl = "mqtt://127.0.0.1:1"\n', encoding="utf-8")

    with site.lock():
        done = metriage("ingest", "--dir", site.folder)

    assert 2 == done.code
    assert f"is in use by process {os.getpid()} (metriage); stop that first" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["doctor"],
        ["diagnose", "--as-of", "2024-01-20"],
        ["backtest", "2024-01-20", "2024-01-20"],
        ["tickets", "sync"],
        ["tickets", "list"],
    ],
    ids=" ".join,
)
def test_json_is_exactly_one_object_on_a_fresh_site(
    site: Site, metriage: Callable[..., Done], words: list[str]
) -> None:
    """Each command alone, as a new user may try it."""
    done = metriage(*words, "--json", "--dir", site.folder)

    assert (0, "") == (done.code, done.err)
    assert isinstance(json.loads(done.out), dict)


def test_each_command_alone_on_a_fresh_site_prints_for_people(site: Site, metriage: Callable[..., Done]) -> None:
    """No empty tables where there is nothing."""
    diagnosed = metriage("diagnose", "--as-of", "2024-01-20", "--dir", site.folder)
    listed = metriage("tickets", "list", "--dir", site.folder)
    status = metriage("status", "--dir", site.folder)

    assert [0, 0, 0] == [diagnosed.code, listed.code, status.code]
    assert "nothing found\nas of 2024-01-21 00:00 UTC: 0 meter-days profiled\n" == diagnosed.out
    assert listed.out.startswith("no open tickets")
    assert "messages" in status.out


def test_init_makes_a_site_and_says_what_is_next(metriage: Callable[..., Done], tmp_path: Path) -> None:
    """Twice is refused."""
    done = metriage("init", tmp_path / "site")
    again = metriage("init", tmp_path / "site")

    assert 0 == done.code
    assert "metriage doctor --dir" in done.out
    assert 2 == again.code
    assert "exists already; nothing was changed" in again.err


def test_diagnose_prints_table_count_and_pictures(site: Site, metriage: Callable[..., Done]) -> None:
    """Faults to act on first."""
    stored(site, hourly("backward", 20, backward_on=[5, 6, 7, 8, 9]), hourly("silent", 4))

    done = metriage("diagnose", "--as-of", "2024-01-20", "--pictures", "--dir", site.folder)
    document = json.loads(metriage("diagnose", "--as-of", "2024-01-20", "--json", "--dir", site.folder).out)

    assert 0 == done.code
    assert done.out.index("│ backward") < done.out.index("│ silent")
    assert "2 to act on, 0 to watch, 0 cleared, on 2 meters" in done.out
    drawn = [line.removeprefix("picture: ") for line in done.out.splitlines() if line.startswith("picture: ")]
    assert 2 == len(drawn)
    assert all(Path(file).stat().st_size > 10_000 for file in drawn)
    assert {"coil", "communication"} == {row["fault"] for row in document["findings"]}
    assert isinstance(document["findings"][0]["evidence"], list)


def test_findings_are_printed_in_the_language_of_the_site(site: Site, metriage: Callable[..., Done]) -> None:
    """Labels, names and the count."""
    stored(site, hourly("backward", 20, backward_on=[5, 6, 7, 8, 9]))
    (site.folder / "metriage.toml").write_text('broker = []\n[site]\nlanguage = "zh"\n', encoding="utf-8")

    out = metriage("diagnose", "--as-of", "2024-01-20", "--dir", site.folder).out

    assert [] == [word for word in ("诊断结果", "发讯圈", "需处理 1，观察 0", "截至 2024-01-21") if word not in out]


HOSTILE = "[bold red]x[/bold red]\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[link=http://evil]y[/link]"


def test_hostile_content_of_the_lake_cannot_steer_the_terminal(site: Site, metriage: Callable[..., Done]) -> None:
    """Markup stays text, escapes vanish, in every print of findings and tickets."""
    evidence = json.dumps([{"what": HOSTILE, "value": HOSTILE, "unit": HOSTILE, "from": HOSTILE, HOSTILE: HOSTILE}])
    told(
        site,
        finding(
            meter_id=HOSTILE,
            cause=HOSTILE,
            rules=[HOSTILE],
            evidence=evidence,
            action=HOSTILE,
            diagnosis_id=HOSTILE,
            inhibited_by=None,
        ),
        finding(meter_id=HOSTILE, fault="coil", inhibited_by=HOSTILE, diagnosis_id=HOSTILE),
    )
    here = ("--dir", site.folder)

    printed = [
        metriage(*words, *here)
        for words in (
            ["tickets", "sync", "--as-of", "2024-01-01"],
            ["tickets", "list"],
            ["tickets", "list", "--json"],
            ["tickets", "explain", "1"],
            ["tickets", "explain", "1", "--json"],
            ["tickets", "show", "1", "--json"],
            ["tickets", "note", "1", HOSTILE, "--by", HOSTILE],
            ["tickets", "explain", "1"],
            ["diagnose", "--as-of", START.isoformat()],
        )
    ]

    assert {0} == {done.code for done in printed}
    for done in printed:
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.out + done.err)
    assert "[bold red]x[/bold" in printed[1].out
    assert "[bold red]x[/bold red]" in printed[3].out
    assert HOSTILE == json.loads(printed[2].out)["tickets"][0]["meter_id"]


def test_hostile_source_cannot_steer_the_terminal(site: Site, metriage: Callable[..., Done], tmp_path: Path) -> None:
    """A meter chooses its source itself."""
    line = json.dumps({"meter_id": "A", "ts": "2024-01-01T00:00:00Z", "volume_m3": 1, "source": HOSTILE})
    (tmp_path / "a.jsonl").write_text(line + "\n", encoding="utf-8")

    done = metriage("ingest", "--from", tmp_path / "a.jsonl", "--source", HOSTILE, "--dir", site.folder)

    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.out)
    assert "source [bold red]x[/bold red]" in done.out


def run_module(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "metriage", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_module_runs_in_the_current_folder(site: Site) -> None:
    """``python -m metriage`` without --dir, as from a site folder."""
    done = run_module("status", "--json", folder=site.folder)

    assert (0, "") == (done.returncode, done.stderr)
    assert 0 == json.loads(done.stdout)["messages"]["received"]


def test_module_reports_errors_without_traceback(tmp_path: Path) -> None:
    """Exit code 2, one line."""
    done = run_module("status", folder=tmp_path)

    assert (2, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())


def test_ingest_of_a_foreign_shape_from_a_file(site: Site, metriage: Callable[..., Done]) -> None:
    """Recorded messages of any payload shape are read from files too, the shape by name or found."""
    telegram = {"media": "cold water", "meter": "multical21", "name": "a", "id": "76406477", "total_m3": 8.5,
                "current_status": "LEAK", "timestamp": "2024-06-01T10:00:00Z"}  # fmt: skip
    file = site.folder / "in.jsonl"
    file.write_text(json.dumps({"topic": "wmbusmeters/a", "payload": telegram}) + "\n", encoding="utf-8")
    for codec, fresh in (("auto", 1), ("wmbusmeters", 0)):
        done = metriage("ingest", "--dir", site.folder, "--codec", codec, "--from", file)
        assert (0, f"1 messages received, {fresh} stored") == (done.code, done.out.partition(": ")[2][:29])
    refused = metriage("ingest", "--dir", site.folder, "--codec", "gone", "--from", file)

    assert 2 == refused.code
    assert "known are auto, chirpstack" in refused.err


WRONG_PROFILE = """\
id = "acme"
version = 1

[[code]]
words = ["E"]
family = "bateria"
severity = 1
meaning = "m"
"""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("meters.keys", '"1" = "00"', "chmod 600"),
        ("profiles/acme.toml", WRONG_PROFILE, "did you mean battery?"),
    ],
)  # fmt: skip
def test_ingest_with_wrong_keys_or_profiles(
    site: Site, metriage: Callable[..., Done], name: str, text: str, said: str
) -> None:
    """What tells how messages are read is checked before the daemon begins: exit code 2, and what to do."""
    (site.folder / "metriage.toml").write_text('[ingest]\nkeys_file = "meters.keys"\n', encoding="utf-8")
    keys = site.folder / "meters.keys"
    keys.touch(mode=0o600)
    file = site.folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    done = metriage("ingest", "--dir", site.folder)

    assert 2 == done.code
    assert said in done.err
