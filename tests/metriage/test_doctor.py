"""The doctor looks at real things on loopback and says what is wrong with them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from metriage.doctor import examine
from metriage.site import Site
from tests.metriage.sites import Done, running
from tests.processes import Mosquitto
from tickets.inbox import Inbox
from tickets.signature import Secret


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def looked(site: Site, settings: str) -> dict[str, tuple[str, str]]:
    """Return level and text by subject."""
    (site.folder / "metriage.toml").write_text(settings, encoding="utf-8")
    return {check.subject: (check.level, check.text) for check in examine(Site(site.folder))}


def private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def test_fresh_site_is_well_but_alone(site: Site) -> None:
    """No broker and no webhook are worth a look, not wrong."""
    seen = looked(site, "broker = []\n")

    assert {
        "settings",
        "clock",
        "disk spool/",
        "disk lake/",
        "daemon",
        "lake",
        "metrics",
        "meters",
        "broker",
        "webhook",
    } == set(seen)
    assert "problem" not in {level for level, _ in seen.values()}
    assert "nothing to listen to" in seen["broker"][1]
    assert "nobody is told" in seen["webhook"][1]


def test_absent_broker_is_wrong(site: Site) -> None:
    """Nobody listens on the port."""
    port = free_port()

    level, text = looked(site, f'[[broker]]\nurl = "mqtt://127.0.0.1:{port}"\n')[f"broker mqtt://127.0.0.1:{port}"]

    assert "problem" == level
    assert f"127.0.0.1:{port} cannot be reached" in text


def test_running_broker_is_well(site: Site) -> None:
    """The embedded one, with nothing on the topics."""
    port = free_port()
    with running("-m", "metriage.embedded_broker", port) as broker:
        assert broker.stdout is not None
        assert "ready\n" == broker.stdout.readline()

        seen = looked(site, f'[[broker]]\nurl = "mqtt://127.0.0.1:{port}"\n')

    assert ("ok", "connected with MQTT 3.1.1") == (
        seen[f"broker mqtt://127.0.0.1:{port}"][0],
        seen[f"broker mqtt://127.0.0.1:{port}"][1][:25],
    )
    assert "warning" == seen["topics"][0]
    assert "persistent_client_expiration" in seen["broker queue"][1]


def test_mosquitto_is_told_what_to_set(site: Site, tmp_path: Path) -> None:
    """In its own words, where it says what it is."""
    with Mosquitto(tmp_path / "broker") as broker:
        seen = looked(site, f'[[broker]]\nurl = "{broker.url}"\n')

    assert "ok" == seen["broker queue"][0]
    for word in ("persistence true", "autosave_interval 60", "max_queued_messages 0", "max_queued_bytes 0"):
        assert word in seen["broker queue"][1]


def test_metrics_port_taken_by_another_is_wrong(site: Site) -> None:
    """The daemon would not start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        level, text = looked(site, f'broker = []\n[metrics]\nlisten = "{address}"\n')["metrics"]

    assert "problem" == level
    assert f"{address} is taken by another program" in text


def test_metrics_on_every_address_are_worth_a_look(site: Site) -> None:
    """There is no password."""
    level, text = looked(site, f'broker = []\n[metrics]\nlisten = "0.0.0.0:{free_port()}"\n')["metrics"]

    assert "warning" == level
    assert "can be reached from other machines" in text


def test_missing_password_file_is_wrong(site: Site) -> None:
    """Said before anything is sent."""
    settings = '[[broker]]\nurl = "mqtt://127.0.0.1:1"\nusername = "m"\npassword_file = "none"\n'

    level, text = looked(site, settings)["broker mqtt://127.0.0.1:1"]

    assert "problem" == level
    assert "none" in text


def webhook(port: int, more: str = "") -> str:
    return (
        f'broker = []\n\n[[webhook]]\nname = "desk"\nurl = "http://127.0.0.1:{port}/"\n'
        f'secret_file = "webhook.secret"\n{more}\n'
    )


@pytest.fixture
def secret(site: Site) -> Secret:
    """Return the secret that lies in the site folder."""
    made = Secret.create()
    private(site.folder / "webhook.secret", made.text)
    return made


def test_reachable_webhook_is_well(site: Site, secret: Secret, tmp_path: Path) -> None:
    """No event is sent."""
    with Inbox(secret, tmp_path / "inbox") as inbox:
        level, text = looked(site, webhook(inbox.port, "allow_private = true"))["webhook desk"]

        assert [] == inbox.events

    assert "ok" == level
    assert "can be reached" in text


def test_private_address_needs_leave(site: Site, secret: Secret) -> None:
    """The message names the key that allows it."""
    assert secret

    level, text = looked(site, webhook(free_port()))["webhook desk"]

    assert "problem" == level
    assert "allow_private = true" in text


def test_absent_webhook_is_wrong(site: Site, secret: Secret) -> None:
    """Nobody listens."""
    assert secret

    level, text = looked(site, webhook(free_port(), "allow_private = true"))["webhook desk"]

    assert "problem" == level
    assert "no connection to 127.0.0.1" in text


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("hunter2", 0o600, "webhook[0].secret_file"),
        (Secret.create().text, 0o644, "is open to others (mode 0644); allowed is 0600"),
        (None, 0o600, "cannot be read: No such file"),
    ],
)
def test_wrong_secret_is_said_and_not_shown(
    site: Site, tmp_path: Path, text: str | None, mode: int, expected: str
) -> None:
    """Malformed, open to others, missing."""
    if text is not None:
        private(site.folder / "webhook.secret", text)
        (site.folder / "webhook.secret").chmod(mode)
    with Inbox(Secret.create(), tmp_path / "inbox") as inbox:
        level, said = looked(site, webhook(inbox.port, "allow_private = true"))["webhook desk"]

    assert "problem" == level
    assert expected in said
    assert (text or "hunter2") not in said


def test_full_disk_is_wrong(site: Site) -> None:
    """Less is free than the settings want."""
    seen = looked(site, "broker = []\n[ingest]\nmin_free_bytes = 1_000_000_000_000_000\n")

    for subject in ("disk spool/", "disk lake/"):
        assert "problem" == seen[subject][0]
        assert "below ingest.min_free_bytes, acknowledging is stopped; make room" in seen[subject][1]


def test_disk_of_a_lake_elsewhere_is_looked_at(site: Site, tmp_path: Path) -> None:
    """Where `[lake] url` says, by its own name; in an object store there is no disk."""
    lake = tmp_path / "elsewhere" / "lake"

    seen = looked(site, f'broker = []\n[lake]\nurl = "{lake}"\n')
    assert "ok" == seen[f"disk of the lake, {lake}"][0]
    assert "disk lake/" not in seen
    assert {"disk spool/"} == {subject for subject in looked(site, 'broker = []\n[lake]\nurl = "s3://a/b"\n')
                               if subject.startswith("disk")}  # fmt: skip


def test_folder_that_cannot_be_written_is_wrong(site: Site) -> None:
    """A file lies where the folder should."""
    (site.folder / "lake").rmdir()
    (site.folder / "lake").touch()

    level, text = looked(site, "broker = []\n")["disk lake/"]

    assert "problem" == level
    assert "cannot be written" in text


def test_running_daemon_is_named(site: Site) -> None:
    """The lock tells."""
    with site.lock():
        level, text = looked(site, "broker = []\n")["daemon"]

    assert "ok" == level
    assert f"running: process {os.getpid()} (metriage)" == text


def test_damaged_spool_is_wrong(site: Site) -> None:
    """Everything else is looked at all the same."""
    (site.folder / "spool" / "spool.db").write_bytes(b"this is no database" * 100)

    seen = looked(site, "broker = []\n")

    assert "problem" == seen["lake"][0]
    assert "webhook" in seen


def test_command_prints_aligned_lines_and_fails_on_problems(site: Site, metriage: Callable[..., Done]) -> None:
    """One line a check where the window is wide enough; exit code 1 when something is wrong."""
    port = free_port()
    (site.folder / "metriage.toml").write_text(f'[[broker]]\nurl = "mqtt://127.0.0.1:{port}"\n', encoding="utf-8")

    done = metriage("doctor", "--dir", site.folder)
    as_json = metriage("doctor", "--dir", site.folder, "--json")

    lines = done.out.splitlines()
    checks = json.loads(as_json.out)["checks"]
    assert (1, 1) == (done.code, as_json.code)
    assert len(checks) == sum(line.startswith(("ok ", "look ", "WRONG ")) for line in lines)
    assert {"level", "subject", "text"} == set(checks[0])
    plain = {check["subject"]: check["text"] for check in checks if check["subject"] in {"daemon", "lake", "settings"}}
    assert [41, 41, 41] == [line.index(text[:20]) for text in plain.values() for line in lines if text[:20] in line]


def test_vendor_that_does_not_exist_is_a_problem(site: Site) -> None:
    """A profile that [[broker]] names must be there."""
    seen = looked(site, '[[broker]]\nurl = "mqtt://127.0.0.1:1"\nvendor = "nobody"\n')

    level, text = seen["vendor profiles"]
    assert "problem" == level
    assert "there is no vendor profile 'nobody'" in text


def test_keys_that_others_may_read_are_a_problem(site: Site) -> None:
    """The file of keys must have mode 0600; no key is shown."""
    file = site.folder / "meters.keys"
    file.write_text('"12345678" = "00112233445566778899aabbccddeeff"\n', encoding="utf-8")
    file.chmod(0o644)
    seen = looked(site, 'broker = []\n[ingest]\nkeys_file = "meters.keys"\n')

    level, text = seen["meters"]
    assert "problem" == level
    assert "chmod 600" in text
    assert "00112233" not in text
