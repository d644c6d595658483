//! What all routes share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pitviper_query::views::complete::FacetCache;
use pitviper_store::{Lane, Places, Store};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

use crate::auth::{Access, Refusals};
use crate::exposition::MetricsSource;
use crate::layers::HttpMetrics;
use crate::questions::Questions;
use crate::routes::client_settings::KeepsClientSettings;
use crate::routes::first_span::MAX_WAITING;

/// Where the server can be reached, as `http://127.0.0.1:4390`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Endpoints {
    /// UI, API and OTLP over HTTP.
    pub http: String,
    /// OTLP over HTTP.
    pub otlp_http: String,
    /// OTLP over gRPC.
    pub otlp_grpc: String,
}

/// What the API needs to know.
pub struct ApiConfig {
    /// Where the data is.
    pub store: Arc<dyn Store>,
    /// The server's version.
    pub version: &'static str,
    /// Where the server can be reached.
    pub endpoints: Endpoints,
    /// Who may use it.
    pub access: Access,
    /// Figures of other rooms, for `/metrics`.
    pub metrics: Vec<Arc<dyn MetricsSource>>,
    /// What clients are told to do.
    pub client_settings: Arc<dyn KeepsClientSettings>,
    /// Turns true when the server stops; open streams then end.
    pub stopping: watch::Receiver<bool>,
}

/// The state of the API; a handle to it.
#[derive(Clone)]
pub struct Api {
    pub(crate) shared: Arc<Shared>,
    /// In which its questions are asked.
    pub(crate) lane: Lane,
}

pub(crate) struct Shared {
    pub(crate) config: ApiConfig,
    pub(crate) started_us: i64,
    pub(crate) http: HttpMetrics,
    pub(crate) questions: Questions,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) places: Places,
    pub(crate) waiting_streams: Arc<Semaphore>,
    /// What completion counted lately.
    pub(crate) facets: Arc<FacetCache>,
}

impl Api {
    /// An API over this.
    #[must_use]
    pub fn new(config: ApiConfig) -> Self {
        let shared = Shared {
            config,
            started_us: now_us(),
            http: HttpMetrics::default(),
            questions: Questions::default(),
            refusals: Arc::default(),
            places: crate::work::places(),
            waiting_streams: Arc::new(Semaphore::new(MAX_WAITING)),
            facets: Arc::default(),
        };
        Self { shared: Arc::new(shared), lane: Lane::First }
    }

    /// For questions that go with another one, which is what their asker waits for.
    pub(crate) fn aside(self) -> Self {
        Self { lane: Lane::Aside, ..self }
    }

    /// Where ports that are not HTTP count who was not let in.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.shared.refusals)
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.shared.config.store
    }
}

/// The current time in microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
