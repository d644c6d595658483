//! A form of several parts, each with a name and a content, as RFC 7578 has it.

use memchr::memmem;

/// Most parts of a form.
const MAX_PARTS: usize = 64;

/// Longest boundary, by RFC 2046.
const MAX_BOUNDARY_BYTES: usize = 70;

/// A part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The file's name, or else the field's.
    pub(super) name: &'a str,
    pub(super) content: &'a [u8],
}

/// What stands between parts, by the header `Content-Type`.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let named = content_type.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let (_, boundary) = named.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let boundary = boundary.trim().trim_matches('"');
    (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()).then_some(boundary)
}

/// The parts of a form.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, &'static str> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The first one may be the beginning of the body.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => &body[finder.find(body).ok_or("its boundary is not in the body")? + delimiter.len()..],
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() == MAX_PARTS {
            return Err("it has too many parts");
        }
        let begin = memmem::find(rest, b"\r\n").ok_or("a part does not begin")? + 2;
        let end = finder.find(&rest[begin - 2..]).ok_or("a part does not end")? + begin - 2;
        parts.push(part(rest.get(begin..end).unwrap_or_default())?);
        rest = &rest[end + delimiter.len()..];
    }
    Ok(parts)
}

fn part(bytes: &[u8]) -> Result<Part<'_>, &'static str> {
    let (head, content) = match bytes.strip_prefix(b"\r\n") {
        Some(content) => (&b""[..], content),
        None => {
            let end = memmem::find(bytes, b"\r\n\r\n").ok_or("the head of a part does not end")?;
            (&bytes[..end], &bytes[end + 4..])
        }
    };
    let head = std::str::from_utf8(head).map_err(|_| "the head of a part is not text")?;
    let disposition = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut dispositions = disposition.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let value = dispositions.next().map_or("", |(_, value)| value);
    let parameter = |wanted: &str| {
        let mut named = value.split(';').filter_map(|parameter| parameter.trim().split_once('='));
        named.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, text)| text.trim().trim_matches('"'))
    };
    Ok(Part { name: parameter("filename").or_else(|| parameter("name")).unwrap_or_default(), content })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn names_and_contents(body: &[u8]) -> Result<Vec<(&str, &[u8])>, &'static str> {
        Ok(parts(body, "b")?.into_iter().map(|part| (part.name, part.content)).collect())
    }

    #[test]
    fn boundaries_are_read() {
        assert_eq!(boundary("multipart/form-data; boundary=a-b"), Some("a-b"));
        assert_eq!(boundary("multipart/form-data; charset=x; Boundary=\"a b\""), Some("a b"));
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary("multipart/form-data; boundary="), None);
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    #[test]
    fn parts_have_names_and_contents() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n\
            Content-Type: application/json\r\n\r\n{}\r\n--b\r\ncontent-disposition: form-data; name=plain\r\n\r\n\
            1\r\n--\r\n2\r\n--b\r\n\r\nno head\r\n--b--\r\n";
        let expected: [(&str, &[u8]); 3] = [("event.json", b"{}"), ("plain", b"1\r\n--\r\n2"), ("", b"no head")];
        assert_eq!(names_and_contents(body).unwrap(), expected);
        let preamble = [b"preamble\r\n", &body[..]].concat();
        assert_eq!(names_and_contents(&preamble).unwrap().len(), 3);
        assert_eq!(names_and_contents(b"--b\r\n\r\n\r\n--b--").unwrap(), [("", &b""[..])]);
    }

    #[test]
    fn damaged_forms_are_refused() {
        for body in [
            &b""[..],
            b"--c\r\n",
            b"--b",
            b"--b\r\n",
            b"--b\r\n\r\nx",
            b"--b\r\nhead\r\n--b--",
            b"--b\r\n\xff\r\n\r\nx\r\n--b--",
            &[&b"--b\r\n\r\nx\r\n"[..]; 65].concat(),
        ] {
            assert!(names_and_contents(body).is_err(), "{body:?}");
        }
    }
    const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n\r\n{}\r\n\
        --b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n";

    proptest! {
        #[test]
        fn hostile_forms_are_read_or_refused(
            changes in proptest::collection::vec((any::<Index>(), 0..4_usize, "(\r\n|--b|;|=|\"|:|[a-z\u{e9}]){0,4}"), 0..6),
            content_type in "multipart/form-data(; ?(boundary|Boundary|x)=\"?[a-z\u{e9}=;]{0,80}\"?){0,3}",
        ) {
            let mut form = FORM.to_vec();
            for (at, removed, added) in changes {
                let at = at.index(form.len() + 1);
                let end = (at + removed).min(form.len());
                form.splice(at..end, added.bytes());
            }
            let named = boundary(&content_type).map_or(0, str::len);
            prop_assert!(named <= MAX_BOUNDARY_BYTES);
            if let Ok(parts) = parts(&form, "b") {
                prop_assert!(parts.len() <= MAX_PARTS);
                let held: usize = parts.iter().map(|part| part.name.len() + part.content.len()).sum();
                prop_assert!(held <= form.len(), "nothing is there twice");
            }
        }
    }
}
