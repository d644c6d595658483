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
    let path = request.uri().path();
    let is_page_view = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.starts_with("/api/") || path.starts_with("/v1/") || !is_page_view {
        return Problem::no_such_path(path).into_response();
    }
    let name = path.trim_start_matches('/');
    let name = if name.is_empty() { PAGE } else { name };
    if !name.ends_with(".br")
        && let Some(response) = file(name, request.headers())
    {
        return response;
    }
    if accepts_html(request.headers()) {
        return file(PAGE, request.headers()).unwrap_or_else(|| Problem::internal().into_response());
    }
    Problem::no_such_path(path).into_response()
}

fn file(name: &str, request: &HeaderMap) -> Option<Response> {
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
