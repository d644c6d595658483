//! Looks up the addresses of receivers.
//!
//! The C library's look-up knows no time limit, so a name is looked up in a thread that may be left behind.
//! ureq does the same, but takes a thread for numeric addresses too, and panics where the system allows
//! no more.

use std::net::ToSocketAddrs;
use std::sync::mpsc;
use std::thread;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// ureq's look-up with its thread's failure as an error.
#[derive(Debug, Default)]
pub(crate) struct Lookup;

impl Resolver for Lookup {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host_and_port = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or_else(|| Error::BadUri(format!("{uri} has no host or an unknown scheme")))?;
        let mut addresses = self.empty();
        if let Ok(numeric) = host_and_port.parse() {
            addresses.push(numeric);
            return Ok(addresses);
        }
        let (send, receive) = mpsc::sync_channel(1);
        thread::Builder::new().name("pitviper-lookup".to_owned()).spawn(move || {
            // Nobody waits for an answer that comes too late.
            let _ = send.send(host_and_port.to_socket_addrs());
        })?;
        let found = receive.recv_timeout(*timeout.after).map_err(|_| Error::Timeout(timeout.reason))??;
        found.take(MAX_ADDRESSES).for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use ureq::unversioned::transport::time::Duration;

    use super::*;

    fn resolve(uri: &str) -> Result<Vec<String>, Error> {
        let after = Duration::from_secs(10);
        let timeout = NextTimeout { after, reason: ureq::Timeout::Global, ..NextTimeout::default() };
        let found = Lookup.resolve(&uri.parse().unwrap(), &Config::default(), timeout)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn numbers_names_and_nonsense() {
        assert_eq!(resolve("http://127.0.0.1:4318/v1/traces").unwrap(), ["127.0.0.1:4318"]);
        assert_eq!(resolve("http://[::1]").unwrap(), ["[::1]:80"]);
        assert_eq!(resolve("https://10.1.2.3/x").unwrap(), ["10.1.2.3:443"]);
        assert!(resolve("http://localhost:4318").unwrap().contains(&"127.0.0.1:4318".to_owned()));
        assert!(matches!(resolve("strange://host"), Err(Error::BadUri(_))));
    }
}
