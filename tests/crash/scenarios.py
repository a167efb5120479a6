"""The scenarios: each does one kind of harm to a running line, then judges what is left."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from lake.failpoints import FAILPOINTS
from tests.crash.disks import MortalDisk, SmallDisk, may_mount
from tests.crash.hostile import Hostile
from tests.crash.judgement import judge_hostile, table
from tests.crash.line import CLIENT, Line, Outcome
from tests.crash.proxy import FAIR, Weather
from tests.processes import Publisher, run_metriage, status_of, wait_until

_FAKETIME = "faketime/libfaketimeMT.so.1"
_REACH_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do.

    Parameters
    ----------
    folder : Path
        For everything the scenario makes; empty.
    seed : int
        Of messages and moments.
    kills : int
        Random moments.
    rounds : int
        How often the other kinds of harm are done.
    rate : float
        Messages a second.
    say : callable
        Told what is being done.
    """

    folder: Path
    seed: int
    kills: int
    rounds: int
    rate: float
    say: Callable[[str], None]


Scenario = Callable[[Plan, Outcome], None]


def named_steps(plan: Plan, outcome: Outcome) -> None:
    """Kill -9 at every named step, and see that the step was reached and that a process died of it."""
    trigger = plan.folder / "kill"
    with Line(
        plan.folder, plan.seed, rate=plan.rate, compact_every_s=1, environment={"METRIAGE_KILL_FILE": str(trigger)}
    ) as line:
        line.meters.flow()
        for _ in range(plan.rounds):
            for name in FAILPOINTS:
                # Ingest does not come by: tests/ingest/test_replay.py and tests/metriage/test_running.py kill there.
                if name.startswith(("replay.", "diagnosis.", "hot.", "tickets.")):
                    continue
                plan.say(f"kill -9 at {name}")
                outcome.runs += 1
                _kill_at(name, trigger, line, outcome)
        line.judge(outcome)


def _kill_at(name: str, trigger: Path, line: Line, outcome: Outcome) -> None:
    """Arm one step, wait until a process died there, and bring the line up again."""
    if name == "compact.vacuuming":
        _leave_orphan(line.site)
    if name == "receive.connected":  # only a daemon that starts comes by
        line.daemon.kill(whole_group=True)
        line.glance(outcome)
    armed = trigger.with_suffix(".new")
    armed.write_text(name, encoding="ascii")
    armed.rename(trigger)
    if name == "receive.connected":
        line.restart()
    until = time.monotonic() + _REACH_S
    while not (reached := list(trigger.parent.glob(f"{trigger.name}.reached.*"))):
        if line.daemon.process.poll() is not None or time.monotonic() > until:
            break
        time.sleep(0.02)
        if name.startswith("compact.") and time.monotonic() > until - _REACH_S / 2:
            if name == "compact.vacuuming":
                _leave_orphan(line.site)
            run_metriage("compact", "--dir", line.site, check=False, environment={"METRIAGE_KILL_FILE": str(trigger)})
    reached = reached or list(trigger.parent.glob(f"{trigger.name}.reached.*"))
    trigger.unlink(missing_ok=True)
    if not reached:
        outcome.verdict.problems.append(f"{name} was never reached")
        if line.daemon.process.poll() is not None:
            line.restart()
        return
    pid = int(reached[0].name.rpartition(".")[2])
    reached[0].unlink()
    wait_until(lambda: not _alive(pid), f"process {pid} to die at {name}")
    if pid == line.daemon.process.pid:
        code = line.daemon.process.wait()
        if code != -signal.SIGKILL:
            outcome.verdict.problems.append(f"{name}: the daemon ended with {code} instead of SIGKILL")
    else:
        # The daemon starts it again, later each time; killing it as well keeps the run short, and is a case of its own.
        line.daemon.kill(whole_group=True)
        line.glance(outcome)
    line.restart()
    line.daemon.wait_connected()


def _leave_orphan(site: Path) -> None:
    """Leave a file that no log names, as a killed writer does, and note that a run long ago has seen it."""
    lake = site / "lake"
    orphan = lake / "readings" / "part-orphan.parquet"
    orphan.write_bytes(b"left behind")
    long_ago = time.time() - 30 * 86_400
    os.utime(orphan, (long_ago, long_ago))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    note = lake / "_metriage" / "old-readings.json"
    note.parent.mkdir(exist_ok=True)
    draft = note.with_suffix(".draft")
    draft.write_text(json.dumps({orphan.relative_to(lake).as_posix(): {"boot": boot, "seconds": -1e6}}))
    draft.rename(note)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def random_moments(plan: Plan, outcome: Outcome) -> None:
    """Kill -9 at random moments: all processes, the receiver alone, what it started alone."""
    moments = random.Random(plan.seed)
    with Line(plan.folder, plan.seed, rate=plan.rate) as line:
        line.meters.flow()
        for turn in range(plan.kills):
            time.sleep(moments.choice((0.1, 0.5, 2.0)) * moments.random())
            outcome.runs += 1
            kind = moments.choice(("everything", "receiver", "children"))
            plan.say(f"kill -9 {turn + 1} of {plan.kills}: {kind}")
            if kind == "children" and line.kill_children():
                continue
            line.daemon.kill(whole_group=kind == "everything")
            if turn % 10 == 0:
                line.glance(outcome)
            line.restart()
            if moments.random() < 0.7:  # else it may die again while it starts
                line.daemon.wait_connected()
        line.judge(outcome)


def power_cuts(plan: Plan, outcome: Outcome) -> None:
    """Cut the power at random moments: processes die, and the disk forgets what was not synced."""
    moments = random.Random(plan.seed)
    with contextlib.ExitStack() as stack:
        disks: list[MortalDisk] = []
        image = plan.folder / "disk.img"
        line = stack.enter_context(
            Line(
                plan.folder, plan.seed, rate=plan.rate,
                prepare=lambda site: disks.append(stack.enter_context(MortalDisk(site, image))),
            )
        )  # fmt: skip
        line.meters.flow()
        for turn in range(plan.rounds * 2):
            time.sleep(0.5 + 2 * moments.random())
            plan.say(f"power cut {turn + 1} of {plan.rounds * 2}")
            outcome.runs += 1
            disks[0].cut_power(line.daemon)
            line.glance(outcome)
            line.restart()
            line.daemon.wait_connected()
        line.judge(outcome)


def broker_restarts(plan: Plan, outcome: Outcome) -> None:
    """Stop the broker gracefully, so that it saves its state, and start it again, while messages flow."""
    with Line(plan.folder, plan.seed, rate=plan.rate) as line:
        line.meters.flow()
        for turn in range(plan.rounds):
            time.sleep(1.5)
            plan.say(f"broker restart {turn + 1} of {plan.rounds}")
            outcome.runs += 1
            line.mosquitto.stop()
            line.mosquitto.start()
            sent = line.meters.sent
            wait_until(lambda: line.meters.sent > sent + 500, "the meters to come back")  # noqa: B023
        line.judge(outcome)


def session_losses(plan: Plan, outcome: Outcome) -> None:
    """Lose the broker's store while the daemon is away, with known messages in it: that is recorded as a gap."""
    with Line(plan.folder, plan.seed, rate=plan.rate) as line:
        line.meters.flow()
        for turn in range(plan.rounds):
            time.sleep(1)
            line.settle()
            plan.say(f"session loss {turn + 1} of {plan.rounds}")
            outcome.runs += 1
            line.daemon.stop()
            first = line.meters.sent
            line.meters.flow()
            wait_until(lambda: line.meters.sent >= first + 300, "messages for an absent daemon")  # noqa: B023
            line.meters.pause()
            line.excused.append(range(first, line.meters.sent))
            line.mosquitto.stop()
            line.mosquitto.forget()
            line.mosquitto.start()
            subscribed = line.mosquitto.subscriptions(CLIENT)
            line.restart()
            line.wait_subscribed(subscribed)
            line.meters.flow()
        line.judge(outcome)
        _judge_gaps(line, outcome)


def _judge_gaps(line: Line, outcome: Outcome) -> None:
    gaps = table(line.site, "gaps")
    kinds = [] if gaps is None else gaps["kind"].to_list()
    if kinds != ["session_lost"] * outcome.runs:
        outcome.verdict.problems.append(f"lake/gaps has {kinds} for {outcome.runs} lost sessions")


def network_cuts(plan: Plan, outcome: Outcome) -> None:
    """Stall, delay, throttle, reset, cut in the middle of a packet, close one direction, swallow acknowledgements."""
    with Line(plan.folder, plan.seed, rate=plan.rate, proxied=True) as line:
        proxy = line.proxy
        assert proxy is not None

        def bad_weather(weather: Weather, seconds: float) -> None:
            proxy.weather = weather
            time.sleep(seconds)
            proxy.weather = FAIR

        def swallowed() -> None:
            bad_weather(Weather(deaf=True), 0.7)
            proxy.reset()

        harms: dict[str, Callable[[], object]] = {
            "reset": proxy.reset,
            "cut in a packet": lambda: proxy.cut_in_packet(12_345),
            "acknowledgements swallowed, then reset": swallowed,
            "one direction closed": proxy.close_half,
            "delayed": lambda: bad_weather(Weather(delay_s=0.05), 2),
            "throttled": lambda: bad_weather(Weather(bytes_per_s=50_000), 2),
            "stalled": lambda: bad_weather(Weather(stalled=True), 2),
            "stalled beyond the keep-alive": lambda: bad_weather(Weather(stalled=True), 9),
            "refused": lambda: (setattr(proxy, "weather", Weather(refusing=True)), proxy.reset(), time.sleep(1),
                                setattr(proxy, "weather", FAIR)),
        }  # fmt: skip
        line.meters.flow()
        for _ in range(plan.rounds):
            for name, harm in harms.items():
                plan.say(f"network {name}")
                outcome.runs += 1
                harm()
                time.sleep(1.5)
        line.judge(outcome)


def disk_full(plan: Plan, outcome: Outcome) -> None:
    """Fill the disk of the spool, then that of the lake, and free it again."""
    if not may_mount():
        plan.say("not root: no small disk; the spool's own limit stands in for it")
        _spool_limit(plan, outcome)
        return
    with contextlib.ExitStack() as stack:
        disks: list[SmallDisk] = []

        def prepare(site: Path) -> None:
            disks.extend(stack.enter_context(SmallDisk(site / name, 64_000_000)) for name in ("spool", "lake"))

        line = stack.enter_context(
            Line(plan.folder, plan.seed, rate=plan.rate, ingest="min_free_bytes = 0", prepare=prepare)
        )
        line.meters.flow()
        for turn in range(plan.rounds):
            for disk in disks:
                plan.say(f"disk of the {disk.folder.name} full, {turn + 1} of {plan.rounds}")
                outcome.runs += 1
                time.sleep(1.5)
                disk.fill()
                _while_full(line, disk, outcome)
                disk.free()
                line.settle()
                line.meters.flow()
        line.judge(outcome)


def _while_full(line: Line, disk: SmallDisk, outcome: Outcome) -> None:
    """See that a full spool stops acknowledging and says so, and that a full lake does not slow the spool."""
    if disk.folder.name == "spool":
        wait_until(lambda: line.daemon.said("not acknowledging"), "the daemon to stop acknowledging")
        try:
            wait_until(lambda: _says_stopped(line), "status to say that nothing is acknowledged", 90)
        except TimeoutError:
            outcome.verdict.problems.append("status does not say that nothing is acknowledged")
        return
    before = status_of(line.site)["messages"]["received"]
    sent = line.meters.sent
    wait_until(lambda: line.meters.sent > sent + 1_500, "more messages")
    wait_until(lambda: status_of(line.site)["messages"]["received"] > before + 1_000, "the spool to go on")


def _says_stopped(line: Line) -> bool:
    return "ACKNOWLEDGING IS STOPPED" in run_metriage("status", "--dir", line.site, check=False).stdout


def _spool_limit(plan: Plan, outcome: Outcome) -> None:
    """Without a disk of our own: the lake writer stands still until the spool has reached its limit."""
    with Line(plan.folder, plan.seed, rate=plan.rate * 4, ingest="spool_limit_bytes = 10000000") as line:
        line.meters.flow()
        outcome.runs += 1
        writers = line.processes()
        for writer in writers:
            os.kill(writer, signal.SIGSTOP)
        wait_until(lambda: line.daemon.said("not acknowledging"), "the daemon to stop acknowledging", 120)
        for writer in writers:
            os.kill(writer, signal.SIGCONT)
        line.judge(outcome)


def clock_jumps(plan: Plan, outcome: Outcome) -> None:
    """Move the daemon's wall clock while it runs: a day ahead, a day back, to 2038 and to 1970."""
    library = next((path for path in Path("/usr/lib").glob(f"*/{_FAKETIME}")), None)
    if library is None:
        plan.say("libfaketime is not installed (Debian: faketime): no clock jumps")
        return
    clock = plan.folder / "clock"
    clock.write_text("+0", encoding="ascii")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a step of the wall clock leaves the monotonic one alone
        "DONT_FAKE_MONOTONIC": "1",  # its name in older versions
    }
    with Line(plan.folder, plan.seed, rate=plan.rate, environment=environment) as line:
        line.meters.flow()
        for _ in range(plan.rounds):
            for jump in ("+1d", "+0", "-1d", "+0", "@2038-01-19 03:14:00", "+0"):
                plan.say(f"clock at {jump}")
                outcome.runs += 1
                time.sleep(1)
                _set_clock(clock, jump)
                time.sleep(1)
                compacted = run_metriage("compact", "--dir", line.site, check=False, environment=environment)
                if "Errno 22" in compacted.stderr and "time.sleep" in compacted.stderr:  # libfaketime's, see below
                    compacted = run_metriage("compact", "--dir", line.site, check=False)
                # The daemon's own compaction may be at it: a jump of the clock makes it due.
                busy = "(compact)" in compacted.stderr
                if compacted.returncode and not busy:
                    outcome.verdict.problems.append(f"compact at {jump}: {compacted.stderr[-500:]}")
            plan.say("clock in 1970")
            outcome.runs += 1
            _while_in_1970(line, clock)
            line.meters.flow()
        line.settle()
        # libfaketime makes time.sleep fail now and then, which the daemon calls while it stops: it stops without it.
        line.daemon.kill(whole_group=True)
        line.daemon.environment = dict(os.environ)
        line.restart()
        line.judge(outcome)


def _set_clock(clock: Path, text: str) -> None:
    new = clock.with_suffix(".new")
    new.write_text(text, encoding="ascii")
    new.rename(clock)


def _while_in_1970(line: Line, clock: Path) -> None:
    """Send known readings while the clock says 1970: to it they lie in the future, so they must be quarantined."""
    line.settle()
    before = status_of(line.site)["messages"]["received"]
    _set_clock(clock, "@1970-01-02 00:00:00")
    line.send_own(line.traffic.from_the_future(line.own_sent + place) for place in range(50))
    wait_until(lambda: status_of(line.site)["messages"]["received"] >= before + 50, "the readings to arrive")
    _set_clock(clock, "+0")


def hostile_payloads(plan: Plan, outcome: Outcome) -> None:
    """Send what no meter sends, mutated, huge, nested, encoded wrongly: nothing crashes, stalls or vanishes."""
    with Line(plan.folder, plan.seed) as line:
        count = 2_000 * plan.rounds
        plan.say(f"{count} hostile payloads through broker and daemon")
        messages = list(itertools.islice(Hostile(plan.seed).messages(), count))
        with Publisher(line.mosquitto.port) as publisher:
            outcome.runs += publisher.publish_all(messages)
        line.settle()
        if line.daemon.stop():
            outcome.verdict.problems.append(f"the daemon did not end well: {line.daemon.log()[-2000:]}")
        outcome.acknowledged += count + line.own_sent
        outcome.verdict.problems += judge_hostile(line.site, messages, line.own_sent)
        outcome.verdict.problems += _raw_controls("the log", (plan.folder / "daemon.log").read_bytes())
        said = run_metriage("status", "--dir", line.site)
        outcome.verdict.problems += _raw_controls("status", (said.stdout + said.stderr).encode())


def _raw_controls(where: str, text: bytes) -> list[str]:
    """Return a complaint when a control byte other than a line end stands in what people will see."""
    found = sorted({byte for byte in text if byte < 0x20 and byte not in b"\n\t"} | ({0x7F} & set(text)))
    sent = [words for words in (b"\xe2\x80\xae", b"\xc2\x9b") if words in text]
    return [f"{where} shows raw control bytes {found} {sent}"] if found or sent else []


SCENARIOS: dict[str, Scenario] = {
    "steps": named_steps,
    "random": random_moments,
    "power": power_cuts,
    "broker": broker_restarts,
    "session": session_losses,
    "network": network_cuts,
    "disk": disk_full,
    "clock": clock_jumps,
    "hostile": hostile_payloads,
}
