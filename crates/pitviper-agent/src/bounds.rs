//! The limits of a span, as the hot path reads them.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::config::Limits;

/// Limits in a form the hot path reads without a lock.
#[derive(Debug, Default)]
pub(crate) struct AtomicLimits {
    attributes: AtomicU32,
    event_attributes: AtomicU32,
    link_attributes: AtomicU32,
    value_length: AtomicUsize,
    detail_value_length: AtomicUsize,
    events: AtomicU32,
    links: AtomicU32,
}

impl AtomicLimits {
    pub(crate) fn store(&self, limits: Limits) {
        self.attributes.store(limits.attributes, Ordering::Relaxed);
        self.event_attributes.store(limits.event_attributes, Ordering::Relaxed);
        self.link_attributes.store(limits.link_attributes, Ordering::Relaxed);
        self.value_length.store(limits.value_length, Ordering::Relaxed);
        self.detail_value_length.store(limits.detail_value_length, Ordering::Relaxed);
        self.events.store(limits.events, Ordering::Relaxed);
        self.links.store(limits.links, Ordering::Relaxed);
    }
}

/// The bounds of one span: its own, or the agent's, of which each is read when it is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    pub(crate) own: Option<&'a Limits>,
    pub(crate) common: &'a AtomicLimits,
}

macro_rules! bounds {
    ($($name:ident: $kind:ty),*) => {
        impl Bounds<'_> {
            $(#[inline]
            pub(crate) fn $name(self) -> $kind {
                self.own.map_or_else(|| self.common.$name.load(Ordering::Relaxed), |own| own.$name)
            })*
        }
    };
}

bounds!(
    attributes: u32,
    event_attributes: u32,
    link_attributes: u32,
    value_length: usize,
    detail_value_length: usize,
    events: u32,
    links: u32
);
