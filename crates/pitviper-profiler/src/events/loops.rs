//! What blocks event loops: one callback that runs, or waits, for longer than it should.
//!
//! A thread runs a loop while it has hooks for asynchronous generators, which asyncio, uvloop and trio all set. Each
//! callback and each step of a task runs in a context of its own, so as long as the version of a thread's context
//! stays what it is, one callback goes on. The time between the first and the last sample of it is what is surely
//! blocked, and decides; then all its samples count. Callbacks that enter contexts themselves are several.

use crate::events::loop_threshold_ns;
use crate::layout::Interpreter;
use crate::load::word;
use crate::wait::State;
use crate::window::{Key, Window};

/// Different samples of a callback that are kept until it has taken long enough; further ones count as the last.
const MAX_HELD: usize = 128;

/// A callback that a thread was seen in.
#[derive(Debug)]
pub(crate) struct Block {
    version: usize,
    /// The time between the first and the last sample.
    surely_ns: u64,
    /// Samples that are not told yet.
    held: Vec<(Key, u64)>,
    is_told: bool,
}

/// Looks at what a thread with this state was seen doing for some time; `None` for nothing. Whether something turned out to block
/// its loop.
pub(crate) fn look(
    block: &mut Option<Block>,
    interpreter: &Interpreter,
    state: usize,
    key: Option<Key>,
    elapsed_ns: u64,
    window: &mut Window,
) -> bool {
    let at = |offset: i64| word(state.wrapping_add(offset as usize));
    let runs_loop = at(interpreter.layout.thread_loop_hook).is_some_and(|hook| hook != 0);
    let key = key.filter(|key| runs_loop && key.state != State::Idle);
    let version = at(interpreter.layout.thread_context_version);
    let (Some(key), Some(version), Some(threshold_ns)) = (key, version, loop_threshold_ns()) else {
        *block = None;
        return false;
    };
    let seen = Block::seen(block, version, elapsed_ns);
    seen.add(key, elapsed_ns, threshold_ns, window)
}

impl Block {
    /// The callback that is under way in this version of the context.
    fn seen(block: &mut Option<Self>, version: usize, elapsed_ns: u64) -> &mut Self {
        match block.take_if(|block| block.version == version) {
            Some(mut same) => {
                same.surely_ns += elapsed_ns;
                block.insert(same)
            }
            None => block.insert(Self { version, surely_ns: 0, held: Vec::new(), is_told: false }),
        }
    }

    /// Whether it has just taken long enough.
    fn add(&mut self, key: Key, elapsed_ns: u64, threshold_ns: u64, window: &mut Window) -> bool {
        if self.is_told {
            window.add_block(key, elapsed_ns);
            return false;
        }
        let is_full = self.held.len() >= MAX_HELD;
        match self.held.last_mut() {
            Some((last, held_ns)) if is_full || *last == key => *held_ns += elapsed_ns,
            _ => self.held.push((key, elapsed_ns)),
        }
        if self.surely_ns < threshold_ns {
            return false;
        }
        for (key, held_ns) in std::mem::take(&mut self.held) {
            window.add_block(key, held_ns);
        }
        self.is_told = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::ThreadId;
    use crate::spans::SpanIds;

    const MS: u64 = 1_000_000;

    fn key(stack: u32) -> Key {
        Key {
            stack,
            thread: ThreadId { ident: 1, native: 1 },
            state: State::Cpu,
            span: SpanIds::default(),
            task: 0,
            is_waiting_task: false,
        }
    }

    /// What samples of these versions of a context and stacks, ten milliseconds apart, have as blocked.
    fn told(samples: &[(usize, u32)]) -> Vec<u64> {
        let (mut block, mut window) = (None, Window::default());
        for (version, stack) in samples {
            Block::seen(&mut block, *version, 10 * MS).add(key(*stack), 10 * MS, 100 * MS, &mut window);
        }
        (0..4).map(|stack| window.blocked_ns(&key(stack))).collect()
    }

    #[test]
    fn only_what_surely_took_long_is_told_and_then_with_all_its_samples() {
        let of_version = |version, count| std::iter::repeat_n((version, 1), count);
        assert_eq!(told(&of_version(1, 10).collect::<Vec<_>>()), [0, 0, 0, 0]);
        assert_eq!(told(&of_version(1, 11).collect::<Vec<_>>()), [0, 110 * MS, 0, 0]);
        assert_eq!(told(&of_version(1, 30).collect::<Vec<_>>()), [0, 300 * MS, 0, 0]);
        // Short ones one after the other block nothing.
        assert_eq!(told(&(0..100).map(|number| (number / 5, 1)).collect::<Vec<_>>()), [0, 0, 0, 0]);
        let split: Vec<_> = (0..20).map(|number| (1, 1 + number / 8)).collect();
        assert_eq!(told(&split), [0, 80 * MS, 80 * MS, 40 * MS]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let samples: Vec<_> = (0..2_000).map(|number| (1, 10 + number)).collect();
        let (mut block, mut window) = (None, Window::default());
        for (version, stack) in samples {
            Block::seen(&mut block, version, 1).add(key(stack), 1, u64::MAX, &mut window);
        }
        let held = block.map(|block| block.held).unwrap_or_default();
        assert_eq!((held.len(), held.iter().map(|(_, ns)| ns).sum::<u64>()), (MAX_HELD, 2_000));
    }
}
