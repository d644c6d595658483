//! Whose code a frame of a profile is: as the profile says, or else as the file's path does.

use crate::{BUILD_ID_OF_APP, BUILD_ID_OF_LIBRARY, library_of};

/// The file that ddtrace names for functions that are not Python.
const NATIVE: &str = "<native>";

/// The library that code is of, and whether it is the application's own, by the file that it is mapped from,
/// that file's build id, and the file of its source.
pub(crate) fn owner(mapped: &str, build_id: &str, file: &str) -> (String, bool) {
    let says = |what: &str| build_id.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if says(BUILD_ID_OF_APP) || says(BUILD_ID_OF_LIBRARY) {
        return (mapped.to_owned(), says(BUILD_ID_OF_APP));
    }
    let (library, in_app) = library_of(file);
    (library.to_owned(), in_app && !file.is_empty() && file != NATIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_and_else_the_path() {
        let of = |library: &str, in_app| (library.to_owned(), in_app);
        assert_eq!(owner("flask", "library:flask", "/srv/app.py"), of("flask", false));
        assert_eq!(owner("", "app", "/usr/lib/python3.12/site-packages/x/y.py"), of("", true));
        for (file, expected) in [
            ("/srv/app.py", of("", true)),
            ("/v/lib/python3.12/site-packages/flask/app.py", of("flask", false)),
            ("<native>", of("", false)),
            ("", of("", false)),
        ] {
            assert_eq!(owner("/usr/bin/python3", "application", file), expected, "{file}");
        }
    }
}
