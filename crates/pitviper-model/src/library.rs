//! Packages that services run with.

/// A package that a service was seen with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Library {
    /// The service.
    pub service: String,
    /// Its deployment environment; empty when not said.
    pub environment: String,
    /// What it runs on, such as `cpython 3.12.4`; empty when not said.
    pub runtime: String,
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The host; empty when not said.
    pub host: String,
    /// When it was first seen, in nanoseconds since the Unix epoch.
    pub first_seen_unix_nano: u64,
    /// When it was last seen, in nanoseconds since the Unix epoch.
    pub last_seen_unix_nano: u64,
}
