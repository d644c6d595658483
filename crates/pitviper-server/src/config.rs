//! The command line and the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pitviper_api::auth::Token;
use pitviper_store::embedded::{EmbeddedConfig, Retention, Thinning};

use crate::commands::{self, backup::Backup, doctor::Doctor, export::Export, import::Import};

/// The variable that may hold the token itself. There is no flag for it: other users of the machine
/// can read command lines.
pub(crate) const TOKEN_VARIABLE: &str = "PITVIPER_SERVER_TOKEN";

/// Receives, keeps and explains traces of Python services.
#[derive(Debug, Parser)]
#[command(name = "pitviper-server", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server.
    ///
    /// Without flags it keeps its data under ~/.local/share/pitviper, receives OTLP on
    /// 127.0.0.1:4318 (HTTP) and 127.0.0.1:4317 (gRPC), and shows its pages on
    /// http://127.0.0.1:4390. SIGTERM and Ctrl-C finish what is under way and end it.
    #[command(after_help = AFTER_HELP)]
    Serve(Box<Serve>),
    /// Check a data directory, say what is wrong with it, and mend what can be mended.
    ///
    /// Works without a server; while one has the directory it only looks. Ends with 0 when all is well or
    /// was mended, 1 when something is not as it should be, 2 when data is damaged.
    Doctor(Doctor),
    /// Copy a data directory, also while a server uses it.
    ///
    /// The copy holds every write that was acknowledged before, and `serve --data-dir` opens it. On the
    /// same disk it shares the segments with the original.
    Backup(Backup),
    /// Write stored spans to a file: OTLP/JSON, OTLP protobuf or Parquet.
    Export(Export),
    /// Take spans from files, into a server or a data directory.
    Import(Import),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

const AFTER_HELP: &str = "\
Access: a server that listens on loopback asks for no login and answers only requests that are \
addressed to loopback. On any other address it needs a token, from --token-file or the variable \
PITVIPER_SERVER_TOKEN; clients send it as `Authorization: Bearer TOKEN`, browsers on the login page.

Examples:
  pitviper-server serve
  pitviper-server serve --data-dir /var/lib/pitviper
  PITVIPER_SERVER_TOKEN=$(cat token) pitviper-server serve --http 0.0.0.0:4390 --otlp-http 0.0.0.0:4318";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the data is kept; made when missing [default: $XDG_DATA_HOME/pitviper or ~/.local/share/pitviper]
    #[arg(long, value_name = "DIR", env = "PITVIPER_SERVER_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Address of UI and API; also receives OTLP over HTTP. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "PITVIPER_SERVER_HTTP", default_value = "127.0.0.1:4390", value_parser = address)]
    pub(crate) http: SocketAddr,

    /// Address that receives OTLP over HTTP
    #[arg(long, value_name = "ADDRESS", env = "PITVIPER_SERVER_OTLP_HTTP", default_value = "127.0.0.1:4318", value_parser = address)]
    pub(crate) otlp_http: SocketAddr,

    /// Address that receives OTLP over gRPC
    #[arg(long, value_name = "ADDRESS", env = "PITVIPER_SERVER_OTLP_GRPC", default_value = "127.0.0.1:4317", value_parser = address)]
    pub(crate) otlp_grpc: SocketAddr,

    /// Loopback address that Datadog's clients send to, or `off` [default: 127.0.0.1:8126 while it is free]
    #[arg(long, value_name = "ADDRESS", env = "PITVIPER_SERVER_DATADOG", value_parser = local_port)]
    pub(crate) datadog: Option<Port>,

    /// Unix socket that Datadog's clients send to as well, such as /var/run/datadog/apm.socket
    #[arg(long, value_name = "PATH", env = "PITVIPER_SERVER_DATADOG_SOCKET")]
    pub(crate) datadog_socket: Option<PathBuf>,

    /// Loopback address that receives DogStatsD over UDP, or `off` [default: 127.0.0.1:8125 while it is free]
    #[arg(long, value_name = "ADDRESS", env = "PITVIPER_SERVER_DOGSTATSD", value_parser = local_port)]
    pub(crate) dogstatsd: Option<Port>,

    /// Unix datagram socket that receives DogStatsD as well, such as /var/run/datadog/dsd.socket
    #[arg(long, value_name = "PATH", env = "PITVIPER_SERVER_DOGSTATSD_SOCKET")]
    pub(crate) dogstatsd_socket: Option<PathBuf>,

    /// File that holds the token clients have to send; needed on any address but loopback
    #[arg(long, value_name = "FILE", env = "PITVIPER_SERVER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// How long spans are kept: days (30d), hours (12h) or `forever`
    #[arg(long, value_name = "AGE", env = "PITVIPER_SERVER_KEEP_SPANS", default_value = "30d", value_parser = age)]
    pub(crate) keep_spans: Duration,

    /// How long log records are kept
    #[arg(long, value_name = "AGE", env = "PITVIPER_SERVER_KEEP_LOGS", default_value = "30d", value_parser = age)]
    pub(crate) keep_logs: Duration,

    /// How long samples of profiles are kept
    #[arg(long, value_name = "AGE", env = "PITVIPER_SERVER_KEEP_PROFILES", default_value = "14d", value_parser = age)]
    pub(crate) keep_profiles: Duration,

    /// How long all spans are kept: days (3d), hours or `forever`. Of days that ended longer ago, failed, slow and
    /// rare traces stay, those whose attribute `sampling.keep` is true, and --keep-share of the rest
    #[arg(long, value_name = "AGE", env = "PITVIPER_SERVER_KEEP_ALL_SPANS", default_value = "3d", value_parser = age)]
    pub(crate) keep_all_spans: Duration,

    /// Share of the other traces that stays after --keep-all-spans, such as 10%
    #[arg(long, value_name = "SHARE", env = "PITVIPER_SERVER_KEEP_SHARE", default_value = "10%", value_parser = share)]
    pub(crate) keep_share: f64,

    /// How long metrics are kept, also those from which rates and percentiles come
    #[arg(long, value_name = "AGE", env = "PITVIPER_SERVER_KEEP_METRICS", default_value = "400d", value_parser = age)]
    pub(crate) keep_metrics: Duration,

    /// Most room the stored data may take, such as 50GB or 200GiB; beyond it the oldest spans, logs and samples go
    #[arg(long, value_name = "SIZE", env = "PITVIPER_SERVER_MAX_DISK", value_parser = size)]
    pub(crate) max_disk: Option<u64>,

    /// Free room on the disk that is left for the server's own work; with less, spans are refused
    #[arg(long, value_name = "SIZE", env = "PITVIPER_SERVER_DISK_RESERVE", default_value = "256MiB", value_parser = size)]
    pub(crate) disk_reserve: u64,

    /// Receive profiles over OTLP too, a development version of the protocol: `/v1development/profiles` over HTTP, in
    /// protobuf and JSON, and the service over gRPC, as opentelemetry-proto 1.10 has them
    #[arg(long, env = "PITVIPER_SERVER_OTLP_PROFILES", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) otlp_profiles: bool,

    /// Keep traces of the server itself, as the service pitviper-server
    #[arg(long, env = "PITVIPER_SERVER_SELF_TRACE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) self_trace: bool,

    /// How old the newest data becomes in memory before it moves to files, in milliseconds. For tests: it is
    /// safe in the log all the while
    #[arg(long, value_name = "MS", hide = true, default_value_t = EmbeddedConfig::DEFAULT_FLUSH_AFTER_MS)]
    pub(crate) flush_after_ms: u64,

    /// Write the real addresses as JSON to this file once all of them are listened on
    #[arg(long, value_name = "FILE", env = "PITVIPER_SERVER_READY_FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Form of the log on stderr
    #[arg(long, value_name = "FORMAT", env = "PITVIPER_SERVER_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace, also by module as in `warn,pitviper_store=debug`
    #[arg(long, value_name = "LEVEL", env = "PITVIPER_SERVER_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Serve {
    /// The addresses with the flags they came from.
    pub(crate) fn addresses(&self) -> [(&'static str, SocketAddr); 3] {
        [("--http", self.http), ("--otlp-http", self.otlp_http), ("--otlp-grpc", self.otlp_grpc)]
    }

    /// The data directory; where the user keeps data when none was named.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        commands::data_dir(self.data_dir.as_ref())
    }

    /// How long data is kept.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            spans: self.keep_spans,
            span_metrics: self.keep_metrics,
            metrics: self.keep_metrics,
            logs: self.keep_logs,
            profiles: self.keep_profiles,
            max_bytes: self.max_disk,
        }
    }

    /// What stays of spans that are some days old.
    pub(crate) fn thinning(&self) -> Thinning {
        Thinning { after: self.keep_all_spans, share: self.keep_share, ..Thinning::default() }
    }

    /// The token, from the file or the environment.
    pub(crate) fn token(&self) -> anyhow::Result<Option<Token>> {
        let variable = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let (text, source) = match (&self.token_file, variable) {
            (Some(_), Some(_)) => {
                bail!("there are two tokens, one in --token-file and one in {TOKEN_VARIABLE}; keep one")
            }
            (Some(file), None) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("--token-file {}", file.display()))?;
                (text, format!("--token-file {}", file.display()))
            }
            (None, Some(text)) => (text, TOKEN_VARIABLE.to_owned()),
            (None, None) => return Ok(None),
        };
        Token::new(&text).map(Some).context(source)
    }
}

/// A port that may be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// It is closed.
    Off,
    /// It is open at this address.
    At(SocketAddr),
}

/// Reads `off` or an address of loopback: clients of Datadog's protocols cannot send a token.
fn local_port(text: &str) -> Result<Port, String> {
    if text == "off" {
        return Ok(Port::Off);
    }
    let address = address(text)?;
    if address.ip().is_loopback() {
        return Ok(Port::At(address));
    }
    Err("Datadog's clients cannot send a token, so only this machine may reach the port: use 127.0.0.1 or [::1], or share \
         a unix socket with containers"
        .to_owned())
}

/// Reads `ADDRESS:PORT`; `localhost` stands for 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| "an address is IP:PORT, such as 127.0.0.1:4390, [::1]:4390 or 0.0.0.0:0".to_owned())
}

/// Reads an age such as `30d`, `12h` or `forever`.
fn age(text: &str) -> Result<Duration, String> {
    let complaint = || "an age is days or hours, such as 30d or 12h, or `forever`".to_owned();
    if text == "forever" {
        return Ok(Duration::MAX);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(complaint)?;
    let seconds: u64 = match unit {
        "d" => 86_400,
        "h" => 3_600,
        _ => return Err(complaint()),
    };
    let number: u64 = number.parse().map_err(|_| complaint())?;
    if number == 0 {
        return Err("nothing would be kept".to_owned());
    }
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(complaint)
}

/// Reads a share such as `10%`, 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let complaint = || "a share is a percentage from 0% to 100%, such as 10%".to_owned();
    let percent: f64 = text.strip_suffix('%').and_then(|number| number.trim().parse().ok()).ok_or_else(complaint)?;
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err(complaint()) }
}

/// Reads a size such as `50GB` or `200GiB`, in bytes.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] = [
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let complaint = || "a size is a number and a unit: MB, GB, TB, MiB, GiB or TiB, such as 50GB".to_owned();
    let found = UNITS.iter().find_map(|(unit, bytes)| text.strip_suffix(unit).map(|number| (number.trim(), bytes)));
    let (number, bytes) = found.ok_or_else(complaint)?;
    let number: u64 = number.parse().map_err(|_| complaint())?;
    number.checked_mul(*bytes).filter(|bytes| *bytes > 0).ok_or_else(complaint)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ports_without_a_token_are_of_this_machine() {
        assert_eq!(local_port("off"), Ok(Port::Off));
        assert_eq!(local_port("localhost:0"), Ok(Port::At(([127, 0, 0, 1], 0).into())));
        assert!(local_port("0.0.0.0:8126").unwrap_err().contains("unix socket"));
        assert!(local_port("8126").unwrap_err().contains("IP:PORT"));
    }

    #[test]
    fn reads_shares() {
        assert_eq!((share("10%"), share("0.5 %"), share("100%")), (Ok(0.1), Ok(0.005), Ok(1.0)));
        for wrong in ["", "10", "%", "-1%", "101%", "NaN%"] {
            assert!(share(wrong).unwrap_err().contains("percentage"), "{wrong}");
        }
    }

    #[test]
    fn reads_addresses() {
        assert_eq!(address("localhost:80").unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("[::1]:0").unwrap().to_string(), "[::1]:0");
        for wrong in ["", "4390", "localhost", "example.org:80", "127.0.0.1:99999"] {
            assert!(address(wrong).unwrap_err().contains("IP:PORT"), "{wrong}");
        }
    }

    #[test]
    fn reads_ages_and_sizes() {
        assert_eq!(age("2d").unwrap(), Duration::from_secs(2 * 86_400));
        assert_eq!(age("12h").unwrap(), Duration::from_secs(12 * 3_600));
        assert_eq!(age("forever").unwrap(), Duration::MAX);
        for wrong in ["", "d", "30", "0d", "-1d", "1w", "é", "99999999999999999d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
        assert_eq!((size("50GB").unwrap(), size("2 GiB").unwrap()), (50_000_000_000, 2 << 30));
        for wrong in ["", "GB", "50", "0GB", "1.5GB", "50gb", "99999999999TB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
