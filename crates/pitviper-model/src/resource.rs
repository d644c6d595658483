//! Who sent the data: the process and the instrumentation library.

use crate::Attributes;

/// The service name of a process that did not say one, as OpenTelemetry prescribes.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// The process telemetry comes from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// Its attributes, by OpenTelemetry's resource conventions.
    pub attributes: Attributes,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
    /// Which version of the conventions its attributes follow; empty when not said.
    pub schema_url: String,
}

impl Resource {
    /// The service's name (`service.name`).
    #[must_use]
    pub fn service(&self) -> &str {
        self.attributes.get_str("service.name").filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE)
    }

    /// The service's version (`service.version`); empty when not said.
    #[must_use]
    pub fn version(&self) -> &str {
        self.attributes.get_str("service.version").unwrap_or_default()
    }

    /// The deployment environment, under its current or its former name; empty when not said.
    #[must_use]
    pub fn environment(&self) -> &str {
        self.attributes.first_str(&["deployment.environment.name", "deployment.environment"]).unwrap_or_default()
    }

    /// The host's name; empty when not said.
    #[must_use]
    pub fn host(&self) -> &str {
        self.attributes.get_str("host.name").unwrap_or_default()
    }

    /// The process instance (`service.instance.id`); empty when not said.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.attributes.get_str("service.instance.id").unwrap_or_default()
    }
}

/// The library that made spans, points or log records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version; empty when not said.
    pub version: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// Which version of the conventions it and what it made follow; empty when not said.
    pub schema_url: String,
}
