"""OTLP's profiles, a development version of the protocol, which a server takes when it is asked to."""

import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import Server
from profiles import message, number, varint
from test_profiles import ask

STRINGS = ["", "cpu", "nanoseconds", "parse", "/srv/shop.py", "thread.name"]
PATH = "/v1development/profiles"


def request(end_ns: int) -> bytes:
    """Two samples of a function, as `ExportProfilesServiceRequest` has them."""
    dictionary = [
        message(2),
        message(2, message(3, number(1, 1), number(2, 30))),
        message(3),
        message(3, number(1, 3), number(3, 4)),
        *(message(5, text.encode()) for text in STRINGS),
        message(6),
        message(6, number(1, 5), message(2, message(1, b"worker"))),
        message(7),
        message(7, message(1, varint(1))),
    ]
    times = (end_ns - 10**9).to_bytes(8, "little") + end_ns.to_bytes(8, "little")
    values = message(4, varint(10_000_000), varint(20_000_000))
    sample = message(2, number(1, 1), message(2, varint(1)), values, message(5, times))
    profile = message(2, message(1, number(1, 1), number(2, 2)), sample)
    service = message(1, message(1, b"service.name"), message(2, message(1, b"shop")))
    return message(1, message(1, service), message(2, profile)) + message(2, *dictionary)


def post(server: Server, body: bytes) -> int:
    """Posts a request; the status of the answer."""
    headers = {"content-type": "application/x-protobuf"}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.otlp + PATH, body, headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_profiles_come_over_otlp_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITVIPER_SERVER_OTLP_PROFILES", "true")
    server = Server(tmp_path)
    server.start()
    try:
        assert post(server, request(time.time_ns())) == 200
        selection = {"service": "shop", "thread": "worker"}
        (found,) = ask(server, "functions", selection=selection)["functions"]
        assert (found["fn"], found["file"], found["line"], found["self"]) == ("parse", "/srv/shop.py", 30, 30_000_000)
        assert found["samples"] == 3, "of ten and of twenty milliseconds"
        assert post(server, b"no profile") == 400
    finally:
        server.stop()


def test_profiles_over_otlp_are_not_taken_unasked(server: Server) -> None:
    assert post(server, request(time.time_ns())) == 404
