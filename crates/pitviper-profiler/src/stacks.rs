//! Stacks that share their outer parts.

use std::collections::hash_map::Entry;

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
    /// Of what was asked for last without a path of its own.
    path: Path,
}

/// How a stack was found, from its outermost frame: one that begins with the same frames is found so far without
/// looking them up. It is of the [`Stacks`] that found it, until those begin anew.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug)]
struct Step {
    /// Where the frame's code is, and where in it the frame is.
    code: usize,
    instruction: usize,
    /// The same as a code and a line, and the stack up to this frame.
    frame: (u32, u32),
    stack: u32,
}

impl Path {
    /// Forgets it.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Default for Stacks {
    fn default() -> Self {
        Self {
            nodes: vec![(ROOT, (OMITTED, 0))],
            by_content: FxHashMap::default(),
            codes: Codes::default(),
            native: Vec::new(),
            native_numbers: FxHashMap::default(),
            path: Path::default(),
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
        let mut path = std::mem::take(&mut self.path);
        let found = self.intern_native(interpreter, frames, &[], &mut path);
        self.path = path;
        found
    }

    /// The stack of these frames, the innermost first, with frames of native code inside them. The path is that of a
    /// stack that may have begun alike, and becomes that of this one.
    pub(crate) fn intern_native(
        &mut self,
        interpreter: &Interpreter,
        frames: &[walk::Frame],
        native: &[u32],
        Path(path): &mut Path,
    ) -> Interned {
        if self.codes.len() + frames.len() > MAX_CODES {
            return Interned::Full;
        }
        let of_python = frames.iter().filter(|frame| !frame.is_shim).count();
        let (mut stack, mut place, mut inside) = (ROOT, 0, of_python);
        for frame in frames.iter().rev().filter(|frame| !frame.is_shim) {
            inside -= 1;
            let is_kept = inside < KEPT_INNER || of_python - inside <= KEPT_OUTER;
            if !is_kept && inside > KEPT_INNER {
                continue;
            }
            let (code, instruction) = if is_kept { (frame.code, frame.instruction) } else { (0, 0) };
            if let Some(step) = path.get(place)
                && (step.code, step.instruction) == (code, instruction)
                && (!is_kept || self.codes.is_still(interpreter, code, step.frame.0))
            {
                (stack, place) = (step.stack, place + 1);
                continue;
            }
            path.truncate(place);
            let frame = if is_kept { self.codes.resolve(interpreter, frame) } else { Some((OMITTED, 0)) };
            let Some(frame) = frame else { return Interned::Torn };
            match self.inner(stack, frame) {
                Some(inner) => stack = inner,
                None => return Interned::Full,
            }
            path.push(Step { code, instruction, frame, stack });
            place += 1;
        }
        path.truncate(place);
        for number in native.iter().rev() {
            match self.inner(stack, (*number, 0)) {
                Some(inner) => stack = inner,
                None => return Interned::Full,
            }
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
            (*stack, frames.into_iter().map(known).fold(ROOT, |outer, frame| self.inner(outer, frame).unwrap_or(outer)))
        };
        wanted.iter().map(place).collect()
    }

    /// The stack of an outer part and a frame; `None` if there is no room.
    fn inner(&mut self, outer: u32, frame: (u32, u32)) -> Option<u32> {
        let Self { nodes, by_content, .. } = self;
        match by_content.entry((outer, frame)) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(place) => {
                let number = nodes.len();
                (number < MAX_NODES).then(|| {
                    nodes.push((outer, frame));
                    *place.insert(number as u32)
                })
            }
        }
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
