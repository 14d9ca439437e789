"""The edge configurations as they are shipped: both programs take them, and they say what the README says."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from config.model import Limits
from tests.edge.daemons import (
    CONFIGURATIONS,
    DAEMONS,
    Daemon,
    command,
    free_address,
    nginx_arguments,
    rendered,
    write_nginx,
    write_varnish,
)
from tests.edge.house import LOCK_TIMEOUT_MS, READ_TIMEOUT_MS, client

HOLD_MS: Final = Limits().hold_ms


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    path = write_nginx(tmp_path, free_address(), free_address(), free_address())
    finished = subprocess.run(
        [*nginx_arguments(tmp_path, path), "-t"], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "[warn]" not in finished.stderr


def test_varnish_takes_its_configuration(tmp_path: Path) -> None:
    path = write_varnish(tmp_path, free_address(), free_address())
    arguments = [command("varnishd"), "-j", "none", "-C", "-f", str(path), "-n", str(tmp_path / "state")]
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_line_that_is_gone_from_a_configuration_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"nginx\.conf has no 'listen 9'"):
        rendered("nginx.conf", {"listen 9": "listen 10"})


def test_both_wait_longer_for_an_origin_than_a_request_is_held() -> None:
    nginx, varnish = ((CONFIGURATIONS / name).read_text() for name in ("nginx.conf", "varnish.vcl"))
    assert READ_TIMEOUT_MS > HOLD_MS
    assert f"proxy_read_timeout    {READ_TIMEOUT_MS // 1000}s;" in nginx
    assert re.findall(r"first_byte_timeout = (\w+);", varnish) == [f"{READ_TIMEOUT_MS // 1000}s"] * 2


def test_those_who_wait_behind_another_wait_longer_than_both_origins_may_take() -> None:
    nginx = (CONFIGURATIONS / "nginx.conf").read_text()
    assert LOCK_TIMEOUT_MS > 2 * READ_TIMEOUT_MS
    assert re.findall(r"proxy_cache_lock_(?:timeout|age) +(\w+);", nginx) == [f"{LOCK_TIMEOUT_MS // 1000}s"] * 2


async def test_nothing_is_published_through_an_edge(daemon: Daemon) -> None:
    async with daemon(free_address(), free_address()) as edge, client() as user:
        for method in ("PUT", "POST", "DELETE"):
            answer = await user.ask(edge, "/derby/a/v720/1.m4s", method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_an_edge_without_origins_says_so_as_a_problem_that_lasts_a_second(daemon: Daemon) -> None:
    async with daemon(free_address(), free_address()) as edge, client() as user:
        answers = await asyncio.gather(*(user.ask(edge, "/derby/v720/1.m4s") for _ in range(20)))
        for answer in answers:
            assert answer.status == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
            assert json.loads(answer.body)["status"] == 503


async def test_only_operators_may_empty_an_edge(daemon: Daemon) -> None:
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with daemon(free_address(), free_address()) as edge, aiohttp.ClientSession(connector=connector) as stranger:
        for method in ("PURGE", "BAN"):
            tag = {"Surrogate-Key": "derby"}
            async with stranger.request(method, f"{edge}/derby/v720/1.m4s", headers=tag) as answer:
                assert answer.status in (403, 405)


def test_every_configuration_has_a_test_and_a_place_in_the_readme() -> None:
    readme = (CONFIGURATIONS / "README.md").read_text()
    shipped = {path.name for path in CONFIGURATIONS.iterdir()} - {"README.md"}
    assert shipped == {"nginx.conf", "varnish.vcl"} and set(DAEMONS) == {"nginx", "varnish"}
    assert all(f"`{name}`" in readme for name in shipped)
