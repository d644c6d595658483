//! What the spans are called that requests begin with in this process, for a profiler to name its samples by.
//!
//! Nothing is kept until somebody wants it. Then each local root is known from its start to its end, and
//! those that samples were taken of for longer: their names may become known last of all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use pitviper_model::SpanId;
use rustc_hash::FxHashMap;

use crate::locks::{hold, lock, try_lock};
use crate::queue::is_forking;

/// Local roots that are under way at once, and those that ended and are kept for being asked for.
const MAX_ROOTS: usize = 65_536;
/// Longest name that is kept, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The names of local roots.
#[derive(Debug, Default)]
pub struct Endpoints {
    wanted: AtomicBool,
    roots: Mutex<Roots>,
    /// Roots for which there was no room.
    missed: AtomicU64,
    /// Called with each local root that begins while names are wanted.
    on_begin: OnceLock<fn()>,
}

#[derive(Debug, Default)]
pub(crate) struct Roots {
    live: FxHashMap<SpanId, Root>,
    /// Those that ended since the names were last taken, and before that.
    ended: FxHashMap<SpanId, String>,
    ended_before: FxHashMap<SpanId, String>,
}

#[derive(Debug)]
struct Root {
    name: String,
    is_noted: bool,
}

impl Endpoints {
    /// Says whether names are wanted from now on. When they are not, all are forgotten.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            *lock(&self.roots) = Roots::default();
        }
    }

    /// Has this called whenever a local root begins while names are wanted. It must wait for nobody. The first call
    /// counts.
    pub fn on_begin(&self, hook: fn()) {
        let _ = self.on_begin.set(hook);
    }

    /// Whether names are wanted, and the lock is not the calling thread's because it forks.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && !is_forking()
    }

    /// A local root begins.
    #[cold]
    pub(crate) fn begin(&self, span: SpanId, name: &str) {
        let mut roots = lock(&self.roots);
        if roots.live.len() < MAX_ROOTS {
            roots.live.insert(span, Root { name: cut(name).to_owned(), is_noted: false });
        } else {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        drop(roots);
        if let Some(hook) = self.on_begin.get() {
            hook();
        }
    }

    /// It has another name.
    #[cold]
    pub(crate) fn rename(&self, span: SpanId, name: &str) {
        if self.is_wanted()
            && let Some(root) = lock(&self.roots).live.get_mut(&span)
        {
            cut(name).clone_into(&mut root.name);
        }
    }

    /// It ends.
    #[cold]
    pub(crate) fn end(&self, span: SpanId) {
        if !self.is_wanted() {
            return;
        }
        let mut roots = lock(&self.roots);
        let Some(root) = roots.live.remove(&span).filter(|root| root.is_noted) else { return };
        if roots.ended.len() < MAX_ROOTS {
            roots.ended.insert(span, root.name);
        } else {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its name will be asked for, also after its end. Waits for nobody; called again with each sample.
    pub fn note(&self, span: SpanId) {
        if let Some(mut roots) = try_lock(&self.roots)
            && let Some(root) = roots.live.get_mut(&span)
        {
            root.is_noted = true;
        }
    }

    /// The names of all that were noted: of those under way, and of those that ended since the call before the
    /// last one.
    pub fn take(&self) -> FxHashMap<SpanId, String> {
        let mut roots = lock(&self.roots);
        let ended = std::mem::take(&mut roots.ended);
        let before = std::mem::replace(&mut roots.ended_before, ended.clone());
        let noted = roots.live.iter().filter(|(_, root)| root.is_noted);
        let live: Vec<_> = noted.map(|(span, root)| (*span, root.name.clone())).collect();
        drop(roots);
        let mut names = before;
        names.extend(ended);
        names.extend(live);
        names
    }

    /// How many roots had no room.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// The lock, for as long as a fork lasts.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Roots> {
        hold(&self.roots)
    }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [SpanId; 3] = [SpanId([1; 8]), SpanId([2; 8]), SpanId([3; 8])];

    #[test]
    fn names_stay_for_those_they_were_noted_for() {
        let endpoints = Endpoints::default();
        assert!(!endpoints.is_wanted());
        endpoints.want(true);
        assert!(endpoints.is_wanted());
        for span in SPANS {
            endpoints.begin(span, "GET");
        }
        endpoints.note(SPANS[0]);
        endpoints.note(SPANS[1]);
        endpoints.rename(SPANS[0], "GET /posts/{id}");
        endpoints.end(SPANS[0]);
        endpoints.end(SPANS[2]);
        let both = [(SPANS[0], "GET /posts/{id}".to_owned()), (SPANS[1], "GET".to_owned())];
        assert_eq!(endpoints.take(), both.clone().into_iter().collect());
        // A sample of the next window may still be of it.
        endpoints.rename(SPANS[1], "GET /");
        let both = [both[0].clone(), (SPANS[1], "GET /".to_owned())];
        assert_eq!(endpoints.take(), both.clone().into_iter().collect());
        assert_eq!(endpoints.take(), both[1..].iter().cloned().collect());
        endpoints.want(false);
        assert!(endpoints.take().is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let endpoints = Endpoints::default();
        for number in 0..MAX_ROOTS as u64 + 2 {
            endpoints.begin(SpanId((number + 1).to_be_bytes()), "job");
        }
        assert_eq!(endpoints.missed(), 2);
        assert_eq!(cut(&"é".repeat(MAX_NAME_BYTES)).len(), MAX_NAME_BYTES);
    }
}
