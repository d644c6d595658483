//! Development tasks: `cargo xtask tidy` checks what the compiler cannot.

mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy";

#[expect(clippy::print_stderr, reason = "a command-line tool talks on stderr")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["tidy"] => tidy::run(),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
