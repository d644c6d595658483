//! Each file on its own: documentation at its top, its length, unsafe code.

use super::settings::Settings;
use super::{Complaint, SourceFile, complain};

pub(super) fn check(files: &[SourceFile], settings: &Settings) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        complaints.extend(opens_with_documentation(file));
        complaints.extend(length(file, settings));
        complaints.extend(unsafe_code(file, settings));
    }
    for path in settings.length.exceptions.keys() {
        if !files.iter().any(|file| file.path == *path) {
            complaints.push(complain("tidy.toml", format!("lists {path}, which is gone")));
        }
    }
    complaints
}

fn opens_with_documentation(file: &SourceFile) -> Option<Complaint> {
    let text = file.text.trim_start();
    if file.has_extension("rs") && !text.starts_with("//!") {
        return Some(complain(&file.path, "does not open with `//!` saying what it is for"));
    }
    if file.has_extension("py") {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
        if !["\"\"\"", "r\"\"\"", "'''"].iter().any(|quote| first.starts_with(quote)) {
            return Some(complain(&file.path, "does not open with a docstring saying what it is for"));
        }
    }
    None
}

/// Lines of the file before its inline unit tests.
fn own_lines(file: &SourceFile) -> usize {
    let is_test_module = |line: &str| line.starts_with("#[cfg(test)]");
    file.text.lines().take_while(|line| !(file.has_extension("rs") && is_test_module(line))).count()
}

fn length(file: &SourceFile, settings: &Settings) -> Option<Complaint> {
    if !["rs", "py", "ts", "tsx"].iter().any(|extension| file.has_extension(extension)) {
        return None;
    }
    let lines = own_lines(file);
    let excused = settings.length.exceptions.contains_key(&file.path);
    let too_long = lines > settings.length.max_lines;
    match (too_long, excused) {
        (true, false) => Some(complain(
            &file.path,
            format!(
                "has {lines} lines, more than {}: split it, or give a reason in tidy.toml",
                settings.length.max_lines
            ),
        )),
        (false, true) => Some(complain(&file.path, "no longer needs its length exception in tidy.toml")),
        _ => None,
    }
}

fn unsafe_code(file: &SourceFile, settings: &Settings) -> Option<Complaint> {
    if !file.has_extension("rs") {
        return None;
    }
    let allowed = settings.unsafe_code.allowed_in.iter().any(|name| file.path.starts_with(&format!("crates/{name}/")));
    let lifts_the_lint = file.text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with("#") && (line.contains("allow(") || line.contains("expect(")) && line.contains("unsafe_code")
    });
    (lifts_the_lint && !allowed).then(|| {
        let rooms = settings.unsafe_code.allowed_in.join(" and ");
        complain(&file.path, format!("lifts the ban on unsafe code, which lives in {rooms} alone"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn wants_documentation_first() {
        assert!(opens_with_documentation(&file("a.rs", "use std::fmt;\n")).is_some());
        assert!(opens_with_documentation(&file("a.rs", "//! Does a.\n")).is_none());
        assert!(opens_with_documentation(&file("a.py", "#!/usr/bin/env python3\n\nimport os\n")).is_some());
        assert!(opens_with_documentation(&file("a.py", "#!/usr/bin/env python3\n\"\"\"Does a.\"\"\"\n")).is_none());
        assert!(opens_with_documentation(&file("a.py", "")).is_none());
    }

    #[test]
    fn unit_tests_do_not_count_as_length() {
        let text = "//! a\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(own_lines(&file("a.rs", text)), 2);
        assert_eq!(own_lines(&file("a.py", text)), 5);
    }
}
