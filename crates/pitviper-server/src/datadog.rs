//! The ports and sockets that Datadog's clients know: HTTP at 8126, DogStatsD at 8125, and unix sockets.
//!
//! Their usual ports are taken when they are free. Where Datadog's own agent has them, the server says so
//! and goes on without; a port that was asked for has to be there.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pitviper_api::Api;
use pitviper_ingest::receivers::datadog::{self, Datadog, Packets};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{self, Serve};
use crate::connections::{Connections, Port};
use crate::listen::{self, Door};

/// Where clients send to when nobody tells them otherwise.
const DATADOG: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8126);
const DOGSTATSD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8125);

/// Everybody on this machine may send, as over loopback; who may reach the file is its folder's to say.
const SOCKET_MODE: u32 = 0o666;

/// What is listened on.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    http: Option<(TcpListener, SocketAddr)>,
    unix: Option<UnixListener>,
    packets: Vec<Packets>,
    dogstatsd: Option<SocketAddr>,
    /// Removed in the end.
    files: Files,
}

#[derive(Debug, Default)]
pub(crate) struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for file in &self.0 {
            // One that is gone already is gone.
            let _ = fs::remove_file(file);
        }
    }
}

impl Sockets {
    /// Opens all of them.
    pub(crate) async fn open(settings: &Serve) -> anyhow::Result<Self> {
        let http = match settings.datadog {
            Some(config::Port::Off) => None,
            Some(config::Port::At(address)) => Some(listen::listen("--datadog", listen::take("--datadog", address)?)?),
            None => {
                let taken = listen::take("--datadog", DATADOG).and_then(|socket| listen::listen("--datadog", socket));
                taken.inspect_err(|error| goes_without("--datadog", error)).ok()
            }
        };
        let mut sockets = Self { http, ..Self::default() };
        let udp = match settings.dogstatsd {
            Some(config::Port::Off) => None,
            Some(config::Port::At(address)) => {
                let bound = UdpSocket::bind(address).await;
                Some(bound.with_context(|| format!("--dogstatsd {address}: choose another port, or `off`"))?)
            }
            None => {
                let bound = UdpSocket::bind(DOGSTATSD).await.map_err(anyhow::Error::from);
                bound.inspect_err(|error| goes_without("--dogstatsd", error)).ok()
            }
        };
        if let Some(udp) = udp {
            sockets.dogstatsd = Some(udp.local_addr()?);
            sockets.packets.push(Packets::Udp(udp));
        }
        if let Some(path) = &settings.datadog_socket {
            sockets.unix = Some(sockets.files.bind("--datadog-socket", path, |path| UnixListener::bind(path))?);
        }
        if let Some(path) = &settings.dogstatsd_socket {
            let bound = sockets.files.bind("--dogstatsd-socket", path, |path| UnixDatagram::bind(path))?;
            sockets.packets.push(Packets::Unix(bound));
        }
        Ok(sockets)
    }

    /// Where HTTP is listened on.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(_, address)| *address)
    }

    /// Where DogStatsD is listened on over UDP.
    pub(crate) fn dogstatsd_address(&self) -> Option<SocketAddr> {
        self.dogstatsd
    }

    /// Puts the receivers on them; the files are to be kept until the ports are closed.
    pub(crate) fn serve(
        self,
        datadog: &Arc<Datadog>,
        api: &Api,
        connections: &Arc<Connections>,
        stopping: &watch::Receiver<bool>,
        ports: &mut JoinSet<()>,
    ) -> Files {
        let router = datadog::router(datadog);
        if let Some((listener, _)) = self.http {
            let guarded = pitviper_api::guarded_loopback(api, router.clone());
            let door = Door::new(Port::Datadog, connections);
            ports.spawn(listen::serve_http(listener, guarded, door, stopping.clone()));
        }
        if let Some(listener) = self.unix {
            let door = Door::new(Port::DatadogSocket, connections);
            ports.spawn(listen::serve_http(listener, pitviper_api::framed(api, router), door, stopping.clone()));
        }
        if !self.packets.is_empty() {
            ports.spawn(datadog::receive(Arc::clone(datadog), self.packets, stopping.clone()));
        }
        self.files
    }
}

fn goes_without(flag: &str, error: &anyhow::Error) {
    tracing::warn!(
        "Datadog's clients find no receiver at its usual port, perhaps because their own agent is there: {error}; choose another port with {flag}, or `{flag} off`"
    );
}

impl Files {
    fn bind<T>(&mut self, flag: &str, path: &Path, bind: impl Fn(&Path) -> io::Result<T>) -> anyhow::Result<T> {
        let context = || format!("{flag} {}", path.display());
        let bound = match bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path).with_context(context)?;
                bind(path).with_context(context)?
            }
            bound => bound.with_context(context)?,
        };
        self.0.push(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).with_context(context)?;
        Ok(bound)
    }
}

/// Removes a socket that a server left behind which was killed.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if !kind.is_socket() {
        bail!("there is a file that is no socket; choose another path");
    }
    match UnixStream::connect(path) {
        // Nobody listens. A datagram socket that is in use says that it is of another type.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        _ => bail!("another program listens there; stop it or choose another path"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apm.socket");
        let mut files = Files::default();
        let bind = |path: &Path| UnixListener::bind(path);
        let listener = files.bind("--datadog-socket", &path, bind).unwrap();
        let error = Files::default().bind("--datadog-socket", &path, bind).unwrap_err();
        assert!(format!("{error:#}").contains("another program"), "{error:#}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        drop(listener);
        let listener = files.bind("--datadog-socket", &path, bind).unwrap();
        drop(listener);
        drop(files);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        let error = Files::default().bind("--datadog-socket", &path, bind).unwrap_err();
        assert!(format!("{error:#}").contains("no socket"), "{error:#}");
    }
}
