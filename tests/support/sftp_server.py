"""A server of files by SFTP (asyncssh) on the loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "user"
PASSWORD = "word"  # noqa: S105  # of nobody


@contextmanager
def sftp_server() -> Iterator[str]:
    """Serve all files of this machine; yield the address that absolute paths follow."""
    import asyncssh  # noqa: PLC0415  # half a second

    connections: list[asyncssh.SSHServerConnection] = []

    class Server(asyncssh.SSHServer):
        """Lets in whoever has the password."""

        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    async def listen() -> asyncssh.SSHAcceptor:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], sftp_factory=True
        )

    async def end(acceptor: asyncssh.SSHAcceptor) -> None:
        """Hang up: clients keep their connections, and what serves them waits for more."""
        acceptor.close()
        for connection in connections:
            connection.abort()
        await acceptor.wait_closed()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield f"sftp://{USER}:{PASSWORD}@127.0.0.1:{acceptor.get_port()}"
    finally:
        asyncio.run_coroutine_threadsafe(end(acceptor), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
