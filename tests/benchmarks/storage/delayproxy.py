"""A network with a longer way: passes on what an object store and its client say to each other,
each request a given time later.

``python -m tests.benchmarks.storage.delayproxy HOST:PORT SECONDS`` prints its own port and runs
until its standard input is closed, then prints how many requests it passed on.

It knows nothing of HTTP but whose turn it is: what a client says after the
store has spoken (or first of all) is a new request, and waits; the rest of the
same request follows at once, as it would after one round trip. A request that
asks leave to send its body (Expect: 100-continue) waits twice, as it would on
a real network.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

PIECE = 1 << 18


class DelayProxy:
    def __init__(self, host: str, port: int, seconds: float):
        self.target = (host, port)
        self.seconds = seconds
        self.requests = 0

    async def serve(self) -> asyncio.Server:
        """On a free port of loopback."""
        return await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=PIECE)

    async def _connection(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        try:
            store, request = await asyncio.open_connection(*self.target, limit=PIECE)
        except OSError:
            answer.close()
            return
        turn = _Turn()
        ways = [
            asyncio.create_task(self._requests(client, request, turn)),
            asyncio.create_task(_answers(store, answer, turn)),
        ]
        try:
            # Either side may close first; then the other has nothing more to say.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (request, answer):
                writer.close()

    async def _requests(
        self, client: asyncio.StreamReader, request: asyncio.StreamWriter, turn: _Turn
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await client.read(PIECE):
                if turn.answered:
                    turn.answered = False
                    self.requests += 1
                    await asyncio.sleep(self.seconds)
                request.write(piece)
                await request.drain()


class _Turn:
    answered = True


async def _answers(store: asyncio.StreamReader, answer: asyncio.StreamWriter, turn: _Turn) -> None:
    with contextlib.suppress(OSError):
        while piece := await store.read(PIECE):
            turn.answered = True
            answer.write(piece)
            await answer.drain()


async def _main(address: str, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    proxy = DelayProxy(host, int(port), seconds)
    server = await proxy.serve()
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(proxy.requests, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
