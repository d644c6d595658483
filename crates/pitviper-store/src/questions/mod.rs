//! Typed questions and their answers, one file each, for what does not fit [`crate::store`].

pub mod aggregate;
mod distribution;
pub mod keys;
pub mod kin;
pub mod survey;

pub use distribution::Distribution;
