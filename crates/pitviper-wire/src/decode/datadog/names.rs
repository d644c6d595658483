//! What Datadog calls by one name and OpenTelemetry by another.
//!
//! Sources: ddtrace 4.16, what its integrations set; OpenTelemetry semantic conventions 1.37. The table is
//! in docs/reference/datadog.md, and a test holds the two together.

use pitviper_model::{SpanKind, Value};

use super::describe::route;

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text stays text.
    Text,
    /// A whole number; what is none stays text.
    Integer,
    /// A URL, without the name and password it may hold.
    Url,
    /// A route, which begins with a slash.
    Route,
    /// The system of a database, by OpenTelemetry's names.
    System,
    /// A command and its arguments, of which only the command stays.
    Command,
}

/// Datadog's name, OpenTelemetry's name, and what becomes of the value. Sorted by the first.
pub const RENAMED: [(&str, &str, Form); 58] = [
    ("aws.operation", "rpc.method", Form::Text),
    ("aws.region", "cloud.region", Form::Text),
    ("aws.requestid", "aws.request_id", Form::Text),
    ("aws_service", "rpc.service", Form::Text),
    ("celery.action", "messaging.operation.name", Form::Text),
    ("celery.delivery_info.routing_key", "messaging.destination.name", Form::Text),
    ("celery.id", "messaging.message.id", Form::Text),
    ("celery.routing_key", "messaging.destination.name", Form::Text),
    ("db.instance", "db.namespace", Form::Text),
    ("db.name", "db.namespace", Form::Text),
    ("db.row_count", "db.response.returned_rows", Form::Integer),
    ("db.statement", "db.query.text", Form::Text),
    ("db.system", "db.system.name", Form::System),
    ("db.type", "db.system.name", Form::System),
    ("elasticsearch.method", "http.request.method", Form::Text),
    ("elasticsearch.url", "url.path", Form::Text),
    ("grpc.host", "server.address", Form::Text),
    ("grpc.method.name", "rpc.method", Form::Text),
    ("grpc.method.service", "rpc.service", Form::Text),
    ("grpc.port", "server.port", Form::Integer),
    ("http.client_ip", "client.address", Form::Text),
    ("http.method", "http.request.method", Form::Text),
    ("http.query.string", "url.query", Form::Text),
    ("http.request.headers.content-length", "http.request.body.size", Form::Integer),
    ("http.request_content_length", "http.request.body.size", Form::Integer),
    ("http.response_content_length", "http.response.body.size", Form::Integer),
    ("http.route", "http.route", Form::Route),
    ("http.status_code", "http.response.status_code", Form::Integer),
    ("http.url", "url.full", Form::Url),
    ("http.useragent", "user_agent.original", Form::Text),
    ("http.version", "network.protocol.version", Form::Text),
    ("kafka.cluster_id", "messaging.kafka.cluster.id", Form::Text),
    ("kafka.group_id", "messaging.consumer.group.name", Form::Text),
    ("kafka.message_key", "messaging.kafka.message.key", Form::Text),
    ("kafka.message_offset", "messaging.kafka.offset", Form::Integer),
    ("kafka.partition", "messaging.destination.partition.id", Form::Text),
    ("kafka.topic", "messaging.destination.name", Form::Text),
    ("memcached.query", "db.query.text", Form::Command),
    ("messaging.message_id", "messaging.message.id", Form::Text),
    ("messaging.operation", "messaging.operation.name", Form::Text),
    ("mongodb.collection", "db.collection.name", Form::Text),
    ("mongodb.db", "db.namespace", Form::Text),
    ("mongodb.query", "db.query.text", Form::Text),
    ("net.peer.ip", "network.peer.address", Form::Text),
    ("network.client.ip", "network.peer.address", Form::Text),
    ("network.destination.ip", "network.peer.address", Form::Text),
    ("network.destination.name", "server.address", Form::Text),
    ("network.destination.port", "server.port", Form::Integer),
    ("out.host", "server.address", Form::Text),
    ("out.port", "server.port", Form::Integer),
    ("out.redis_db", "db.namespace", Form::Text),
    ("out.valkey_db", "db.namespace", Form::Text),
    ("peer.hostname", "server.address", Form::Text),
    ("redis.pipeline_length", "db.operation.batch.size", Form::Integer),
    ("redis.raw_command", "db.query.text", Form::Command),
    ("sql.db", "db.namespace", Form::Text),
    ("usr.id", "user.id", Form::Text),
    ("valkey.raw_command", "db.query.text", Form::Command),
];

/// Names that say nothing once a span is here: what they say is in the ids, the process or the metrics.
pub const LEFT_OUT: [&str; 24] = [
    "_dd.agent_psr",
    "_dd.apm.enabled",
    "_dd.base_service",
    "_dd.compute_stats",
    "_dd.dbm_trace_injected",
    "_dd.hostname",
    "_dd.limit_psr",
    "_dd.measured",
    "_dd.p.ksr",
    "_dd.p.tid",
    "_dd.parent_id",
    "_dd.partial_version",
    "_dd.py.partial_flush",
    "_dd.rule_psr",
    "_dd.span_events.has_exception",
    "_dd.span_links",
    "_dd.svc_src",
    "_dd.tags.process",
    "_dd.top_level",
    "_dd.tracer_kr",
    "_dd.tracer_version",
    "component",
    "events",
    "span.kind",
];

/// Names of what the process is; they are said once, of the process.
pub const OF_PROCESS: [(&str, &str); 9] = [
    ("_dd.git.commit.sha", "vcs.ref.head.revision"),
    ("_dd.git.repository_url", "vcs.repository.url.full"),
    ("env", "deployment.environment.name"),
    ("git.commit.sha", "vcs.ref.head.revision"),
    ("git.repository_url", "vcs.repository.url.full"),
    ("language", "telemetry.sdk.language"),
    ("process_id", "process.pid"),
    ("runtime-id", "service.instance.id"),
    ("version", "service.version"),
];

/// Headers are lists of values, by name.
const HEADERS: [(&str, &str); 2] =
    [("http.request.headers.", "http.request.header."), ("http.response.headers.", "http.response.header.")];

/// Headers whose values are nobody's business.
const SECRET_HEADERS: [&str; 7] =
    ["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "x-auth-token", "x-csrf-token"];

/// The current name of a database system.
pub(super) fn system(name: &str) -> &str {
    match name {
        "postgres" => "postgresql",
        "mssql" | "sqlserver" => "microsoft.sql_server",
        "oracle" => "oracle.db",
        "opensearchpy" => "opensearch",
        other => other,
    }
}

/// What a tag is called here, and its value; nothing for one that is left out.
pub(super) fn attribute(key: &str, value: &str) -> Option<(String, Value)> {
    if let Ok(place) = RENAMED.binary_search_by(|(name, ..)| (*name).cmp(key)) {
        let (_, name, form) = RENAMED[place];
        return Some((name.to_owned(), formed(form, value)));
    }
    if LEFT_OUT.binary_search(&key).is_ok() || OF_PROCESS.binary_search_by(|(name, _)| (*name).cmp(key)).is_ok() {
        return None;
    }
    if key.starts_with("http.re") {
        for (prefix, name) in HEADERS {
            if let Some(header) = key.strip_prefix(prefix) {
                if SECRET_HEADERS.contains(&header) {
                    return None;
                }
                let list = Value::Array(vec![Value::from(value)]);
                return Some((format!("{name}{header}"), list));
            }
        }
    }
    Some((key.to_owned(), Value::from(value)))
}

fn formed(form: Form, value: &str) -> Value {
    match form {
        Form::Text => Value::from(value),
        Form::Integer => value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from),
        Form::Url => Value::from(without_credentials(value)),
        Form::Route => Value::from(&*route(value)),
        Form::System => Value::from(system(value)),
        Form::Command => Value::from(commands(value)),
    }
}

/// A metric of a span as an attribute.
pub(super) fn number(key: &str, value: f64) -> Option<(String, Value)> {
    let name = match RENAMED.binary_search_by(|(name, ..)| (*name).cmp(key)) {
        Ok(place) => RENAMED[place].1,
        Err(_) if LEFT_OUT.binary_search(&key).is_ok() => return None,
        Err(_) if OF_PROCESS.binary_search_by(|(name, _)| (*name).cmp(key)).is_ok() => return None,
        Err(_) if key == "_sampling_priority_v1" => "sampling.priority",
        Err(_) => key,
    };
    // Drivers say so when they do not know.
    if name == "db.response.returned_rows" && value < 0.0 {
        return None;
    }
    // Clients know floats only; a count is a count again.
    let is_whole = value.fract() == 0.0 && value.abs() < 9e15;
    let value = if is_whole { Value::Int(value as i64) } else { Value::Double(value) };
    Some((name.to_owned(), value))
}

/// The URL without `user:password@`.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Commands, one a line, with `?` for what they were given.
fn commands(text: &str) -> String {
    let command = |line: &str| match line.trim_start().split_once(char::is_whitespace) {
        Some((command, _)) => format!("{command} ?"),
        None => line.trim_start().to_owned(),
    };
    text.lines().map(command).collect::<Vec<_>>().join("\n")
}

/// The kind of a span: what it says, else what its type is.
pub(super) fn kind(said: &str, span_type: &str, is_entry: bool) -> SpanKind {
    if let Some(kind) = SpanKind::parse(said) {
        return kind;
    }
    match span_type {
        "web" if is_entry => SpanKind::Server,
        "worker" if is_entry => SpanKind::Consumer,
        "http" | "sql" | "redis" | "valkey" | "memcached" | "mongodb" | "cassandra" | "elasticsearch" => {
            SpanKind::Client
        }
        _ => SpanKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(RENAMED.is_sorted_by_key(|(name, ..)| *name));
        assert!(LEFT_OUT.is_sorted());
        assert!(OF_PROCESS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn every_name_is_in_the_reference() {
        let reference = include_str!("../../../../../docs/reference/datadog.md");
        for (name, current, _) in RENAMED {
            assert!(reference.contains(&format!("| `{name}` | `{current}` |")), "`{name}` is not in the table");
        }
        for (name, current) in OF_PROCESS {
            assert!(reference.contains(&format!("| `{name}` | `{current}` |")), "`{name}` is not in the table");
        }
        for name in LEFT_OUT {
            assert!(reference.contains(&format!("`{name}`")), "`{name}` is not in the list");
        }
    }

    #[test]
    fn values_have_their_form() {
        let value = |key, value| attribute(key, value).map(|(name, value)| (name, value.to_text()));
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(attribute("http.status_code", "200"), Some(("http.response.status_code".into(), 200.into())));
        assert_eq!(value("http.status_code", "2xx"), pair("http.response.status_code", "2xx"));
        assert_eq!(value("http.url", "http://ada:pw@shop/a@b?c"), pair("url.full", "http://shop/a@b?c"));
        assert_eq!(value("http.url", "http://shop/a@b"), pair("url.full", "http://shop/a@b"));
        assert_eq!(value("redis.raw_command", "SET card 4111\nGET a"), pair("db.query.text", "SET ?\nGET ?"));
        assert_eq!(value("db.system", "postgres"), pair("db.system.name", "postgresql"));
        assert_eq!(value("http.request.headers.x-a", "b"), pair("http.request.header.x-a", "[\"b\"]"));
        assert_eq!(value("http.request.headers.cookie", "b"), None);
        assert_eq!((value("_dd.p.tid", "b"), value("env", "prod")), (None, None));
        assert_eq!(value("own", "b"), pair("own", "b"));
        assert_eq!(number("db.row_count", 3.0), Some(("db.response.returned_rows".into(), 3.into())));
        assert_eq!(number("db.row_count", -1.0), None);
        assert_eq!(value("http.route", "items/<int:id>"), pair("http.route", "/items/<int:id>"));
        assert_eq!(number("load", 0.5), Some(("load".into(), 0.5.into())));
    }
}
