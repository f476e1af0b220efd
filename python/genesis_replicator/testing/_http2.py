"""One HTTP/2 connection of a client: its streams are answered side by side, each in a task of its own."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from genesis_replicator.testing._http1 import write_forever
from genesis_replicator.testing._reply import Reply

if TYPE_CHECKING:
    from genesis_replicator.testing._server import FaultServer

#: Headers that HTTP/2 does not have.
FORBIDDEN = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})


class Http2Connection:
    """Serves one socket until either side closes it."""

    def __init__(
        self,
        server: "FaultServer",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        """Take over the socket."""
        self.writer = writer
        self._server = server
        self._reader = reader
        self._number = number
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._protocol = h2.connection.H2Connection(config)
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """How many streams wait for their answers."""
        return len(self._answers)

    async def serve(self) -> None:
        """Answer streams until the connection ends."""
        self._protocol.initiate_connection()
        self._flush()
        reading = asyncio.ensure_future(self._read_all())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = (reading, ended, *self._answers.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def say_goodbye(self) -> None:
        """Tell the client that no more streams are taken."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._protocol.close_connection()
            self._flush()

    def _flush(self) -> None:
        self.writer.write(self._protocol.data_to_send())

    async def _read_all(self) -> None:
        with contextlib.suppress(ConnectionError, h2.exceptions.ProtocolError):
            while data := await self._reader.read(65_536):
                for event in self._protocol.receive_data(data):
                    self._handle(event)
                self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                fields = {str(name): str(value) for name, value in headers or ()}
                self._requests[stream] = (fields, bytearray())
            case h2.events.DataReceived(stream_id=int(stream), data=bytes(data), flow_controlled_length=size):
                self._requests[stream][1].extend(data)
                self._protocol.acknowledge_received_data(size or 0, stream)
            case h2.events.StreamEnded(stream_id=int(stream)):
                self._answers[stream] = asyncio.ensure_future(self._answer(stream))
                self._server.peak_in_flight = max(self._server.peak_in_flight, self.in_flight)
            case h2.events.StreamReset(stream_id=stream):
                self._requests.pop(stream or 0, None)
                if answering := self._answers.pop(stream or 0, None):
                    answering.cancel()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window.set()
            case h2.events.ConnectionTerminated():
                self._ended.set()

    async def _answer(self, stream: int) -> None:
        fields, body = self._requests.pop(stream)
        try:
            reply, payload = await self._server.answer(fields[":path"], fields, bytes(body), self._number)
            await self._send(stream, reply, payload)
        except (ConnectionError, h2.exceptions.ProtocolError):
            self._ended.set()
        finally:
            self._answers.pop(stream, None)

    async def _send(self, stream: int, reply: Reply, payload: bytes) -> None:
        if reply.wire is not None:
            self.writer.write(reply.wire)
            await write_forever(self.writer, reply.endless)
        elif not reply.hang_up:
            await self._send_answer(stream, reply, payload)
        if reply.reset:
            self._protocol.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif reply.close_after:
            self.say_goodbye()
        self._flush()
        if reply.wire is not None or reply.close_after or (reply.hang_up and not reply.reset):
            await self.writer.drain()
            self._ended.set()

    async def _send_answer(self, stream: int, reply: Reply, payload: bytes) -> None:
        fields = reply.fields(len(payload))
        headers = [(name, text) for name, text in fields.items() if name not in FORBIDDEN]
        self._protocol.send_headers(stream, [(":status", str(reply.status)), *headers])
        for piece in reply.pieces(payload):
            await self._send_data(stream, piece)
            if reply.rate is not None:
                await asyncio.sleep(len(piece) / reply.rate)
        if not reply.reset:
            self._protocol.end_stream(stream)

    async def _send_data(self, stream: int, data: bytes) -> None:
        """As much at a time as the client has room for."""
        while data:
            window = self._protocol.local_flow_control_window(stream)
            size = min(window, self._protocol.max_outbound_frame_size)
            if size <= 0:
                self._window.clear()
                self._flush()
                await self._window.wait()
                continue
            self._protocol.send_data(stream, data[:size])
            data = data[size:]
            self._flush()
            await self.writer.drain()
