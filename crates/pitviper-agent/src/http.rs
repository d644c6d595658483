//! URLs as they are recorded: without credentials, and without what looks like a secret.

use std::borrow::Cow;

/// Longest URL or query that is recorded, in characters.
pub const MAX_URL: usize = 2_048;

/// What the name of a parameter has in it whose value is a secret.
const SENSITIVE: [&[u8]; 9] =
    [b"pass", b"secret", b"token", b"apikey", b"api_key", b"auth", b"credential", b"session", b"sig"];

/// What stands in the place of a secret.
const MASK: &str = "***";

/// A URL without credentials, fragment, and the values of parameters that look like secrets.
#[must_use]
pub fn masked_url(url: &str) -> Cow<'_, str> {
    let url = shortened(url);
    let url = url.find('#').map_or(url, |end| &url[..end]);
    let parts = Parts::of(url);
    let Some(at) = parts.authority.rfind('@') else {
        return masked_parameters(url, url.len() - parts.rest.len());
    };
    let scheme = &url[..url.len() - parts.rest.len() - parts.authority.len()];
    let host = &parts.authority[at + 1..];
    Cow::Owned(format!("{scheme}{MASK}@{host}{}", masked_parameters(parts.rest, 0)))
}

/// A query string without the values of parameters that look like secrets.
#[must_use]
pub fn masked_query(query: &str) -> Cow<'_, str> {
    masked_parameters(shortened(query), 0)
}

fn shortened(text: &str) -> &str {
    // A character is a byte at least.
    if text.len() <= MAX_URL {
        return text;
    }
    text.char_indices().nth(MAX_URL).map_or(text, |(end, _)| &text[..end])
}

/// The pieces of a URL that are told apart: all of it is there, none of it was checked.
struct Parts<'a> {
    scheme: &'a str,
    /// Credentials, host and port; empty for a URL without them.
    authority: &'a str,
    /// Path, query and fragment.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self { scheme: "", authority: "", rest: url };
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Self { scheme, authority: &rest[..end], rest: &rest[end..] }
    }
}

/// The host of a URL, in lower case and without the brackets of an IPv6 address, and its port: the
/// scheme's where none is said.
#[must_use]
pub fn host_and_port(url: &str) -> (Cow<'_, str>, Option<u16>) {
    let parts = Parts::of(url);
    let host = parts.authority.rfind('@').map_or(parts.authority, |at| &parts.authority[at + 1..]);
    let (host, port) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    };
    (host, port.and_then(|port| port.parse().ok()).or_else(|| default_port(parts.scheme)))
}

/// The host and the port of a `Host` header, the host as it was written but for the brackets of an IPv6
/// address.
#[must_use]
pub fn split_host(text: &str) -> (&str, Option<u32>) {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').unwrap_or((inner, ""));
            (host, after.strip_prefix(':').unwrap_or_default())
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    (host, port.parse().ok().filter(|_| is_number))
}

/// The longest time a request is believed to have waited before the server, in seconds.
const MAX_QUEUE_S: f64 = 3_600.0;
/// How far a proxy's clock may be ahead, in seconds: waiting then counts as none.
const MAX_AHEAD_S: f64 = 0.1;
/// A time in seconds is below this until the year 5138, and one in a smaller unit above it since 1973.
const MAX_TIME_S: f64 = 1e11;

/// How long a request waited before the server, in milliseconds; `None` when the text is no such time, or one
/// that only a wrong clock can have written.
///
/// `text` is the proxy's header: seconds, milliseconds, microseconds or nanoseconds since the Unix epoch, with
/// or without `t=`. `now_ns` is now, in nanoseconds since the Unix epoch.
#[must_use]
pub fn queue_time_ms(text: &str, now_ns: u64) -> Option<f64> {
    let text = text.trim();
    let mut began: f64 = text.strip_prefix("t=").unwrap_or(text).trim().parse().ok()?;
    for _ in 0..3 {
        if began > MAX_TIME_S {
            began /= 1e3;
        }
    }
    let waited = now_ns as f64 / 1e9 - began;
    let is_likely = (-MAX_AHEAD_S..=MAX_QUEUE_S).contains(&waited);
    is_likely.then(|| (waited.max(0.0) * 1e6).round() / 1e3)
}

/// The port that a scheme has where none is said.
#[must_use]
pub fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("http") || is("ws") {
        Some(80)
    } else if is("https") || is("wss") {
        Some(443)
    } else {
        None
    }
}

/// The text with the values of sensitive parameters masked from this place on.
fn masked_parameters(text: &str, from: usize) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    // Up to where the text is in `out`, and where the name that is being read begins.
    let (mut copied, mut name, mut place) = (0, from, from);
    while place < bytes.len() {
        match bytes[place] {
            // A parameter may also be part of a path.
            b'&' | b';' | b'?' | b'/' => name = place + 1,
            b'=' => {
                let value = place + 1;
                let end = bytes[value..].iter().position(|byte| matches!(byte, b'&' | b';' | b'#'));
                let end = end.map_or(bytes.len(), |length| value + length);
                if is_sensitive(&bytes[name..place]) {
                    let out = out.get_or_insert_default();
                    out.push_str(&text[copied..value]);
                    out.push_str(MASK);
                    copied = end;
                }
                name = end + 1;
                place = end;
            }
            _ => {}
        }
        place += 1;
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(&text[copied..]);
            Cow::Owned(out)
        }
    }
}

/// Whether the name of a parameter or header says that its value is a secret.
#[must_use]
pub fn is_sensitive_name(name: &str) -> bool {
    is_sensitive(name.as_bytes())
}

fn is_sensitive(name: &[u8]) -> bool {
    (0..name.len()).any(|start| {
        SENSITIVE
            .iter()
            .any(|word| name.get(start..start + word.len()).is_some_and(|piece| piece.eq_ignore_ascii_case(word)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets_and_nothing_else() {
        for (url, shown) in [
            ("http://h/a/b?x=1&y=2", "http://h/a/b?x=1&y=2"),
            ("https://u:p@host:1/a?x=1&api_key=k#f", "https://***@host:1/a?x=1&api_key=***"),
            ("https://u:p@host", "https://***@host"),
            ("http://h?x=a@b", "http://h?x=a@b"),
            ("http://h/?Access_Token=a=b&c=d", "http://h/?Access_Token=***&c=d"),
            ("http://h/a;session=1/b?x=2", "http://h/a;session=***"),
            ("http://h/oauth/passes?page=2", "http://h/oauth/passes?page=2"),
            ("http://auth.example/a=b", "http://auth.example/a=b"),
            ("http://h/token=x;y=z", "http://h/token=***;y=z"),
            ("/path?sig=", "/path?sig=***"),
            ("no url", "no url"),
            ("", ""),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn queries_lose_their_secrets_and_nothing_else() {
        for (query, shown) in [
            ("Token=a&b=2&X-Amz-Signature=s", "Token=***&b=2&X-Amz-Signature=***"),
            ("a=token&b=secret", "a=token&b=secret"),
            ("apiKey=1;PASSWORD=2", "apiKey=***;PASSWORD=***"),
            ("x=1&token", "x=1&token"),
            ("=token", "=token"),
            ("credentials=ä&ü=secret", "credentials=***&ü=secret"),
        ] {
            assert_eq!(masked_query(query), shown);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(masked_query(&"ä".repeat(MAX_URL + 5)).chars().count(), MAX_URL);
        assert_eq!(masked_query(&format!("token={}", "x".repeat(MAX_URL))), "token=***");
    }

    #[test]
    fn hosts_of_headers() {
        for (text, host, port) in [
            ("Host:81", "Host", Some(81)),
            ("host", "host", None),
            ("host:", "host", None),
            ("host:+1", "host", None),
            ("host:99999999999", "host", None),
            (":8000", "", Some(8000)),
            ("[::1]:8080", "::1", Some(8080)),
            ("[::1]", "::1", None),
            ("[::1]8080", "::1", None),
            ("[::1", "::1", None),
            ("", "", None),
        ] {
            assert_eq!(split_host(text), (host, port), "{text}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for (url, host, port) in [
            ("http://Host/a", "host", Some(80)),
            ("HTTPS://host", "host", Some(443)),
            ("http://u:p@host:81/a:b", "host", Some(81)),
            ("http://[::1]:8080/", "::1", Some(8080)),
            ("http://[::1]", "::1", Some(80)),
            ("ftp://host", "host", None),
            ("http://host:x/", "host", Some(80)),
            ("http://host?a", "host", Some(80)),
            ("/path", "", None),
        ] {
            assert_eq!(host_and_port(url), (Cow::Borrowed(host), port), "{url}");
        }
    }
}
