//! Starts everything, waits for the signal to stop, and takes everything down in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use http::HeaderMap;
use pitviper_api::auth::{Access, Refusals};
use pitviper_api::{Api, ApiConfig, Endpoints, MetricsSource};
use pitviper_ingest::Ingest;
use pitviper_ingest::receivers::datadog::Datadog;
use pitviper_ingest::receivers::{foreign, otlp, pprof};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, RollUp};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

use crate::client_settings::{self, KeptSettings};
use crate::config::Serve;
use crate::connections::{Connections, Port};
use crate::datadog::{Files, Sockets};
use crate::figures::{DatadogSource, Figures};
use crate::listen::Door;
use crate::ready::{self, Ready};
use crate::self_trace::{self, SelfTraceQueue};
use crate::{listen, logging, panics};

/// How long requests under way may take to finish once the server was told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Metrics are kept in steps of ten seconds for six hours, of a minute for two weeks, then of an hour.
const ROLL_UP: RollUp =
    RollUp { minutes_after: Duration::from_secs(6 * 3_600), hours_after: Duration::from_secs(14 * 86_400) };

/// Runs the server until it is told to stop.
pub(crate) fn run(config: Box<Serve>) -> anyhow::Result<()> {
    let (layer, queue) = config.self_trace.then(self_trace::channel).unzip();
    logging::start(config.log_format, &config.log_level, layer)?;
    panics::install();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(serve(&config, queue))
}

async fn serve(config: &Serve, self_trace: Option<SelfTraceQueue>) -> anyhow::Result<()> {
    let addresses = config.addresses();
    let access = Access::for_addresses(&addresses.map(|(_, address)| address), config.token()?)?;
    if let Some(path) = &config.ready_file {
        ready::clear(path)?;
    }
    let mut sockets = Vec::with_capacity(addresses.len());
    for (flag, address) in addresses {
        sockets.push((flag, listen::take(flag, address)?));
    }
    let data_dir = config.data_dir()?;
    let datadog = Sockets::open(config).await?;
    // Listened for from here on, so that a signal during a long recovery is not missed.
    let mut signals = Signals::new()?;
    let settings = EmbeddedConfig {
        retention: config.retention(),
        roll_up: ROLL_UP,
        disk_reserve_bytes: config.disk_reserve,
        flush_after_ms: config.flush_after_ms,
        thinning: config.thinning(),
        ..EmbeddedConfig::new(&data_dir)
    };
    let opening = EmbeddedStore::open(settings);
    let store: Arc<dyn Store> = tokio::select! {
        store = opening => store.with_context(|| format!("--data-dir {}", data_dir.display()))?,
        () = signals.stop() => return Ok(()),
    };
    let mut listeners = Vec::with_capacity(sockets.len());
    for (flag, socket) in sockets {
        listeners.push(listen::listen(flag, socket)?);
    }
    let [http, otlp_http, otlp_grpc] =
        <[_; 3]>::try_from(listeners).expect("there is one listener for each of the three addresses");

    let ready = Ready {
        http: http.1.to_string(),
        otlp_http: otlp_http.1.to_string(),
        otlp_grpc: otlp_grpc.1.to_string(),
        datadog: datadog.http_address().map(|address| address.to_string()),
        dogstatsd: datadog.dogstatsd_address().map(|address| address.to_string()),
        pid: std::process::id(),
    };
    let settings = Arc::new(KeptSettings::open(&data_dir)?);
    let (stop, stopping) = watch::channel(false);
    let (mut ports, files) = open_ports(
        &store,
        (access, config.otlp_profiles),
        [http, otlp_http, otlp_grpc],
        (datadog, settings),
        &stopping,
        self_trace,
    );
    if let Some(path) = &config.ready_file {
        ready::write(path, &ready)?;
    }
    tracing::info!(
        http = ready.http,
        otlp_http = ready.otlp_http,
        otlp_grpc = ready.otlp_grpc,
        datadog = ready.datadog.as_deref().unwrap_or("off"),
        dogstatsd = ready.dogstatsd.as_deref().unwrap_or("off"),
        data_dir = %data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    signals.stop().await;
    tracing::info!("stopping: finishing requests under way");
    stop.send_replace(true);
    tokio::select! {
        drained = tokio::time::timeout(DRAIN_TIME, drain(&mut ports)) => {
            if drained.is_err() {
                tracing::warn!(after_s = DRAIN_TIME.as_secs(), "requests were still under way and are cut off");
            }
        }
        () = signals.stop() => tracing::warn!("told to stop again: requests under way are cut off"),
    }
    drop(ports);
    drop(files);
    store.close().await.context("the store could not be closed; what was acknowledged is in its log")?;
    tracing::info!("stopped");
    Ok(())
}

/// Puts receivers and API on their ports.
fn open_ports(
    store: &Arc<dyn Store>,
    (access, otlp_profiles): (Access, bool),
    [http, otlp_http, otlp_grpc]: [(TcpListener, SocketAddr); 3],
    (sockets, settings): (Sockets, Arc<KeptSettings>),
    stopping: &watch::Receiver<bool>,
    self_trace: Option<SelfTraceQueue>,
) -> (JoinSet<()>, Files) {
    let ingest = Ingest::new(Arc::clone(store));
    let tell = axum::middleware::from_fn_with_state(Arc::clone(&settings), client_settings::tell);
    let datadog = Datadog::new(Arc::clone(&ingest), settings.remote());
    let mut metrics: Vec<Arc<dyn MetricsSource>> =
        vec![Arc::new(Figures(Arc::clone(&ingest))), Arc::new(DatadogSource(Arc::clone(&datadog)))];
    let connections = Arc::new(Connections::default());
    metrics.push(Arc::clone(&connections) as Arc<dyn MetricsSource>);
    metrics.extend(self_trace.as_ref().map(|queue| Arc::clone(&queue.figures) as Arc<dyn MetricsSource>));
    let api = Api::new(ApiConfig {
        store: Arc::clone(store),
        version: env!("CARGO_PKG_VERSION"),
        endpoints: Endpoints { http: url(http.1), otlp_http: url(otlp_http.1), otlp_grpc: url(otlp_grpc.1) },
        access: access.clone(),
        metrics,
        client_settings: settings,
        stopping: stopping.clone(),
    });
    let mut receivers = otlp::router(Arc::clone(&ingest)).merge(pprof::router(Arc::clone(&ingest)));
    if otlp_profiles {
        receivers = receivers.merge(otlp::profiles_router(Arc::clone(&ingest)));
    }
    let receivers = receivers.layer(tell);
    let app = pitviper_api::guarded(&api, pitviper_api::app(&api, receivers.clone()));
    let receiver =
        pitviper_api::guarded(&api, pitviper_api::receivers_only(receivers, foreign::router(Arc::clone(&ingest))));

    let mut ports = JoinSet::new();
    let grpc = grpc_router(&ingest, &access, otlp_profiles, &api.refusals());
    for (listener, port, router) in
        [(http.0, Port::Http, app), (otlp_http.0, Port::OtlpHttp, receiver), (otlp_grpc.0, Port::OtlpGrpc, grpc)]
    {
        ports.spawn(listen::serve_http(listener, router, Door::new(port, &connections), stopping.clone()));
    }
    if let Some(queue) = self_trace {
        ports.spawn(self_trace::store(queue, Arc::clone(&ingest), stopping.clone()));
    }
    let files = sockets.serve(&datadog, &api, &connections, stopping, &mut ports);
    (ports, files)
}

/// OTLP over gRPC, for those who are let in.
fn grpc_router(ingest: &Arc<Ingest>, access: &Access, otlp_profiles: bool, refusals: &Arc<Refusals>) -> Router {
    let (access, refusals) = (access.clone(), Arc::clone(refusals));
    let admit = move |request: tonic::Request<()>| {
        let headers: HeaderMap = request.metadata().clone().into_headers();
        if access.admits_bearer(&headers) {
            Ok(request)
        } else {
            refusals.count_grpc();
            Err(tonic::Status::unauthenticated("send the metadata `authorization: Bearer` with the server's token"))
        }
    };
    let mut services =
        Routes::new(InterceptedService::new(otlp::grpc::<otlp::Traces>(Arc::clone(ingest)), admit.clone()))
            .add_service(InterceptedService::new(otlp::grpc::<otlp::Metrics>(Arc::clone(ingest)), admit.clone()))
            .add_service(InterceptedService::new(otlp::grpc::<otlp::Logs>(Arc::clone(ingest)), admit.clone()));
    if otlp_profiles {
        services =
            services.add_service(InterceptedService::new(otlp::grpc::<otlp::Profiles>(Arc::clone(ingest)), admit));
    }
    services.into_axum_router()
}

async fn drain(ports: &mut JoinSet<()>) {
    while let Some(ended) = ports.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a port ended badly");
        }
    }
}

/// Where a client on this machine finds the address.
fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next signal to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
