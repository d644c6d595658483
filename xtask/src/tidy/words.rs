//! Words that belong nowhere in the tree: paths of one machine, leftovers of debugging, notes to
//! oneself.

use super::{Complaint, SourceFile, complain};

/// A word, split so that this file does not contain it, and what to do instead.
const BANNED: [(&[&str], &str); 8] = [
    (&["TO", "DO"], "open an issue instead"),
    (&["FIX", "ME"], "fix it or open an issue"),
    (&["dbg", "!("], "use tracing"),
    (&["to", "do!("], "write it"),
    (&["unimple", "mented!("], "write it"),
    (&["/ro", "ot/"], "name no machine's paths"),
    (&["/wo", "rk/"], "name no machine's paths"),
    (&["/tmp", "/pv"], "name no machine's paths"),
];

pub(super) fn check(files: &[SourceFile]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        if file.path.ends_with("package-lock.json") || file.path.ends_with("Cargo.lock") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            for (word, remedy) in banned_in(line) {
                complaints.push(complain(format!("{}:{}", file.path, index + 1), format!("contains {word}: {remedy}")));
            }
        }
    }
    complaints
}

fn banned_in(line: &str) -> Vec<(String, &'static str)> {
    BANNED
        .iter()
        .map(|(parts, remedy)| (parts.concat(), *remedy))
        .filter(|(word, _)| contains_whole(line, word))
        .collect()
}

/// Whether `word` stands in the line and is not the middle of a longer word.
fn contains_whole(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = !word.starts_with(char::is_alphanumeric) || !before.is_some_and(char::is_alphanumeric);
        let ends = !word.ends_with(char::is_alphanumeric) || !after.is_some_and(char::is_alphanumeric);
        // A path is a machine's only when it is absolute.
        let absolute = !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '}');
        starts && ends && absolute
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_words_and_absolute_paths() {
        let note = ["TO", "DO"].concat();
        assert_eq!(banned_in(&format!("// {note}: later")).len(), 1);
        assert!(banned_in(&format!("{note}S")).is_empty());
        let path = ["/wo", "rk/"].concat();
        assert_eq!(banned_in(&format!("cd {path}x")).len(), 1);
        assert!(banned_in(&format!("net{path}x")).is_empty());
    }
}
