"""Getting rid of what a cache keeps: by tag, by URL, and all at once by a new version in the path."""

from pathlib import Path
from typing import Final

import aiohttp

from tests.edge.daemons import Daemon, nginx, varnish
from tests.edge.house import House, house, newest_number, origin_in

RENDITIONS: Final = ("v720", "a128")


async def _fill(site: House) -> int:
    """Have a segment of both renditions in the cache; returns its number."""
    number = newest_number()
    for rendition in RENDITIONS:
        await site.publish(number, rendition)
        assert (await site.get(number, rendition=rendition)).status == 200
        assert (await site.get(number, rendition=rendition)).is_hit
    assert await site.asked_count() == len(RENDITIONS)
    return number


async def test_a_new_version_in_the_path_renews_every_key(tmp_path: Path, daemon: Daemon) -> None:
    async with house(daemon, origin_in(tmp_path / "a")) as site:
        number = await _fill(site)
        for rendition in RENDITIONS:
            renewed = await site.get(number, rendition=rendition, event="derby@2")
            assert renewed.status == 200 and not renewed.is_hit
            assert (await site.get(number, rendition=rendition, event="derby@2")).is_hit
            assert (await site.get(number, rendition=rendition)).is_hit
        assert await site.asked_count() == 2 * len(RENDITIONS)


async def test_varnish_forgets_what_carries_a_tag_and_nothing_else(tmp_path: Path) -> None:
    async with house(varnish, origin_in(tmp_path / "a")) as site:
        number = await _fill(site)
        assert (await site.client.ask(site.edge, "/", "BAN", Surrogate_Key="derby/v720")).status == 200
        assert not (await site.get(number, rendition="v720")).is_hit
        assert (await site.get(number, rendition="v720")).is_hit
        assert (await site.get(number, rendition="a128")).is_hit
        assert (await site.client.ask(site.edge, "/", "BAN", Surrogate_Key="derby/v72")).status == 200
        assert (await site.get(number, rendition="v720")).is_hit
        assert await site.asked_count() == len(RENDITIONS) + 1
        assert (await site.client.ask(site.edge, "/", "BAN", Surrogate_Key="derby")).status == 200
        assert not (await site.get(number, rendition="v720")).is_hit
        assert not (await site.get(number, rendition="a128")).is_hit


async def test_varnish_refuses_a_ban_without_a_tag(tmp_path: Path) -> None:
    async with house(varnish, origin_in(tmp_path / "a")) as site:
        number = await _fill(site)
        for tag in ("", ".*|x", "two tags"):
            assert (await site.client.ask(site.edge, "/", "BAN", Surrogate_Key=tag)).status == 400
        assert (await site.get(number)).is_hit


async def test_varnish_purges_one_url(tmp_path: Path) -> None:
    async with house(varnish, origin_in(tmp_path / "a")) as site:
        number = await _fill(site)
        assert (await site.client.ask(site.edge, f"/derby/v720/{number}.m4s", "PURGE")).status == 200
        assert not (await site.get(number, rendition="v720")).is_hit
        assert (await site.get(number, rendition="a128")).is_hit


async def test_nginx_fetches_one_url_anew_for_an_operator(tmp_path: Path) -> None:
    async with house(nginx, origin_in(tmp_path / "a")) as site:
        number = await _fill(site)
        path = f"/derby/v720/{number}.m4s"
        renewed = await site.client.ask(site.edge, path, X_Refresh="1")
        assert (renewed.status, renewed.headers["X-Cache-Status"]) == (200, "BYPASS")
        assert (await site.get(number)).is_hit
        assert await site.asked_count() == len(RENDITIONS) + 1
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector, headers={"X-Refresh": "1"}) as stranger:
            answer = await stranger.get(site.edge + path)
            assert answer.headers["X-Cache-Status"] == "HIT"
