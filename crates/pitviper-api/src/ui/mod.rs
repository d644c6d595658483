//! The UI, built into the binary.
//!
//! Files under `assets/` have a hash in their name and may be kept for ever; all others are asked
//! for again, with an ETag. Paths that are neither a file nor an API belong to the UI's own router
//! and get its page.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::auth::accepts_html;
use crate::problem::Problem;

/// What the build found: the UI, or a page that says it is missing.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/ui"]
struct Files;

const PAGE: &str = "index.html";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// Answers with a file of the UI, its page, or a problem.
pub(crate) async fn serve(request: Request) -> Response {
    answer::<Files>(&request)
}

fn answer<Files: RustEmbed>(request: &Request) -> Response {
    let path = request.uri().path();
    let is_page_view = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.starts_with("/api/") || path.starts_with("/v1/") || !is_page_view {
        return Problem::no_such_path(path).into_response();
    }
    let name = path.trim_start_matches('/');
    let name = if name.is_empty() { PAGE } else { name };
    if !name.ends_with(".br")
        && let Some(response) = file::<Files>(name, request.headers())
    {
        return response;
    }
    if accepts_html(request.headers()) {
        return file::<Files>(PAGE, request.headers()).unwrap_or_else(|| Problem::internal().into_response());
    }
    Problem::no_such_path(path).into_response()
}

fn file<Files: RustEmbed>(name: &str, request: &HeaderMap) -> Option<Response> {
    let plain = Files::get(name)?;
    let content_type = content_type(plain.metadata.mimetype());
    let compressed = if accepts_brotli(request) { Files::get(&format!("{name}.br")) } else { None };
    let encoding = compressed.is_some().then(|| HeaderValue::from_static("br"));
    let file = compressed.unwrap_or(plain);
    let etag = etag(&file);

    let unchanged = request.get_all(header::IF_NONE_MATCH).iter().any(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(file.data.into_owned()));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response.headers_mut().extend(encoding.map(|encoding| (header::CONTENT_ENCODING, encoding)));
        response
    };
    let headers = response.headers_mut();
    let caching = if name.starts_with("assets/") { FOR_EVER } else { ASK_AGAIN };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, etag);
    Some(response)
}

/// The files are UTF-8; text that does not say so is taken for something else by old browsers.
fn content_type(kind: &str) -> HeaderValue {
    let text = kind.starts_with("text/") && !kind.contains("charset");
    let kind = if text { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{digits}\"")).expect("hex digits between quotes")
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            name.trim() == "br" && weight.is_ok_and(|weight| weight > 0.0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UI of three files.
    #[derive(RustEmbed)]
    #[folder = "$CARGO_MANIFEST_DIR/tests/ui"]
    struct Fixture;

    const SCRIPT: &str = "/assets/app-1a2b3c.js";

    fn ask(path: &str, headers: &[(&str, &str)]) -> Response {
        let request =
            headers.iter().fold(http::Request::get(path), |request, (name, value)| request.header(*name, *value));
        answer::<Fixture>(&request.body(Body::empty()).unwrap())
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn files_with_a_hash_are_kept_for_ever_and_the_page_is_asked_for_again() {
        let script = ask(SCRIPT, &[]);
        assert_eq!((script.status(), header(&script, "cache-control")), (StatusCode::OK, FOR_EVER));
        assert_eq!(
            (header(&script, "content-type"), header(&script, "content-encoding")),
            ("text/javascript; charset=utf-8", "")
        );
        let page = ask("/", &[]);
        assert_eq!((page.status(), header(&page, "cache-control")), (StatusCode::OK, ASK_AGAIN));
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        let again = ask("/", &[("if-none-match", header(&page, "etag"))]);
        assert_eq!((again.status(), header(&again, "etag")), (StatusCode::NOT_MODIFIED, header(&page, "etag")));
        assert_eq!(ask("/", &[("if-none-match", "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn brotli_is_sent_where_it_is_there_and_accepted() {
        let compressed = ask(SCRIPT, &[("accept-encoding", "gzip, br")]);
        assert_eq!((header(&compressed, "content-encoding"), header(&compressed, "vary")), ("br", "accept-encoding"));
        assert_eq!(header(&compressed, "content-type"), "text/javascript; charset=utf-8");
        assert_ne!(header(&compressed, "etag"), header(&ask(SCRIPT, &[]), "etag"));
        assert_eq!(header(&ask("/", &[("accept-encoding", "br")]), "content-encoding"), "");
        assert_eq!(ask("/assets/app-1a2b3c.js.br", &[]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn pages_of_the_ui_get_the_page_and_all_else_a_problem() {
        let html = ("accept", "text/html,application/xhtml+xml");
        assert_eq!(header(&ask("/traces/abc", &[html]), "content-type"), "text/html; charset=utf-8");
        assert_eq!(ask("/traces/abc", &[("accept", "application/json")]).status(), StatusCode::NOT_FOUND);
        for path in ["/api/v1/nothing", "/v1/nothing", "/assets/gone.js"] {
            let response = ask(path, &[("accept", if path.ends_with(".js") { "*/*" } else { html.1 })]);
            assert_eq!(
                (response.status(), header(&response, "content-type")),
                (StatusCode::NOT_FOUND, "application/problem+json"),
                "{path}"
            );
        }
        assert_eq!(ask("/../Cargo.toml", &[]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn reads_accepted_encodings() {
        for (text, expected) in [
            ("br", true),
            ("gzip, br;q=0.5", true),
            ("gzip", false),
            ("br;q=0", false),
            ("br; q=0.0, gzip", false),
            ("brotli", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().unwrap());
            assert_eq!(accepts_brotli(&headers), expected, "{text}");
        }
    }
}
