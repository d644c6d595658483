"""OTLP's profiles, a development version of the protocol, which a server takes when it is asked to."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Server, client_environment
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


def document(end_ns: int) -> bytes:
    """The same as OTLP's JSON."""
    dictionary = {
        "mappingTable": [{}],
        "locationTable": [{}, {"lines": [{"functionIndex": 1, "line": "30"}]}],
        "functionTable": [{}, {"nameStrindex": 3, "filenameStrindex": 4}],
        "stringTable": STRINGS,
        "attributeTable": [{}, {"keyStrindex": 5, "value": {"stringValue": "worker"}}],
        "stackTable": [{}, {"locationIndices": [1]}],
    }
    sample = {
        "stackIndex": 1,
        "attributeIndices": [1],
        "values": ["10000000", 20_000_000],
        "timestampsUnixNano": [str(end_ns - 10**9), str(end_ns)],
    }
    profile = {"sampleType": {"typeStrindex": 1, "unitStrindex": 2}, "samples": [sample]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    profiles = [{"resource": resource, "scopeProfiles": [{"profiles": [profile]}]}]
    return json.dumps({"resourceProfiles": profiles, "dictionary": dictionary}).encode()


#: A client of gRPC that sends a message as it is: what it sends, and what it is answered.
CLIENT = """
import sys, grpc
address, compression = sys.argv[1:]
channel = grpc.insecure_channel(address, compression=getattr(grpc.Compression, compression))
method = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
same = lambda message: message
try:
    answer = channel.unary_unary(method, same, same)(sys.stdin.buffer.read(), timeout=10)
    print("answered", answer.hex())
except grpc.RpcError as error:
    print(error.code().name, error.details())
"""


def call(server: Server, body: bytes, compression: str = "NoCompression") -> str:
    """Calls the service with a message; the answer, or the status and what it says."""
    command = [client_environment("otel"), "-c", CLIENT, f"127.0.0.1:{server.ports['otlp-grpc']}", compression]
    done = subprocess.run(command, input=body, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def check(server: Server) -> None:
    """What was sent is there once, however often it was sent."""
    (found,) = ask(server, "functions", selection={"service": "shop", "thread": "worker"})["functions"]
    assert (found["fn"], found["file"], found["line"], found["self"]) == ("parse", "/srv/shop.py", 30, 30_000_000)
    assert found["samples"] == 3, "of ten and of twenty milliseconds"


def post(server: Server, body: bytes, content_type: str = "application/x-protobuf") -> int:
    """Posts a request; the status of the answer."""
    headers = {"content-type": content_type}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.otlp + PATH, body, headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def taking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Server]":
    """A server that takes profiles over OTLP."""
    monkeypatch.setenv("PITVIPER_SERVER_OTLP_PROFILES", "true")
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


def test_profiles_come_over_otlp_where_they_are_asked_for(taking: Server) -> None:
    assert post(taking, request(time.time_ns())) == 200
    check(taking)
    assert post(taking, b"no profile") == 400


def test_profiles_come_as_json(taking: Server) -> None:
    now = time.time_ns()
    assert post(taking, document(now), "application/json; charset=utf-8") == 200
    check(taking)
    assert post(taking, request(now)) == 200
    check(taking)
    assert post(taking, b'{"resourceProfiles": 1}', "application/json") == 400
    assert post(taking, document(now), "text/plain") == 415


def test_profiles_come_over_grpc(taking: Server) -> None:
    now = time.time_ns()
    for compression in ("NoCompression", "Gzip"):
        assert call(taking, request(now), compression) == "answered"
    check(taking)
    status, _, details = call(taking, b"no profile").partition(" ")
    assert (status, "not a profile" in details) == ("INVALID_ARGUMENT", True), details
    counted = taking.metric("pitviper_ingest_requests_total")
    of_profiles = [(labels, value) for labels, value in counted.items() if "profiles" in labels and "grpc" in labels]
    assert sorted(value for _, value in of_profiles if value) == [1, 2], of_profiles


def test_profiles_over_otlp_are_not_taken_unasked(server: Server) -> None:
    assert post(server, request(time.time_ns())) == 404
    assert call(server, request(time.time_ns())).startswith("UNIMPLEMENTED")
