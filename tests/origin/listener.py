"""A listener of its own, as tests of connections see it: where it is, its connection, and what it told."""

from typing import Generic, TypeVar, cast

from aiohttp import web

from origin.reply import Reply
from origin.server import OriginProtocol, OriginServer
from tests.origin.raw_client import Address

C = TypeVar("C", bound=OriginProtocol)


class Listener(Generic[C]):
    """Runs a server.

    Args:
        told: The replies that its edge was told.
        refused: Why connections were refused or cut.
    """

    def __init__(self, server: OriginServer, told: list[Reply], refused: list[str]) -> None:
        self.told = told
        self.refused = refused
        self.runner = web.ServerRunner(server, shutdown_timeout=1)
        self._server = server

    @property
    def address(self) -> Address:
        host, port = self.runner.addresses[0][:2]
        return host, port

    @property
    def connection(self) -> C:
        """The only connection."""
        (connection,) = self._server.connections
        return cast(C, connection)

    @property
    def outcomes(self) -> list[str]:
        return [reply.outcome for reply in self.told]
