//! Stacks that share their outer parts.

use pitviper_pprof::Profile;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::code::Codes;
use crate::layout::Interpreter;
use crate::walk;

/// The stack without frames, which all others stand on.
pub(crate) const ROOT: u32 = 0;
/// Frames of a stack that are kept: the innermost, and the outermost.
const KEPT_INNER: usize = 448;
const KEPT_OUTER: usize = 64;
/// Stacks and frames that are known at once; over that all begins anew with the next window.
pub(crate) const MAX_NODES: usize = 200_000;
pub(crate) const MAX_CODES: usize = 200_000;
/// Stands for the frames between those that are kept.
const OMITTED: u32 = u32::MAX;
/// Marks a frame of native code, which has a number of its own.
const NATIVE: u32 = 1 << 31;
/// Frames of native code that are known; further ones are left out.
const MAX_NATIVE: usize = 100_000;

/// All stacks that were seen, as a tree.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// Each stack's outer part and its innermost frame: a code and a line.
    nodes: Vec<(u32, (u32, u32))>,
    by_content: FxHashMap<(u32, (u32, u32)), u32>,
    pub(crate) codes: Codes,
    /// Frames of native code by their number, the same as long as the process is sampled.
    native: Vec<pitviper_model::Frame>,
    native_numbers: FxHashMap<(String, String), u32>,
    resolved: Vec<(u32, u32)>,
}

impl Default for Stacks {
    fn default() -> Self {
        Self {
            nodes: vec![(ROOT, (OMITTED, 0))],
            by_content: FxHashMap::default(),
            codes: Codes::default(),
            native: Vec::new(),
            native_numbers: FxHashMap::default(),
            resolved: Vec::new(),
        }
    }
}

/// What became of a stack.
pub(crate) enum Interned {
    Stack(u32),
    /// A frame's code could not be read.
    Torn,
    /// There is no room.
    Full,
}

impl Stacks {
    /// Whether a bound is near enough for the next window to begin anew.
    pub(crate) fn is_filling(&self) -> bool {
        self.nodes.len() > MAX_NODES / 2 || self.codes.len() > MAX_CODES / 2
    }

    /// The number of a frame of native code; that of the omitted ones when there are too many.
    pub(crate) fn native(&mut self, frame: pitviper_model::Frame) -> u32 {
        if self.native.len() >= MAX_NATIVE {
            return OMITTED;
        }
        let Self { native, native_numbers, .. } = self;
        *native_numbers.entry((frame.function.clone(), frame.file.clone())).or_insert_with(|| {
            native.push(frame);
            (native.len() as u32 - 1) | NATIVE
        })
    }

    /// Begins anew, but for the frames of native code.
    pub(crate) fn clear(&mut self) {
        let old = std::mem::take(self);
        (self.native, self.native_numbers) = (old.native, old.native_numbers);
    }

    /// The stack of these frames, the innermost first.
    pub(crate) fn intern(&mut self, interpreter: &Interpreter, frames: &[walk::Frame]) -> Interned {
        self.intern_native(interpreter, frames, &[])
    }

    /// The stack of these frames, the innermost first, with frames of native code inside them.
    pub(crate) fn intern_native(
        &mut self,
        interpreter: &Interpreter,
        frames: &[walk::Frame],
        native: &[u32],
    ) -> Interned {
        if self.codes.len() + frames.len() > MAX_CODES {
            return Interned::Full;
        }
        self.resolved.clear();
        self.resolved.extend(native.iter().map(|number| (*number, 0)));
        let of_python = frames.iter().filter(|frame| !frame.is_shim).count();
        let mut place = 0;
        for frame in frames.iter().filter(|frame| !frame.is_shim) {
            place += 1;
            let is_outer = place + KEPT_OUTER > of_python;
            if place > KEPT_INNER && !is_outer {
                if place == KEPT_INNER + 1 {
                    self.resolved.push((OMITTED, 0));
                }
                continue;
            }
            match self.codes.resolve(interpreter, frame) {
                Some(resolved) => self.resolved.push(resolved),
                None => return Interned::Torn,
            }
        }
        let mut stack = ROOT;
        for place in (0..self.resolved.len()).rev() {
            let frame = self.resolved[place];
            if self.nodes.len() >= MAX_NODES && !self.by_content.contains_key(&(stack, frame)) {
                return Interned::Full;
            }
            stack = self.inner(stack, frame);
        }
        Interned::Stack(stack)
    }

    /// The frames of a stack as codes and lines, the innermost first.
    pub(crate) fn frames(&self, stack: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut at = stack;
        std::iter::from_fn(move || {
            let (outer, frame) = self.nodes[at as usize];
            let found = (at != ROOT).then_some(frame);
            at = outer;
            found
        })
    }

    /// The frame of a code and a line, as it is shown.
    pub(crate) fn frame(&self, (code, line): (u32, u32), standard_library: &[String]) -> pitviper_model::Frame {
        if code == OMITTED {
            return pitviper_model::Frame { function: "<frames omitted>".to_owned(), ..Default::default() };
        }
        if code & NATIVE != 0 {
            return self.native[(code & !NATIVE) as usize].clone();
        }
        self.codes.frame(code, line, standard_library)
    }

    /// Forgets all stacks but these; says what each of them is from now on.
    pub(crate) fn keep(&mut self, wanted: &FxHashSet<u32>) -> FxHashMap<u32, u32> {
        let old = std::mem::take(self);
        let used = wanted.iter().flat_map(|stack| old.frames(*stack)).map(|(code, _)| code);
        let codes = self.codes.adopt(&old.codes, &used.collect());
        let place = |stack: &u32| {
            let mut frames: Vec<(u32, u32)> = old.frames(*stack).collect();
            frames.reverse();
            let known = |(code, line)| (codes.get(&code).copied().unwrap_or(OMITTED), line);
            (*stack, frames.into_iter().map(known).fold(ROOT, |outer, frame| self.inner(outer, frame)))
        };
        wanted.iter().map(place).collect()
    }

    /// The stack of an outer part and a frame.
    fn inner(&mut self, outer: u32, frame: (u32, u32)) -> u32 {
        let Self { nodes, by_content, .. } = self;
        *by_content.entry((outer, frame)).or_insert_with(|| {
            nodes.push((outer, frame));
            nodes.len() as u32 - 1
        })
    }

    /// The codes of the innermost frames of Python of a stack.
    pub(crate) fn innermost(&self, stack: u32) -> impl Iterator<Item = u32> + '_ {
        self.frames(stack).map(|(code, _)| code).filter(|code| code & NATIVE == 0)
    }
}

/// Stacks as a profile has them.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    stacks: &'a Stacks,
    standard_library: &'a [String],
    frames: FxHashMap<(u32, u32), u32>,
    places: FxHashMap<u32, u32>,
}

impl<'a> Shown<'a> {
    /// None yet; `standard_library` are its folders.
    pub(crate) fn new(stacks: &'a Stacks, standard_library: &'a [String]) -> Self {
        Self { stacks, standard_library, frames: FxHashMap::default(), places: FxHashMap::default() }
    }

    /// Where a stack is in the profile, which is the same one each time and gets it if need be.
    pub(crate) fn place(&mut self, profile: &mut Profile, stack: u32) -> u32 {
        let Self { stacks, standard_library, frames, places } = self;
        *places.entry(stack).or_insert_with(|| {
            let list = stacks.frames(stack).map(|frame| {
                *frames.entry(frame).or_insert_with(|| {
                    profile.frames.push(stacks.frame(frame, standard_library));
                    profile.frames.len() as u32 - 1
                })
            });
            profile.stacks.push(list.collect());
            profile.stacks.len() as u32 - 1
        })
    }
}
