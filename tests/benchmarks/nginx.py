"""Debian's nginx as the measure of speed: one worker, with the settings that brought its best figures here.

Tried with 1 KB to 4 MB on 2 cores, 2026-11-23: `aio threads` halves the answers at 64 KB, of `sendfile_max_chunk` no
effect was seen; `tcp_nopush off` and `sendfile off` are best at something at some sizes, where they are measured too.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.client import Address
from tests.benchmarks.processes import parent_of, pin
from tests.edge.daemons import command, free_address

START_S_MAX: Final = 20.0

_CONFIGURATION: Final = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{
    use epoll;
    worker_connections 16384;
    multi_accept on;
}}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    types {{ video/mp4 m4s mp4; }}
    open_file_cache max=65536 inactive=1h;
    open_file_cache_valid 1h;
    open_file_cache_min_uses 1;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
{tuning}
    client_body_temp_path {folder}/uploads;
    client_max_body_size 64m;
    server {{
        listen {host}:{port} backlog=4096;
        root {folder}/root;
        etag on;
        location / {{
            add_header Cache-Control "public, max-age=86400, immutable";
        }}
        location /push/ {{
            alias {folder}/root/;
            tcp_nopush off;
            add_header Cache-Control "public, max-age=86400, immutable";
        }}
        location /plain/ {{
            alias {folder}/root/;
            sendfile off;
            output_buffers 1 64k;
            add_header Cache-Control "public, max-age=86400, immutable";
        }}
        # A tree of its own: what is written is not what is read, so nothing of it is in open_file_cache.
        location /dav/ {{
            dav_methods PUT;
            create_full_put_path on;
            dav_access user:rw;
        }}
    }}
}}
"""

# The body of an upload is written when it is whole, or when the buffer is full: with the default of 16 KiB an upload of
# 1 MB took twice the time, with 2 MiB the same.
TUNING: Final = """
    client_body_buffer_size 1m;
"""
# Ways to send the same files, by the path below which they are sent so. Which is best depends on the size, and on
# whether answers a second count or processor time; so each is measured where it was the best at something.
NOPUSH: Final = ""
PUSH: Final = "/push"
PLAIN: Final = "/plain"
WAYS: Final = {NOPUSH: "sendfile, nopush", PUSH: "sendfile", PLAIN: "read, write"}
# Takes uploads.
DAV: Final = "/dav"


@dataclass(frozen=True)
class Nginx:
    """A running nginx.

    Args:
        root: What it serves; `/dav/` below it takes uploads.
        worker_id: The process that serves.
    """

    address: Address
    root: Path
    worker_id: int

    def write(self, name: str, body: bytes) -> None:
        """Put a file where it is served as `/name`."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@contextmanager
def nginx(folder: Path, core: int | None, tuning: str = TUNING) -> Iterator[Nginx]:
    """Run nginx below a folder, on one processor.

    Raises:
        RuntimeError: It does not start.
    """
    host, port = free_address()
    (folder / "root" / "dav").mkdir(parents=True)
    user = "user root;" if os.geteuid() == 0 else ""  # its worker must be able to write here
    text = _CONFIGURATION.format(user=user, folder=folder, host=host, port=port, tuning=tuning)
    path = folder / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    arguments = [command("nginx"), "-p", str(folder), "-e", str(folder / "start.log"), "-c", str(path)]
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(process, (host, port), folder)
        worker_id = _worker_of(process)
        for process_id in (process.pid, worker_id):
            pin(process_id, core)
        yield Nginx((host, port), folder / "root", worker_id)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=START_S_MAX)
        finally:
            process.kill()
            process.wait()


def version() -> str:
    """Return what it calls itself.

    >>> version().startswith("nginx/1.")
    True
    """
    told = subprocess.run([command("nginx"), "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/\S+", told.stderr)
    return found[0] if found else "nginx"


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", address: Address, folder: Path) -> None:
    deadline_s = time.monotonic() + START_S_MAX
    while True:
        try:
            socket.create_connection(address, timeout=START_S_MAX).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError((folder / "start.log").read_text(errors="replace")) from None
            time.sleep(0.01)
        else:
            return


def _worker_of(process: "subprocess.Popen[bytes]") -> int:
    """Return the one child of the master, which listens before it forks."""
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s:
        for path in Path("/proc").glob("[0-9]*"):
            if parent_of(int(path.name)) == process.pid:
                return int(path.name)
        time.sleep(0.01)
    raise RuntimeError("nginx has no worker")
