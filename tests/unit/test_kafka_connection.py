"""A connection to Kafka that is reset, on the event loop that services run on."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from shared.kafka import KafkaLogin, find_refusal  # it mends the connection, too

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that ends a connection at once, as a killed process does with unread bytes."""


async def connect(address: tuple[str, int]) -> AIOKafkaConnection:
    """Make a connection as `create_conn` does, to somebody who does not speak."""
    loop = asyncio.get_running_loop()
    conn = AIOKafkaConnection(*address, request_timeout_ms=5000)
    conn._closed_fut = loop.create_future()
    reader = asyncio.StreamReader(loop=loop)
    protocol = AIOKafkaProtocol(conn._closed_fut, reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, *address)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    conn._reader, conn._writer, conn._protocol = reader, writer, protocol
    conn._read_task = conn._create_reader_task()
    conn._versions = {MetadataRequest.API_KEY: (0, 5)}
    return conn


def test_a_request_on_a_connection_that_was_reset_just_now_is_an_error_of_kafka() -> None:
    async def ask_until_it_knows() -> int:
        refused = 0
        with socket.create_server(("127.0.0.1", 0)) as server:
            conn = await connect(server.getsockname())
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.close()
            async with asyncio.timeout(10):
                while conn._writer is not None:  # uvloop knows for two turns what it does not
                    if conn._writer.is_closing():
                        with pytest.raises(KafkaConnectionError):
                            conn.send(MetadataRequest(["a"]))
                        refused += 1
                    await asyncio.sleep(0)
        return refused

    assert uvloop.run(ask_until_it_knows()) > 0


async def test_what_answers_and_is_no_kafka_is_told_and_no_surprise() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(1000)
        writer.write(struct.pack(">i", 16) + asked[8:12] + b"\xff" * 12)  # its number, and junk
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told = await find_refusal(KafkaLogin(f"127.0.0.1:{port}", "somebody", "example"))
    assert told == f"what answers on port {port} does not speak as Kafka does"
