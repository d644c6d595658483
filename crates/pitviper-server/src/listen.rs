//! Ports: taking them, answering HTTP on them within bounds of time and number, and giving them back in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::connections::{Connections, Ended, Port};
use crate::first_bytes::FirstBytes;

/// Connections one port keeps open at once. Further clients are told to come back.
const MAX_CONNECTIONS: usize = 4_096;

/// Clients that are told so at once; further ones wait.
const MAX_TURNED_AWAY: usize = 64;

/// How long a client has to hear that.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

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

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// HTTP/1 and HTTP/2.
    Http,
    /// HTTP/2 alone, as gRPC has it.
    Grpc,
}

/// What is let in by a port.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    connections: Arc<Connections>,
    port: Port,
    speaks: Speaks,
    most: usize,
    head_timeout: Duration,
}

impl Door {
    /// A port whose connections are counted there.
    pub(crate) fn new(port: Port, connections: &Arc<Connections>) -> Self {
        let speaks = if port == Port::OtlpGrpc { Speaks::Grpc } else { Speaks::Http };
        let connections = Arc::clone(connections);
        Self { connections, port, speaks, most: MAX_CONNECTIONS, head_timeout: HEAD_TIMEOUT }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.head_timeout);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
        match self.speaks {
            Speaks::Http => builder,
            Speaks::Grpc => builder.http2_only(),
        }
    }

    /// Tells a client that there is no room, and when to come again.
    async fn turn_away(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.connections.turned_away(self.port);
        let message =
            format!("this port has {} connections open, as many as it takes: close some, or try again", self.most);
        let answer = match self.speaks {
            Speaks::Http => format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{message}",
                message.len()
            )
            .into_bytes(),
            Speaks::Grpc => go_away(&message),
        };
        let told = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            // What it has sent is let go: to close on it would take the answer back.
            let mut sent = [0; 4_096];
            while stream.read(&mut sent).await? > 0 {}
            io::Result::Ok(())
        };
        // One that does not listen is not waited for.
        let _ = tokio::time::timeout(TURN_AWAY_TIME, told).await;
    }
}

/// What HTTP/2 says to a client that is to come again: settings, and to go away.
fn go_away(message: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 11;
    let length = (8 + message.len()) as u32;
    let mut frames = SETTINGS.to_vec();
    frames.extend_from_slice(&length.to_be_bytes()[1..]);
    frames.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
    // The last stream that was looked at: none.
    frames.extend_from_slice(&[0; 4]);
    frames.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frames.extend_from_slice(message.as_bytes());
    frames
}

/// Answers HTTP until told to stop; then lets requests under way finish.
pub(crate) async fn serve_http<A: Accept>(
    listener: A,
    router: Router,
    door: Door,
    mut stopping: watch::Receiver<bool>,
) {
    let builder = door.builder();
    let (places, aways) = (Arc::new(Semaphore::new(door.most)), Arc::new(Semaphore::new(MAX_TURNED_AWAY)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.next() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let Ok(away) = Arc::clone(&aways).acquire_owned().await else { continue };
            let door = door.clone();
            tokio::spawn(async move {
                door.turn_away(stream).await;
                drop(away);
            });
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let (stream, unanswered) = FirstBytes::of(stream, door.head_timeout);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        let (connections, port) = (Arc::clone(&door.connections), door.port);
        connections.opened(port);
        tokio::spawn(async move {
            let how = match connection.await {
                Ok(()) => Ended::Closed,
                Err(error) => match Ended::of(&*error) {
                    // Nobody had asked for anything more.
                    Ended::HeadTimeout if !unanswered.load(Ordering::Relaxed) => Ended::Closed,
                    how => {
                        tracing::debug!(?how, %error, "a connection ended early");
                        how
                    }
                },
            };
            connections.ended(port, how);
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
