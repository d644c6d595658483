//! What a thread runs that is no Python: the frames of C code inside the innermost frame of Python.
//!
//! The thread is interrupted, and its handler copies its registers and the inner part of its stack
//! ([`ask`]); from those the sampler's thread finds the callers, by the tables that compilers write for
//! exceptions ([`modules`]). Only threads that run are asked: what waits says why without it, and its call of
//! the kernel is not disturbed.

mod ask;
mod modules;
mod names;

use rustc_hash::FxHashMap;

use crate::stacks::Stacks;
use crate::walk;

pub(crate) use ask::{NotPossible, start, stop};
use modules::{Modules, Place};

/// Native frames of a stack that are kept, from the innermost on.
const MAX_FRAMES: usize = 64;
/// Frames that are read until the interpreter's is met. A stack without it shows none of them.
const MAX_READ: usize = 512;
/// Addresses whose function is remembered; over that they are looked up anew.
const MAX_ADDRESSES: usize = 100_000;

/// Finds out which native code runs.
#[derive(Debug, Default)]
pub(crate) struct Native {
    modules: Modules,
    /// What is at an address: the number that a frame has among the stacks.
    known: FxHashMap<u64, Known>,
    frames: Vec<u32>,
    /// The frame that stands for what a thread runs that did not answer.
    unknown: Option<u32>,
    /// Threads that were asked, and those of which frames are known.
    pub(crate) asked: u64,
    /// See above.
    pub(crate) answered: u64,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    /// The interpreter runs Python there; whether a function of its own runs each instruction.
    Interpreter { by_functions: bool },
    /// A frame; whether the file says no name for it.
    Frame(u32, bool),
}

impl Native {
    /// Asks a thread what it runs. The answer is good for [`Self::frames`] until the next is asked.
    pub(crate) fn ask(&mut self, native_id: i32, state: usize) -> bool {
        self.asked += 1;
        ask::ask(native_id, state)
    }

    /// The native frames of the thread that was asked last, the innermost first, if what it answered is of this stack
    /// of Python; none when it is not, or could not be read.
    pub(crate) fn frames(&mut self, stacks: &mut Stacks, python: &[walk::Frame]) -> &[u32] {
        self.frames.clear();
        let is_same = python.first().is_some_and(|frame| ask::answered_in(frame.at, frame.code));
        // What the interpreter marks its entries with lies in the part of the stack of the function that runs Python,
        // which needs no name then.
        let entry = python.iter().find(|frame| frame.is_shim).map(|frame| frame.at as u64);
        if !is_same || !self.read(stacks, entry) {
            self.frames.clear();
            return &[];
        }
        self.answered += 1;
        &self.frames
    }

    /// What is shown of a thread that was asked and did not answer: it may run anything.
    pub(crate) fn unknown(&mut self, stacks: &mut Stacks) -> &[u32] {
        self.frames.clear();
        self.frames.push(*self.unknown.get_or_insert_with(|| stacks.native(names::unknown())));
        &self.frames
    }

    /// Whether the interpreter was met.
    fn read(&mut self, stacks: &mut Stacks, entry: Option<u64>) -> bool {
        let Self { modules, known, frames, .. } = self;
        if known.len() > MAX_ADDRESSES {
            known.clear();
        }
        let (mut met, mut read, mut is_unnamed) = (false, 0, false);
        modules.unwind(ask::Answer::take(), |modules, address, end| {
            read += 1;
            let place = *known.entry(address).or_insert_with(|| match modules.place(address) {
                Place::Interpreter { by_functions } => Known::Interpreter { by_functions },
                Place::Function(frame) => {
                    let is_unnamed = frame.function.starts_with('<');
                    Known::Frame(stacks.native(frame), is_unnamed)
                }
            });
            match place {
                Known::Interpreter { by_functions } => {
                    met = true;
                    // That of the instruction, in an interpreter without names.
                    if by_functions && is_unnamed {
                        frames.pop();
                    }
                }
                Known::Frame(..) if entry.is_some_and(|entry| end > entry) => met = true,
                Known::Frame(frame, unnamed) if frames.len() < MAX_FRAMES => {
                    frames.push(frame);
                    is_unnamed = unnamed;
                }
                Known::Frame(..) => is_unnamed = false,
            }
            !met && read < MAX_READ
        });
        met
    }
}
