//! Who may use the server.
//!
//! A server that listens on loopback alone serves this machine's users and asks for nothing; but a
//! web page may have a name that resolves to loopback (DNS rebinding), so requests that were
//! addressed to any other host are refused. A server that can be reached from elsewhere has a token:
//! programs send it as `Authorization: Bearer`, browsers trade it for a cookie on the login page.

mod host;
mod login;
mod refusals;
mod token;

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

pub use refusals::Refusals;
pub use token::{Token, TokenError};

pub(crate) use login::{LOGIN_PATH, LOGOUT_PATH, log_in, log_out, login_page};

use crate::problem::Problem;
use crate::routes::health;
use crate::state::Api;

/// Who may use the server.
#[derive(Debug, Clone)]
pub enum Access {
    /// Requests addressed to loopback.
    Loopback,
    /// Who knows the token.
    Token(Token),
}

/// Nobody may be let in without a token, because the server can be reached from elsewhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines, so a token is needed: set PITVIPER_SERVER_TOKEN or --token-file \
     (for example, `openssl rand -hex 24 > token`), or listen on 127.0.0.1"
)]
pub struct TokenNeeded {
    /// The address that is not loopback.
    pub address: SocketAddr,
}

impl Access {
    /// The rule for a server that listens on these addresses.
    ///
    /// # Errors
    /// When there is no token and an address is not loopback.
    pub fn for_addresses(addresses: &[SocketAddr], token: Option<Token>) -> Result<Self, TokenNeeded> {
        match (token, addresses.iter().find(|address| !address.ip().is_loopback())) {
            (Some(token), _) => Ok(Self::Token(token)),
            (None, None) => Ok(Self::Loopback),
            (None, Some(&address)) => Err(TokenNeeded { address }),
        }
    }

    /// Whether these headers (of gRPC or HTTP) carry what is asked for. The host is not looked at.
    #[must_use]
    pub fn admits_bearer(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Loopback => true,
            Self::Token(token) => bearer(headers).is_some_and(|candidate| token.matches(candidate)),
        }
    }
}

/// Refuses requests that may not be answered.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    // A probe needs no token, and calls the server by whatever name it has there.
    if request.uri().path() == health::PATH {
        return next.run(request).await;
    }
    let refusal = match &api.shared.config.access {
        Access::Loopback => refuse_foreign_host(&request),
        Access::Token(token) => refuse_stranger(token, &request),
    };
    let Some(refusal) = refusal else { return next.run(request).await };
    match &api.shared.config.access {
        Access::Loopback => api.shared.refusals.count_host(),
        Access::Token(_) => api.shared.refusals.count_token(),
    }
    refusal
}

/// Refuses requests that were not addressed to loopback, whoever else may use the server: for a port whose
/// clients cannot send a token, and which only this machine can reach.
pub(crate) async fn guard_loopback(State(api): State<Api>, request: Request, next: Next) -> Response {
    match refuse_foreign_host(&request) {
        Some(refusal) => {
            api.shared.refusals.count_host();
            refusal
        }
        None => next.run(request).await,
    }
}

fn refuse_foreign_host(request: &Request) -> Option<Response> {
    let host = host::of(request);
    if host.as_deref().is_some_and(host::is_loopback) {
        return None;
    }
    let detail = "this server listens on loopback without a login, so it answers only requests addressed to localhost, \
                  127.0.0.1 or [::1]; to use another name, start it with a token";
    let problem = Problem::new(StatusCode::FORBIDDEN, "forbidden_host", "the Host header does not name this machine");
    Some(problem.detail(detail).into_response())
}

fn refuse_stranger(token: &Token, request: &Request) -> Option<Response> {
    let path = request.uri().path();
    if matches!(path, LOGIN_PATH | LOGOUT_PATH) {
        return None;
    }
    let headers = request.headers();
    let sent_bearer = headers.contains_key(header::AUTHORIZATION);
    let admitted = match bearer(headers) {
        Some(candidate) => token.matches(candidate),
        None => !sent_bearer && login::session(headers).is_some_and(|session| token.matches_session(session)),
    };
    if admitted {
        return None;
    }
    let is_page = request.method() == Method::GET && !path.starts_with("/api/") && accepts_html(headers);
    if is_page && !sent_bearer {
        return Some(Redirect::to(&login::address(request.uri())).into_response());
    }
    let detail = if sent_bearer {
        "the token is not the one this server was started with"
    } else {
        "send `Authorization: Bearer` and the server's token, or log in at /login"
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed").detail(detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pitviper\""));
    Some(response)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the client would show a page.
pub(crate) fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_a_token() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert!(matches!(Access::for_addresses(&addresses(&["127.0.0.1:1", "[::1]:2"]), None), Ok(Access::Loopback)));
        let refused = Access::for_addresses(&addresses(&["127.0.0.1:1", "0.0.0.0:2"]), None).unwrap_err();
        assert_eq!(refused.address.to_string(), "0.0.0.0:2");
        assert!(refused.to_string().contains("PITVIPER_SERVER_TOKEN"));
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(matches!(Access::for_addresses(&addresses(&["0.0.0.0:2"]), Some(token)), Ok(Access::Token(_))));
    }

    #[test]
    fn reads_bearer_tokens() {
        let access = Access::Token(Token::new("0123456789abcdef").unwrap());
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            access.admits_bearer(&headers)
        };
        assert!(with("Bearer 0123456789abcdef"));
        assert!(with("bearer  0123456789abcdef"));
        assert!(!with("Bearer 0123456789abcde"));
        assert!(!with("Basic 0123456789abcdef"));
        assert!(!access.admits_bearer(&HeaderMap::new()));
    }
}
