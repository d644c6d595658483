//! Ports: taking them, answering HTTP on them, and giving them back in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

/// Connections one port keeps open at once. Further clients wait until one ends.
const MAX_CONNECTIONS: usize = 4_096;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait after the system refused a connection, for lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes a port without listening on it yet, so that a port in use is found out before anything is
/// opened, and clients cannot connect before everything is.
pub(crate) fn take(flag: &str, address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let taken = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Lets a restarted server take its port back while old connections fade.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    taken().map_err(|error| explain(flag, address, &error))
}

/// Begins to listen.
pub(crate) fn listen(flag: &str, socket: TcpSocket) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let address = socket.local_addr()?;
    let listener = socket.listen(BACKLOG).map_err(|error| explain(flag, address, &error))?;
    Ok((listener, address))
}

fn explain(flag: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{flag} {address}: the port is in use, perhaps by another pitviper-server; stop that program or choose \
             another port with {flag} (port 0 takes a free one)"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{flag} {address}: not allowed; ports below 1024 need privileges, choose another with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{flag} {address}: this machine has no such address; use one of its own, or 0.0.0.0 for all")
        }
        _ => anyhow!("{flag} {address}: {error}"),
    }
}

/// Where connections come from.
pub(crate) trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Answers are written whole, so waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Answers HTTP/1 and HTTP/2 until told to stop; then lets requests under way finish.
pub(crate) async fn serve_http<A: Accept>(listener: A, router: Router, mut stopping: watch::Receiver<bool>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept<A: Accept>(
    listener: &A,
    connections: &Arc<Semaphore>,
) -> io::Result<(A::Stream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.next().await?, permit))
}
