//! Which span a thread works on: what the agent's context variable holds in the context that is the
//! thread's now. Tasks of an event loop have contexts of their own, so nothing has to be told of a switch.
//!
//! Contexts are immutable trees (CPython's HAMT), 32 ways at each node, that are found by five bits of the
//! variable's hash after the other. The tree is what it was as long as the thread's context refers to it.

use crate::labels::note_root;
use crate::layout::Interpreter;
use crate::load::{copy, word};
use crate::options::{SpanKey, Variable};

/// The span that a sample is of: its trace, itself, and the one that its request began with in this process;
/// zeros for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct SpanIds {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) root: [u8; 8],
}

/// Attempts to read a context that changes.
const ATTEMPTS: usize = 4;
/// Levels of a tree: the hash has 32 bits, and those that are alike lie in one more node.
const LEVELS: u32 = 8;
/// Variables of the same hash in one node, at most.
const MAX_ALIKE: usize = 64;
/// What the classes of a tree's nodes are called.
const BITMAP_NODE: &[u8; 8] = b"hamt_bit";
const ARRAY_NODE: &[u8; 8] = b"hamt_arr";
const COLLISION_NODE: &[u8; 8] = b"hamt_col";

/// The span of the thread with this state, which may be the calling one. The name of its request is known from
/// then on, until it was taken.
pub(crate) fn current(interpreter: &Interpreter, key: &SpanKey, state: usize) -> SpanIds {
    for _ in 0..ATTEMPTS {
        let before = variables(interpreter, state);
        let found = before.and_then(|tree| ids(interpreter, key, value(interpreter, key.variable, tree)?));
        // It counts only if the thread's context is as it was.
        if variables(interpreter, state) == before {
            let found = found.unwrap_or_default();
            note_root(found.root);
            return found;
        }
    }
    SpanIds::default()
}

/// The span that is current in a context which no thread may be in.
pub(crate) fn in_context(interpreter: &Interpreter, key: &SpanKey, context: usize) -> SpanIds {
    let tree = || at(context, interpreter.layout.context_variables).filter(|tree| *tree != 0);
    for _ in 0..ATTEMPTS {
        let before = tree();
        let found = before.and_then(|tree| ids(interpreter, key, value(interpreter, key.variable, tree)?));
        if tree() == before {
            let found = found.unwrap_or_default();
            note_root(found.root);
            return found;
        }
    }
    SpanIds::default()
}

/// The context of the thread with this state; it says which task or greenlet runs there, and zero is one as well.
pub(crate) fn context(interpreter: &Interpreter, state: usize) -> Option<usize> {
    at(state, interpreter.layout.thread_context)
}

/// Where what the variable holds in the context of this thread is; `None` when it is not set.
pub(crate) fn current_value(interpreter: &Interpreter, key: Variable, state: usize) -> Option<usize> {
    value(interpreter, key, variables(interpreter, state)?)
}

/// Where the variables of a thread's context are.
fn variables(interpreter: &Interpreter, state: usize) -> Option<usize> {
    let layout = &interpreter.layout;
    let context = at(state, layout.thread_context).filter(|context| *context != 0)?;
    at(context, layout.context_variables).filter(|tree| *tree != 0)
}

fn ids(interpreter: &Interpreter, key: &SpanKey, object: usize) -> Option<SpanIds> {
    let mut ended = [0];
    let is_span = at(object, interpreter.layout.object_type)? == key.class;
    if !is_span || !copy(object + key.ended_at, &mut ended) || ended != [0] {
        return None;
    }
    let mut ids = SpanIds::default();
    let parts: [(usize, &mut [u8]); 3] =
        [(key.trace_id_at, &mut ids.trace), (key.span_id_at, &mut ids.span), (key.root_id_at, &mut ids.root)];
    let is_read = parts.into_iter().all(|(offset, part)| copy(object + offset, part));
    is_read.then_some(ids)
}

fn value(interpreter: &Interpreter, key: Variable, tree: usize) -> Option<usize> {
    let layout = &interpreter.layout;
    let hash = folded(key.hash);
    let mut node = at(tree, layout.tree_root)?;
    for level in 0..LEVELS {
        let place = (hash >> (level * 5)) & 31;
        match &kind_of(interpreter, node)? {
            BITMAP_NODE => {
                let bitmap = at(node, layout.bitmap_bits)? as u32;
                if bitmap & (1 << place) == 0 {
                    return None;
                }
                let index = (bitmap & ((1 << place) - 1)).count_ones() as usize;
                let entry = node.wrapping_add(layout.bitmap_entries as usize + index * 16);
                let (known, value) = (word(entry)?, word(entry + 8)?);
                if known != 0 {
                    return (known == key.place).then_some(value);
                }
                // Without a key the value is a node.
                node = value;
            }
            ARRAY_NODE => node = word(node.wrapping_add(layout.array_nodes as usize + place as usize * 8))?,
            COLLISION_NODE => return alike(interpreter, key, node),
            _ => return None,
        }
        if node == 0 {
            return None;
        }
    }
    alike(interpreter, key, node)
}

/// What the variable holds in a node of those whose hashes are alike.
fn alike(interpreter: &Interpreter, key: Variable, node: usize) -> Option<usize> {
    let layout = &interpreter.layout;
    let entries = at(node, layout.var_size)?.min(MAX_ALIKE * 2) / 2;
    let entry = |index: usize| node.wrapping_add(layout.collision_entries as usize + index * 16);
    let found = (0..entries).find(|index| word(entry(*index)) == Some(key.place))?;
    word(entry(found) + 8)
}

/// The first letters of the name of a node's class.
fn kind_of(interpreter: &Interpreter, node: usize) -> Option<[u8; 8]> {
    let class = at(node, interpreter.layout.object_type)?;
    let name = at(class, interpreter.layout.type_name)?;
    Some(word(name)?.to_ne_bytes())
}

/// A hash as trees of variables use it.
fn folded(hash: isize) -> u32 {
    let folded = hash as u32 ^ (hash >> 32) as u32;
    if folded == u32::MAX { u32::MAX - 1 } else { folded }
}

fn at(address: usize, offset: i64) -> Option<usize> {
    word(address.wrapping_add(offset as usize))
}
