//! Whose code a file is, as far as its path says.

/// Folders that installed packages lie in.
const PACKAGES: [&str; 2] = ["/site-packages/", "/dist-packages/"];
/// What the standard library is called.
const STDLIB: &str = "stdlib";

/// The library that a Python file belongs to, and whether it is the application's own code. A library is the
/// top package of what is installed, or `stdlib`; the application's code has none.
#[must_use]
pub fn library_of(file: &str) -> (&str, bool) {
    let installed = PACKAGES.iter().filter_map(|folder| Some(file.rfind(folder)? + folder.len())).max();
    if let Some(start) = installed {
        let (top, is_folder) = file[start..].split_once('/').map_or((&file[start..], false), |(top, _)| (top, true));
        return (if is_folder { top } else { top.strip_suffix(".py").unwrap_or(top) }, false);
    }
    if file.starts_with("<frozen ") || lies_in_stdlib(file) {
        return (STDLIB, false);
    }
    ("", true)
}

/// Whether a path goes through `lib/python3.12` or the like, or its archive.
fn lies_in_stdlib(file: &str) -> bool {
    let mut folders = file.split('/').peekable();
    while let Some(folder) = folders.next() {
        let is_version = |next: &&str| {
            let version = next.strip_prefix("python3").map(|rest| rest.strip_suffix(".zip").unwrap_or(rest));
            version.is_some_and(|rest| {
                rest.trim_end_matches('t').bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            })
        };
        // A file is not a folder of the library: the last part does not count.
        if matches!(folder, "lib" | "lib64" | "lib32") && folders.next_if(is_version).is_some() {
            return folders.peek().is_some();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_whose_code_it_is() {
        for (file, library, in_app) in [
            ("/app/shop/views.py", "", true),
            ("shop.py", "", true),
            ("<string>", "", true),
            ("/srv/venv/lib/python3.12/site-packages/flask/app.py", "flask", false),
            ("/usr/lib/python3/dist-packages/six.py", "six", false),
            ("/v/lib/python3.9/site-packages/a/lib/python3.9/x.py", "a", false),
            ("/v/site-packages/bundle/site-packages/inner/x.py", "inner", false),
            ("/usr/lib/python3.11/json/decoder.py", "stdlib", false),
            ("/opt/lib/python3.13t/threading.py", "stdlib", false),
            ("/usr/lib/python312.zip/os.py", "stdlib", false),
            ("<frozen importlib._bootstrap>", "stdlib", false),
            ("/home/lib/python3.12", "", true),
            ("/srv/lib/python3-tools/run.py", "", true),
            ("/srv/lib/shop.py", "", true),
        ] {
            assert_eq!(library_of(file), (library, in_app), "{file}");
        }
    }
}
