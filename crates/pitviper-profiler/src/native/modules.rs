//! The files of code that are mapped into this process: who calls whom in them, and what functions are called.

use std::fs::File;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use framehop::{CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, Unwinder, UnwinderNative};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolIndex, SymbolKind};
use pitviper_model::Frame;

use super::ask::{Answer, Registers};
use super::names;
use crate::load;

/// Files of code that are known at once; of what lies in others nothing is shown.
const MAX_MODULES: usize = 2_048;
/// How long after a look at what is mapped the next one comes at the earliest.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// The largest piece of code that lies in no file: what the kernel maps is two pages.
const MAX_COPIED_BYTES: usize = 64 * 1_024;
/// The interpreter's loop is larger, unless each instruction is a function of its own (3.14, compiled by Clang), or
/// parts of the loop have been moved elsewhere.
const LOOP_BYTES: u64 = 8_192;
/// What the kernel maps for calls that need none.
const OF_THE_KERNEL: &str = "[vdso]";

/// What is at an address.
pub(super) enum Place {
    /// The interpreter, where it runs Python; whether a function of its own runs each instruction.
    Interpreter { by_functions: bool },
    /// A function, or at least a file.
    Function(Frame),
}

type Cache = CacheNative<MayAllocateDuringUnwind>;

/// All code that was met or might be.
#[derive(Default)]
pub(super) struct Modules {
    unwinder: UnwinderNative<Section, MayAllocateDuringUnwind>,
    cache: Option<Box<Cache>>,
    mapped: Vec<Mapped>,
    looked: Option<Instant>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Modules").field("mapped", &self.mapped.len()).finish_non_exhaustive()
    }
}

/// A part of a file that is mapped to be run.
struct Mapped {
    range: Range<u64>,
    offset: u64,
    path: String,
    /// Its bytes, if they can be read, and how much further an address is than the file says.
    image: Option<(Arc<Image>, u64)>,
    /// Its functions, once they are asked for.
    functions: Option<Vec<Function>>,
}

/// A function of a file: its addresses there, and which of the file's symbols it is.
struct Function {
    range: Range<u64>,
    symbol: SymbolIndex,
    is_dynamic: bool,
}

/// The bytes of a file.
enum Image {
    File(memmap2::Mmap),
    Copied(Vec<u8>),
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(mapped) => mapped,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// A section of a file; by default that of none.
#[derive(Default)]
struct Section {
    image: Option<Arc<Image>>,
    range: Range<usize>,
}

impl Deref for Section {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.image.as_ref().map_or(&[], |image| &image[self.range.clone()])
    }
}

impl Modules {
    /// Shows the addresses of the code that runs, and of its callers, each with where its part of the stack ends, until
    /// `visit` has enough of them or the next cannot be found. Addresses are those of calls, not of what follows them.
    pub(super) fn unwind(&mut self, answer: &Answer, mut visit: impl FnMut(&mut Self, u64, u64) -> bool) {
        let mut cache = self.cache.take().unwrap_or_default();
        let mut registers = registers(&answer.registers);
        let mut read_stack = |address| answer.word(address).ok_or(());
        let mut frame = framehop::FrameAddress::from_instruction_pointer(answer.registers.ip);
        // What lies in no known file would be guessed.
        while self.knows(frame.address_for_lookup()) {
            let next = self.unwinder.unwind_frame(frame, &mut registers, &mut cache, &mut read_stack);
            let Ok(next) = next.map(|next| next.and_then(framehop::FrameAddress::from_return_address)) else { break };
            if !visit(self, frame.address_for_lookup(), registers.sp()) {
                break;
            }
            let Some(next) = next else { break };
            frame = next;
        }
        self.cache = Some(cache);
    }

    /// What is at the address of an instruction.
    pub(super) fn place(&mut self, address: u64) -> Place {
        let Some(mapped) = self.mapped.iter_mut().find(|mapped| mapped.range.contains(&address)) else {
            return Place::Function(names::frame(None, ""));
        };
        match mapped.function_at(address) {
            Some((name, size)) if names::runs_python(&name) => {
                Place::Interpreter { by_functions: names::is_loop(&name) && size < LOOP_BYTES }
            }
            found => Place::Function(names::frame(found.as_ref().map(|(name, _)| &**name), &mapped.path)),
        }
    }

    /// Whether an address is of a file that is known, perhaps since now.
    fn knows(&mut self, address: u64) -> bool {
        let is_known = |modules: &Self| modules.mapped.iter().any(|mapped| mapped.range.contains(&address));
        if is_known(self) {
            return true;
        }
        if self.looked.is_some_and(|looked| looked.elapsed() < BETWEEN_LOOKS) {
            return false;
        }
        self.look();
        is_known(self)
    }

    /// Takes in what is mapped now, and forgets what no longer is.
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut now: Vec<Mapped> = text.lines().filter_map(Mapped::parse).take(MAX_MODULES).collect();
        let mut before = std::mem::take(&mut self.mapped);
        for mapped in &mut now {
            match before.iter().position(|other| other.is(mapped)) {
                Some(place) => *mapped = before.swap_remove(place),
                None => {
                    if let Some(module) = mapped.open() {
                        self.unwinder.add_module(module);
                    }
                }
            }
        }
        for gone in before {
            self.unwinder.remove_module(gone.range.start);
        }
        self.mapped = now;
    }
}

impl Mapped {
    /// A line of `/proc/self/maps`, if it is of code.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let is_code = words.next()?.contains('x');
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        // The path is all that is left, with its spaces.
        let path = line[line.find(['/', '['])?..].to_owned();
        if !is_code || (path.starts_with('[') && path != OF_THE_KERNEL) {
            return None;
        }
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self { range: number(start)?..number(end)?, offset, path, image: None, functions: None })
    }

    fn is(&self, other: &Self) -> bool {
        self.range == other.range && self.offset == other.offset && self.path == other.path
    }

    /// Reads the file; what is needed to find callers in it.
    fn open(&mut self) -> Option<Module<Section>> {
        let image = Arc::new(self.read()?);
        let file = object::File::parse(&**image).ok()?;
        let further = self.further(&file)?;
        let section = |name: &str| {
            let section = file.section_by_name(name)?;
            let (start, size) = section.file_range()?;
            let range = usize::try_from(start).ok()?..usize::try_from(start.checked_add(size)?).ok()?;
            image.get(range.clone())?;
            Some((
                section.address()..section.address() + section.size(),
                Section { image: Some(Arc::clone(&image)), range },
            ))
        };
        let split =
            |found: Option<(Range<u64>, Section)>| found.map_or((None, None), |(at, data)| (Some(at), Some(data)));
        let (text_svma, text) = split(section(".text"));
        let (eh_frame_svma, eh_frame) = split(section(".eh_frame"));
        let (eh_frame_hdr_svma, eh_frame_hdr) = split(section(".eh_frame_hdr"));
        let (got_svma, _) = split(section(".got"));
        let sections = ExplicitModuleSectionInfo {
            text_svma,
            text,
            got_svma,
            eh_frame_svma,
            eh_frame,
            eh_frame_hdr_svma,
            eh_frame_hdr,
            ..Default::default()
        };
        let module = Module::new(self.path.clone(), self.range.clone(), further, sections);
        self.image = Some((Arc::clone(&image), further));
        Some(module)
    }

    fn read(&self) -> Option<Image> {
        if self.path == OF_THE_KERNEL {
            let mut bytes = vec![0; usize::try_from(self.range.end - self.range.start).ok()?.min(MAX_COPIED_BYTES)];
            return load::copy(usize::try_from(self.range.start).ok()?, &mut bytes).then_some(Image::Copied(bytes));
        }
        map(&File::open(&self.path).ok()?).map(Image::File)
    }

    /// How much further an address in memory is than the one that the file says.
    fn further(&self, file: &object::File<'_>) -> Option<u64> {
        let length = self.range.end - self.range.start;
        let of_segment = |segment: object::Segment<'_, '_>| {
            let object::SegmentFlags::Elf { p_flags, .. } = segment.flags() else { return None };
            let (start, size) = segment.file_range();
            // What is mapped begins with the page that the segment begins in, where others may end.
            let is_here =
                p_flags.0 & object::elf::PF_X.0 != 0 && start < self.offset + length && self.offset < start + size;
            let address = segment.address().checked_sub(start)?.checked_add(self.offset)?;
            is_here.then(|| self.range.start.checked_sub(address)).flatten()
        };
        file.segments().find_map(of_segment)
    }

    /// The name of the function at an address, as the file has it, and how long it is.
    fn function_at(&mut self, address: u64) -> Option<(String, u64)> {
        let (image, further) = self.image.as_ref()?;
        let file = object::File::parse(&***image).ok()?;
        let functions = self.functions.get_or_insert_with(|| functions_of(&file));
        let address = address.wrapping_sub(*further);
        let place = functions.partition_point(|function| function.range.start <= address).checked_sub(1)?;
        let function = functions.get(place).filter(|function| function.range.contains(&address))?;
        let table = if function.is_dynamic { file.dynamic_symbol_table() } else { file.symbol_table() };
        let symbol = object::ObjectSymbolTable::symbol_by_index(&table?, function.symbol).ok()?;
        Some((String::from_utf8_lossy(symbol.name_bytes().ok()?).into_owned(), symbol.size()))
    }
}

/// The functions of a file, by address.
fn functions_of(file: &object::File<'_>) -> Vec<Function> {
    let of = |is_dynamic: bool| {
        move |symbol: object::Symbol<'_, '_>| {
            let range = symbol.address()..symbol.address().checked_add(symbol.size())?;
            let is_function = symbol.kind() == SymbolKind::Text && symbol.is_definition() && !range.is_empty();
            is_function.then(|| Function { range, symbol: symbol.index(), is_dynamic })
        }
    };
    let mut functions: Vec<Function> = file.symbols().filter_map(of(false)).collect();
    if functions.is_empty() {
        functions = file.dynamic_symbols().filter_map(of(true)).collect();
    }
    functions.sort_by_key(|function| (function.range.start, function.range.end));
    functions.shrink_to_fit();
    functions
}

#[expect(unsafe_code, reason = "maps a file of code that the process runs")]
fn map(file: &File) -> Option<memmap2::Mmap> {
    // SAFETY: the file's pages are also those of code that this process runs: who shortened the file would take them
    // from under the process itself. Package managers replace such files, and the mapping stays that of the old one.
    unsafe { memmap2::Mmap::map(file).ok() }
}

#[cfg(target_arch = "x86_64")]
fn registers(registers: &Registers) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(registers.ip, registers.sp, registers.fp)
}

#[cfg(target_arch = "aarch64")]
fn registers(registers: &Registers) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(registers.lr, registers.sp, registers.fp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_data() {
        let line = "7f12e0a00000-7f12e0b00000 r-xp 00028000 fe:00 1234    /opt/my libs/libshop.so.1";
        let mapped = Mapped::parse(line).unwrap();
        assert_eq!(mapped.range, 0x7f12_e0a0_0000..0x7f12_e0b0_0000);
        assert_eq!((mapped.offset, &*mapped.path), (0x28000, "/opt/my libs/libshop.so.1"));
        assert!(Mapped::parse("7f12e0a00000-7f12e0b00000 rw-p 00028000 fe:00 1234    /usr/lib/libc.so.6").is_none());
        assert!(Mapped::parse("7f12e0a00000-7f12e0b00000 r-xp 00000000 00:00 0    [vsyscall]").is_none());
        assert!(Mapped::parse("7f12e0a00000-7f12e0b00000 r-xp 00000000 00:00 0 ").is_none());
        assert!(Mapped::parse("what is this").is_none());
    }

    #[test]
    fn own_functions_are_found_by_their_address() {
        let mut modules = Modules::default();
        let address = functions_of as fn(&object::File<'_>) -> Vec<Function> as usize as u64;
        assert!(modules.knows(address + 1));
        let Place::Function(frame) = modules.place(address + 1) else { panic!("not the interpreter") };
        assert!(frame.function.ends_with("modules::functions_of"), "{}", frame.function);
    }
}
