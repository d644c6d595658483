//! What exceptions of one kind have in common: their type, and the functions they passed through.
//!
//! Line numbers, addresses, folders a program was installed into and values in messages differ from
//! one release, machine or request to the next, so they do not count. Of functions that come again, in
//! recursion, each counts once. An exception without a stack trace is told by its message.

use pitviper_model::{ContentHash, Fingerprint};

/// Most functions that count, the outermost first.
const MAX_FRAMES: usize = 256;

/// Longest part of a message that counts, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// Folders below which libraries lie, whatever the installation.
const LIBRARY_FOLDERS: [&str; 4] = ["/site-packages/", "/dist-packages/", "/node_modules/", "/gems/"];

pub(super) fn fingerprint(exception_type: &str, message: &str, stacktrace: &str) -> Fingerprint {
    let mut hash = ContentHash::default();
    hash.text(exception_type);
    let frames = frames(stacktrace);
    if frames.is_empty() {
        hash.text("message").text(&message_pattern(message));
    } else {
        hash.text("frames");
        for frame in &frames {
            hash.text(frame);
        }
    }
    Fingerprint(hash.finish())
}

/// The functions of a stack trace, each once.
fn frames(stacktrace: &str) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    let python = stacktrace.lines().filter_map(python_frame);
    // Other languages, in the order in which a line is most surely a frame.
    let at = stacktrace.lines().filter_map(|line| line.trim_start().strip_prefix("at ").map(pattern));
    let located = stacktrace.lines().filter(|line| names_a_place(line)).map(|line| pattern(line.trim()));
    let add = |frame: String, frames: &mut Vec<String>| {
        if frames.len() < MAX_FRAMES && !frames.contains(&frame) {
            frames.push(frame);
        }
    };
    python.for_each(|frame| add(frame, &mut frames));
    if frames.is_empty() {
        at.for_each(|frame| add(frame, &mut frames));
    }
    if frames.is_empty() {
        located.for_each(|frame| add(frame, &mut frames));
    }
    frames
}

/// File and function of a line such as `File "/srv/shop/app.py", line 12, in pay`.
fn python_frame(line: &str) -> Option<String> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.rsplit_once("\", line ")?;
    let function = rest.split_once(", in ").map_or("", |(_, function)| function.trim());
    Some(format!("{} {function}", short_path(file)))
}

/// The part of a path that is the same on every machine: below a folder of libraries, or the last two parts.
fn short_path(path: &str) -> &str {
    for folder in LIBRARY_FOLDERS {
        if let Some((_, inside)) = path.rsplit_once(folder) {
            return inside;
        }
    }
    let cuts = path.rmatch_indices(['/', '\\']).nth(1);
    cuts.map_or(path, |(at, _)| &path[at + 1..])
}

/// Whether the line has a file's name, a colon and a number, as in `main.go:12`.
fn names_a_place(line: &str) -> bool {
    line.match_indices(':').any(|(at, _)| {
        let is_number = line[at + 1..].starts_with(|first: char| first.is_ascii_digit());
        let name = line[..at].rsplit(['/', '\\', ' ', '(']).next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        is_number && (1..=5).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}

/// A message without the values in it.
fn message_pattern(message: &str) -> String {
    let first_line = message.lines().next().unwrap_or_default();
    let start: String = first_line.chars().take(MAX_MESSAGE_CHARS).collect();
    pattern(&without_quoted(&start))
}

/// What stands between quotes is a value.
fn without_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let quote = rest[at..].chars().next().expect("it was found");
        // An apostrophe within a word quotes nothing.
        let is_apostrophe = rest[..at].ends_with(|before: char| before.is_alphanumeric());
        match rest[at + 1..].find(quote).filter(|_| !is_apostrophe) {
            Some(length) => {
                out.push_str(&rest[..at]);
                out.push('?');
                rest = &rest[at + length + 2..];
            }
            None => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The text with a mark in place of each number: words that have a digit and are hexadecimal or
/// begin with one, and digits in other words.
fn pattern(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_alphanumeric() {
            word.push(character);
            continue;
        }
        append_word(&word, &mut out);
        word.clear();
        out.push(character);
    }
    out.pop();
    out
}

fn append_word(word: &str, out: &mut String) {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let is_hex = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if has_digit && (is_hex || word.starts_with(|first: char| first.is_ascii_digit())) {
        out.push('#');
        return;
    }
    let mut in_digits = false;
    for character in word.chars() {
        let is_digit = character.is_ascii_digit();
        if !is_digit {
            out.push(character);
        } else if !in_digits {
            out.push('#');
        }
        in_digits = is_digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = r#"Traceback (most recent call last):
  File "/srv/shop/releases/41/shop/pay.py", line 12, in charge
    return gateway.send(amount)
           ^^^^^^^^^^^^^^^^^^^^
  File "/srv/venv/lib/python3.11/site-packages/gateway/client.py", line 88, in send
    raise Refused(f"card {card}")
gateway.Refused: card 4111"#;

    #[test]
    fn lines_folders_and_values_do_not_count() {
        let base = fingerprint("Refused", "card 4111", PYTHON);
        let elsewhere = PYTHON
            .replace("/srv/shop/releases/41/", "/home/ada/")
            .replace("/srv/venv/lib/python3.11", "/usr/lib/python3.13")
            .replace("line 12", "line 130")
            .replace("4111", "5500")
            .replace("gateway.send(amount)", "gateway.send(amount, retry=True)");
        assert_eq!(fingerprint("Refused", "card 5500", &elsewhere), base);
        assert_ne!(fingerprint("Other", "card 4111", PYTHON), base);
        assert_ne!(fingerprint("Refused", "card 4111", &PYTHON.replace("in charge", "in refund")), base);
        assert_ne!(fingerprint("Refused", "card 4111", &PYTHON.replace("shop/pay.py", "shop/basket.py")), base);
        assert_ne!(fingerprint("Refused", "card 4111", ""), base);
    }

    #[test]
    fn recursion_counts_once() {
        let frame = |name: &str| format!("  File \"/a/b/c.py\", line 1, in {name}\n    x()\n");
        let once = [frame("f"), frame("g")].concat();
        let often = [frame("f"), frame("g"), frame("f"), frame("g"), frame("g")].concat();
        let with_note = format!("{often}  [Previous line repeated 977 more times]\nRecursionError: too deep");
        assert_eq!(fingerprint("E", "", &with_note), fingerprint("E", "", &once));
        assert_ne!(fingerprint("E", "", &frame("f")), fingerprint("E", "", &once));
    }

    #[test]
    fn other_languages_have_frames_too() {
        let same = [
            (
                "\tat com.shop.Pay.charge(Pay.java:12)\n",
                "java.lang.IllegalStateException: 7\n\tat com.shop.Pay.charge(Pay.java:99)",
            ),
            ("    at charge (/srv/a/pay.js:1:2)\n", "Error: x\n    at charge (/srv/a/pay.js:33:44)"),
            ("main.charge(0xc000012345)\n\t/src/pay.go:12 +0x1d", "main.charge(0xc000099999)\n\t/src/pay.go:40 +0x2f"),
            ("pay.rb:12:in `charge'", "pay.rb:19:in `charge'"),
        ];
        for (one, other) in same {
            assert!(!frames(one).is_empty(), "{one}");
            assert_eq!(fingerprint("E", "a", one), fingerprint("E", "b", other), "{one}");
        }
        let java = |class: &str| fingerprint("E", "", &format!("\tat com.shop.{class}.charge(Pay.java:12)"));
        assert_ne!(java("Pay"), java("Refund"));
    }

    #[test]
    fn without_a_stack_the_message_tells() {
        let of = |message| fingerprint("E", message, "");
        assert_eq!(of("user 'ada' has 7 cards"), of("user 'bob' has 12 cards"));
        assert_eq!(of("no object at 0x7f3a99"), of("no object at 0x8b00fe"));
        assert_eq!(of("job 8c5e9a9c-11d3 failed"), of("job 11aaf29c-0007 failed"));
        assert_eq!(of("can't open 'a'"), of("can't open 'b'"));
        assert_ne!(of("timeout"), of("refused"));
        assert_ne!(of("can't open"), of("can't close"));
        for odd in ["'", "\"é", "''", "é'é'", "`x", "0x", "١٢"] {
            let _ = of(odd);
        }
    }
}
