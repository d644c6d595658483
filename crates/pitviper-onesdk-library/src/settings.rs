//! Settings, from the variables that the agent for Python has too.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use pitviper_agent::{Compression, Config, Format, Propagation, Sampler, machine_attributes};
use pitviper_model::Attributes;

use crate::host::warn;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4318";
/// Longest time the end of the program, or of its use of the SDK, waits for the last spans, in milliseconds.
const DEFAULT_EXIT_TIMEOUT_MS: u64 = 3_000;

/// Reads the environment; what makes no sense there is said on standard error, and the default holds.
pub(crate) fn config() -> Config {
    Environment { variable: &|name| std::env::var(name).ok(), warn: &warn }.config()
}

/// How long the end of the program waits for the last spans.
pub(crate) fn exit_timeout() -> Duration {
    static TIMEOUT: OnceLock<Duration> = OnceLock::new();
    *TIMEOUT.get_or_init(|| {
        let environment = Environment { variable: &|name| std::env::var(name).ok(), warn: &warn };
        let chosen = environment.read("PITVIPER_EXIT_TIMEOUT", whole_number);
        Duration::from_millis(chosen.unwrap_or(DEFAULT_EXIT_TIMEOUT_MS))
    })
}

/// Where variables come from, and where complaints go.
struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    warn: &'a dyn Fn(&str),
}

/// What a parser says is shown to the user: the values that are allowed.
type Parsed<T> = Result<T, &'static str>;

impl Environment<'_> {
    /// The value of the first of these variables that is set and can be read.
    fn read<T>(&self, names: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        names.split(' ').find_map(|name| {
            let text = (self.variable)(name)?;
            let text = text.trim();
            if text.is_empty() {
                return None;
            }
            // The value may be secret.
            parse(text).map_err(|advice| (self.warn)(&format!("pitviper: {name} is ignored: {advice}"))).ok()
        })
    }

    fn text(&self, names: &str) -> Option<String> {
        self.read(names, |text| Ok(text.to_owned()))
    }

    fn config(&self) -> Config {
        let is_disabled = self.read("OTEL_SDK_DISABLED", flag) == Some(true);
        let endpoint = self.read("PITVIPER_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT", url);
        let endpoint = endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let traces_url = self
            .read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)
            .unwrap_or_else(|| format!("{}/v1/traces", endpoint.trim_end_matches('/')));
        let mut headers = self
            .read("PITVIPER_HEADERS OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_HEADERS", pairs)
            .unwrap_or_default();
        if let Some(token) = self.text("PITVIPER_TOKEN") {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let compression = self.read(
            "PITVIPER_COMPRESSION OTEL_EXPORTER_OTLP_TRACES_COMPRESSION OTEL_EXPORTER_OTLP_COMPRESSION",
            |text| Compression::parse(&text.to_ascii_lowercase()).ok_or("use auto, none, gzip or zstd"),
        );
        Config {
            enabled: !is_disabled && self.read("PITVIPER_ENABLED DD_TRACE_ENABLED", flag).unwrap_or(true),
            traces_url,
            headers,
            compression: compression.unwrap_or_default(),
            resource: self.resource(),
            sampler: self.sampler(),
            propagation: self.propagation(),
            remote_settings: false,
            ..Config::default()
        }
    }

    fn sampler(&self) -> Sampler {
        let of_rate = |ratio| Sampler { parent_based: true, ratio };
        let named = || {
            let argument = self.read("OTEL_TRACES_SAMPLER_ARG", ratio).unwrap_or(1.0);
            self.read("OTEL_TRACES_SAMPLER", |name| {
                Sampler::parse(name, argument).ok_or("use a name of OpenTelemetry, such as parentbased_traceidratio")
            })
        };
        let rate = self.read("PITVIPER_SAMPLE_RATE", ratio).map(of_rate);
        rate.or_else(named).or_else(|| self.read("DD_TRACE_SAMPLE_RATE", ratio).map(of_rate)).unwrap_or_default()
    }

    fn propagation(&self) -> Propagation {
        let default = Propagation::default();
        let both = "PITVIPER_PROPAGATORS OTEL_PROPAGATORS DD_TRACE_PROPAGATION_STYLE";
        let extract = self.read("PITVIPER_PROPAGATORS_EXTRACT", formats).or_else(|| self.read(both, formats));
        Propagation { extract: extract.unwrap_or(default.extract.clone()), ..default }
    }

    /// What describes the process, by OpenTelemetry's conventions. What the user says counts more than what is
    /// found out.
    fn resource(&self) -> Attributes {
        let mut attributes = machine_attributes(Path::new("/"), self.variable);
        let program = std::env::current_exe().ok();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                attributes.set(key, value);
            }
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        set("host.name", host.map(|name| name.trim().to_owned()));
        set("os.type", Some("linux".to_owned()));
        set("process.executable.path", program.as_ref().map(|path| path.to_string_lossy().into_owned()));
        for (key, value) in self.read("PITVIPER_TAGS OTEL_RESOURCE_ATTRIBUTES", pairs).unwrap_or_default() {
            set(&key, Some(value));
        }
        let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let service = self.text("PITVIPER_SERVICE OTEL_SERVICE_NAME DD_SERVICE");
        if let Some(service) = service {
            set("service.name", Some(service));
        } else if attributes.get("service.name").is_none() {
            attributes.set("service.name", name.unwrap_or_else(|| "unknown_service".to_owned()));
        }
        for (key, names) in
            [("service.version", "PITVIPER_VERSION DD_VERSION"), ("deployment.environment.name", "PITVIPER_ENV DD_ENV")]
        {
            if let Some(value) = self.text(names) {
                attributes.set(key, value);
            }
        }
        attributes.set("telemetry.sdk.name", "pitviper");
        attributes.set("telemetry.sdk.language", "cpp");
        attributes.set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        attributes
    }
}

fn flag(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("use true or false"),
    }
}

fn url(text: &str) -> Parsed<String> {
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) && !rest.is_empty()
    });
    if is_url { Ok(text.to_owned()) } else { Err("use a URL such as http://host:4318") }
}

fn ratio(text: &str) -> Parsed<f64> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or("use a number from 0 to 1")
}

fn whole_number(text: &str) -> Parsed<u64> {
    text.parse::<u32>().map(u64::from).map_err(|_| "use a whole number from 0 to 4294967295")
}

fn formats(text: &str) -> Parsed<Vec<Format>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let named = text.split(',').map(|name| Format::parse(&name.trim().to_ascii_lowercase()));
    named.collect::<Option<_>>().ok_or("use tracecontext, baggage, datadog, b3, b3multi, dynatrace or none")
}

/// Reads `a=b,c=d`, where bytes may stand behind percent signs.
fn pairs(text: &str) -> Parsed<Vec<(String, String)>> {
    let pair = |item: &str| {
        let (key, value) = item.split_once('=').filter(|(key, _)| !key.trim().is_empty())?;
        Some((key.trim().to_owned(), decoded(value.trim())))
    };
    let items = text.split(',').filter(|item| !item.trim().is_empty());
    items.map(pair).collect::<Option<_>>().ok_or("use a=b,c=d")
}

/// The text behind percent signs; signs that stand for nothing stay.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            out.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use pitviper_model::Value;

    use super::*;

    /// The settings of an environment, and what was complained of.
    fn configured(variables: &[(&str, &str)]) -> (Config, Vec<String>) {
        let complaints = RefCell::new(Vec::new());
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let warn = |message: &str| complaints.borrow_mut().push(message.to_owned());
        let config = Environment { variable: &variable, warn: &warn }.config();
        (config, complaints.into_inner())
    }

    fn text<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
        match config.resource.get(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn without_variables_defaults_hold_and_the_program_names_the_service() {
        let (config, complaints) = configured(&[]);
        assert!(config.enabled && complaints.is_empty(), "{complaints:?}");
        assert_eq!(config.traces_url, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(config.sampler, Sampler::default());
        assert!(text(&config, "service.name").is_some_and(|name| name.starts_with("onesdk_shared")));
    }

    #[test]
    fn ours_count_more_than_others() {
        let (config, complaints) = configured(&[
            ("OTEL_SERVICE_NAME", "theirs"),
            ("PITVIPER_SERVICE", "ours"),
            ("DD_ENV", "prod"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=pay%20ments,service.name=tagged"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7"),
            ("PITVIPER_TOKEN", "t0ken"),
            ("PITVIPER_SAMPLE_RATE", "0.5"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("PITVIPER_PROPAGATORS", "dynatrace,tracecontext"),
        ]);
        assert_eq!(complaints, Vec::<String>::new());
        let named = ["service.name", "team", "deployment.environment.name"].map(|key| text(&config, key));
        assert_eq!(named, [Some("ours"), Some("pay ments"), Some("prod")]);
        assert_eq!(config.traces_url, "http://collector:4318/v1/traces");
        let headers = [("x-tenant", "7"), ("authorization", "Bearer t0ken")];
        assert_eq!(config.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(config.sampler, Sampler { parent_based: true, ratio: 0.5 });
        assert_eq!(config.propagation.extract, [Format::Dynatrace, Format::TraceContext]);
    }

    #[test]
    fn what_cannot_be_followed_is_said_without_its_value_and_the_next_one_counts() {
        let (config, complaints) = configured(&[
            ("PITVIPER_ENDPOINT", "collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("PITVIPER_HEADERS", "s3cret"),
            ("PITVIPER_SAMPLE_RATE", "2"),
            ("PITVIPER_ENABLED", "perhaps"),
            ("OTEL_PROPAGATORS", "tracecontext,xray"),
        ]);
        assert!(config.enabled);
        assert_eq!(config.traces_url, "http://collector:4318/v1/traces");
        let named =
            |name: &str| complaints.iter().any(|complaint| complaint.starts_with(&format!("pitviper: {name} ")));
        assert!(
            ["PITVIPER_ENDPOINT", "PITVIPER_HEADERS", "PITVIPER_SAMPLE_RATE", "PITVIPER_ENABLED"]
                .iter()
                .all(|name| named(name))
        );
        assert!(!complaints.join(" ").contains("s3cret"));
        let (config, _) = configured(&[("OTEL_SDK_DISABLED", "true")]);
        assert!(!config.enabled);
    }
}
