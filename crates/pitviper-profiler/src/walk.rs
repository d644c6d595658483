//! Reading the stack of a thread that may be running.
//!
//! The frames of a thread change only at the innermost end, and a frame stays as it is, where it is, while
//! anything is called from it. So if a frame is seen with the same content at two times, then every frame
//! outside it that was read in between belongs to it, and so does one inside it that was read in between
//! and points to it, if that has the same caller and code when it is looked at again. A walk reads from the
//! innermost frame outwards until it meets a frame of the walk before; it counts when that is the innermost
//! one's caller at the latest. What is met has to be followed by some more frames of the walk before, and all
//! of it must not have taken long: a frame that was left and entered again meanwhile could have come back
//! with the same content.

use std::time::{Duration, Instant};

use crate::layout::Interpreter;
use crate::load::word;

/// Walks of one stack before the part that held still is taken.
const ATTEMPTS: usize = 24;
/// A walk that took longer was interrupted, and begins again. Deep stacks are given their time.
const TIME_LIMIT: Duration = Duration::from_micros(15);
const TIME_A_FRAME: Duration = Duration::from_nanos(100);
/// How many frames after the one met have to be as they were.
const CONFIRMED: usize = 16;
/// How many frames of the walk before a frame is looked for in.
const SEARCHED: usize = 256;
/// Frames of a stack that are read; deeper ones have an end that was not seen.
pub(crate) const MAX_FRAMES: usize = 8_192;

/// A frame as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it is.
    pub(crate) at: usize,
    /// Its code object; anything for entries from C.
    pub(crate) code: usize,
    /// The frame it was called from; zero for none.
    pub(crate) back: usize,
    /// Where in the code it is: an address, or in old versions an index.
    pub(crate) instruction: usize,
    /// Whether it is an entry from C and no frame of Python's.
    pub(crate) is_shim: bool,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The stack is whole.
    Whole,
    /// Its outer part is right; the inner frames would not hold still.
    Outer,
    /// There are no frames.
    Empty,
    /// Nothing could be read that makes sense.
    Torn,
}

/// Reads stacks; keeps the memory that takes.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    frames: Vec<Frame>,
    earlier: Vec<Frame>,
    /// Reads that began again.
    pub(crate) retried: u64,
}

/// How one reading went.
enum Read {
    /// Frames of the earlier walk begin at this place of the new one; its length if there are none.
    Met(usize),
    Empty,
    Failed,
}

impl Walker {
    /// The frames of the last walk, the innermost first.
    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Walks the stack of the thread with this state.
    pub(crate) fn walk(&mut self, interpreter: &Interpreter, state: usize) -> Outcome {
        self.frames.clear();
        let mut began = Instant::now();
        for attempt in 0..ATTEMPTS {
            if attempt > 1 {
                self.retried += 1;
            }
            std::mem::swap(&mut self.frames, &mut self.earlier);
            match self.read(interpreter, state) {
                Read::Empty => return Outcome::Empty,
                Read::Failed => {
                    self.frames.clear();
                }
                Read::Met(new) => {
                    if began.elapsed() > self.limit() {
                        // What was read before the pause cannot be trusted to have stayed.
                        began = Instant::now();
                        if !self.earlier.is_empty() {
                            self.frames.clear();
                        }
                    } else if new <= 1 && self.has_known_end() && self.is_one_frame(interpreter, new) {
                        return Outcome::Whole;
                    }
                }
            }
        }
        self.outer_part(interpreter, state)
    }

    /// Walks the stack of the calling thread, which has this state: it holds still meanwhile.
    pub(crate) fn walk_own(&mut self, interpreter: &Interpreter, state: usize) -> Outcome {
        self.earlier.clear();
        match self.read(interpreter, state) {
            Read::Met(_) => Outcome::Whole,
            Read::Empty => Outcome::Empty,
            Read::Failed => Outcome::Torn,
        }
    }

    /// The part of the stack that holds still.
    fn outer_part(&mut self, interpreter: &Interpreter, state: usize) -> Outcome {
        for _ in 0..ATTEMPTS {
            std::mem::swap(&mut self.frames, &mut self.earlier);
            let began = Instant::now();
            let Read::Met(new) = self.read(interpreter, state) else {
                self.frames.clear();
                continue;
            };
            if !self.earlier.is_empty() && new < self.frames.len() && began.elapsed() < self.limit() {
                self.frames.drain(..new);
                return Outcome::Outer;
            }
        }
        Outcome::Torn
    }

    /// How long a walk of these frames may take.
    fn limit(&self) -> Duration {
        TIME_LIMIT + TIME_A_FRAME * self.frames.len() as u32
    }

    /// Whether both walks end in one frame. One that has just been left points nowhere, too.
    fn has_known_end(&self) -> bool {
        let end = |frames: &[Frame]| frames.last().map(|frame| (frame.at, frame.code));
        !self.earlier.is_empty() && end(&self.frames) == end(&self.earlier)
    }

    /// Whether the innermost frame, if it is new, was read as one: its memory may have become another frame's
    /// between two loads, as that of generators does all the time. Where in the code it is may have changed.
    fn is_one_frame(&self, interpreter: &Interpreter, new: usize) -> bool {
        let Some(innermost) = self.frames.first().filter(|_| new == 1) else { return true };
        read_frame(interpreter, innermost.at)
            .is_some_and(|again| Frame { instruction: innermost.instruction, ..again } == *innermost)
    }

    /// Reads until a frame of the earlier walk is met, and takes the others from there.
    fn read(&mut self, interpreter: &Interpreter, state: usize) -> Read {
        self.frames.clear();
        let Some(mut at) = innermost(interpreter, state) else {
            return Read::Failed;
        };
        if at == 0 {
            return Read::Empty;
        }
        let mut seen = 0;
        while self.frames.len() < MAX_FRAMES {
            let Some(frame) = read_frame(interpreter, at) else {
                return Read::Failed;
            };
            // Frames lie in no order of addresses, but in one walk in the same as in the other.
            if let Some(place) = self.earlier[seen..].iter().take(SEARCHED).position(|known| known.at == at) {
                seen += place;
                if self.earlier[seen] == frame && self.confirm(interpreter, seen) {
                    let new = self.frames.len();
                    self.frames.extend_from_slice(&self.earlier[seen..]);
                    return Read::Met(new);
                }
            }
            self.frames.push(frame);
            if frame.back == 0 {
                // Where entries from C are marked, the outermost is one.
                let has_shims = interpreter.layout.frame_shim_owner >= 0;
                return if has_shims && !frame.is_shim { Read::Failed } else { Read::Met(self.frames.len()) };
            }
            at = frame.back;
        }
        Read::Met(self.frames.len())
    }

    /// Whether the frames that follow one of the earlier walk are as they were.
    fn confirm(&self, interpreter: &Interpreter, seen: usize) -> bool {
        let following = self.earlier[seen + 1..].iter().take(CONFIRMED);
        following.into_iter().all(|known| read_frame(interpreter, known.at).is_some_and(|frame| frame == *known))
    }
}

/// Where the innermost frame of a thread is; zero for none.
pub(crate) fn innermost(interpreter: &Interpreter, state: usize) -> Option<usize> {
    let layout = &interpreter.layout;
    if layout.thread_cframe < 0 {
        return at(state, layout.thread_frame);
    }
    match at(state, layout.thread_cframe)? {
        0 => Some(0),
        cframe => at(cframe, layout.cframe_frame),
    }
}

/// The word at an offset.
fn at(address: usize, offset: i64) -> Option<usize> {
    word(address.wrapping_add(offset as usize))
}

/// Frames are at least so far from where nothing is.
const LOWEST: usize = 4_096;

/// A frame as it is now; `None` if there is none.
pub(crate) fn read_frame(interpreter: &Interpreter, frame: usize) -> Option<Frame> {
    if frame < LOWEST || !frame.is_multiple_of(8) {
        return None;
    }
    let layout = &interpreter.layout;
    let field = |offset: i64| at(frame, offset);
    let back = field(layout.frame_back)?;
    // The code of an entry from C is of no interest, and its place in it may be anything.
    if layout.frame_shim_owner >= 0 {
        // A byte, read with what lies around it.
        let aligned = layout.frame_owner & !7;
        let owner = field(aligned)? >> ((layout.frame_owner - aligned) * 8) & 0xFF;
        if owner as i64 >= layout.frame_shim_owner {
            return Some(Frame { at: frame, code: 0, back, instruction: 0, is_shim: true });
        }
    }
    // From 3.14 on the low bits are marks.
    let code = field(layout.frame_code)? & !7;
    let instruction = field(layout.frame_ip)?;
    let instruction = if layout.frame_ip_size == 4 { instruction as u32 as i32 as usize } else { instruction };
    Some(Frame { at: frame, code, back, instruction, is_shim: false })
}
