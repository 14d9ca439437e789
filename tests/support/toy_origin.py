"""A supervisor with toy children, run as `python -m tests.support.toy_origin FOLDER OPTIONS`.

A child answers each connection with its name, generation and process id. What it does otherwise is told by files in the
folder that begin with its name:

    .gate      a FIFO: it begins when somebody has opened the other end     .drain   the same, at its end
    .crash     it ends with status 3                                        .crash-1 the same, from a reload on
    .refuse    it ends with EXIT_REFUSED     .raise     it raises           .unready it never says that it is ready
    .stubborn  SIGTERM does nothing

`reload.problems` holds why a reload is refused, `reload.shape` makes it return one child more, `reload.raise` raise.
"""

import json
import logging
import os
import select
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Final

from config.model import Address
from origin.backoff import Waits
from origin.children import EXIT_REFUSED, Child, ChildContext
from origin.direct_log import log_directly
from origin.listening import listen_sockets
from origin.logs import fields
from origin.notify import Notifier
from origin.pid_file import AlreadyRunning
from origin.supervisor import Options, Refused, Supervisor

log = logging.getLogger("toy")

WORKERS: Final = 2
ANYWHERE: Final = Address("127.0.0.1", 0)


def run(context: ChildContext, generation: int) -> int:
    """Be a child."""

    def is_told(what: str) -> bool:
        return (context.folder / f"{context.name}.{what}").exists()

    if is_told("gate"):
        pass_through(context.folder / f"{context.name}.gate")
    if is_told("crash") or is_told(f"crash-{generation}"):
        return 3
    if is_told("refuse"):
        return EXIT_REFUSED
    if is_told("raise"):
        raise ValueError("a child's mistake")
    is_ended = False
    read_descriptor, write_descriptor = os.pipe2(os.O_NONBLOCK)

    def end(number: int, _: object) -> None:
        nonlocal is_ended
        log.info("told to end", extra=fields(child=context.name))
        is_ended = not is_told("stubborn")

    signal.signal(signal.SIGTERM, end)
    signal.set_wakeup_fd(write_descriptor)
    poll = select.poll()
    poll.register(read_descriptor, select.POLLIN)
    (listener,) = context.sockets[context.name]
    poll.register(listener, select.POLLIN)
    if not is_told("unready"):
        context.ready()
    while not is_ended:
        for descriptor, _ in poll.poll():
            if descriptor == read_descriptor:
                os.read(descriptor, 100)
            else:
                answer(context, generation)
    listener.close()
    if is_told("drain"):
        pass_through(context.folder / f"{context.name}.drain")
    return 0


def answer(context: ChildContext, generation: int) -> None:
    """Answer one connection, if no other process was faster."""
    try:
        connection, _ = context.sockets[context.name][0].accept()
    except BlockingIOError:
        return
    with connection:
        descriptors = len(os.listdir("/proc/self/fd"))
        connection.sendall(f"{context.name} {generation} {os.getpid()} {descriptors}\n".encode())


def pass_through(gate: Path) -> None:
    """Wait until somebody opens the other end."""
    os.close(os.open(gate, os.O_RDONLY))


def children(generation: int) -> list[Child]:
    """Return one publish process and the workers."""
    body = partial(run, generation=generation)
    names = [f"deliver-{slot}" for slot in range(WORKERS)]
    return [
        Child("publish", body, ("publish",)),
        *(Child(name, body, (name,), slot, is_replaced_beside=True) for slot, name in enumerate(names)),
    ]


def main() -> int:
    """Run until stopped."""
    folder, told = Path(sys.argv[1]), json.loads(sys.argv[2])
    log_directly("debug")
    workers = listen_sockets(ANYWHERE, WORKERS, reuse_port=True)
    sockets = {"publish": listen_sockets(ANYWHERE)[0]} | {f"deliver-{slot}": each for slot, each in enumerate(workers)}
    ports = {name: each[0].getsockname()[1] for name, each in sockets.items()}
    generation = 0

    def reload() -> list[Child] | Refused:
        nonlocal generation
        if (folder / "reload.raise").exists():
            raise ValueError("a mistake in the configuration's reader")
        if (folder / "reload.problems").exists():
            return Refused(tuple((folder / "reload.problems").read_text().splitlines()))
        if (folder / "reload.shape").exists():
            return [*children(generation), Child("another", partial(run, generation=generation))]
        generation += 1
        return children(generation)

    options = Options(
        folder=folder,
        stop_ms=told["stop_ms"],
        ready_ms=told["ready_ms"],
        waits=Waits(first_ms=told["first_ms"], max_ms=4 * told["first_ms"], healthy_ms=30_000),
        reload=reload,
        on_ready=lambda: log.info("serving", extra=fields(ports=ports)),
    )
    try:
        return Supervisor(children(0), sockets, options, Notifier(os.environ)).run()
    except AlreadyRunning as exc:
        log.info("refused", extra=fields(reason=str(exc)))
        return 1


if __name__ == "__main__":
    sys.exit(main())
