//! Profiles: samples of stacks.

use std::sync::Arc;

use crate::content_hash::ContentHash;
use crate::{Attributes, FrameId, SpanId, StackId, TraceId};

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Frame {
    /// The function, qualified where that is known.
    pub function: String,
    /// The file.
    pub file: String,
    /// The line, from one; zero when not known.
    pub line: u32,
    /// Whether it is the application's own code.
    pub in_app: bool,
    /// The package it belongs to; empty when not known.
    pub library: String,
}

impl Frame {
    /// The id that follows from its content.
    #[must_use]
    pub fn id(&self) -> FrameId {
        let mut hash = ContentHash::default();
        hash.text(&self.function).text(&self.file).number(u64::from(self.line));
        FrameId(hash.number(u64::from(self.in_app)).text(&self.library).finish())
    }
}

/// Frames that called each other, the innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    id: StackId,
    frames: Vec<(FrameId, Frame)>,
}

impl Stack {
    /// The stack of these frames, the innermost first.
    #[must_use]
    pub fn new(frames: impl IntoIterator<Item = Frame>) -> Self {
        let frames: Vec<(FrameId, Frame)> = frames.into_iter().map(|frame| (frame.id(), frame)).collect();
        let mut hash = ContentHash::default();
        for (id, _) in &frames {
            hash.bytes(&id.0);
        }
        Self { id: StackId(hash.finish()), frames }
    }

    /// The id that follows from its frames.
    #[must_use]
    pub fn id(&self) -> StackId {
        self.id
    }

    /// The frames with their ids, the innermost first.
    #[must_use]
    pub fn frames(&self) -> &[(FrameId, Frame)] {
        &self.frames
    }
}

/// One sample of a profile: how much of something a stack took.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileSample {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What was sampled, such as `cpu`, `wall` or `alloc_space`.
    pub sample_type: String,
    /// The unit of the value, such as `nanoseconds` or `bytes`.
    pub unit: String,
    /// How much.
    pub value: i64,
    /// Where; samples share it.
    pub stack: Arc<Stack>,
    /// The trace that was worked on; [`TraceId::INVALID`] for none.
    pub trace_id: TraceId,
    /// The span that was worked on; [`SpanId::INVALID`] for none.
    pub span_id: SpanId,
    /// The thread's name; empty when not known.
    pub thread: String,
    /// Details. `endpoint` is the request that was worked on.
    pub labels: Attributes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_content() {
        let frame = |function: &str, line| Frame { function: function.to_owned(), line, ..Frame::default() };
        assert_eq!(frame("f", 1).id(), frame("f", 1).id());
        assert_ne!(frame("f", 1).id(), frame("f", 2).id());
        assert_ne!(frame("f", 1).id(), Frame { in_app: true, ..frame("f", 1) }.id());
        let stack = |lines: &[u32]| Stack::new(lines.iter().map(|line| frame("f", *line))).id();
        assert_eq!(stack(&[1, 2]), stack(&[1, 2]));
        assert_ne!(stack(&[1, 2]), stack(&[2, 1]));
        assert_ne!(stack(&[1]), stack(&[1, 1]));
    }
}
