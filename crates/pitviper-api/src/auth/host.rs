//! Which host a request was addressed to.

use std::net::IpAddr;

use axum::extract::Request;
use http::header;

/// The host a request names, without its port: `:authority` of HTTP/2, `Host` of HTTP/1.
pub(super) fn of(request: &Request) -> Option<String> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let named = authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())?;
    Some(without_port(named).to_owned())
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Whether the name can only mean this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
        return true;
    }
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_loopback_from_the_rest() {
        for host in [
            "localhost",
            "LOCALHOST:4390",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:4390",
            "[::1]",
            "app.localhost",
            "localhost.",
        ] {
            assert!(is_loopback(without_port(host)), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:4390",
            "127.0.0.1.evil.example:80",
            "[::2]",
            "",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(without_port(host)), "{host}");
        }
    }
}
