"""The supervisor with real processes: what is killed comes back, what is replaced is never missed, nothing is left."""

import asyncio
import os
import random
import select
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR2
from typing import Final

import pytest

from origin.pid_file import find_supervisor, signal_supervisor
from tests.support.toys import PATIENCE_S, Toys, toys

CHILDREN: Final = ("publish", "deliver-0", "deliver-1")
KILLS: Final = 20
STORM: Final = 100


def descriptors(pid: int) -> list[str]:
    return sorted(os.listdir(f"/proc/{pid}/fd"))


def offspring(pid: int) -> dict[int, str]:
    """Return the children of a process with their states; `Z` is a zombie."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(each): Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2][0] for each in pids}


async def test_whoever_is_killed_comes_back_and_nothing_is_left_behind(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        before, source = descriptors(running.pid), random.Random(1)
        names = [name for name in CHILDREN for _ in range(KILLS)]
        source.shuffle(names)
        own = {name: (await running.ask(name)).descriptors_count for name in ("publish", "deliver-0")}
        for name in names:
            ready = len(running.said("process ready", child=name))
            os.kill(running.pid_of(name), SIGKILL)
            await running.until("process ready", ready + 1, child=name)
        assert len(running.said("process died", signal="SIGKILL")) == KILLS * len(CHILDREN)
        pids = {running.pid_of(name) for name in CHILDREN}
        assert offspring(running.pid).keys() == pids
        assert "Z" not in offspring(running.pid).values()
        assert descriptors(running.pid) == before
        assert (await running.ask("publish")).pid == running.pid_of("publish")
        assert {name: (await running.ask(name)).descriptors_count for name in own} == own


async def test_children_have_nobody_elses_descriptors(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        for name in CHILDREN:
            # Three standard streams, its listener, the pipe by which it got ready, and two of its own.
            assert len(descriptors(running.pid_of(name))) == 7


async def test_a_connection_made_while_a_process_is_down_is_served_by_its_successor(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        gate, old = running.gate("publish.gate"), running.pid_of("publish")
        os.kill(old, SIGKILL)
        await running.until("process started", 2, child="publish")
        asking = asyncio.create_task(running.ask("publish"))
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.ports["publish"])
        assert not asking.done()
        await running.open(gate)
        new = running.pid_of("publish")
        assert (await asking).pid == new != old
        assert str(new).encode() in await reader.readline()
        writer.close()


async def test_who_cannot_live_is_started_again_ever_more_seldom(tmp_path: Path) -> None:
    async with toys(tmp_path, first_ms=10) as running:
        crash = running.tell("deliver-0.crash")
        os.kill(running.pid_of("deliver-0"), SIGKILL)
        await running.until("process died", 6, child="deliver-0")
        crash.unlink()
        await running.until("process ready", 2, child="deliver-0")
        waits = [line["restart_in_ms"] for line in running.said("process died", child="deliver-0")[:6]]
        assert waits == [0, 10, 20, 40, 40, 40]
        assert running.said("process died", child="deliver-0", status=3)
        assert len(running.said("process started", child="publish")) == 1


async def test_an_exception_in_a_child_is_told_and_the_child_is_started_again(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        mistake = running.tell("deliver-0.raise")
        os.kill(running.pid_of("deliver-0"), SIGKILL)
        failed = await running.until("process failed", child="deliver-0")
        assert "a child's mistake" in failed["exception"]
        mistake.unlink()
        await running.until("process died", child="deliver-0", status=1)
        await running.until("process ready", 2, child="deliver-0")


async def test_the_origin_is_not_started_when_a_child_says_that_it_never_can(tmp_path: Path) -> None:
    (tmp_path / "publish.refuse").touch()
    async with toys(tmp_path, is_ready=False) as running:
        assert await running.wait() == 1
        assert running.said("not started", child="publish")


async def test_a_refusal_to_start_later_on_is_a_death_like_any_other(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        refusal = running.tell("publish.refuse")
        os.kill(running.pid_of("publish"), SIGKILL)
        await running.until("process died", child="publish", status=78)
        refusal.unlink()
        await running.until("process ready", 2, child="publish")


# -- stopping


async def test_a_stop_tells_all_at_once_and_waits_for_each(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        gates = [running.gate(f"{name}.drain") for name in CHILDREN]
        running.send(SIGTERM)
        for name in CHILDREN:
            await running.until("told to end", child=name)
        assert not running.said("process ended")
        for gate in gates:
            await running.open(gate)
        assert await running.wait() == 0
        assert len(running.said("process ended", status=0)) == len(CHILDREN)


async def test_who_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    async with toys(tmp_path, stop_ms=50) as running:
        running.tell("publish.stubborn")
        running.send(SIGTERM)
        assert await running.wait() == 0
        assert running.said("process did not end in time, killed", child="publish")
        assert running.said("process ended", child="publish", signal="SIGKILL")
        assert running.said("process ended", child="deliver-0", status=0)


async def test_a_second_interrupt_kills(tmp_path: Path) -> None:
    async with toys(tmp_path, stop_ms=600_000) as running:
        running.tell("publish.stubborn")
        running.send(SIGINT)
        await running.until("told to end", child="publish")
        running.send(SIGINT)
        assert await running.wait() == 0
        assert running.said("process ended", child="publish", signal="SIGKILL")


async def test_the_children_die_with_their_supervisor(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        watched = [os.pidfd_open(running.pid_of(name)) for name in CHILDREN]
        running.send(SIGKILL)
        assert await running.wait() == -SIGKILL
        for descriptor in watched:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(PATIENCE_S * 1_000)
            os.close(descriptor)


# -- replacing


def order(running: Toys, *wanted: tuple[str, int]) -> list[int]:
    """Return where in the log these (message, process) stand."""
    said = [(line["message"], line.get("pid")) for line in running.lines]
    return [said.index(each) for each in wanted]


async def test_all_processes_are_replaced_and_nobody_waits_in_vain(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        old = {name: running.pid_of(name) for name in CHILDREN}
        answers, is_over = [], asyncio.Event()

        async def keep_asking() -> None:
            while not is_over.is_set():
                answers.extend([await running.ask("deliver-0"), await running.ask("publish")])

        async with asyncio.TaskGroup() as group:
            group.create_task(keep_asking())
            running.send(SIGUSR2)
            await running.until("all processes replaced")
            is_over.set()
        new = {name: running.pid_of(name) for name in CHILDREN}
        assert set(old.values()).isdisjoint(new.values())
        assert offspring(running.pid).keys() == set(new.values())
        assert answers
        for name in CHILDREN[1:]:
            places = order(running, ("process ready", new[name]), ("process ended", old[name]))
            assert places == sorted(places)
        publish = order(running, ("process ended", old["publish"]), ("process started", new["publish"]))
        assert publish == sorted(publish)
        # One at a time, and the publish process last.
        assert [line["child"] for line in running.said("process replaced")] == ["deliver-0", "deliver-1", "publish"]
        assert not running.said("process died")


async def test_who_does_not_get_ready_replaces_nobody(tmp_path: Path) -> None:
    async with toys(tmp_path, ready_ms=100) as running:
        old = {name: running.pid_of(name) for name in CHILDREN}
        running.tell("deliver-1.unready")
        running.send(SIGUSR2)
        given_up = await running.until("replacing processes given up")
        assert (given_up["child"], given_up["reason"]) == ("deliver-1", "was not ready in time")
        await running.until("process ended", child="deliver-1")
        now = offspring(running.pid).keys()
        assert {old["publish"], old["deliver-1"]} < now
        assert old["deliver-0"] not in now
        assert len(now) == len(CHILDREN)


async def test_who_dies_before_it_is_ready_replaces_nobody(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        old = {name: running.pid_of(name) for name in CHILDREN}
        running.tell("deliver-0.crash")
        running.send(SIGUSR2)
        await running.until("replacing processes given up", child="deliver-0")
        assert offspring(running.pid).keys() == set(old.values())


async def test_who_dies_while_it_is_replaced_is_followed_by_its_successor(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        gate, old = running.gate("deliver-0.gate"), running.pid_of("deliver-0")
        running.send(SIGUSR2)
        await running.until("process started", 2, child="deliver-0")
        os.kill(old, SIGKILL)
        await running.until("process died", child="deliver-0")
        await running.open(gate)
        await running.until("all processes replaced")
        assert len(running.said("process started", child="deliver-0")) == 2
        assert offspring(running.pid).keys() == {running.pid_of(name) for name in CHILDREN}


async def test_a_storm_of_signals_is_one_more_replacement(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        before, gate = descriptors(running.pid), running.gate("deliver-0.gate")
        running.send(SIGUSR2)
        await running.until("process started", 2, child="deliver-0")
        for _ in range(STORM):
            running.send(SIGUSR2)
            running.send(SIGHUP)
        await running.open(gate)
        await running.until("all processes replaced", 2)
        assert descriptors(running.pid) == before
        running.send(SIGTERM)
        assert await running.wait() == 0
        assert len(running.said("replacing processes")) == 2


@pytest.mark.parametrize("gated", ["deliver-0", "publish"])
async def test_a_stop_in_the_middle_of_a_replacement_ends_everybody(tmp_path: Path, gated: str) -> None:
    async with toys(tmp_path) as running:
        running.gate(f"{gated}.gate")
        running.send(SIGUSR2)
        await running.until("process started", 2, child=gated)
        running.send(SIGTERM)
        assert await running.wait() == 0
        assert not running.said("all processes replaced")
        assert len(running.said("process started")) == len(running.said("process ended"))


async def test_a_reload_replaces_all_by_what_the_configuration_says_now(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        running.send(SIGHUP)
        await running.until("all processes replaced")
        assert [(await running.ask(name)).generation for name in ("publish", "deliver-0")] == [1, 1]
        os.kill(running.pid_of("publish"), SIGKILL)
        await running.until("process ready", 3, child="publish")
        assert (await running.ask("publish")).generation == 1


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("reload.problems", "limits.hold: too long"),
        ("reload.shape", "other processes or listeners than now need a stop and a start"),
        ("reload.raise", 'ValueError("a mistake in the configuration\'s reader")'),
    ],
)
async def test_a_configuration_with_problems_changes_nothing(tmp_path: Path, file: str, problem: str) -> None:
    async with toys(tmp_path) as running:
        mark = running.tell(file, "limits.hold: too long\n")
        running.send(SIGHUP)
        refused = await running.until("configuration not taken over")
        assert refused["problems"] == [problem]
        mark.unlink()
        running.send(SIGHUP)
        await running.until("all processes replaced")
        assert len(running.said("replacing processes")) == 1


async def test_a_publish_process_that_cannot_live_with_the_new_configuration_gets_the_old_one(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        running.tell("publish.crash-1")
        running.send(SIGHUP)
        given_up = await running.until("replacing processes given up", child="publish")
        assert given_up["reason"] == "died before it was ready; the one before is started again"
        assert (await running.ask("publish")).generation == 0


async def test_a_publish_process_that_takes_long_to_be_ready_is_left_alone(tmp_path: Path) -> None:
    async with toys(tmp_path, ready_ms=100) as running:
        gate = running.gate("publish.gate")
        running.send(SIGUSR2)
        await running.until("replacing processes given up", child="publish")
        await running.open(gate)
        await running.until("process ready", 2, child="publish")
        assert len(running.said("process started", child="publish")) == 2


# -- who finds it


async def test_a_supervisor_is_found_and_told_by_its_pid_file(tmp_path: Path) -> None:
    async with toys(tmp_path) as running:
        assert find_supervisor(tmp_path) == running.pid
        assert signal_supervisor(tmp_path, SIGUSR2) == running.pid
        await running.until("all processes replaced")
        running.send(SIGKILL)
        await running.wait()
    assert (tmp_path / "supervisor.pid").read_text() == f"{running.pid}\n"
    assert signal_supervisor(tmp_path, SIGUSR2) is None


async def test_a_folder_has_one_supervisor(tmp_path: Path) -> None:
    async with toys(tmp_path) as running, toys(tmp_path, is_ready=False) as second:
        assert await second.wait() == 1
        assert second.said("refused", reason=f"another live-origin runs in {tmp_path}")
        assert not second.said("process started")
        assert (await running.ask("publish")).pid == running.pid_of("publish")
