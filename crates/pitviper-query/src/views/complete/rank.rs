//! How well a name fits what is written.

use crate::search::distance;

/// Letters that have to be written before a slip is looked for.
const SLIP_LETTERS: usize = 3;

/// Most letters that a slip may get wrong.
const SLIP_DISTANCE: usize = 2;

/// Letters that have to be written before they may stand apart in a name.
const APART_LETTERS: usize = 2;

/// How a name fits, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It begins so.
    Begins,
    /// A part of it begins so, as `status` does in `http.response.status_code`.
    PartBegins,
    /// It has that somewhere.
    Contains,
    /// It was probably meant; so many letters differ.
    Slip(usize),
    /// It has the letters in that order.
    Apart,
}

/// How a name fits what is written, in any case; `None` when it does not.
pub(super) fn fit(written: &str, name: &str) -> Option<Fit> {
    let (written, name) = (written.to_lowercase(), name.to_lowercase());
    if let Some(at) = name.find(&written) {
        // Another place may begin a part, where the first one does not.
        let begins = |(at, _): (usize, &str)| !name[..at].ends_with(char::is_alphanumeric);
        return Some(match at {
            0 => Fit::Begins,
            _ if name.match_indices(&written).any(begins) => Fit::PartBegins,
            _ => Fit::Contains,
        });
    }
    let letters = written.chars().count();
    if letters >= SLIP_LETTERS {
        let distance = distance(&written, &name);
        if distance <= SLIP_DISTANCE && distance * 2 < letters {
            return Some(Fit::Slip(distance));
        }
    }
    let mut rest = name.chars();
    let is_apart = letters >= APART_LETTERS && written.chars().all(|letter| rest.any(|other| other == letter));
    is_apart.then_some(Fit::Apart)
}

/// Whether a name has what is written.
pub(super) fn has(written: &str, name: &str) -> bool {
    fit(written, name).is_some_and(|fit| fit <= Fit::Contains)
}

/// Whether a name was probably meant by another one.
pub(super) fn is_slip(written: &str, name: &str) -> bool {
    matches!(fit(written, name), Some(Fit::Slip(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_fits_best() {
        let name = "http.response.status_code";
        for (written, expected) in [
            ("", Some(Fit::Begins)),
            ("HTTP.", Some(Fit::Begins)),
            ("status", Some(Fit::PartBegins)),
            ("code", Some(Fit::PartBegins)),
            ("spons", Some(Fit::Contains)),
            ("hrsc", Some(Fit::Apart)),
            ("codes", None),
        ] {
            assert_eq!(fit(written, name), expected, "{written}");
        }
        assert_eq!(fit("sevice", "service"), Some(Fit::Slip(1)));
        assert_eq!(fit("servcie", "service"), Some(Fit::Slip(2)));
        assert_eq!(fit("eror", "error"), Some(Fit::Slip(1)));
        assert_eq!(fit("ab", "ac"), None);
        // Of two places, the one where a part begins.
        assert_eq!(fit("b", "ab.b"), Some(Fit::PartBegins));
    }
}
