"""A TCP relay whose connections can go silent: what a lost route does, and a killed container does not."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType


class Proxy:
    """Relays to ``port`` of this machine. ``freeze`` makes the connections of that moment swallow what they are sent,
    in both directions, without closing; new ones work."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._epoch = 0
        self.swallowed = 0  # bytes
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def freeze(self) -> None:
        self._epoch += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        epoch = self._epoch
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        ways = (self._relay(reader, far_writer, epoch), self._relay(far_reader, writer, epoch))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            # The first side to close ends both, as it does without a relay.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, epoch: int) -> None:
        try:
            while data := await reader.read(65536):
                if epoch < self._epoch:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            return

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
