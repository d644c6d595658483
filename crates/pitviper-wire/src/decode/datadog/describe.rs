//! What a span is called, and what statement it stands for.
//!
//! Spans and the statistics that clients make of them are named here alike, from what both have:
//! operation, resource, type and kind.

use std::borrow::Cow;

use pitviper_model::SpanKind;

use crate::sql::{self, Description, Dialect};

/// Longest name, in bytes; a resource may be a whole statement.
const MAX_NAME_BYTES: usize = 1_024;

/// What a span was about.
pub(super) struct Described<'a> {
    pub(super) name: Cow<'a, str>,
    /// The statement of a database without its literals.
    pub(super) statement: Option<Description>,
}

/// Names a span: by its resource, which names the route, the task or the template.
///
/// - A statement is named by its operations and tables, as for every other client of the server.
/// - A call over HTTP is named by its method, for its resource is a path with everything in it.
/// - A command of MongoDB is named without its query, and a pipeline of Redis by the command that all of it is.
/// - A request that Django serves is named by its route as those of other frameworks are.
/// - A task of Celery is named by what is done with it as well: sending it is not running it.
/// - A step within a request, which has the request's resource, is named by its operation.
pub(super) fn describe<'a>(operation: &'a str, resource: &'a str, span_type: &str, kind: SpanKind) -> Described<'a> {
    let resource = if resource.is_empty() { operation } else { resource };
    match operation {
        "celery.apply" => return owned(&format!("apply_async {resource}")),
        "celery.run" => return owned(&format!("run {resource}")),
        "django.request" => {
            if let Some((method, path)) =
                resource.split_once(' ').filter(|(method, path)| is_method(method) && is_route(path))
            {
                return owned(&format!("{method} {}", route(path)));
            }
        }
        _ => {}
    }
    match span_type {
        "sql" if resource != operation => {
            let statement = sql::describe(resource, dialect(operation));
            return Described { name: Cow::Owned(statement.summary.clone()), statement: Some(statement) };
        }
        "http" if kind == SpanKind::Client => {
            if let Some((method, _)) = resource.split_once(' ').filter(|(method, _)| is_method(method)) {
                return named(method);
            }
        }
        "mongodb" => {
            let end = resource.find(['{', '[']).unwrap_or(resource.len());
            return named(resource[..end].trim_end());
        }
        "redis" | "valkey" | "memcached" => {
            // A pipeline has a command a line, and clients may send what each was given.
            let mut commands = resource.lines().map(|line| line.split_whitespace().next().unwrap_or_default());
            let first = commands.next().unwrap_or_default();
            return match (resource.contains('\n'), commands.all(|command| command == first)) {
                (false, _) => named(first),
                (true, true) => owned(&format!("PIPELINE {first}")),
                (true, false) => named("PIPELINE"),
            };
        }
        // Spans within a request have its resource; they are steps of it, each with an operation of its own.
        "" if kind == SpanKind::Internal && is_request(resource) => return named(operation),
        "grpc" => return named(resource.strip_prefix('/').unwrap_or(resource)),
        _ => {}
    }
    named(resource)
}

fn named(name: &str) -> Described<'_> {
    Described { name: Cow::Borrowed(cut(name)), statement: None }
}

fn owned(name: &str) -> Described<'static> {
    Described { name: Cow::Owned(cut(name).to_owned()), statement: None }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

/// Whether this is a method and a path, as in `GET /users/<id>`.
fn is_request(resource: &str) -> bool {
    resource.split_once(' ').is_some_and(|(method, path)| is_method(method) && path.starts_with('/'))
}

/// Whether Django's client means a route: it may be told to name requests by their function, and what is not found
/// it names by its status.
fn is_route(path: &str) -> bool {
    let is_function = path.contains('.') && !path.contains(['/', '<', '^']);
    !is_function && (path.is_empty() || !path.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A route with its first slash, and without the anchors of a regular expression.
pub(super) fn route(text: &str) -> Cow<'_, str> {
    if text.starts_with('/') && !text.contains('^') && !text.ends_with('$') {
        return Cow::Borrowed(text);
    }
    let text = text.strip_suffix('$').or_else(|| text.strip_suffix("\\Z")).unwrap_or(text);
    let mut route = String::with_capacity(text.len() + 1);
    for (at, character) in text.char_indices() {
        // Within brackets it is no anchor.
        if character != '^' || text[..at].ends_with('[') {
            route.push(character);
        }
    }
    if !route.starts_with('/') {
        route.insert(0, '/');
    }
    Cow::Owned(route)
}

fn is_method(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Databases by the operations of ddtrace's integrations.
pub(super) fn system_of(operation: &str, span_type: &str) -> Option<&'static str> {
    let vendor = operation.split('.').next().unwrap_or_default();
    match (vendor, span_type) {
        ("postgres" | "psycopg" | "asyncpg" | "aiopg", _) => Some("postgresql"),
        ("mysql" | "pymysql" | "MySQLdb" | "aiomysql", "sql") => Some("mysql"),
        ("mariadb", _) => Some("mariadb"),
        ("sqlite", _) => Some("sqlite"),
        (_, "redis") => Some("redis"),
        (_, "valkey") => Some("valkey"),
        (_, "memcached") => Some("memcached"),
        (_, "mongodb") => Some("mongodb"),
        (_, "cassandra") => Some("cassandra"),
        (_, "elasticsearch") => Some("elasticsearch"),
        _ => None,
    }
}

/// What carries messages, by the operations of ddtrace's integrations that do not say it themselves.
pub(super) fn messaging_of(operation: &str) -> Option<&'static str> {
    matches!(operation, "celery.apply" | "celery.run").then_some("celery")
}

fn dialect(operation: &str) -> Dialect {
    // Where nobody knows, PostgreSQL's rules: those of the standard.
    system_of(operation, "sql").and_then(Dialect::of).unwrap_or(Dialect::Postgresql)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(operation: &str, resource: &str, span_type: &str, kind: SpanKind) -> String {
        describe(operation, resource, span_type, kind).name.into_owned()
    }

    #[test]
    fn names_are_few() {
        use SpanKind::{Client, Internal, Server};
        assert_eq!(name("flask.request", "GET /hello/<name>", "web", Server), "GET /hello/<name>");
        assert_eq!(name("requests.request", "GET /users/7", "http", Client), "GET");
        assert_eq!(name("http.request", "http.request", "http", Client), "http.request");
        assert_eq!(name("postgres.query", "SELECT * FROM post WHERE id = 7", "sql", Client), "SELECT post");
        assert_eq!(name("postgres.connect", "postgres.connect", "sql", Client), "postgres.connect");
        assert_eq!(name("pymongo.cmd", "find users {\"card\": \"?\"}", "mongodb", Client), "find users");
        assert_eq!(name("redis.command", "GET a", "redis", Client), "GET");
        assert_eq!(name("redis.command", "SET a 4111\nGET a", "redis", Client), "PIPELINE");
        assert_eq!(name("redis.command", "LLEN\nLLEN", "redis", Client), "PIPELINE LLEN");
        assert_eq!(name("celery.apply", "shop.mail", "", SpanKind::Producer), "apply_async shop.mail");
        assert_eq!(name("celery.run", "shop.mail", "worker", SpanKind::Consumer), "run shop.mail");
        assert_eq!(name("grpc", "/shop.Basket/Add", "grpc", Client), "shop.Basket/Add");
        assert_eq!(name("flask.application", "GET /hello/<name>", "", Internal), "flask.application");
        assert_eq!(name("pay", "", "", Internal), "pay");
        assert_eq!(name("pay", &"é".repeat(1_000), "", Internal).len(), MAX_NAME_BYTES);
    }

    #[test]
    fn djangos_requests_are_named_as_all_others() {
        for (resource, expected) in [
            ("GET checkout/<int:item>", "GET /checkout/<int:item>"),
            ("GET ^items/([^/]+)/$", "GET /items/([^/]+)/"),
            ("GET api/^items$", "GET /api/items"),
            ("GET broken", "GET /broken"),
            ("GET ", "GET /"),
            ("GET /checkout/", "GET /checkout/"),
            // Neither is a route.
            ("GET 404", "GET 404"),
            ("GET shop.views.checkout", "GET shop.views.checkout"),
            ("GET", "GET"),
        ] {
            assert_eq!(name("django.request", resource, "web", SpanKind::Server), expected);
        }
    }

    #[test]
    fn statements_have_no_literals() {
        let sent = "SELECT name FROM \"user\" WHERE card = '4111'";
        let statement = describe("postgres.query", sent, "sql", SpanKind::Client).statement.unwrap();
        assert_eq!(statement.text, "SELECT name FROM \"user\" WHERE card = ?");
        assert_eq!((statement.summary.as_str(), statement.operation.as_str()), ("SELECT user", "SELECT"));
        let sent = "SELECT name FROM user WHERE card = \"4111\"";
        let statement = describe("pymysql.query", sent, "sql", SpanKind::Client).statement.unwrap();
        assert_eq!(statement.text, "SELECT name FROM user WHERE card = ?");
    }
}
