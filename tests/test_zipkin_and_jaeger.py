"""Clients of Zipkin and Jaeger, untouched from PyPI, report to the server."""

import json
import subprocess
from typing import Any

from conftest import ROOT, Server, client_environment, eventually


def test_their_clients_are_at_home(server: Server) -> None:
    command = [client_environment("zipkin"), "-W", "ignore", ROOT / "tests" / "clients" / "zipkin.py", server.otlp]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    traces: dict[str, str] = json.loads(done.stdout)

    def spans(name: str, count: int) -> "dict[str, dict[str, Any]]":
        def found() -> "list[dict[str, Any]]":
            spans = server.spans(traces[name])
            assert len(spans) == count, spans
            return spans

        return {span["name"]: span for span in eventually(found)}

    for system in ("zipkin", "jaeger"):
        by_name = spans(system, 2)
        root, query = by_name["GET /pay"], by_name["SELECT card"]
        assert (root["service"], root["kind"], root["parent_span_id"]) == (f"{system}-shop", "server", None)
        assert (query["kind"], query["parent_span_id"], query["status"]) == ("client", root["span_id"], "error")
        assert query["attributes"]["db.system.name"] == "postgresql"
        assert root["attributes"]["http.response.status_code"] == 503
        (event,) = query["events"]
        assert (event["name"], event["attributes"]["exception.type"]) == ("exception", "KeyError")
        assert query["resource"]["telemetry.sdk.name"] == "opentelemetry"

    by_name = spans("shared", 4)
    page, calling, serving, check = (by_name[name] for name in ("page", "get /pay", "pay", "check"))
    assert calling["parent_span_id"] == page["span_id"]
    assert (serving["parent_span_id"], serving["service"]) == (calling["span_id"], "back")
    assert check["parent_span_id"] == serving["span_id"]
    services = {service["name"]: service["hits"] for service in server.get("services")}
    assert services["back"] == services["zipkin-shop"] == services["jaeger-shop"] == 1
