//! What native functions and the files they lie in are called.

use pitviper_model::Frame;

/// What compilers append to the names of functions that they split or copy.
const PARTS: [&str; 6] = [".cold", ".constprop", ".part", ".isra", ".lto_priv", ".llvm"];
/// Functions in which the interpreter runs Python code, by how they begin: its loop, in one piece or one for each
/// instruction, and what calls it, which is met first when a piece of the loop has no name.
const INTERPRETER: [&str; 4] = ["_PyEval_EvalFrameDefault", "_TAIL_CALL_", "_PyEval_Vector", "PyEval_EvalCode"];

/// Whether a function runs Python code, so that its frames are there.
pub(super) fn runs_python(name: &str) -> bool {
    INTERPRETER.iter().any(|known| name.starts_with(known))
}

/// The frame of a function of a file; of the file alone when it does not say which.
pub(super) fn frame(name: Option<&str>, path: &str) -> Frame {
    let base = path.rsplit('/').next().unwrap_or(path);
    let function = name.map_or_else(|| format!("<{}>", if base.is_empty() { "native" } else { base }), readable);
    let (library, in_app) = pitviper_pprof::library_of(path);
    Frame { function, file: path.to_owned(), line: 0, in_app: in_app && !path.is_empty(), library: library.to_owned() }
}

/// Whether a function is the interpreter's loop, whole.
pub(super) fn is_loop(name: &str) -> bool {
    name == INTERPRETER[0]
}

/// The frame that stands for native code or none.
pub(super) fn unknown() -> Frame {
    Frame { function: "<not known>".to_owned(), ..Frame::default() }
}

/// The name as the source has it.
fn readable(name: &str) -> String {
    let cut = PARTS.iter().filter_map(|part| name.find(part)).min();
    let name = cut.filter(|end| *end > 0).map_or(name, |end| &name[..end]);
    // With neither return types nor arguments: they tell less than they take room.
    let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
    if name.starts_with("_Z")
        && let Ok(rust) = rustc_demangle::try_demangle(name)
    {
        return format!("{rust:#}");
    }
    if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && let Ok(text) = symbol.demangle_with_options(&options)
    {
        return text;
    }
    rustc_demangle::try_demangle(name).map_or_else(|_| name.to_owned(), |rust| format!("{rust:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for (name, expected) in [
            ("list_sort_impl", "list_sort_impl"),
            ("list_sort_impl.constprop.0", "list_sort_impl"),
            ("deflate.cold", "deflate"),
            ("_ZN5arrow7compute4CallEi", "arrow::compute::Call"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_Z", "_Z"),
        ] {
            assert_eq!(readable(name), expected);
        }
    }

    #[test]
    fn a_file_stands_for_functions_without_a_name() {
        assert_eq!(frame(None, "/usr/lib/libssl.so.3").function, "<libssl.so.3>");
        let unknown = frame(None, "");
        assert_eq!((&*unknown.function, unknown.in_app), ("<native>", false));
        assert!(frame(Some("work"), "/srv/shop/_fast.so").in_app);
    }

    #[test]
    fn the_interpreter_is_known() {
        assert!(runs_python("_PyEval_EvalFrameDefault.cold") && runs_python("_TAIL_CALL_CALL"));
        assert!(!runs_python("PyObject_Vectorcall"));
    }
}
