//! Numbers for instrumentation scopes, found by what they are.

use std::sync::{Arc, Mutex, MutexGuard};

use pitviper_model::Scope;
use rustc_hash::FxHashMap;

use crate::locks::{hold, lock};

/// Most scopes; later ones are reported without a name.
const MAX_SCOPES: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct State {
    list: Vec<Arc<Scope>>,
    by_name: FxHashMap<String, Vec<usize>>,
}

/// A table of scopes. Its first is one without a name.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    state: Mutex<State>,
}

impl Scopes {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes the lock for as long as the guard lives: across a fork.
    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }

    /// The number of the scope of this name, without version and attributes.
    pub(crate) fn named(&self, name: &str) -> usize {
        let mut state = self.lock();
        let known = state.by_name.get(name);
        let found = known.and_then(|numbers| numbers.iter().find(|number| is_plain(&state.list[**number])).copied());
        found.unwrap_or_else(|| state.add(Scope { name: name.to_owned(), ..Scope::default() }))
    }

    /// The number of this scope.
    pub(crate) fn of(&self, scope: &Scope) -> usize {
        let mut state = self.lock();
        let known = state.by_name.get(&scope.name);
        let found = known.and_then(|numbers| numbers.iter().find(|number| *state.list[**number] == *scope).copied());
        found.unwrap_or_else(|| state.add(scope.clone()))
    }

    /// All of them, by number.
    pub(crate) fn all(&self) -> Vec<Arc<Scope>> {
        self.lock().list.clone()
    }
}

fn is_plain(scope: &Scope) -> bool {
    scope.version.is_empty() && scope.attributes.0.is_empty()
}

impl State {
    fn add(&mut self, scope: Scope) -> usize {
        if self.list.is_empty() {
            self.list.push(Arc::new(Scope::default()));
        }
        if self.list.len() >= MAX_SCOPES {
            return 0;
        }
        let number = self.list.len();
        self.by_name.entry(scope.name.clone()).or_default().push(number);
        self.list.push(Arc::new(scope));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_told_apart_by_all_they_have_and_bounded() {
        let scopes = Scopes::default();
        let versioned = Scope { name: "a".into(), version: "1".into(), ..Scope::default() };
        assert_eq!((scopes.of(&versioned), scopes.named("a"), scopes.of(&versioned), scopes.named("a")), (1, 2, 1, 2));
        for number in 0..2_000 {
            scopes.named(&format!("logger {number}"));
        }
        assert_eq!(scopes.all().len(), MAX_SCOPES);
        assert_eq!((scopes.named("one more"), scopes.named("a")), (0, 2));
    }
}
