//! A server in this process, over a store of a few spans.

use std::sync::Arc;

use axum::Router;
use pitviper_api::auth::Access;
use pitviper_api::client_settings::{ClientSetting, ClientSettings, KeepsClientSettings};
use pitviper_api::{Api, ApiConfig, Endpoints, app, guarded};
use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use tokio::sync::watch;

/// When the first span starts, about.
pub(crate) const START_US: u64 = 1_795_224_000_000_000;

/// The API over an empty store. It stops when the sender says so.
pub(crate) async fn api(dir: &tempfile::TempDir) -> (Api, watch::Sender<bool>) {
    api_over(EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap())
}

fn api_over(store: Arc<EmbeddedStore>) -> (Api, watch::Sender<bool>) {
    let (stop, stopping) = watch::channel(false);
    let config = ApiConfig {
        store,
        version: "1.2.3",
        endpoints: Endpoints { http: "a".into(), otlp_http: "b".into(), otlp_grpc: "c".into() },
        access: Access::Loopback,
        metrics: Vec::new(),
        client_settings: Arc::new(NoSettings),
        stopping,
    };
    (Api::new(config), stop)
}

/// Keeps no settings.
struct NoSettings;

impl KeepsClientSettings for NoSettings {
    fn get(&self) -> ClientSettings {
        ClientSettings::default()
    }

    fn replace(&self, settings: Vec<ClientSetting>) -> std::io::Result<ClientSettings> {
        Ok(ClientSettings { version: 1, settings })
    }
}

/// A server whose store has these spans of one service.
pub(crate) async fn server(
    dir: &tempfile::TempDir,
    spans: impl IntoIterator<Item = Span>,
) -> (Router, watch::Sender<bool>) {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut rows = SpansBuilder::default();
    let attributes = [("service.name", "flaskr")].into_iter().collect();
    let resource = Resource { attributes, ..Resource::default() };
    spans.into_iter().for_each(|span| rows.append(&resource, &Scope::default(), &span));
    store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    over(store)
}

/// A server over this store.
pub(crate) fn over(store: Arc<EmbeddedStore>) -> (Router, watch::Sender<bool>) {
    let (api, stop) = api_over(store);
    (guarded(&api, app(&api, Router::new())), stop)
}

/// Two requests and a call.
pub(crate) fn three_spans() -> impl Iterator<Item = Span> {
    (1..).zip(["GET /", "GET /", "SELECT post"]).map(|(number, name)| {
        let start = START_US * 1_000 + u64::from(number);
        let mut span = Span {
            trace_id: TraceId([number; 16]),
            span_id: SpanId([number; 8]),
            name: name.into(),
            kind: if name.starts_with("GET") { SpanKind::Server } else { SpanKind::Client },
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000,
            ..Span::default()
        };
        if span.kind == SpanKind::Server {
            span.attributes.set("http.response.status_code", 200);
        }
        span
    })
}
