//! What tracers say of what they trace, in OpenTelemetry's conventions.

use std::borrow::Cow;
use std::sync::Arc;

use pitviper_agent::http::{self, is_sensitive_name, masked_query, masked_url};
use pitviper_agent::sql::{self, Dialect};
use pitviper_model::{SpanKind, Value};

/// What stands for a value that may be secret.
const MASKED: &str = "***";
/// Words that say so of a header, beside those of any name.
const SENSITIVE_OF_HEADERS: [&str; 3] = ["cookie", "api-key", "private"];

pub(crate) type Attribute = (Cow<'static, str>, Value);

/// How a span begins, as far as its tracer knows before its start.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    /// The service that begins with it.
    pub(crate) service: Option<Arc<str>>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Draft {
    fn new(name: impl Into<String>, kind: SpanKind) -> Self {
        Self { name: name.into(), kind, service: None, attributes: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    fn with_text(self, key: &'static str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(key, value) }
    }
}

/// How something is reached.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    kind: i32,
    endpoint: String,
}

impl Channel {
    pub(crate) fn new(kind: i32, endpoint: String) -> Self {
        Self { kind, endpoint }
    }

    fn describe(&self, draft: Draft) -> Draft {
        match self.kind {
            1 => {
                let (host, port) = host_and_port(&self.endpoint);
                let draft = draft.with_text("server.address", host);
                let draft = draft.with("network.transport", "tcp");
                match port {
                    Some(port) => draft.with("server.port", port),
                    None => draft,
                }
            }
            2 => draft.with_text("server.address", &self.endpoint).with("network.transport", "unix"),
            3 => draft.with_text("server.address", &self.endpoint).with("network.transport", "pipe"),
            4 => draft.with("network.transport", "inproc"),
            _ => draft.with_text("server.address", &self.endpoint),
        }
    }
}

/// A database that statements go to.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) vendor: String,
    pub(crate) channel: Channel,
}

impl Database {
    /// A statement that goes to it. Its literals are left out.
    pub(crate) fn request(&self, statement: &str) -> Draft {
        let system = system_of(&self.vendor);
        let draft = match &*system {
            // What follows the command are keys and values.
            "redis" | "memcached" => {
                let command = statement.split_whitespace().next().unwrap_or("command");
                Draft::new(command, SpanKind::Client).with("db.operation.name", command)
            }
            _ => {
                // Double quotes hold names in standard SQL, and a value that stands in them is masked too.
                let described = sql::describe(statement, Dialect::of(&system).unwrap_or(Dialect::Sqlite));
                Draft::new(&*described.summary, SpanKind::Client)
                    .with_text("db.query.text", &described.text)
                    .with_text("db.query.summary", &described.summary)
                    .with_text("db.operation.name", &described.operation)
            }
        };
        self.channel.describe(draft.with("db.system.name", &*system).with_text("db.namespace", &self.name))
    }
}

/// An application that a web server serves.
#[derive(Debug)]
pub(crate) struct WebApplication {
    pub(crate) virtual_host: String,
    pub(crate) id: String,
    pub(crate) context_root: String,
}

impl WebApplication {
    /// A request that it serves.
    pub(crate) fn request(&self, url: &str, method: &str) -> Draft {
        let url = Url::parse(url);
        let (host, port) = host_and_port(if url.authority.is_empty() { &self.virtual_host } else { url.authority });
        let mut draft = Draft::new(method, SpanKind::Server)
            .with_text("http.request.method", method)
            .with_text("url.scheme", url.scheme)
            .with_text("url.path", url.path)
            .with_text("url.query", &masked_query(url.query))
            .with_text("server.address", host)
            .with_text("dynatrace.web_application.id", &self.id)
            .with_text("dynatrace.web_application.context_root", &self.context_root);
        if let Some(port) = port {
            draft = draft.with("server.port", port);
        }
        draft.service = name_of_service(&self.id);
        draft
    }
}

/// A queue or topic that messages go through.
#[derive(Debug)]
pub(crate) struct Messaging {
    pub(crate) vendor: String,
    pub(crate) destination: String,
    pub(crate) destination_type: i32,
    pub(crate) channel: Channel,
}

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageOperation {
    Send,
    Receive,
    Process,
}

impl Messaging {
    /// Something that is done with a message.
    pub(crate) fn message(&self, operation: MessageOperation) -> Draft {
        let (name, kind) = match operation {
            MessageOperation::Send => ("send", SpanKind::Producer),
            MessageOperation::Receive => ("receive", SpanKind::Client),
            MessageOperation::Process => ("process", SpanKind::Consumer),
        };
        let destination_type = match self.destination_type {
            1 => "queue",
            2 => "topic",
            _ => "",
        };
        let draft = Draft::new(format!("{name} {}", self.destination).trim_end(), kind)
            .with("messaging.system", &*system_of(&self.vendor))
            .with_text("messaging.destination.name", &self.destination)
            .with_text("messaging.destination.kind", destination_type)
            .with("messaging.operation.name", name)
            .with("messaging.operation.type", name);
        self.channel.describe(draft)
    }
}

/// A request that is sent to a web server.
pub(crate) fn outgoing_web_request(url: &str, method: &str) -> Draft {
    let (host, port) = http::host_and_port(url);
    let draft = Draft::new(method, SpanKind::Client)
        .with_text("http.request.method", method)
        .with_text("url.full", &masked_url(url))
        .with_text("server.address", &host);
    match port {
        Some(port) => draft.with("server.port", i64::from(port)),
        None => draft,
    }
}

/// A call of another process.
pub(crate) fn outgoing_remote_call(method: &str, service: &str, endpoint: &str, channel: &Channel) -> Draft {
    channel.describe(remote_call(method, service, endpoint, SpanKind::Client))
}

/// A call that another process made.
pub(crate) fn incoming_remote_call(method: &str, service: &str, endpoint: &str) -> Draft {
    let mut draft = remote_call(method, service, endpoint, SpanKind::Server);
    draft.service = name_of_service(service);
    draft
}

fn remote_call(method: &str, service: &str, endpoint: &str, kind: SpanKind) -> Draft {
    Draft::new(method, kind)
        .with_text("rpc.service", service)
        .with_text("rpc.method", method)
        .with_text("dynatrace.service.endpoint", endpoint)
}

/// A method of a service that the application names.
pub(crate) fn custom_service(method: &str, service: &str) -> Draft {
    let mut draft = Draft::new(method, SpanKind::Server).with_text("code.function.name", method);
    draft.service = name_of_service(service);
    draft
}

/// What goes on in another thread or later.
pub(crate) fn in_process_link() -> Draft {
    Draft::new("in-process link", SpanKind::Internal)
}

/// What a header says, as an attribute.
pub(crate) fn header(direction: &str, name: &str, value: &str) -> Attribute {
    let is_secret =
        is_sensitive_name(name) || SENSITIVE_OF_HEADERS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let value = if is_secret { MASKED } else { value };
    let list = Value::Array(vec![Value::from(value)]);
    (format!("http.{direction}.header.{}", name.to_ascii_lowercase()).into(), list)
}

/// What a parameter of a form says, as an attribute.
pub(crate) fn parameter(name: &str, value: &str) -> Attribute {
    let value = if is_sensitive_name(name) { MASKED } else { value };
    (format!("http.request.parameter.{name}").into(), value.into())
}

fn name_of_service(name: &str) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| Arc::from(name))
}

/// OpenTelemetry's name of a vendor's system.
fn system_of(vendor: &str) -> Cow<'static, str> {
    Cow::Borrowed(match vendor {
        "PostgreSQL" | "EnterpriseDB" => "postgresql",
        "MySQL" => "mysql",
        "MariaDB" => "mariadb",
        "sqlite" | "SQLite" => "sqlite",
        "Oracle" => "oracle.db",
        "SQL Server" => "microsoft.sql_server",
        "DB2" => "ibm.db2",
        "HanaDB" => "sap.hana",
        "MaxDB" => "sap.maxdb",
        "Derby Client" | "Derby Embedded" | "Cloudscape" => "derby",
        "Amazon Redshift" => "aws.redshift",
        "H2" => "h2database",
        "Cache" => "intersystems_cache",
        "ApacheHive" => "hive",
        "Informix" => "ibm.informix",
        "Netezza" => "ibm.netezza",
        "ActiveMQ" | "Artemis" => "activemq",
        "MQSeries" | "MQSeries JMS" | "WebSphere" => "ibmmq",
        "" => "other",
        other => return Cow::Owned(other.to_ascii_lowercase().replace(' ', "_")),
    })
}

/// Splits `host:port`.
fn host_and_port(endpoint: &str) -> (&str, Option<i64>) {
    let (host, port) = match endpoint.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
            (host, rest.strip_prefix(':').unwrap_or_default())
        }
        None => match endpoint.rsplit_once(':') {
            // Several colons are an address of version 6.
            Some((host, port)) if !host.contains(':') => (host, port),
            _ => (endpoint, ""),
        },
    };
    (host, port.parse::<u16>().ok().map(i64::from))
}

/// The host of an address that may have a port.
pub(crate) fn host_of(address: &str) -> &str {
    host_and_port(address).0
}

/// The parts of a URL that may lack its beginning.
struct Url<'a> {
    scheme: &'a str,
    /// Host and port, without credentials.
    authority: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Self {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("", url),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            // Without a scheme and a slash it is a path such as `index`.
            None if scheme.is_empty() => ("", rest),
            None => (rest, ""),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        Self { scheme, authority, path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(draft: &Draft) -> Vec<String> {
        draft.attributes.iter().map(|(key, value)| format!("{key}={value:?}")).collect()
    }

    #[test]
    fn urls_lose_secrets_and_may_lack_their_beginning() {
        let draft = outgoing_web_request("https://user:pw@example.com:8443/a?q=1&api_key=x#top", "GET");
        assert!(shown(&draft).iter().any(|text| text.contains("https://***@example.com:8443/a?q=1&api_key=***")));
        let application = WebApplication { virtual_host: "shop".into(), id: "Shop".into(), context_root: "/".into() };
        let draft = application.request("/cart?session=9", "POST");
        assert_eq!(draft.service.as_deref(), Some("Shop"));
        let all = shown(&draft).join(" ");
        assert!(all.contains("/cart") && all.contains("session=***") && all.contains("shop"), "{all}");
    }

    #[test]
    fn statements_lose_their_literals_whoever_made_the_database() {
        for vendor in ["PostgreSQL", "Oracle", "Our own"] {
            let channel = Channel::new(1, "db:5432".into());
            let database = Database { name: "shop".into(), vendor: vendor.into(), channel };
            let all = shown(&database.request("SELECT * FROM card WHERE number = '4711'")).join(" ");
            assert!(!all.contains("4711") && all.contains("SELECT * FROM card"), "{all}");
        }
        let cache = Database { name: "0".into(), vendor: "Redis".into(), channel: Channel::default() };
        let draft = cache.request("SET key secret");
        assert_eq!(draft.name, "SET");
        assert!(!shown(&draft).join(" ").contains("secret"));
    }

    #[test]
    fn endpoints_are_split() {
        assert_eq!(host_and_port("localhost:6666"), ("localhost", Some(6_666)));
        assert_eq!(host_and_port("[::1]:80"), ("::1", Some(80)));
        assert_eq!(host_and_port("fe80::1"), ("fe80::1", None));
        assert_eq!(host_and_port("host"), ("host", None));
    }
}
