//! What code objects are called, and which lines their instructions are of.

use pitviper_model::Frame;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::layout::{Interpreter, text_state};
use crate::lines::line_of;
use crate::load::{copy, word};
use crate::wait::{Role, State};
use crate::{tasks, walk};

/// Longest name, file and line table that is read, in bytes.
const MAX_TEXT_BYTES: usize = 4_096;
const MAX_LINES_BYTES: usize = 256 * 1_024;

/// The code that frames run.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    codes: Vec<Code>,
    by_address: FxHashMap<usize, u32>,
    lines: FxHashMap<(u32, i64), u32>,
}

#[derive(Debug, Clone)]
struct Code {
    identity: Identity,
    function: String,
    file: String,
    lines: Vec<u8>,
    role: Role,
    /// What a task waits for that waits here.
    waits: State,
}

/// What tells a code object from another one that gets its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    file: usize,
    name: usize,
    lines: usize,
    size: usize,
    first_line: i32,
}

impl Codes {
    pub(crate) fn len(&self) -> usize {
        self.codes.len() + self.lines.len()
    }

    /// The code of a frame and the line it is at; zero for no line. `None` for what is no code.
    pub(crate) fn resolve(&mut self, interpreter: &Interpreter, frame: &walk::Frame) -> Option<(u32, u32)> {
        let identity = identity(interpreter, frame.code)?;
        let known = self.by_address.get(&frame.code).copied();
        let code = match known.filter(|code| self.codes[*code as usize].identity == identity) {
            Some(code) => code,
            None => self.add(interpreter, frame.code, identity)?,
        };
        let index = index_of(interpreter, frame);
        let line = match self.lines.get(&(code, index)) {
            Some(line) => *line,
            None => {
                let Code { lines, identity, .. } = &self.codes[code as usize];
                let line = line_of(interpreter.version(), lines, identity.first_line, index);
                let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
                self.lines.insert((code, index), line);
                line
            }
        };
        Some((code, line))
    }

    /// Whether a code that was resolved is still the one at this address.
    pub(crate) fn is_still(&self, interpreter: &Interpreter, address: usize, code: u32) -> bool {
        let known = self.codes.get(code as usize);
        known.is_some_and(|known| identity(interpreter, address) == Some(known.identity))
    }

    fn add(&mut self, interpreter: &Interpreter, at: usize, identity: Identity) -> Option<u32> {
        let layout = &interpreter.layout;
        let name = if layout.code_qualname >= 0 { word(at + layout.code_qualname as usize)? } else { identity.name };
        let function = text(interpreter, name)?;
        let file = text(interpreter, identity.file)?;
        let lines = bytes(interpreter, identity.lines)?;
        // What was read is of this code only if that was there all the time.
        if self::identity(interpreter, at)? != identity {
            return None;
        }
        let number = u32::try_from(self.codes.len()).ok()?;
        let (role, waits) = (Role::of(&function, &file), tasks::state_in(&function, &file));
        self.codes.push(Code { identity, function, file, lines, role, waits });
        self.by_address.insert(at, number);
        Some(number)
    }

    /// Takes over those that are used of others, where there are none yet; says what each of them is from now on.
    pub(crate) fn adopt(&mut self, others: &Self, used: &FxHashSet<u32>) -> FxHashMap<u32, u32> {
        let mut places = FxHashMap::default();
        for code in used {
            // A stack may have a frame of no code.
            if let Some(known) = others.codes.get(*code as usize) {
                places.insert(*code, self.codes.len() as u32);
                self.codes.push(known.clone());
            }
        }
        let kept = others.by_address.iter().filter_map(|(address, code)| Some((*address, *places.get(code)?)));
        self.by_address.extend(kept);
        places
    }

    /// What the code does, as far as that says why a thread waits.
    pub(crate) fn role(&self, code: u32) -> Role {
        self.codes[code as usize].role
    }

    /// What a task waits for in this code.
    pub(crate) fn waits(&self, code: u32) -> State {
        self.codes[code as usize].waits
    }

    /// The frame of a code and a line.
    pub(crate) fn frame(&self, code: u32, line: u32, standard_library: &[String]) -> Frame {
        let Code { function, file, .. } = &self.codes[code as usize];
        let (library, in_app) = owner_of(file, standard_library);
        Frame { function: function.clone(), file: file.clone(), line, in_app, library: library.to_owned() }
    }
}

/// The library that a file belongs to, and whether it is the application's own. Where the standard library is
/// is known better than its path says.
fn owner_of<'a>(file: &'a str, standard_library: &[String]) -> (&'a str, bool) {
    let (library, in_app) = pitviper_pprof::library_of(file);
    let is_standard = |folder: &String| file.strip_prefix(&**folder).is_some_and(|rest| rest.starts_with('/'));
    if in_app && standard_library.iter().any(is_standard) { ("stdlib", false) } else { (library, in_app) }
}

/// Which instruction a frame is at, in code units.
fn index_of(interpreter: &Interpreter, frame: &walk::Frame) -> i64 {
    let layout = &interpreter.layout;
    if layout.code_units >= 0 {
        let first = frame.code.wrapping_add(layout.code_units as usize);
        return (frame.instruction.wrapping_sub(first) as i64) >> 1;
    }
    let index = frame.instruction as i64;
    // Up to 3.9 in bytes.
    if interpreter.version() < (3, 10) { index >> 1 } else { index }
}

/// Where a frame is that is so many bytes into its code.
pub(crate) fn instruction_at(interpreter: &Interpreter, code: usize, bytes: i32) -> usize {
    let layout = &interpreter.layout;
    if layout.code_units >= 0 {
        return code.wrapping_add(layout.code_units as usize).wrapping_add_signed(bytes as isize);
    }
    let index = if interpreter.version() < (3, 10) { bytes } else { bytes >> 1 };
    index as usize
}

fn identity(interpreter: &Interpreter, code: usize) -> Option<Identity> {
    let layout = &interpreter.layout;
    let at = |offset: i64| word(code.wrapping_add(offset as usize));
    if code == 0 || at(layout.object_type)? != interpreter.code_type {
        return None;
    }
    Some(Identity {
        file: at(layout.code_file)?,
        name: at(layout.code_name)?,
        lines: at(layout.code_lines)?,
        // How much code it has, where the object itself holds that.
        size: if layout.code_units >= 0 { at(layout.var_size)? } else { 0 },
        first_line: at(layout.code_first_line)? as i32,
    })
}

/// A number that is not negative and has one digit of CPython's, of 30 bits; `None` for others, and before 3.12.
pub(crate) fn number(interpreter: &Interpreter, object: usize, class: usize) -> Option<u32> {
    /// How many digits there are stands above these bits, which say more of them.
    const MARKS: usize = 3;
    let layout = &interpreter.layout;
    let at = |offset: i64| word(object.wrapping_add(offset as usize));
    if layout.number_tag < 0 || object == 0 || at(layout.object_type)? != class {
        return None;
    }
    (at(layout.number_tag)? == 1 << MARKS).then_some(at(layout.number_digits)? as u32)
}

/// The text of an object that is one.
pub(crate) fn text(interpreter: &Interpreter, object: usize) -> Option<String> {
    let layout = &interpreter.layout;
    let at = |offset: i64| word(object.wrapping_add(offset as usize));
    if object == 0 || at(layout.object_type)? != interpreter.text_type {
        return None;
    }
    let length = at(layout.text_length)?;
    let (kind, is_compact, is_ascii) = text_state(at(layout.text_state)? as u32);
    if !is_compact || ![1, 2, 4].contains(&kind) {
        return None;
    }
    let kind = kind as usize;
    let size = length.checked_mul(kind)?.min(MAX_TEXT_BYTES);
    let mut bytes = vec![0; size];
    let data = if is_ascii { layout.text_ascii_data } else { layout.text_data };
    if !copy(object.wrapping_add(data as usize), &mut bytes) {
        return None;
    }
    let character = |unit: &[u8]| {
        let mut number = [0; 4];
        number[..unit.len()].copy_from_slice(unit);
        char::from_u32(u32::from_le_bytes(number)).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    Some(bytes.chunks_exact(kind).map(character).collect())
}

fn bytes(interpreter: &Interpreter, object: usize) -> Option<Vec<u8>> {
    let layout = &interpreter.layout;
    let at = |offset: i64| word(object.wrapping_add(offset as usize));
    if object == 0 || at(layout.object_type)? != interpreter.bytes_type {
        return None;
    }
    let mut bytes = vec![0; at(layout.var_size)?.min(MAX_LINES_BYTES)];
    copy(object.wrapping_add(layout.bytes_data as usize), &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_may_be_anywhere() {
        let standard = ["/opt/python".to_owned()];
        assert_eq!(owner_of("/opt/python/json/decoder.py", &standard), ("stdlib", false));
        assert_eq!(owner_of("/opt/python/site-packages/six.py", &standard), ("six", false));
        assert_eq!(owner_of("/opt/python-mine/a.py", &standard), ("", true));
    }
}
