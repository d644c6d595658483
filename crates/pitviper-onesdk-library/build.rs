//! What the linker is told of the library.

fn main() {
    // Programs that are linked with it ask for it by this name.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libonesdk_shared.so");
    // It has a thread and handlers of forks and of the process's end: it stays once it is loaded.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
