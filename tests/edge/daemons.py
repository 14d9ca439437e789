"""Real nginx and Varnish with the shipped configurations, on free ports of loopback.

Nothing of a configuration is changed but addresses, paths and the user; each of these lines must be found.
"""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

CONFIGURATIONS: Final = Path(__file__).resolve().parents[2] / "config" / "edge"
# Longer than a loaded machine takes to compile a VCL, and a daemon that hangs still fails its test.
START_S: Final = 30
STOP_S: Final = 10
# Debian keeps daemons where only root looks.
_PATH: Final = os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"])

Address = tuple[str, int]
Daemon = Callable[[Address, Address], AbstractAsyncContextManager[str]]


def free_address() -> Address:
    """Return an address of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


def command(name: str) -> str:
    """Return where a daemon is installed."""
    found = shutil.which(name, path=_PATH)
    assert found is not None, f"{name} is not installed; `make test` installs it"
    return found


def rendered(name: str, replacements: Mapping[str, str]) -> str:
    """Return a shipped configuration with some of its texts replaced, each of which must be there."""
    text = (CONFIGURATIONS / name).read_text()
    for old, new in replacements.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def write_nginx(folder: Path, listen: Address, primary: Address, backup: Address) -> Path:
    """Write nginx's configuration for a run below `folder`; returns its path."""
    text = rendered(
        "nginx.conf",
        {
            # Its workers must be able to write where the test may. Any other user but root cannot change it anyway.
            "user             www-data;": "user root;" if os.geteuid() == 0 else "",
            "listen 8000 ": f"listen {listen[0]}:{listen[1]} ",
            "127.0.0.1:8080": f"{primary[0]}:{primary[1]}",
            "127.0.0.1:18080": f"{backup[0]}:{backup[1]}",
            "/run/live-origin-edge": f"{folder}/edge",
            "/var/cache/live-origin-edge": str(folder),
            "/var/log/nginx": str(folder),
        },
    )
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def nginx_arguments(folder: Path, configuration: Path) -> list[str]:
    return [command("nginx"), "-p", str(folder), "-e", str(folder / "start.log"), "-c", str(configuration)]


def write_varnish(folder: Path, primary: Address, backup: Address) -> Path:
    """Write Varnish's configuration for a run below `folder`; returns its path."""
    text = rendered(
        "varnish.vcl",
        {'.port = "8080"': f'.port = "{primary[1]}"', '.port = "18080"': f'.port = "{backup[1]}"'},
    )
    path = folder / "varnish.vcl"
    path.write_text(text)
    return path


@asynccontextmanager
async def nginx(primary: Address, backup: Address) -> AsyncIterator[str]:
    """Run nginx in front of two origins; yields its base URL."""
    with _folder() as name:
        folder, listen = Path(name), free_address()
        configuration = write_nginx(folder, listen, primary, backup)
        arguments = [*nginx_arguments(folder, configuration), "-g", "daemon off;"]
        async with _running(arguments, listen, folder):
            yield f"http://{listen[0]}:{listen[1]}"


@asynccontextmanager
async def varnish(primary: Address, backup: Address) -> AsyncIterator[str]:
    """Run Varnish in front of two origins; yields its base URL."""
    with _folder() as name:
        folder, listen = Path(name), free_address()
        configuration = write_varnish(folder, primary, backup)
        arguments = [
            *(command("varnishd"), "-F", "-j", "none", "-n", str(folder / "state"), "-f", str(configuration)),
            *("-a", f"{listen[0]}:{listen[1]}", "-s", "malloc,64m"),
        ]
        async with _running(arguments, listen, folder):
            yield f"http://{listen[0]}:{listen[1]}"


DAEMONS: Final[Mapping[str, Daemon]] = {"nginx": nginx, "varnish": varnish}


def _folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder with a short name: that of a socket may have 107 characters."""
    return tempfile.TemporaryDirectory(prefix="edge-")


@asynccontextmanager
async def _running(arguments: list[str], listen: Address, folder: Path) -> AsyncIterator[None]:
    """Run a daemon, from when it takes connections until the block ends."""
    output = folder / "output.log"
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(START_S):
            while not await _listens(listen):
                assert process.returncode is None, output.read_text(errors="replace")
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            await process.wait()


async def _listens(address: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        await asyncio.sleep(0.01)
        return False
    writer.close()
    await writer.wait_closed()
    return True
