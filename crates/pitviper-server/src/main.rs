//! `pitviper-server`: one binary that receives, keeps and explains telemetry.
//!
//! The only room that knows all rooms: it reads the configuration ([`config`]), opens the store,
//! puts receivers and API on their ports ([`listen`]), and takes everything down in order
//! ([`serve`]). [`commands`] does what needs no server.

mod client_settings;
mod commands;
mod config;
mod connections;
mod datadog;
mod figures;
mod first_bytes;
mod listen;
mod logging;
mod panics;
mod ready;
mod self_trace;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(config) => serve::run(config),
        Command::Doctor(doctor) => return commands::doctor::run(&doctor),
        Command::Backup(backup) => commands::backup::run(&backup),
        Command::Export(export) => commands::export::run(&export),
        Command::Import(import) => commands::import::run(&import),
        Command::Openapi => print_openapi(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, 1),
    }
}

#[expect(clippy::print_stderr, reason = "a command-line tool says on stderr why it ends")]
fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("pitviper-server: {error:#}");
    ExitCode::from(code)
}

fn print_openapi() -> anyhow::Result<()> {
    use std::io::Write as _;
    let document = pitviper_api::routes::openapi_document().to_pretty_json()?;
    writeln!(std::io::stdout(), "{document}")?;
    Ok(())
}
