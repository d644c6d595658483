//! The id that joins an answer, its log lines and its problem document.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a request.
const MAX_BYTES: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request this task answers; empty outside of one.
pub(crate) fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Runs a future as part of the request with this id.
pub(crate) async fn scope<F: Future>(id: String, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}

/// The id the client chose, when it is harmless to log and to send back; a new one otherwise.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(harmless))
        .map_or_else(fresh, str::to_owned)
}

/// A process-wide random start and a counter: unique without a source of randomness per request.
fn fresh() -> String {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}{:08x}", *START, COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_over_harmless_ids_only() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, value.parse().unwrap());
            of(&headers)
        };
        assert_eq!(with("abc-1_2.3"), "abc-1_2.3");
        assert_eq!(with("a b").len(), 24);
        assert_eq!(with(&"a".repeat(65)).len(), 24);
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
