//! What the resources say of a service: language, framework, processes.

use std::collections::{BTreeMap, BTreeSet};

use pitviper_model::Resource;
use pitviper_store::ResourceSeen;

use crate::views::metrics::instance;

/// Frameworks that answer requests, by the last part of an instrumentation scope's name, the more
/// telling ones first: FastAPI is built on Starlette, and both run on ASGI.
const FRAMEWORKS: [&str; 14] = [
    "fastapi",
    "django",
    "flask",
    "starlette",
    "quart",
    "sanic",
    "falcon",
    "bottle",
    "pyramid",
    "tornado",
    "aiohttp",
    "celery",
    "asgi",
    "wsgi",
];

/// The prefix of our own scopes, whose version is that of the library, not of its instrumentation.
const OWN_SCOPES: &str = "pitviper.";

/// What is known of a service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) language: Option<String>,
    pub(super) framework: Option<String>,
    pub(super) instances: BTreeSet<String>,
    pub(super) last_seen_ns: i64,
}

impl Facts {
    /// Facts by service. Where processes differ, the one seen last is believed.
    pub(super) fn of_services<'a>(resources: &'a [ResourceSeen], environment: Option<&str>) -> BTreeMap<&'a str, Self> {
        let mut by_time: Vec<&ResourceSeen> = resources
            .iter()
            .filter(|seen| environment.is_none_or(|environment| seen.resource.environment() == environment))
            .collect();
        by_time.sort_by_key(|seen| seen.last_seen_ns);
        let mut services: BTreeMap<&str, Self> = BTreeMap::new();
        for seen in by_time {
            let facts = services.entry(seen.resource.service()).or_default();
            facts.language = language(&seen.resource).or(facts.language.take());
            facts.framework = framework(seen).or(facts.framework.take());
            facts.instances.insert(instance(&seen.resource));
            facts.last_seen_ns = seen.last_seen_ns;
        }
        services
    }
}

fn language(resource: &Resource) -> Option<String> {
    let name = resource.attributes.get_str("telemetry.sdk.language")?;
    Some(match resource.attributes.get_str("process.runtime.version") {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    })
}

fn framework(seen: &ResourceSeen) -> Option<String> {
    let (_, scope) = seen
        .scopes
        .iter()
        .filter_map(|scope| {
            let last = scope.name.rsplit(['.', '/']).next().unwrap_or_default();
            FRAMEWORKS.iter().position(|framework| *framework == last).map(|rank| (rank, scope))
        })
        .min_by_key(|(rank, _)| *rank)?;
    let name = scope.name.rsplit(['.', '/']).next().unwrap_or_default();
    let version = scope.version.as_str();
    Some(if scope.name.starts_with(OWN_SCOPES) && !version.is_empty() {
        format!("{name} {version}")
    } else {
        name.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pitviper_model::{Attributes, Scope};

    use super::*;

    fn seen(attributes: &[(&str, &str)], scopes: &[(&str, &str)], last_seen_ns: i64) -> ResourceSeen {
        let attributes: Attributes = attributes.iter().copied().collect();
        let scope = |(name, version): &(&str, &str)| {
            Arc::new(Scope { name: (*name).to_owned(), version: (*version).to_owned(), ..Scope::default() })
        };
        ResourceSeen {
            resource: Arc::new(Resource { attributes, ..Resource::default() }),
            first_seen_ns: 0,
            last_seen_ns,
            scopes: scopes.iter().map(scope).collect(),
        }
    }

    #[test]
    fn the_process_seen_last_is_believed() {
        let resources = [
            seen(
                &[
                    ("service.name", "shop"),
                    ("telemetry.sdk.language", "python"),
                    ("process.runtime.version", "3.12.1"),
                    ("service.instance.id", "b"),
                ],
                &[("pitviper.sqlite3", "3.40"), ("pitviper.wsgi", ""), ("pitviper.flask", "3.1.0")],
                20,
            ),
            seen(
                &[
                    ("service.name", "shop"),
                    ("telemetry.sdk.language", "python"),
                    ("process.runtime.version", "3.11.7"),
                    ("service.instance.id", "a"),
                ],
                &[("opentelemetry.instrumentation.django", "0.62b0")],
                10,
            ),
            seen(
                &[("service.name", "other"), ("host.name", "h")],
                &[("opentelemetry.instrumentation.starlette", "0.62b0")],
                5,
            ),
        ];
        let facts = Facts::of_services(&resources, None);
        assert_eq!(facts["shop"].language.as_deref(), Some("python 3.12.1"));
        assert_eq!(facts["shop"].framework.as_deref(), Some("flask 3.1.0"));
        assert_eq!(facts["shop"].instances.len(), 2);
        assert_eq!(facts["shop"].last_seen_ns, 20);
        assert_eq!(facts["other"].language, None);
        assert_eq!(facts["other"].framework.as_deref(), Some("starlette"));
        assert!(Facts::of_services(&resources, Some("prod")).is_empty());
    }
}
