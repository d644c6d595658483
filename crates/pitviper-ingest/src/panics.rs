//! Panics: a defect of ours, which costs neither the process nor the batch.
//!
//! The sender is asked to try again, the request is counted as `internal_error`, and the log says
//! once what happened: a batch that panics comes again and again.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Most kinds of panic that are told apart; further ones are only counted.
const MAX_KINDS: usize = 32;

/// Longest message that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// What has been logged already.
#[derive(Debug, Default)]
pub(crate) struct PanicLog {
    seen: Mutex<BTreeSet<(&'static str, String)>>,
}

impl PanicLog {
    /// Logs a panic, unless one of its kind was.
    pub(crate) fn report(&self, stage: &'static str, panic: &(dyn Any + Send)) {
        let message = message(panic);
        if self.is_new(stage, &message) {
            tracing::error!(stage, panic = message, "a request was not handled; please report this as a defect");
        }
    }

    fn is_new(&self, stage: &'static str, message: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() < MAX_KINDS && seen.insert((stage, message.to_owned()))
    }
}

/// What the panic said, without what it may have quoted of a request.
fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        // Written in the source: there is nothing of a request in it.
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        without_quoted(text).chars().take(MAX_MESSAGE_CHARS).collect()
    } else {
        "a panic without a message".to_owned()
    }
}

/// The text with everything between double quotes or backticks taken out, which is how the standard
/// library shows values.
fn without_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut open: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match open {
            // An escaped character, a quote among them, does not end what is quoted.
            Some('"') if character == '\\' => drop(characters.next()),
            Some(quote) if character == quote => {
                open = None;
                out.push(character);
            }
            Some(_) => {}
            None => {
                out.push(character);
                if matches!(character, '"' | '`') {
                    open = Some(character);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// Whose error quotes what it was made of.
    #[derive(Debug)]
    struct Card;

    impl std::str::FromStr for Card {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            Err(text.to_owned())
        }
    }

    #[test]
    fn what_a_panic_quotes_is_not_logged() {
        let panic = catch_unwind(|| "card \"4111\" 1111".parse::<Card>().unwrap()).unwrap_err();
        let text = message(&*panic);
        assert!(text.ends_with("value: \"\"") && !text.contains("11"), "{text}");
        let (text, end) = (String::from("é4111"), 1);
        let panic = catch_unwind(move || text[..end].len()).unwrap_err();
        assert!(!message(&*panic).contains("4111"), "{}", message(&*panic));
        let panic = catch_unwind(|| panic!("said `in` the source")).unwrap_err();
        assert_eq!(message(&*panic), "said `in` the source");
    }

    #[test]
    fn each_kind_is_logged_once_and_kinds_are_bounded() {
        let log = PanicLog::default();
        assert!(log.is_new("decode", "a") && log.is_new("accept", "a"));
        assert!(!log.is_new("decode", "a"));
        let logged = (0..100).filter(|number| log.is_new("decode", &number.to_string())).count();
        assert_eq!(logged, MAX_KINDS - 2);
    }
}
