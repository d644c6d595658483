//! Typed questions and their answers, one file each, for what does not fit [`crate::store`].

pub mod aggregate;
mod distribution;
pub mod sql;

pub use distribution::Distribution;
