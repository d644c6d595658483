"""A program in C, written for the OneAgent SDK, compiled with our headers and linked with our library."""

import os
import subprocess
from pathlib import Path
from typing import Any

from conftest import BINARY, ROOT, Server, eventually

LIBRARY = BINARY.parent / "libonesdk_shared.so"
HEADERS = ROOT / "crates" / "pitviper-onesdk-library" / "include"
SOURCE = ROOT / "tests" / "clients" / "shop.c"


def compiled(folder: Path) -> Path:
    """The program."""
    program = folder / "shop"
    strict = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    linked = ["-pthread", f"-L{LIBRARY.parent}", "-lonesdk_shared", f"-Wl,-rpath,{LIBRARY.parent}"]
    subprocess.run(["cc", *strict, f"-I{HEADERS}", SOURCE, "-o", program, *linked], check=True)
    return program


def environment(server: Server) -> "dict[str, str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DD_", "OTEL_", "PITVIPER_"))}
    return {**kept, "PITVIPER_ENDPOINT": server.otlp, "PITVIPER_SERVICE": "shop", "NO_PROXY": "*"}


def nested(spans: "list[dict[str, Any]]", parent: "str | None" = None) -> "list[Any]":
    """The spans as ``[service kind name, child, ...]``, children by start."""
    ids = {span["span_id"] for span in spans}
    own = [span for span in spans if (span["parent_span_id"] if span["parent_span_id"] in ids else None) == parent]
    own.sort(key=lambda span: (span["start_us"], -span["dur_ns"]))
    return [[f"{span['service']} {span['kind']} {span['name']}", *nested(spans, span["span_id"])] for span in own]


def test_a_program_in_two_processes_is_one_trace(server: Server, tmp_path: Path) -> None:
    command = [compiled(tmp_path), "--dt_tenant=abc"]
    ran = subprocess.run(command, env=environment(server), stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, lines
    agents = [line.partition(": ")[2].split(" ", 5) for line in lines if line.startswith("agent: ")]
    (trace,) = [line.split() for line in lines if line.startswith("trace: ")]
    # Found, compatible, active, and its children may trace: both processes.
    assert [agent[:4] for agent in agents] == [["1", "1", "0", "1"]] * 2
    assert agents[0][4].startswith("pitviper-") and agents[0][5] == "There is nothing to return."
    told = [line for line in lines if line.startswith("told: ")]
    assert len(told) == 2 and "4711 is no tracer" in told[0] and "nothing is traced" in told[1]

    expected = [
        "Shop in C server POST",
        ["Shop in C producer send orders", ["shop consumer process orders"]],
        ["Shop in C client price", ["Pricing server price", ["Pricing client SELECT item"]]],
        ["Shop in C internal in-process link", ["Packing server pack"]],
        ["Wrapping server wrap"],
        ["Shop in C client GET"],
    ]

    def whole() -> "list[dict[str, Any]]":
        spans = server.spans(trace[1])
        assert nested(spans) == [expected]
        return spans

    spans = {f"{span['service']} {span['kind']}": span for span in eventually(whole)}
    request = spans["Shop in C server"]
    assert request["span_id"] == trace[2]
    attributes = request["attributes"]
    assert {key: attributes[key] for key in ("user role", "items", "total", "url.query", "client.address")} == {
        "user role": "author",
        "items": 3,
        "total": 9.5,
        "url.query": "token=***",
        "client.address": "192.0.2.7",
    }
    assert attributes["http.response.status_code"] == 201
    failed = spans["Pricing server"]
    assert (failed["status"], failed["status_message"]) == ("error", "no price für it")
    assert "secret" not in spans["Pricing client"]["attributes"]["db.query.text"]


def test_where_no_server_answers_the_program_ends_in_time_and_says_so(server: Server, tmp_path: Path) -> None:
    program = compiled(tmp_path)
    variables = {**environment(server), "PITVIPER_ENDPOINT": "http://127.0.0.1:9", "PITVIPER_SAMPLE_RATE": "most"}
    ran = subprocess.run([program], env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "PITVIPER_SAMPLE_RATE is ignored: use a number from 0 to 1" in ran.stderr
    assert "no export to http://127.0.0.1:9/v1/traces" in ran.stderr
    switched_off = subprocess.run(
        [program],
        env={**environment(server), "PITVIPER_ENABLED": "false"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "agent: 1 1 2" in switched_off.stdout
