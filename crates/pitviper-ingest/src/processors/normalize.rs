//! One name for one thing: what older clients call otherwise gets its current name as well.
//!
//! The original attribute stays, so nothing that was sent is lost and a search for either name
//! finds the span. Source: OpenTelemetry semantic conventions, the migration guides for HTTP
//! (stable since 1.23) and for databases (stable since 1.33).

use pitviper_model::ResourceSpans;

/// Former name, current name.
const RENAMED: [(&str, &str); 17] = [
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.url", "url.full"),
    ("http.target", "url.path"),
    ("http.scheme", "url.scheme"),
    ("http.user_agent", "user_agent.original"),
    ("http.client_ip", "client.address"),
    ("net.host.name", "server.address"),
    ("net.host.port", "server.port"),
    ("net.peer.name", "server.address"),
    ("net.peer.port", "server.port"),
    ("db.system", "db.system.name"),
    ("db.statement", "db.query.text"),
    ("db.operation", "db.operation.name"),
    ("db.name", "db.namespace"),
    ("db.sql.table", "db.collection.name"),
    ("messaging.destination", "messaging.destination.name"),
];

/// Adds the current names.
pub(crate) fn apply(mut batch: Vec<ResourceSpans>) -> Vec<ResourceSpans> {
    let scopes = batch.iter_mut().flat_map(|resource_spans| &mut resource_spans.scopes);
    for span in scopes.flat_map(|scope_spans| &mut scope_spans.spans) {
        let attributes = &mut span.attributes;
        let mut added = Vec::new();
        for (key, value) in attributes.iter() {
            // All former names begin with one of these; most keys of a span do not.
            if !["http.", "net.", "db.", "messaging."].iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let Some((_, current)) = RENAMED.iter().find(|(former, _)| *former == key) else { continue };
            let taken = attributes.get(current).is_some() || added.iter().any(|(name, _)| name == current);
            if !taken {
                added.push(((*current).to_owned(), value.clone()));
            }
        }
        attributes.0.extend(added);
    }
    batch
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Attributes, ScopeSpans, Span, Value};

    use super::*;

    fn normalised(attributes: Attributes) -> Attributes {
        let spans = vec![Span { attributes, ..Span::default() }];
        let scopes = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let mut batch = apply(vec![ResourceSpans { scopes, ..ResourceSpans::default() }]);
        std::mem::take(&mut batch[0].scopes[0].spans[0].attributes)
    }

    #[test]
    fn adds_the_current_name_and_keeps_the_former() {
        let mut sent = Attributes::default();
        sent.set("http.status_code", 200);
        sent.set("custom", "x");
        let mut expected = sent.clone();
        expected.set("http.response.status_code", 200);
        assert_eq!(normalised(sent), expected);
    }

    #[test]
    fn never_overrides_what_was_sent() {
        let mut sent = Attributes::default();
        sent.set("db.statement", "old");
        sent.set("db.query.text", "new");
        assert_eq!(normalised(sent.clone()), sent);
        assert_eq!(sent.get("db.query.text"), Some(&Value::from("new")));
    }
}
