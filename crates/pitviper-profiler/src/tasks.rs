//! Tasks of asyncio: which one a thread runs, and what the others wait for.
//!
//! Where a task keeps its coroutine, its name and the rest is found out by looking at one of which all that is
//! known, as its layout is nowhere declared. Which task runs is told by the interpreter's dictionary of them, from
//! 3.14 on by the thread's state; it counts only if the task's own frame is on the stack that was sampled.
//! Tasks that wait are coroutines that each wait for the next: read twice, they have to be the same.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::code::{number, text};
use crate::layout::Interpreter;
use crate::load::word;
use crate::options::KnownTask;
use crate::random::Random;
use crate::threads::Thread;
use crate::wait::State;
use crate::walk::{Frame, read_frame};

/// How often tasks that wait are looked at, and how many of them at a time; each then counts for several.
const PERIOD: Duration = Duration::from_millis(50);
const MAX_LOOKED_AT: usize = 200;
/// Places of a set of tasks that are looked at, and tasks of a list that are counted.
const MAX_PLACES: usize = 16_384;
/// Entries of a dictionary that are looked at.
const MAX_ENTRIES: usize = 256;
/// Coroutines that wait for each other, and values on the stack of one.
const MAX_CHAIN: usize = 128;
const MAX_STACK_BYTES: usize = 1 << 20;
/// Classes between that of a task and asyncio's.
const MAX_BASES: usize = 8;
/// Names of tasks that are known at once; over half of that all begins anew with the next window.
const MAX_NAMES: usize = 50_000;
/// Where objects that stand for a coroutine (`coro.__await__()`, `anext(generator)`) have it.
const WRAPPED_AT: usize = 16;

/// What is known of the tasks of this process.
#[derive(Debug)]
pub(crate) struct Tasks {
    known: KnownTask,
    /// Where in a task its parts are.
    coroutine_at: usize,
    name_at: usize,
    loop_at: usize,
    context_at: usize,
    /// Where the task's place in the list of its thread is, where there are such lists.
    node_at: usize,
    /// Where in what a thread has under the key of its loop the loop is; `None` if it is that itself.
    held_at: Option<usize>,
    looked: Option<Instant>,
    random: Random,
    /// How many times the last look's tasks count, and which those are, with their threads.
    pub(crate) weight: f64,
    pub(crate) found: Vec<(usize, usize)>,
    chain: Vec<Frame>,
    again: Vec<Frame>,
}

impl Tasks {
    /// Looks for the parts of a task that is current in the calling thread; says what is not as expected.
    pub(crate) fn find(interpreter: &Interpreter, known: &KnownTask) -> Result<Self, String> {
        let size = at(known.class, interpreter.layout.type_size).unwrap_or(0);
        let part = |what: &str, is_it: &dyn Fn(usize) -> bool| {
            let mut places = (2 * size_of::<usize>()..size).step_by(size_of::<usize>());
            let found = places.find(|place| word(known.task + place).is_some_and(is_it));
            found.ok_or_else(|| format!("no {what} is found in a task"))
        };
        let is_context =
            |object: usize| object != 0 && at(object, interpreter.layout.object_type) == Some(known.context_class);
        let mut tasks = Self {
            known: *known,
            coroutine_at: part("coroutine", &|found| found == known.coroutine)?,
            name_at: part("name", &|found| found == known.name)?,
            loop_at: part("loop", &|found| found == known.event_loop)?,
            context_at: part("context", &is_context)?,
            node_at: 0,
            held_at: None,
            looked: None,
            random: Random::new(),
            weight: 1.0,
            found: Vec::new(),
            chain: Vec::new(),
            again: Vec::new(),
        };
        let layout = &interpreter.layout;
        if layout.thread_running_task >= 0 {
            if at(known.state, layout.thread_running_task) != Some(known.task) {
                return Err("the thread's state does not show its task".to_owned());
            }
            // The newest is the last.
            let last = at(known.state, layout.thread_tasks + 8).unwrap_or(0);
            tasks.node_at = last.wrapping_sub(known.task);
            if tasks.node_at >= size {
                return Err("the list of tasks does not end with the newest".to_owned());
            }
        } else {
            let in_dictionary =
                entries(interpreter, known.current).any(|entry| entry == (known.event_loop, known.task));
            if !in_dictionary {
                return Err("the current task is not found".to_owned());
            }
            let held = tasks.held(interpreter, known.state).unwrap_or(0);
            tasks.held_at = (held != known.event_loop).then_some(WRAPPED_AT);
        }
        if tasks.loop_of(interpreter, known.state) != Some(known.event_loop) {
            return Err("the thread's loop is not found".to_owned());
        }
        if tasks.name(interpreter, known.task) != text(interpreter, known.name) {
            return Err("the task's name is not found".to_owned());
        }
        tasks.list(interpreter, &[(known.event_loop, 0, known.state)]);
        if !tasks.found.contains(&(known.task, 0)) {
            return Err("the task is not found among all".to_owned());
        }
        tasks.looked = None;
        Ok(tasks)
    }

    /// The task that this thread runs, whose frames these are.
    pub(crate) fn running(&self, interpreter: &Interpreter, thread: &Thread, frames: &[Frame]) -> Option<usize> {
        let layout = &interpreter.layout;
        let runs = |task: &usize| {
            let frame = self.coroutine(interpreter, *task).and_then(|coroutine| self.frame_of(interpreter, coroutine));
            frame.is_some_and(|frame| frames.iter().any(|known| known.at == frame))
        };
        if layout.thread_running_task >= 0 {
            return at(thread.state, layout.thread_running_task).filter(runs);
        }
        entries(interpreter, self.known.current).map(|(_, task)| task).find(runs)
    }

    /// What a task is called.
    pub(crate) fn name(&self, interpreter: &Interpreter, task: usize) -> Option<String> {
        let name = word(task.wrapping_add(self.name_at))?;
        // From 3.13 on one that nobody named has its number there until somebody asks.
        text(interpreter, name)
            .or_else(|| Some(format!("Task-{}", number(interpreter, name, self.known.number_class)?)))
    }

    /// In which context a task runs.
    pub(crate) fn context(&self, interpreter: &Interpreter, task: usize) -> Option<usize> {
        let context = word(task.wrapping_add(self.context_at))?;
        (at(context, interpreter.layout.object_type)? == self.known.context_class).then_some(context)
    }

    /// Lists tasks that may wait, if it is time, into [`Self::found`]; how much time each stands for.
    pub(crate) fn look(&mut self, interpreter: &Interpreter, threads: &[Thread]) -> Option<Duration> {
        let now = Instant::now();
        let last = self.looked.replace(now);
        let elapsed = now - last.unwrap_or(now);
        if elapsed < PERIOD {
            self.looked = last.or(Some(now));
            return None;
        }
        let of_thread =
            |(place, thread): (usize, &Thread)| Some((self.loop_of(interpreter, thread.state)?, place, thread.state));
        let loops: Vec<_> = threads.iter().enumerate().filter_map(of_thread).collect();
        self.list(interpreter, &loops);
        Some(elapsed)
    }

    /// The tasks of these loops: a loop, the place of its thread, and that thread's state.
    fn list(&mut self, interpreter: &Interpreter, loops: &[(usize, usize, usize)]) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.weight = 1.0;
        if loops.is_empty() {
        } else if interpreter.layout.thread_tasks >= 0 {
            for (_, place, state) in loops {
                self.walk_list(interpreter, *state, |task| found.push((task, *place)));
            }
        } else {
            self.walk_set(interpreter, loops, &mut found);
        }
        if found.len() > MAX_LOOKED_AT {
            self.weight *= found.len() as f64 / MAX_LOOKED_AT as f64;
            for place in 0..MAX_LOOKED_AT {
                let other = place + self.random.below(found.len() - place);
                found.swap(place, other);
            }
            found.truncate(MAX_LOOKED_AT);
        }
        self.found = found;
    }

    /// The list of tasks that a thread has.
    fn walk_list(&self, interpreter: &Interpreter, state: usize, mut found: impl FnMut(usize)) {
        let head = state.wrapping_add(interpreter.layout.thread_tasks as usize);
        let mut node = head;
        for _ in 0..MAX_PLACES {
            match word(node) {
                None | Some(0) => return,
                Some(next) if next == head => return,
                Some(next) => node = next,
            }
            let task = node.wrapping_sub(self.node_at);
            if self.is_task(interpreter, task) {
                found(task);
            }
        }
    }

    /// The set of references to all tasks.
    fn walk_set(
        &mut self,
        interpreter: &Interpreter,
        loops: &[(usize, usize, usize)],
        found: &mut Vec<(usize, usize)>,
    ) {
        let layout = &interpreter.layout;
        let (Some(mask), Some(table)) = (at(self.known.all, layout.set_mask), at(self.known.all, layout.set_table))
        else {
            return;
        };
        let first = if mask < MAX_PLACES { 0 } else { self.random.below(mask + 1) };
        if mask >= MAX_PLACES {
            self.weight = (mask + 1) as f64 / MAX_PLACES as f64;
        }
        for place in 0..=mask.min(MAX_PLACES - 1) {
            let reference = word(table.wrapping_add(((first + place) & mask) * 16)).filter(|entry| *entry != 0);
            let Some(reference) = reference else { continue };
            if at(reference, layout.object_type) != Some(self.known.reference_class) {
                continue;
            }
            let Some(task) = at(reference, layout.reference_object) else { continue };
            if !self.is_task(interpreter, task) {
                continue;
            }
            let own = word(task.wrapping_add(self.loop_at));
            if let Some((_, thread, _)) = loops.iter().find(|(known, ..)| Some(*known) == own) {
                found.push((task, *thread));
            }
        }
    }

    /// The frames of what a task waits for, the innermost first; none if it does not wait.
    pub(crate) fn awaited(&mut self, interpreter: &Interpreter, task: usize) -> &[Frame] {
        let (mut chain, mut again) = (std::mem::take(&mut self.chain), std::mem::take(&mut self.again));
        let read = |to: &mut Vec<Frame>| {
            to.clear();
            self.coroutine(interpreter, task)
                .and_then(|coroutine| self.read_chain(interpreter, coroutine, to))
                .is_some()
        };
        if !read(&mut chain) || !read(&mut again) || chain != again {
            chain.clear();
        }
        chain.reverse();
        (self.chain, self.again) = (chain, again);
        &self.chain
    }

    fn read_chain(&self, interpreter: &Interpreter, coroutine: usize, to: &mut Vec<Frame>) -> Option<()> {
        let mut object = coroutine;
        while to.len() < MAX_CHAIN {
            let class = at(object, interpreter.layout.object_type)?;
            if self.known.wrapper_classes.contains(&class) {
                object = word(object + WRAPPED_AT)?;
            }
            let Some(frame) = self.frame_of(interpreter, object) else { break };
            // One that runs, or is over, is no part of what waits.
            let awaited = top_of_stack(interpreter, object, frame)?;
            to.push(read_frame(interpreter, frame)?);
            object = awaited;
        }
        (!to.is_empty()).then_some(())
    }

    fn coroutine(&self, interpreter: &Interpreter, task: usize) -> Option<usize> {
        if !self.is_task(interpreter, task) {
            return None;
        }
        word(task.wrapping_add(self.coroutine_at)).filter(|coroutine| *coroutine != 0)
    }

    fn is_task(&self, interpreter: &Interpreter, object: usize) -> bool {
        if object == 0 || !object.is_multiple_of(8) {
            return false;
        }
        let mut class = at(object, interpreter.layout.object_type).unwrap_or(0);
        for _ in 0..MAX_BASES {
            if class == self.known.class || class == 0 {
                break;
            }
            class = at(class, interpreter.layout.type_base).unwrap_or(0);
        }
        class == self.known.class
    }

    /// The frame of a coroutine or generator.
    fn frame_of(&self, interpreter: &Interpreter, object: usize) -> Option<usize> {
        let layout = &interpreter.layout;
        if !self.known.coroutine_classes.contains(&at(object, layout.object_type)?) {
            return None;
        }
        let frame = object.wrapping_add(layout.generator_frame as usize);
        if has_inner_frames(interpreter) { Some(frame) } else { word(frame).filter(|frame| *frame != 0) }
    }

    /// The loop that runs in a thread.
    fn loop_of(&self, interpreter: &Interpreter, state: usize) -> Option<usize> {
        let found = self.held(interpreter, state).filter(|held| *held != 0)?;
        self.held_at.map_or(Some(found), |place| word(found.wrapping_add(place)))
    }

    /// What a thread has of its loop.
    fn held(&self, interpreter: &Interpreter, state: usize) -> Option<usize> {
        let layout = &interpreter.layout;
        if layout.thread_running_loop >= 0 {
            return at(state, layout.thread_running_loop);
        }
        let own = at(state, layout.thread_dict).filter(|own| *own != 0)?;
        let mut entries = entries(interpreter, own);
        entries.find(|(key, _)| *key == self.known.loop_key).map(|(_, value)| value)
    }
}

/// Names of tasks as numbers; zero is none.
#[derive(Debug, Default)]
pub(crate) struct Names {
    texts: Vec<String>,
    numbers: FxHashMap<String, u32>,
}

impl Names {
    pub(crate) fn number(&mut self, name: Option<String>) -> u32 {
        let Some(name) = name else { return 0 };
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        if self.texts.len() >= MAX_NAMES {
            return 0;
        }
        self.texts.push(name.clone());
        let number = self.texts.len() as u32;
        self.numbers.insert(name, number);
        number
    }

    pub(crate) fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number.checked_sub(1)? as usize).map(String::as_str)
    }

    pub(crate) fn is_filling(&self) -> bool {
        self.texts.len() > MAX_NAMES / 2
    }
}

/// What a task waits for, by the function it waits in.
pub(crate) fn state_in(function: &str, file: &str) -> State {
    let Some((_, module)) = file.rsplit_once("/asyncio/") else { return State::Other };
    let name = function.rsplit('.').next().unwrap_or(function);
    match (module, name) {
        ("tasks.py", "sleep" | "__sleep0") => State::Sleep,
        ("locks.py", _) => State::Lock,
        ("queues.py", "get") | ("base_events.py", "serve_forever") => State::Idle,
        ("queues.py", _) => State::Lock,
        ("subprocess.py" | "base_subprocess.py", "wait" | "_wait") => State::Child,
        ("streams.py" | "selector_events.py" | "base_events.py" | "sslproto.py" | "subprocess.py", _) => State::Network,
        _ => State::Other,
    }
}

/// Whether frames of coroutines lie within them.
fn has_inner_frames(interpreter: &Interpreter) -> bool {
    interpreter.layout.generator_state >= 0
}

/// What a coroutine waits for: it lies on top of its stack.
fn top_of_stack(interpreter: &Interpreter, object: usize, frame: usize) -> Option<usize> {
    let layout = &interpreter.layout;
    let is = |address: usize, offset: i64| {
        offset < 0 || byte(address, offset).is_some_and(|state| i64::from(state as i8) == layout.suspended)
    };
    if !is(object, layout.generator_state) || !is(frame, layout.frame_state) {
        return None;
    }
    let inner = frame.wrapping_add(layout.frame_stack as usize);
    let stack = if has_inner_frames(interpreter) { inner } else { word(inner)? };
    let top = if layout.frame_stack_top >= 0 {
        at(frame, layout.frame_stack_top)?
    } else {
        stack.wrapping_add(at(frame, layout.frame_stack_depth)? as u32 as usize * 8)
    };
    if top <= stack || top - stack > MAX_STACK_BYTES {
        return None;
    }
    // From 3.14 on the low bits are marks.
    word(top - 8).map(|object| object & !7)
}

/// The keys and values of a dictionary.
fn entries(interpreter: &Interpreter, dictionary: usize) -> impl Iterator<Item = (usize, usize)> {
    let layout = &interpreter.layout;
    let find = || {
        let keys = at(dictionary, layout.dict_keys)?;
        let count = at(keys, layout.keys_count)?.min(MAX_ENTRIES);
        let indices = keys.wrapping_add(layout.keys_indices as usize);
        if layout.keys_size >= 0 {
            let size = at(keys, layout.keys_size)?;
            let width = match size {
                0..=0xFF => 1,
                0x100..=0xFFFF => 2,
                _ => 4,
            };
            return Some((indices.wrapping_add(size.checked_mul(width)?), count, 24, 8));
        }
        let first = indices.wrapping_add(1 << (byte(keys, layout.keys_log2_indices)? & 63));
        // Where all keys are texts their hashes are not there.
        let (size, key) = if byte(keys, layout.keys_kind)? == 0 { (24, 8) } else { (16, 0) };
        Some((first, count, size, key))
    };
    let (first, count, size, key) = find().unwrap_or_default();
    (0..count).filter_map(move |place| {
        let entry = first.wrapping_add(place * size + key);
        Some((word(entry)?, word(entry.wrapping_add(8))?)).filter(|(_, value)| *value != 0)
    })
}

fn at(address: usize, offset: i64) -> Option<usize> {
    word(address.wrapping_add(offset as usize))
}

/// The byte at an offset, which is read with what lies around it.
fn byte(address: usize, offset: i64) -> Option<u8> {
    let address = address.wrapping_add(offset as usize);
    Some((word(address & !7)? >> ((address & 7) * 8)) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_say_what_a_task_waits_for() {
        for (function, file, expected) in [
            ("sleep", "/usr/lib/python3.12/asyncio/tasks.py", State::Sleep),
            ("Event.wait", "/usr/lib/python3.12/asyncio/locks.py", State::Lock),
            ("Queue.get", "/usr/lib/python3.12/asyncio/queues.py", State::Idle),
            ("StreamReader.readexactly", "/usr/lib/python3.12/asyncio/streams.py", State::Network),
            ("Process.wait", "/usr/lib/python3.12/asyncio/subprocess.py", State::Child),
            ("sleep", "/srv/shop/tasks.py", State::Other),
        ] {
            assert_eq!(state_in(function, file), expected, "{function} {file}");
        }
    }

    #[test]
    fn names_are_kept_once() {
        let mut names = Names::default();
        assert_eq!(names.number(None), 0);
        let first = names.number(Some("a".to_owned()));
        assert_ne!(first, names.number(Some("b".to_owned())));
        assert_eq!(first, names.number(Some("a".to_owned())));
        assert_eq!((names.text(first), names.text(0)), (Some("a"), None));
    }
}
