//! Whose code a file is, as far as its path says.

/// Folders that installed packages lie in.
const PACKAGES: [&str; 2] = ["/site-packages/", "/dist-packages/"];
/// What the standard library is called.
const STDLIB: &str = "stdlib";

/// What the interpreter's own machine code is called.
const PYTHON: &str = "python";
/// Where the system's libraries lie, and what the kernel maps.
const OF_THE_SYSTEM: [&str; 4] = ["/usr/", "/lib/", "/lib64/", "["];

/// The library that a file of Python or machine code belongs to, and whether it is the application's own code. A
/// library is the top package of what is installed, `stdlib`, `python` for the interpreter, or a shared library without
/// its version; the application's code has none.
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
    shared_library(file).map_or(("", true), |library| (library, false))
}

/// What a shared library that is none of the application's is called, or an interpreter.
fn shared_library(file: &str) -> Option<&str> {
    let base = file.rsplit('/').next().unwrap_or(file);
    if let Some(name) = base.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return Some(name);
    }
    let (stem, is_shared) = base.split_once(".so").map_or((base, false), |(stem, _)| (stem, true));
    let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b't');
    if stem.strip_prefix("lib").unwrap_or(stem).strip_prefix(PYTHON).is_some_and(is_version) && file.contains('/') {
        return Some(PYTHON);
    }
    let is_foreign = stem.starts_with("lib") || OF_THE_SYSTEM.iter().any(|folder| file.starts_with(folder));
    (is_shared && is_foreign).then_some(stem)
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
            ("/home/lib/python3.12", "python", false),
            ("/srv/lib/python3-tools/run.py", "", true),
            ("/srv/lib/shop.py", "", true),
            ("/v/lib/python3.12/site-packages/numpy/_core/_multiarray_umath.so", "numpy", false),
            ("/usr/lib/python3.12/lib-dynload/_json.cpython-312-x86_64-linux-gnu.so", "stdlib", false),
            ("/usr/bin/python3.12", "python", false),
            ("/opt/lib/libpython3.12.so.1.0", "python", false),
            ("/usr/lib/x86_64-linux-gnu/libz.so.1.2.13", "libz", false),
            ("[vdso]", "vdso", false),
            ("/srv/shop/_fast.cpython-312-x86_64-linux-gnu.so", "", true),
            ("/srv/libs.py", "", true),
            ("python", "", true),
        ] {
            assert_eq!(library_of(file), (library, in_app), "{file}");
        }
    }
}
