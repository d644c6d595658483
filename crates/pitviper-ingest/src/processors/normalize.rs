//! One name for one thing: what older clients call otherwise gets its current name as well.
//!
//! The original attribute stays, so nothing that was sent is lost and a search for either name
//! finds the span. Source: OpenTelemetry semantic conventions, the migration guides for HTTP
//! (stable since 1.23) and for databases (stable since 1.33).

use pitviper_model::{Attributes, ResourceSpans, Span, Value};

/// Former name, current name.
const RENAMED: [(&str, &str); 14] = [
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.url", "url.full"),
    ("http.scheme", "url.scheme"),
    ("http.user_agent", "user_agent.original"),
    ("http.client_ip", "client.address"),
    ("net.host.name", "server.address"),
    ("net.host.port", "server.port"),
    ("db.system", "db.system.name"),
    ("db.statement", "db.query.text"),
    ("db.operation", "db.operation.name"),
    ("db.name", "db.namespace"),
    ("db.sql.table", "db.collection.name"),
    ("messaging.destination", "messaging.destination.name"),
];

/// All former names begin with one of these; most keys of a span do not.
const FORMER_PREFIXES: [&str; 4] = ["http.", "net.", "db.", "messaging."];

/// Adds the current names.
pub(crate) fn apply(mut batch: Vec<ResourceSpans>) -> Vec<ResourceSpans> {
    let scopes = batch.iter_mut().flat_map(|resource_spans| &mut resource_spans.scopes);
    for span in scopes.flat_map(|scope_spans| &mut scope_spans.spans) {
        let added = current(span);
        span.attributes.0.extend(added);
    }
    batch
}

/// What the span says under former names only, under the current ones.
fn current(span: &Span) -> Vec<(String, Value)> {
    let mut added: Vec<(String, Value)> = Vec::new();
    let mut add = |name: &str, value: Value| {
        let taken = span.attributes.get(name).is_some() || added.iter().any(|(other, _)| other == name);
        if !taken {
            added.push((name.to_owned(), value));
        }
    };
    for (key, value) in span.attributes.iter() {
        if !FORMER_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            continue;
        }
        if let Some((_, name)) = RENAMED.iter().find(|(former, _)| *former == key) {
            add(name, value.clone());
        } else if let Some(end) = key.strip_prefix("net.peer.") {
            if let Some(name) = peer(span, end) {
                add(name, value.clone());
            }
        } else if key == "http.target"
            && let Some(target) = value.as_str()
        {
            // The target of a request is path and query in one.
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            add("url.path", path.into());
            if !query.is_empty() {
                add("url.query", query.into());
            }
        }
    }
    added
}

/// The current name of `net.peer.name` or `net.peer.port`: the peer of who serves is the client, the
/// peer of who calls is the server.
fn peer(span: &Span, end: &str) -> Option<&'static str> {
    match (end, span.kind.is_entry()) {
        ("name", false) => Some("server.address"),
        ("port", false) => Some("server.port"),
        // Behind a proxy the peer is the proxy, and its port says nothing of the client named.
        (_, true) if names_client(&span.attributes) => None,
        ("name", true) => Some("client.address"),
        ("port", true) => Some("client.port"),
        _ => None,
    }
}

fn names_client(attributes: &Attributes) -> bool {
    ["client.address", "http.client_ip"].iter().any(|key| attributes.get(key).is_some())
}

#[cfg(test)]
mod tests {
    use pitviper_model::{ScopeSpans, SpanKind};

    use super::*;

    fn normalised(kind: SpanKind, attributes: Attributes) -> Attributes {
        let spans = vec![Span { kind, attributes, ..Span::default() }];
        let scopes = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let mut batch = apply(vec![ResourceSpans { scopes, ..ResourceSpans::default() }]);
        std::mem::take(&mut batch[0].scopes[0].spans[0].attributes)
    }

    /// What is added to these attributes.
    fn added<const N: usize>(kind: SpanKind, sent: [(&str, &str); N]) -> Vec<(String, String)> {
        let all = normalised(kind, sent.into_iter().collect());
        assert_eq!(all.0[..N], Attributes::from_iter(sent).0, "what was sent stays");
        all.iter().skip(N).map(|(key, value)| (key.to_owned(), value.to_text())).collect()
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn adds_the_current_name_and_keeps_the_former() {
        let mut sent = Attributes::default();
        sent.set("http.status_code", 200);
        sent.set("custom", "x");
        let mut expected = sent.clone();
        expected.set("http.response.status_code", 200);
        assert_eq!(normalised(SpanKind::Server, sent), expected);
    }

    #[test]
    fn never_overrides_what_was_sent() {
        let mut sent = Attributes::default();
        sent.set("db.statement", "old");
        sent.set("db.query.text", "new");
        assert_eq!(normalised(SpanKind::Client, sent.clone()), sent);
        assert_eq!(sent.get("db.query.text"), Some(&Value::from("new")));
        assert_eq!(added(SpanKind::Server, [("url.path", "/a"), ("http.target", "/b")]), []);
    }

    #[test]
    fn a_target_is_a_path_and_a_query() {
        let split = |target| added(SpanKind::Server, [("http.target", target)]);
        assert_eq!(split("/a/b?c=d&e=?"), pairs([("url.path", "/a/b"), ("url.query", "c=d&e=?")]));
        assert_eq!(split("/a"), pairs([("url.path", "/a")]));
        assert_eq!(split("/a?"), pairs([("url.path", "/a")]));
    }

    #[test]
    fn the_peer_of_a_call_is_its_server() {
        let sent = [("net.peer.name", "db.local"), ("net.peer.port", "5432")];
        let expected = pairs([("server.address", "db.local"), ("server.port", "5432")]);
        for kind in [SpanKind::Client, SpanKind::Producer, SpanKind::Internal] {
            assert_eq!(added(kind, sent), expected, "{kind:?}");
        }
    }

    #[test]
    fn the_peer_of_who_serves_is_the_client() {
        let sent = [("net.peer.name", "10.0.0.9"), ("net.peer.port", "51000"), ("net.host.name", "shop")];
        let expected = pairs([("client.address", "10.0.0.9"), ("client.port", "51000"), ("server.address", "shop")]);
        for kind in [SpanKind::Server, SpanKind::Consumer] {
            assert_eq!(added(kind, sent), expected, "{kind:?}");
        }
        let behind_a_proxy = [("net.peer.name", "10.0.0.1"), ("net.peer.port", "40"), ("http.client_ip", "1.2.3.4")];
        assert_eq!(added(SpanKind::Server, behind_a_proxy), pairs([("client.address", "1.2.3.4")]));
    }
}
