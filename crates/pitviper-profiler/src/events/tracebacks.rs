//! Where an exception was raised, from its traceback, when that is over.
//!
//! A traceback has the frames that the exception came through, and where in them it did; those that it did not come to
//! are the callers of the one it was caught in. An exception that was raised anew elsewhere, as those of futures are,
//! has frames of there too, which are not callers of the others.

use std::collections::VecDeque;

use crate::code::instruction_at;
use crate::layout::Interpreter;
use crate::load::word;
use crate::walk::{Frame, MAX_FRAMES, read_frame};

/// The stack that an exception with the traceback at this address was raised at first, the innermost frame first. Who
/// calls has the interpreter, and keeps the traceback.
pub(crate) fn frames(interpreter: &Interpreter, traceback: usize) -> Option<Vec<Frame>> {
    let mut entries = entries(interpreter, traceback)?;
    let innermost = entries.pop_back()?;
    let mut frames = vec![innermost];
    let mut last = innermost;
    while let Some(outer) = entries.pop_back() {
        // Raised again by a frame that it had come to.
        if outer.at == last.at {
            continue;
        }
        // The frame of a generator that has ended does not say who called it.
        if last.back != outer.at && last.back != 0 {
            break;
        }
        frames.push(outer);
        last = outer;
    }
    while last.back != 0 && frames.len() < MAX_FRAMES {
        last = read(interpreter, last.back)?;
        frames.push(last);
    }
    Some(frames)
}

/// The frames of a traceback, the innermost last and as many as a stack has of those.
fn entries(interpreter: &Interpreter, traceback: usize) -> Option<VecDeque<Frame>> {
    let layout = &interpreter.layout;
    let mut entries = VecDeque::new();
    let mut at = traceback;
    while at != 0 {
        let field = |offset: i64| word(at.wrapping_add(offset as usize));
        let object = field(layout.traceback_frame)?;
        let frame = match layout.frame_object_frame {
            ..0 => object,
            offset => word(object.wrapping_add(offset as usize))?,
        };
        let frame = read(interpreter, frame)?;
        let bytes = field(layout.traceback_instruction)? as u32 as i32;
        if entries.len() == MAX_FRAMES {
            entries.pop_front();
        }
        entries.push_back(Frame { instruction: instruction_at(interpreter, frame.code, bytes), ..frame });
        at = field(layout.traceback_next)?;
    }
    Some(entries)
}

/// A frame, whose caller is known also if it has ended.
fn read(interpreter: &Interpreter, frame: usize) -> Option<Frame> {
    let layout = &interpreter.layout;
    let known = read_frame(interpreter, frame)?;
    if known.back != 0 || layout.frame_object_data < 0 {
        return Some(known);
    }
    let at = |object: usize, offset: i64| word(object.wrapping_add(offset as usize));
    // A frame that has ended lies in its object, which knows the object of its caller.
    let object = frame.wrapping_sub(layout.frame_object_data as usize);
    if at(object, layout.frame_object_frame) != Some(frame) {
        return Some(known);
    }
    let back = match at(object, layout.frame_object_back)? {
        0 => 0,
        caller => at(caller, layout.frame_object_frame)?,
    };
    Some(Frame { back, ..known })
}
