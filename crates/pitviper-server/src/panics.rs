//! Panics of the server's own threads, as one line of the log.
//!
//! A panic's message may quote what it failed on, which is somebody's data. So only the place is logged,
//! with the message when it was written in the source.

use std::panic::PanicHookInfo;

/// Makes every panic from now on one line of the log.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        tracing::error!(
            place = %place(info),
            thread = thread.name().unwrap_or("unnamed"),
            panic = message(info),
            "a panic; please report this as a defect"
        );
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// What the panic said, if none of it was made while the program ran.
fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(a message with data, left out)")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_panic_is_one_line_without_data() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
        let before = std::panic::take_hook();
        tracing::subscriber::with_default(subscriber, || {
            install();
            let card = "4111 1111";
            let _ = std::panic::catch_unwind(|| panic!("no such card: {card}\nsecond line"));
            let _ = std::panic::catch_unwind(|| panic!("written in the source"));
        });
        std::panic::set_hook(before);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains("4111") && text.contains("panics.rs"), "{text}");
        assert!(text.lines().all(|line| line.contains("ERROR")) && text.contains("written in the source"), "{text}");
    }
}
