//! The login page: trades the token for a cookie, so that a browser need not keep the token.

use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;

use super::Access;
use crate::state::Api;

pub(crate) const LOGIN_PATH: &str = "/login";
pub(crate) const LOGOUT_PATH: &str = "/logout";

const COOKIE: &str = "pitviper_session";

/// How long a browser stays logged in.
const SESSION_SECONDS: u64 = 30 * 24 * 60 * 60;

/// How long a wrong token is thought about, against guessing.
const FAILURE_DELAY: Duration = Duration::from_millis(500);

const PAGE: &str = include_str!("login.html");

/// Where to go after the login.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Target {
    #[serde(default)]
    next: String,
}

/// What the page sends.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    token: String,
    #[serde(default)]
    next: String,
}

/// The address of the login page that leads back to where the user wanted to go.
pub(super) fn address(wanted: &Uri) -> String {
    let wanted = wanted.path_and_query().map_or("/", |path| path.as_str());
    let escaped: String = wanted
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("{LOGIN_PATH}?next={escaped}")
}

/// Shows the page.
pub(crate) async fn login_page(State(api): State<Api>, Query(target): Query<Target>) -> Response {
    if matches!(api.shared.config.access, Access::Loopback) {
        return Redirect::to("/").into_response();
    }
    page(StatusCode::OK, "", &target.next)
}

/// Checks the token and sets the cookie.
pub(crate) async fn log_in(
    State(api): State<Api>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Response {
    let Access::Token(token) = &api.shared.config.access else { return Redirect::to("/").into_response() };
    if !token.matches(credentials.token.trim()) {
        tracing::warn!("a login was refused: wrong token");
        tokio::time::sleep(FAILURE_DELAY).await;
        return page(StatusCode::UNAUTHORIZED, "That is not the token of this server.", &credentials.next);
    }
    let mut response = Redirect::to(local(&credentials.next)).into_response();
    set_cookie(&mut response, &headers, &token.session(), SESSION_SECONDS);
    response
}

/// Takes the cookie back.
pub(crate) async fn log_out(headers: HeaderMap) -> Response {
    let mut response = Redirect::to(LOGIN_PATH).into_response();
    set_cookie(&mut response, &headers, "", 0);
    response
}

/// The session a browser sent.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

fn set_cookie(response: &mut Response, request: &HeaderMap, value: &str, max_age: u64) {
    // A proxy that ends TLS says so; then the cookie must not travel without it.
    let secure = request.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}");
    let cookie = HeaderValue::try_from(cookie).expect("the value is hex");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
}

fn page(status: StatusCode, message: &str, next: &str) -> Response {
    let html = PAGE.replace("{{message}}", message).replace("{{next}}", &escape(local(next)));
    let mut response = (status, Html(html)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The path, if it stays on this server; else the home page. Browsers take `//host` and `/\host` for
/// addresses of other servers.
fn local(next: &str) -> &str {
    let stays = next.starts_with('/')
        && !next.starts_with("//")
        && !next.starts_with("/\\")
        && !next.bytes().any(|byte| byte.is_ascii_control());
    if stays { next } else { "/" }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_back_to_this_server_only() {
        assert_eq!(local("/traces?q=a"), "/traces?q=a");
        for elsewhere in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/\tx", "javascript:x"] {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
        assert_eq!(address(&"/traces?q=\"a\"&b".parse().unwrap_or_default()), "/login?next=/");
        assert_eq!(address(&"/traces?q=a&b=c".parse().unwrap()), "/login?next=/traces%3Fq%3Da%26b%3Dc");
    }

    #[test]
    fn finds_its_cookie_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; pitviper_session=abc; c=d".parse().unwrap());
        assert_eq!(session(&headers), Some("abc"));
        assert_eq!(session(&HeaderMap::new()), None);
    }
}
