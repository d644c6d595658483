//! Whether the sampler finds what the interpreter says of itself.

use crate::layout::Interpreter;
use crate::options::{KnownThread, Options, SpanKey, Unavailable};
use crate::spans;
use crate::stacks::{Interned, Stacks};
use crate::task::{cpu_ns, own_thread};
use crate::threads::{Thread, Threads};
use crate::walk::{Outcome, Walker};

/// Compares what is found of the calling thread, which must not run Python code meanwhile, with what the
/// public interface says.
pub(crate) fn run(interpreter: &Interpreter, threads: Threads, known: &KnownThread) -> Result<(), Unavailable> {
    let differs = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        Err(Unavailable(format!(
            "CPython 0x{:08x} is not laid out as expected: {what} is {found:?} and not {expected:?}",
            known.hexversion
        )))
    };
    let mut list = Vec::new();
    threads.list(interpreter, &mut list);
    let Some(own) = list.iter().find(|thread| thread.state == known.state) else {
        return differs("the calling thread's state", &list, &known.state);
    };
    let (ident, native) = own_thread();
    let expected = Thread { ident, native, interpreter: known.interpreter, ..*own };
    if *own != expected {
        return differs("the calling thread", own, &expected);
    }
    if cpu_ns(native).is_none() {
        return differs("the calling thread's clock", &0, &native);
    }
    let mut walker = Walker::default();
    let outcome = walker.walk(interpreter, known.state);
    if outcome != Outcome::Whole {
        return differs("the calling thread's stack", &outcome, &Outcome::Whole);
    }
    let codes: Vec<usize> = walker.frames().iter().filter(|frame| !frame.is_shim).map(|frame| frame.code).collect();
    let expected: Vec<usize> = known.frames.iter().map(|frame| frame.code).collect();
    if codes != expected {
        return differs("the code of the calling thread's frames", &codes, &expected);
    }
    let mut stacks = Stacks::default();
    let Interned::Stack(stack) = stacks.intern(interpreter, walker.frames()) else {
        return differs("the code of the calling thread's frames", &"unreadable", &expected);
    };
    let standard_library = Options::default().standard_library;
    let found = stacks.frames(stack).map(|frame| stacks.frame(frame, &standard_library));
    for (found, expected) in found.zip(&known.frames) {
        let found = (found.function, found.file, found.line);
        let expected = (expected.function.clone(), expected.file.clone(), expected.line);
        if found != expected {
            return differs("a frame of the calling thread", &found, &expected);
        }
    }
    Ok(())
}

/// Whether what the context variable holds is found in the calling thread's context.
pub(crate) fn finds_spans(interpreter: &Interpreter, key: &SpanKey, known: &KnownThread) -> bool {
    spans::current_value(interpreter, key.variable, known.state).unwrap_or(0) == known.current
}
