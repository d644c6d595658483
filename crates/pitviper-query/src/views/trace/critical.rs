//! The critical path: what the trace was waiting for, at every moment.
//!
//! Walked backwards from the end of the root. The child that ended last before the moment in
//! question is what the parent was waiting for; before that child began, the same question is asked
//! again; where there is no such child, the parent itself was at work. This is how CRISP (Zhang et
//! al., USENIX ATC 2022) defines it.

use super::Forest;

/// A stretch of the critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) row: u32,
    /// In nanoseconds since the epoch.
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
}

/// A span that is being walked backwards.
struct Frame {
    row: u32,
    /// Nothing before this belongs to the span.
    lower_ns: i64,
    /// The moment in question.
    at_ns: i64,
    /// Children it may have waited for, by end; the last one is asked first.
    candidates: Vec<(i64, u32)>,
}

impl Forest {
    /// The critical path of the main tree, by time.
    ///
    /// A child that ends after its parent was not waited for and is left out, unless it is the other
    /// side of a call, whose end then is the end of the call.
    pub(crate) fn critical_path(&self) -> Vec<Segment> {
        let mut backwards = Vec::new();
        let Some(root) = self.main_root() else { return backwards };
        let row = &self.rows[root as usize];
        let mut frames = vec![self.frame(root, row.start_ns, row.end_ns)];
        while let Some(frame) = frames.last_mut() {
            let waited_for = std::iter::from_fn(|| frame.candidates.pop()).find(|(end, _)| *end <= frame.at_ns);
            let from_ns = waited_for.map_or(frame.lower_ns, |(end, _)| end.max(frame.lower_ns));
            if from_ns < frame.at_ns {
                backwards.push(Segment { row: frame.row, from_ns, to_ns: frame.at_ns });
            }
            match waited_for {
                Some((_, child)) if from_ns > frame.lower_ns => {
                    let lower_ns = self.rows[child as usize].start_ns.clamp(frame.lower_ns, from_ns);
                    frame.at_ns = lower_ns;
                    frames.push(self.frame(child, lower_ns, from_ns));
                }
                _ => {
                    frames.pop();
                }
            }
        }
        backwards.reverse();
        backwards
    }

    fn frame(&self, row: u32, lower_ns: i64, at_ns: i64) -> Frame {
        let parent_end = self.rows[row as usize].end_ns;
        let mut candidates: Vec<(i64, u32)> = self
            .children(row)
            .iter()
            .filter_map(|&child| {
                let span = &self.rows[child as usize];
                let end = if span.answers_parent { span.end_ns.min(parent_end) } else { span.end_ns };
                (end <= parent_end && span.start_ns <= parent_end).then_some((end, child))
            })
            .collect();
        candidates.sort_unstable();
        Frame { row, lower_ns, at_ns, candidates }
    }
}
