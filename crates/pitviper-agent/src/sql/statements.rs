//! The statements of one database: what was described once is remembered.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use pitviper_model::{Attributes, SpanKind};
use pitviper_wire::encode::Scalar;

use super::{Description, Dialect, describe};
use crate::agent::Agent;
use crate::span::{Parent, Span, SpanOptions};

/// The longest statement that is remembered, in bytes. One that long is seldom sent twice.
const MAX_REMEMBERED_BYTES: usize = 4 * 1024;
/// What one database's memory holds, statements and descriptions, in bytes. Statements with parameters
/// repeat; when an application builds each one anew, the memory is emptied and filled again.
const MAX_MEMORY_BYTES: usize = 512 * 1024;

/// What a statement is, beside its text.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// What the span hangs on.
    pub parent: Parent<'a>,
    /// When the call began, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// How often the statement was sent with one call; less than two is no batch.
    pub batch: u64,
}

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

    /// Starts the span of a statement that was sent. `hash` is one of the statement's text.
    #[must_use]
    pub fn start(&self, agent: &'static Agent, statement: &str, hash: u64, outcome: &Outcome<'_>) -> Span {
        let mut span = agent.start(&SpanOptions {
            name: "",
            kind: SpanKind::Client,
            parent: outcome.parent,
            start_time_unix_nano: Some(outcome.start_time_unix_nano),
            scope: self.scope,
        });
        if !span.is_recording() {
            return span;
        }
        let described = self.describe(statement, hash);
        for (key, value) in &self.attributes.0 {
            span.set_value(key, value.clone());
        }
        if outcome.batch > 1 {
            let summary = format!("BATCH {}", described.summary);
            span.update_name(&summary);
            span.set_attribute("db.query.summary", Scalar::Str(&summary));
            span.set_attribute("db.operation.name", Scalar::Str(&format!("BATCH {}", described.operation)));
            span.set_attribute("db.operation.batch.size", Scalar::Int(outcome.batch.cast_signed()));
        } else {
            span.update_name(&described.summary);
            span.set_attribute("db.query.summary", Scalar::Str(&described.summary));
            span.set_attribute("db.operation.name", Scalar::Str(&described.operation));
        }
        span.set_attribute("db.query.text", Scalar::Str(&described.text));
        span
    }

    /// The description of a statement, from memory if it is there.
    #[must_use]
    pub fn describe(&self, statement: &str, hash: u64) -> Arc<Description> {
        if statement.len() > MAX_REMEMBERED_BYTES {
            return Arc::new(describe(statement, self.dialect));
        }
        // Another thread may be at it, or was when this process was forked; nobody waits for a memory.
        let memory = || match self.memory.try_lock() {
            Ok(memory) => Some(memory),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
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
