//! The statements of one database: what was described once is remembered.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pitviper_model::Attributes;
use pitviper_wire::encode::Scalar;

use super::{Description, Dialect, describe};
use crate::locks::try_lock;
use crate::span::Span;

/// The longest statement that is remembered, in bytes. One that long is seldom sent twice.
const MAX_REMEMBERED_BYTES: usize = 4 * 1024;
/// What one database's memory holds, statements and descriptions, in bytes. Statements with parameters
/// repeat; when an application builds each one anew, the memory is emptied and filled again.
const MAX_MEMORY_BYTES: usize = 512 * 1024;

/// Makes the spans of statements that go to one database.
#[derive(Debug)]
pub struct Statements {
    dialect: Dialect,
    scope: u16,
    attributes: Attributes,
    memory: Mutex<Memory>,
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
struct Memory {
    by_hash: HashMap<u64, (Box<str>, Arc<Description>), BuildHasherDefault<Identity>>,
    bytes: usize,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The table takes the upper bits for one purpose and the lower ones for another.
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Statements {
    /// The statements of one database. `attributes` are those of all its spans, `scope` is from
    /// [`Agent::scope`].
    #[must_use]
    pub fn new(dialect: Dialect, scope: u16, attributes: Attributes) -> Self {
        Self { dialect, scope, attributes, memory: Mutex::default(), forgotten: AtomicU64::new(0) }
    }

    /// The number of their instrumentation scope.
    #[must_use]
    pub fn scope(&self) -> u16 {
        self.scope
    }

    /// Gives a span the name and the attributes of a statement. `hash` is one of the statement's text,
    /// `batch` how often it was sent with one call; less than two is no batch.
    pub fn fill(&self, span: &mut Span, statement: &str, hash: u64, batch: u64) {
        let described = self.describe(statement, hash);
        for (key, value) in &self.attributes.0 {
            span.set_value(key, value.clone());
        }
        if batch > 1 {
            let summary = format!("BATCH {}", described.summary);
            span.update_name(&summary);
            span.set_attribute("db.query.summary", Scalar::Str(&summary));
            span.set_attribute("db.operation.name", Scalar::Str(&format!("BATCH {}", described.operation)));
            span.set_attribute("db.operation.batch.size", Scalar::Int(batch.cast_signed()));
        } else {
            span.update_name(&described.summary);
            span.set_attribute("db.query.summary", Scalar::Str(&described.summary));
            span.set_attribute("db.operation.name", Scalar::Str(&described.operation));
        }
        span.set_attribute("db.query.text", Scalar::Str(&described.text));
    }

    /// The description of a statement, from memory if it is there.
    #[must_use]
    pub fn describe(&self, statement: &str, hash: u64) -> Arc<Description> {
        if statement.len() > MAX_REMEMBERED_BYTES {
            return Arc::new(describe(statement, self.dialect));
        }
        // Another thread may be at it, or was when this process was forked; nobody waits for a memory.
        let memory = || try_lock(&self.memory);
        if let Some(memory) = memory()
            && let Some((known, described)) = memory.by_hash.get(&hash)
            && **known == *statement
        {
            return Arc::clone(described);
        }
        let described = Arc::new(describe(statement, self.dialect));
        if let Some(mut memory) = memory() {
            let bytes = statement.len() + described.text.len() + described.summary.len();
            if memory.bytes + bytes > MAX_MEMORY_BYTES {
                self.forgotten.fetch_add(memory.by_hash.len() as u64, Ordering::Relaxed);
                *memory = Memory::default();
            }
            memory.bytes += bytes;
            memory.by_hash.insert(hash, (statement.into(), Arc::clone(&described)));
        }
        described
    }

    /// How many descriptions were dropped from memory to make space.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_a_hash_that_two_share_mixes_nothing_up() {
        let statements = Statements::new(Dialect::Sqlite, 0, Attributes::default());
        assert_eq!(statements.describe("SELECT 1 FROM a", 7).summary, "SELECT a");
        assert_eq!(statements.describe("SELECT 1 FROM b", 7).summary, "SELECT b");
        for number in 0..10_000_u64 {
            let statement = format!("SELECT {number} FROM t{number} WHERE {}", "a AND ".repeat(50));
            assert_eq!(statements.describe(&statement, number).summary, format!("SELECT t{number}"));
        }
        assert!(statements.forgotten() > 8_000);
    }
}
