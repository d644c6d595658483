"""Asks DuckDB and ClickHouse's engine what the store is asked, of the same spans: ``peers.py DIRECTORY``.

The spans come from the store's own segments, with the ids of their traces put back, which is not timed. Both
peers load them into tables of their own first, sorted as the store sorts; ClickHouse gets the indexes its
users put on traces. Rates and percentiles come from the spans, because neither keeps metrics beside them.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, ClassVar

REPEATS = 7
LOOKUPS = 40
HOUR_NS = 3_600 * 1_000_000_000
#: The layout of the lists of trace ids beside segments.
ID_BYTES, BLOCK_BYTES, CHECKSUM_BYTES, HEAD_BYTES = 16, 4_096, 4, 20
COLUMNS = (
    "start_ns", "duration_ns", "trace_id", "span_id", "parent_span_id", "service", "name", "kind", "status",
    "status_message", "db_system", "detail", "attrs", "attrs_num", "resource",
)  # fmt: skip
WATERFALL = "span_id, parent_span_id, service, name, kind, status, start_ns, duration_ns, db_system, detail"

CLICKHOUSE_TABLE = """
CREATE TABLE spans (
    start_ns Int64 CODEC(Delta, ZSTD(1)), duration_ns Int64 CODEC(ZSTD(1)),
    trace_id FixedString(16), span_id FixedString(8), parent_span_id FixedString(8),
    service LowCardinality(String), name LowCardinality(String), kind UInt8, status UInt8,
    status_message Nullable(String) CODEC(ZSTD(1)), db_system LowCardinality(Nullable(String)),
    detail Nullable(String) CODEC(ZSTD(1)), attrs Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attrs_num Map(LowCardinality(String), Float64) CODEC(ZSTD(1)), resource LowCardinality(String),
    INDEX trace_id_bloom trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX values_bloom mapValues(attrs) TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (service, name, start_ns)
"""


def plain_copies(segments: Path, folder: Path) -> str:
    """Copies of the segments in which rows hold the ids of their traces, as a pattern of files."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    for segment in sorted(segments.glob("spans-*.parquet")):
        ids = trace_ids(segment.with_suffix(".ids").read_bytes())
        source = pyarrow.parquet.ParquetFile(segment)
        with pyarrow.parquet.ParquetWriter(
            folder / segment.name, plain_schema(source.schema_arrow), compression="zstd"
        ) as out:
            for group in range(source.num_row_groups):
                rows = source.read_row_group(group)
                place = rows.schema.get_field_index("trace")
                found = numpy.ascontiguousarray(ids[rows.column(place).to_numpy()])
                column = pyarrow.FixedSizeBinaryArray.from_buffers(
                    pyarrow.binary(ID_BYTES), len(rows), [None, pyarrow.py_buffer(found)]
                )
                out.write_table(rows.set_column(place, out.schema.field("trace_id"), column))
    return str(folder / "spans-*.parquet")


def plain_schema(schema: Any) -> Any:
    """The schema with ids in place of numbers."""
    import pyarrow

    return schema.set(schema.get_field_index("trace"), pyarrow.field("trace_id", pyarrow.binary(ID_BYTES), False))


def trace_ids(listed: bytes) -> Any:
    """The ids of a segment's list, by number: blocks of 4 KiB, each with a checksum, behind a head with one."""
    import numpy

    count = int.from_bytes(listed[8:16], "little")
    blocks = -(-count * ID_BYTES // BLOCK_BYTES)
    at = [HEAD_BYTES + number * (BLOCK_BYTES + CHECKSUM_BYTES) for number in range(blocks)]
    ids = b"".join(listed[start : start + BLOCK_BYTES] for start in at)[: count * ID_BYTES]
    return numpy.frombuffer(ids, numpy.uint8).reshape(-1, ID_BYTES)


class DuckDb:
    """DuckDB in this process, on a file."""

    name = "DuckDB"

    def __init__(self, folder: Path) -> None:
        import duckdb

        self.path = folder / "duck.db"
        self.connection = duckdb.connect(str(self.path))

    def load(self, files: str) -> None:
        """Loads the segments' spans."""
        columns = ", ".join(COLUMNS)
        self.connection.execute(
            f"CREATE TABLE spans AS SELECT {columns} FROM read_parquet('{files}') ORDER BY service, name, start_ns"
        )
        self.connection.execute("CHECKPOINT")

    def ask(self, sql: str) -> "list[Any]":
        """All rows of an answer."""
        return self.connection.execute(sql).fetchall()

    def number(self, sql: str) -> int:
        """The only number of an answer."""
        return int(self.ask(sql)[0][0])

    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    dialect: ClassVar[dict[str, str]] = {
        "attribute": "attrs['{key}'] = '{value}'",
        "quantile": "approx_quantile(duration_ns, 0.95)",
        "contains": "contains(detail, '{word}') OR contains(status_message, '{word}') "
        "OR len(list_filter(map_values(attrs), lambda value: contains(value, '{word}'))) > 0",
    }


class ClickHouse:
    """ClickHouse's engine in this process, through chdb."""

    name = "ClickHouse (chdb)"

    def __init__(self, folder: Path) -> None:
        from chdb.session import Session

        self.path = folder / "clickhouse"
        self.session = Session(str(self.path))

    def load(self, files: str) -> None:
        """Loads the segments' spans, and merges what that made."""
        self.session.query(CLICKHOUSE_TABLE)
        columns = ", ".join(COLUMNS)
        self.session.query(f"INSERT INTO spans SELECT {columns} FROM file('{files}', Parquet)")
        self.session.query("OPTIMIZE TABLE spans FINAL")

    def ask(self, sql: str) -> "list[Any]":
        """All rows of an answer."""
        # Ids are bytes that are no text.
        return self.session.query(sql, "TabSeparatedRaw").bytes().splitlines()

    def number(self, sql: str) -> int:
        """The only number of an answer."""
        return int(self.ask(sql)[0])

    def size(self) -> int:
        """Bytes on disk."""
        return self.number("SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'spans' AND active")

    dialect: ClassVar[dict[str, str]] = {
        "attribute": "has(mapValues(attrs), '{value}') AND attrs['{key}'] = '{value}'",
        "quantile": "quantileTDigest(0.95)(duration_ns)",
        "contains": "detail LIKE '%{word}%' OR status_message LIKE '%{word}%' "
        "OR arrayExists(value -> value LIKE '%{word}%', mapValues(attrs))",
    }


def questions(peer: Any, end_ns: int, traces: "list[str]") -> "dict[str, list[str]]":
    """Statements by question; each statement is asked once a round."""
    hour = f"start_ns >= {end_ns - HOUR_NS} AND start_ns < {end_ns}"
    red = f"count(*), sum(CASE WHEN status = 2 THEN 1 ELSE 0 END), {peer.dialect['quantile']}"
    entry = "kind IN (2, 5)"
    spans = f"SELECT {WATERFALL} FROM spans WHERE"

    def attribute(key: str, value: str) -> str:
        return peer.dialect["attribute"].format(key=key, value=value)

    def contains(word: str) -> str:
        return peer.dialect["contains"].format(word=word)

    newest, slowest = "ORDER BY start_ns DESC LIMIT 50", "ORDER BY duration_ns DESC LIMIT 50"
    return {
        "a trace by its id": [f"{spans} trace_id = unhex('{trace}')" for trace in traces],
        "an unknown trace": [f"{spans} trace_id = unhex('{number:032x}')" for number in range(1, LOOKUPS)],
        "all services, last hour": [f"SELECT service, {red} FROM spans WHERE {entry} AND {hour} GROUP BY service"],
        "all services, all of the time": [f"SELECT service, {red} FROM spans WHERE {entry} GROUP BY service"],
        "a service by minute, last hour": [
            f"SELECT start_ns // 60000000000 AS minute, {red} FROM spans WHERE service = 'accounts' AND {entry} "
            f"AND {hour} GROUP BY minute".replace("//", "//" if peer.name == "DuckDB" else "DIV")
        ],
        "newest 50 spans": [f"{spans} 1 = 1 {newest}"],
        "newest 50 of a service": [f"{spans} service = 'accounts' {newest}"],
        "slowest 50 of a service, all of the time": [f"{spans} service = 'accounts' {slowest}"],
        "slowest 50 spans, all of the time": [f"{spans} 1 = 1 {slowest}"],
        "heatmap of a service, last hour": [
            "SELECT start_ns // 30000000000 AS step, floor(log2(duration_ns) * 4) AS bucket, count(*) FROM spans "
            f"WHERE service = 'accounts' AND {hour} GROUP BY step, bucket".replace(
                "//", "//" if peer.name == "DuckDB" else "DIV"
            )
        ],
        "p95 of a service by route, last hour": [
            f"SELECT attrs['http.route'] AS route, {red} FROM spans WHERE service = 'accounts' AND {entry} AND {hour} "
            "GROUP BY route"
        ],
        "an order id that stands in one trace": [f"{spans} {attribute('order.id', ORDER[0])} {newest}"],
        "a rare user": [f"{spans} {attribute('user.id', 'user-150000')} {newest}"],
        "a word in any text, last hour": [f"{spans} ({contains('deadlock')}) AND {hour} {newest}"],
        "a word that stands nowhere, all of the time": [f"{spans} ({contains('xyzzy')}) {newest}"],
    }


#: An order id of the data, set once it is known.
ORDER = [""]


def measure(ask: "Callable[[str], Any]", statements: "list[str]") -> "tuple[float, float]":
    """The first time and the median, in milliseconds."""
    times: list[float] = []
    for _ in range(1 if len(statements) > 1 else REPEATS):
        for statement in statements:
            began = time.perf_counter()
            ask(statement)
            times.append((time.perf_counter() - began) * 1e3)
    return times[0], statistics.median(times)


def main() -> None:
    """Loads and asks both peers, and prints a table."""
    segments = Path(sys.argv[1]).resolve() / "segments"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as copies:
        files = plain_copies(segments, Path(copies))
        table: dict[str, dict[str, str]] = {}
        peers = [DuckDb, ClickHouse]
        for kind in peers:
            peer = kind(Path(folder))
            began = time.perf_counter()
            peer.load(files)
            took = time.perf_counter() - began
            rows = peer.number("SELECT count(*) FROM spans")
            table.setdefault("loading, spans a second", {})[peer.name] = f"{rows / took:,.0f}"
            table.setdefault("bytes a span on disk", {})[peer.name] = f"{peer.size() / rows:.1f}"
            if isinstance(peer, DuckDb):
                traces = [row[0] for row in peer.ask(f"SELECT hex(trace_id) FROM spans USING SAMPLE {LOOKUPS} ROWS")]
                (end_ns,) = peer.ask("SELECT max(start_ns) FROM spans")[0]
                orders = peer.ask("SELECT attrs['order.id'] FROM spans WHERE map_contains(attrs, 'order.id') LIMIT 1")
                ORDER[0] = orders[0][0]
            for question, statements in questions(peer, end_ns, traces).items():
                first, median = measure(peer.ask, statements)
                table.setdefault(question, {})[peer.name] = f"{first:,.1f} / {median:,.1f}"
                print(f"{peer.name}: {question}: {first:.1f} {median:.1f}", file=sys.stderr)
            del peer
    print(f"| first / median, ms | {' | '.join(kind.name for kind in peers)} |")
    print("|---|---|---|")
    for question, answers in table.items():
        print(f"| {question} | {' | '.join(answers.get(kind.name, '') for kind in peers)} |")


if __name__ == "__main__":
    main()
