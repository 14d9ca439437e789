"""The processes of a running origin: who they are, what they use, and on which processors they run."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

# What the kernel calls a process that a supervisor has forked begins with this.
_TITLE: Final = "lo-"
ORIGIN: Final = "origin"
PUBLISH: Final = "publish"


def processes_of(process_id: int) -> dict[str, int]:
    """Return the processes of an origin by name: `origin` for the one that was started, the names of its children."""
    found = {ORIGIN: process_id}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
            title, _, rest = stat.partition("(")[2].rpartition(")")
            if int(rest.split()[1]) == process_id and title.startswith(_TITLE):
                found[title.removeprefix(_TITLE)] = int(folder.name)
    return found


def parent_of(process_id: int) -> int | None:
    """Return the process that has started this one; None if it has ended."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def cpu_s(process_id: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(process_id: int) -> int:
    """Return the proportional set size: of a page that five processes map, a fifth."""
    return _field_bytes(Path(f"/proc/{process_id}/smaps_rollup"), "Pss:")


def private_bytes(process_id: int) -> int:
    """Return what would be free again if this process ended."""
    rollup = Path(f"/proc/{process_id}/smaps_rollup")
    return _field_bytes(rollup, "Private_Clean:") + _field_bytes(rollup, "Private_Dirty:")


def shared_bytes(process_id: int) -> int:
    """Return how much shared memory a process has looked at."""
    return _field_bytes(Path(f"/proc/{process_id}/status"), "RssShmem:")


def pin(process_id: int, core: int | None) -> None:
    """Keep a process, all its threads, to one processor; None: to none in particular."""
    cores = set(range(os.cpu_count() or 1)) if core is None else {core}
    for task in Path(f"/proc/{process_id}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


class Usage:
    """What processes use from when this is made on, and what the machine does beside."""

    def __init__(self, process_ids: Sequence[int]) -> None:
        self._before_s = {process_id: cpu_s(process_id) for process_id in process_ids}
        self._machine_s = machine_cpu_s()

    def of(self, process_id: int) -> float:
        """Return the processor time that one of them has used since."""
        return cpu_s(process_id) - self._before_s[process_id]

    def others_s(self, client_s: float) -> float:
        """Return the processor time that was used by nobody of them, nor by a client that tells of its own."""
        return max(machine_cpu_s() - self._machine_s - sum(map(self.of, self._before_s)) - client_s, 0.0)


def machine_cpu_s() -> float:
    """Return the time that all processors were busy, or taken away by a hypervisor, since the start of the machine."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def stand_aside(core: int | None) -> None:
    """Keep this process, and what it starts, off the processor of the server."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def pin_roles(processes: Mapping[str, int], publish: int | None, deliver: int | None) -> None:
    """Keep deliver processes to one processor and all others to another one."""
    for name, process_id in processes.items():
        pin(process_id, deliver if name.startswith("deliver") else publish)


def _field_bytes(path: Path, name: str) -> int:
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in {path}")
