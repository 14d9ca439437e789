"""What bodies in shared memory cost: memory of one publisher and its readers together, and time per call.

    python -m tests.benchmarks.memory_shared [--readers 4] [--mib 256] [--bytes 100000]

One process puts bodies, the readers are told over a socket and read every byte of each. Then each process looks up
its own proportional set size: a page that five processes map counts as a fifth in each. The smallest a process can be
(this one, without bodies) is measured first.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import time
from pathlib import Path
from typing import Final, cast

from storage.arenas import Announcement, ArenaGone, ArenaMade, BodyPlaced
from storage.base import BodyKey
from storage.eviction import MediaPlace
from storage.ram import Ram, RamTier
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader

MIB: Final = 2**20
FRAME_BYTES_MAX: Final = 4096


def key_of(number: int) -> BodyKey:
    return BodyKey(f"bench/{number // 32}/v720~{number}~a~{number:032x}")


def place_of(key: BodyKey) -> MediaPlace:
    number = int(key.split("~")[1])
    return MediaPlace("bench/v720", number, number * 2_000)


def pss_bytes() -> int:
    """Return the proportional set size of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss line")


def read_as_told(channel: socket.socket, capacity_bytes: int) -> None:
    """Be a reader: do as the publisher tells, read everything when it asks, and answer with what was measured."""
    reader = SharedRamReader(capacity_bytes)
    keys: list[BodyKey] = []
    while True:
        frame, fds, _, _ = socket.recv_fds(channel, FRAME_BYTES_MAX, 1)
        name, *told = json.loads(frame)
        match name:
            case "made":
                reader.attach(told[0], told[1], fds[0])
            case "placed":
                reader.place(*told)
                keys.append(told[0])
            case "gone":
                reader.gone(told[0])
            case "read":
                bodies = [body for key in keys if (body := reader.get(key)) is not None]
                checked = sum(sum(body[::1024]) for body in bodies)  # touches every page
                gets_ns = []
                for key in keys:
                    begun_ns = time.perf_counter_ns()
                    reader.get(key)
                    gets_ns.append(time.perf_counter_ns() - begun_ns)
                answer = {"bodies": len(bodies), "checked": checked, "get_ns": statistics.median(gets_ns)}
                channel.send(json.dumps(answer).encode())
            case "measure":
                channel.send(json.dumps(pss_bytes()).encode())
            case _:
                return


class Readers:
    """The reader processes."""

    def __init__(self, count: int, capacity_bytes: int) -> None:
        self.channels: list[socket.socket] = []
        self.pids: list[int] = []
        for _ in range(count):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
            if not pid:
                signal.alarm(300)
                ours.close()
                read_as_told(theirs, capacity_bytes)
                os._exit(0)
            theirs.close()
            self.channels.append(ours)
            self.pids.append(pid)

    def tell(self, told: Announcement) -> None:
        for channel in self.channels:
            match told:
                case ArenaMade(arena_id, size_bytes, fd):
                    frame = json.dumps(["made", arena_id, size_bytes])
                    socket.send_fds(channel, [frame.encode()], [fd])
                case BodyPlaced():
                    channel.send(json.dumps(["placed", *told]).encode())
                case ArenaGone():
                    channel.send(json.dumps(["gone", *told]).encode())

    def measure(self) -> list[int]:
        """Return their proportional set sizes."""
        return [cast(int, answer) for answer in self.ask("measure")]

    def ask(self, name: str) -> list[object]:
        for channel in self.channels:
            channel.send(json.dumps([name]).encode())
        return [json.loads(channel.recv(FRAME_BYTES_MAX)) for channel in self.channels]

    def end(self) -> None:
        for channel in self.channels:
            channel.send(b'["end"]')
        for pid in self.pids:
            os.waitpid(pid, 0)


def put_all(ram: Ram, count: int, body: bytes) -> list[float]:
    """Put bodies; returns the us that each took."""
    took_us = []
    for number in range(count):
        begun_ns = time.perf_counter_ns()
        ram.put(key_of(number), body)
        took_us.append((time.perf_counter_ns() - begun_ns) / 1000)
    return took_us


def gets_ns(ram: Ram, count: int) -> float:
    begun_ns = time.perf_counter_ns()
    for number in range(count):
        ram.get(key_of(number))
    return (time.perf_counter_ns() - begun_ns) / count


def show_puts(name: str, took_us: list[float]) -> None:
    cuts = statistics.quantiles(took_us, n=100)
    print(f"| {name} | {cuts[49]:.1f} | {cuts[98]:.1f} | {max(took_us):.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and time of bodies in shared memory.")
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--mib", type=int, default=256, help="of bodies")
    parser.add_argument("--bytes", type=int, default=100_000, help="size of a body")
    arguments = parser.parse_args()
    count = arguments.mib * MIB // arguments.bytes
    capacity_bytes = (arguments.mib + arguments.mib // 8) * MIB
    body = os.urandom(arguments.bytes)
    readers = Readers(arguments.readers, capacity_bytes)
    before = [pss_bytes(), *readers.measure()]
    tier = SharedRam(capacity_bytes, place_of, readers.tell)
    put_all(tier, count, body)
    answers = readers.ask("read")
    after = [pss_bytes(), *readers.measure()]
    print(f"{count} bodies of {arguments.bytes} bytes, {arguments.mib} MiB, Python {platform.python_version()}")
    print(f"answers of the readers: {answers}")
    print(f"PSS in MiB before: {[round(each / MIB, 1) for each in before]}, together {sum(before) / MIB:.1f}")
    print(f"PSS in MiB after: {[round(each / MIB, 1) for each in after]}, together {sum(after) / MIB:.1f}")
    print(f"the bodies take {(sum(after) - sum(before)) / tier.used_bytes:.2f} times their size")
    tier.close()
    readers.end()

    # Four times what there is room for, so that most of it makes room.
    print("| put | p50 us | p99 us | max us |\n|---|---|---|---|")
    shared = SharedRam(capacity_bytes, place_of)
    show_puts("shared", put_all(shared, 4 * count, body))
    private = RamTier(capacity_bytes, place_of)
    show_puts("private", put_all(private, 4 * count, body))
    print(
        f"get: shared {gets_ns(shared, 4 * count):.0f} ns, private {gets_ns(private, 4 * count):.0f} ns (key included)"
    )


if __name__ == "__main__":
    main()
