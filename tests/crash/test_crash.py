"""The short form of the crash harness, and that its judgement sees what it is there to see."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lake.failpoints import FAILPOINTS
from tests.crash.__main__ import run, table
from tests.crash.judgement import judge
from tests.crash.proxy import Proxy, Weather
from tests.crash.scenarios import SCENARIOS
from tests.crash.traffic import Expected, Message, Reading, Traffic
from tests.ingest.messages import drain, spool_messages
from tests.processes import wait_until
from tests.recordings import ROOT

# Kills at random moments and broker restarts are left to `make crash`; tests/ingest/test_daemon.py has some of each.
SHORT = {"steps": 1, "power": 1, "session": 1}


def ingested(site: Path, messages: list[Message]) -> None:
    """Bring messages into the lake of a site, without a broker."""
    spool_messages(site, [(message.topic, message.payload) for message in messages])
    drain(site)
    (site / "metriage.toml").write_text("")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_crash_short_form(tmp_path: Path, name: str) -> None:
    """A few rounds of each kind of harm: nothing lost, nothing doubled, the account exact."""
    if name == "power":
        from tests.crash.disks import may_mount

        if not may_mount(images=True):
            pytest.skip("only root with mkfs.ext4 and loop devices may mount the disk whose power is cut")
    [outcome] = run([name], tmp_path, seed=1, kills=6, rounds=SHORT[name], rate=300)

    assert outcome.verdict.problems == []
    assert (outcome.verdict.lost, outcome.verdict.doubled) == (0, 0)
    assert outcome.runs > 0
    assert outcome.acknowledged > 0


def test_traffic_is_the_same_for_the_same_seed() -> None:
    """Two runs of a seed send the same messages; another seed sends others."""
    one, again, other = (list(map(Traffic(seed).message, range(500))) for seed in (1, 1, 2))

    assert one == again
    assert one != other


def test_judge_accepts_what_is_right(tmp_path: Path) -> None:
    """Everything once, among it duplicates, corrections, late data and poison: no complaint."""
    messages = list(map(Traffic(1).message, range(2_000)))
    ingested(tmp_path, messages)
    verdict = judge(tmp_path, Expected().add(messages))

    assert verdict.problems == []
    assert (verdict.lost, verdict.doubled, verdict.redelivered) == (0, 0, 0)


@pytest.mark.parametrize("gone", [10, 500, 1_999])
def test_judge_sees_one_lost_message(tmp_path: Path, gone: int) -> None:
    """One message that never arrived is seen, whatever it was."""
    messages = list(map(Traffic(1).message, range(2_000)))
    ingested(tmp_path, messages[:gone] + messages[gone + 1 :])
    verdict = judge(tmp_path, Expected().add(messages))

    assert verdict.problems


def test_judge_sees_a_doubled_row(tmp_path: Path) -> None:
    """A row that stands twice in the lake is seen, and so is one that was never sent."""
    from lake.schemas import READINGS
    from lake.tables import Lake

    reading = Reading("m1", 1_704_067_200, 1, 1.5)
    message = Message("meters/m1/readings", b'{"meter_id":"m1","ts":1704067200,"seq":1,"volume_m3":1.5}', (reading,))
    ingested(tmp_path, [message])
    lake = Lake(tmp_path / "lake")
    lake.append(READINGS, lake.read(READINGS))
    verdict = judge(tmp_path, Expected().add([message]))

    assert verdict.doubled == 1
    assert verdict.problems
    assert judge(tmp_path, Expected()).problems


def test_table_names_every_scenario() -> None:
    """The Markdown table has a line for each scenario that was run."""
    from tests.crash.line import Outcome

    lines = table([Outcome(name) for name in SCENARIOS])

    assert len(lines) == len(SCENARIOS) + 2
    assert all(f"`{name}`" in line for name, line in zip(SCENARIOS, lines[2:], strict=True))


def test_proxy_passes_cuts_and_refuses() -> None:
    """Bytes pass in fair weather; a cut ends the connection after exactly so many bytes; refusing resets."""
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port))
        broker, _ = server.accept()
        with client, broker:
            client.sendall(b"up")
            assert broker.recv(10) == b"up"
            proxy.cut_in_packet(3)
            broker.sendall(b"packet")
            received = b""
            try:
                while data := client.recv(10):
                    received += data
            except ConnectionResetError:
                pass
            assert b"packet"[: len(received)] == received
            assert len(received) <= 3
        proxy.weather = Weather(refusing=True)
        with socket.create_connection(("127.0.0.1", proxy.port)) as refused:
            wait_until(lambda: _is_reset(refused), "the reset")


def _is_reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_durability_document_names_every_step() -> None:
    """docs/durability.md lists every failpoint with its meaning, and every scenario."""
    text = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")

    assert [] == [name for name, meaning in FAILPOINTS.items() if f"| `{name}` | {meaning} |" not in text]
    assert [] == [name for name in SCENARIOS if f"| `{name}` |" not in text]
