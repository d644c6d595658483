//! The protocols that are understood, one folder each, and what they share: bodies are read within
//! bounds, decoded where it disturbs nobody, and kept on a task of their own.

mod body;
pub mod datadog;
pub mod foreign;
mod keep;
pub mod otlp;
mod posted;
pub mod pprof;
mod refusal;
mod work;
