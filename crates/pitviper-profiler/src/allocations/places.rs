//! How our hooks come to stand in front of the interpreter's allocators, and to be away.
//!
//! Others may come in front of ours, or put back what was there before both; ours are never unloaded, so whoever keeps them
//! can call them, and once nobody does, others of ours take a new place.
#![expect(unsafe_code, reason = "the interpreter's functions are called")]

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::hooks::{Allocator, BEHIND, Behind, DOMAINS, PASSED_ON, RAW, ours};
use super::{countdown, recorder, stretches};
use crate::layout::symbol;

/// The domains that small blocks are asked of: mem, object.
const MEM: usize = 1;
/// See above.
const OBJECT: usize = 2;
/// How long to wait for whoever is about to put hooks in place or take them away.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether what stands in front of a domain gives large blocks back in the raw domain, where our hook sees it. Of who
/// has a context, and keeps books of what is asked for, nothing larger is asked than was.
fn passes_on(front: &Allocator) -> bool {
    if !front.context.is_null() {
        return false;
    }
    // SAFETY: it is called as the interpreter would, and what is given back came from it.
    unsafe {
        let block = (front.malloc)(front.context, PASSED_ON);
        if block.is_null() {
            return false;
        }
        let is_known = recorder::pretend_sampled(block as usize);
        (front.free)(front.context, block);
        is_known && recorder::remove(block as usize).is_none()
    }
}

type GetAllocator = unsafe extern "C" fn(c_int, *mut Allocator);
type SetAllocator = unsafe extern "C" fn(c_int, *const Allocator);
type Allocate = unsafe extern "C" fn(usize) -> *mut c_void;
type GiveBack = unsafe extern "C" fn(*mut c_void);

/// What is called of the interpreter.
#[derive(Debug, Clone, Copy)]
struct Python {
    get: GetAllocator,
    set: SetAllocator,
    /// By domain.
    allocate: [Allocate; DOMAINS],
    give_back: [GiveBack; DOMAINS],
}

impl Python {
    fn find() -> Result<Self, String> {
        // SAFETY: these are the interpreter's functions of these names, in all versions with these arguments.
        unsafe {
            let allocate = |name: &CStr| symbol(name).map(|at| std::mem::transmute::<usize, Allocate>(at));
            let give_back = |name: &CStr| symbol(name).map(|at| std::mem::transmute::<usize, GiveBack>(at));
            Ok(Self {
                get: std::mem::transmute::<usize, GetAllocator>(symbol(c"PyMem_GetAllocator")?),
                set: std::mem::transmute::<usize, SetAllocator>(symbol(c"PyMem_SetAllocator")?),
                allocate: [allocate(c"PyMem_RawMalloc")?, allocate(c"PyMem_Malloc")?, allocate(c"PyObject_Malloc")?],
                give_back: [give_back(c"PyMem_RawFree")?, give_back(c"PyMem_Free")?, give_back(c"PyObject_Free")?],
            })
        }
    }

    /// What stands in front.
    fn front(&self, domain: usize) -> Allocator {
        let mut allocator = MaybeUninit::uninit();
        // SAFETY: the call fills it for every domain there is.
        unsafe {
            (self.get)(domain as c_int, allocator.as_mut_ptr());
            allocator.assume_init()
        }
    }

    fn put(&self, domain: usize, allocator: &Allocator) {
        // SAFETY: its functions are never unloaded; the call copies it.
        unsafe { (self.set)(domain as c_int, allocator) };
    }

    /// Whether an allocation comes to our hook of this domain.
    fn reaches_ours(&self, domain: usize) -> bool {
        let own = countdown::own();
        // SAFETY: `own` is the calling thread's, and no reference to it is held across a call. The block is given
        // back where it came from.
        unsafe {
            let left = (*own).left;
            ((*own).left, (*own).probed) = (-1, domain as u8 + 1);
            let block = (self.allocate[domain])(1);
            let reached = (*own).probed == 0;
            ((*own).left, (*own).probed) = (left, 0);
            if block.is_null() {
                return true;
            }
            (self.give_back[domain])(block);
            reached
        }
    }
}

/// The slot that was used last, and whether ours are in place, by domain.
type Placed = [Option<(usize, bool)>; DOMAINS];

/// Where ours are.
static PLACED: Mutex<Placed> = Mutex::new([None; DOMAINS]);

fn python() -> Result<&'static Python, String> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    PYTHON.get_or_init(Python::find).as_ref().map_err(String::clone)
}

/// What is known of where ours are. The thread that samples has it for moments; if it is held for longer, the process was
/// forked meanwhile, and it is held for good.
fn placed() -> Option<MutexGuard<'static, Placed>> {
    let began = Instant::now();
    loop {
        if let Ok(placed) = PLACED.try_lock() {
            return Some(placed);
        }
        if PLACED.is_poisoned() || began.elapsed() > PATIENCE {
            return None;
        }
        std::thread::yield_now();
    }
}

/// How hooks were found that are to be kept in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    InPlace,
    /// Others had put them away; what was allocated meanwhile is not known.
    Away,
    /// Neither is what was given back of those that are not given back in the raw domain.
    BlindForSmall,
    /// Neither is what was given back.
    Blind,
}

/// Sees to it that allocations come through our hooks. The calling thread has the interpreter's lock.
pub(super) fn keep_in_place() -> Result<Found, String> {
    let python = python()?;
    let mut placed = placed().ok_or("the process was forked while hooks were put in place")?;
    look_at_all(python, &placed);
    let mut found = Found::InPlace;
    for (domain, placed) in placed.iter_mut().enumerate() {
        let front = python.front(domain);
        let (slot, is_in_place) = placed.unwrap_or((0, false));
        let known = BEHIND[slot][domain].get();
        if is_in_place {
            let is_front = known.is_some_and(|behind| front.is(&ours(slot, domain, behind)));
            if is_front || python.reaches_ours(domain) {
                continue;
            }
            found = found.max(match BEHIND[slot][domain].passes_on() {
                _ if domain == RAW => Found::Blind,
                true => Found::Away,
                false => Found::BlindForSmall,
            });
        }
        let fits = |behind: &&[Behind; DOMAINS]| behind[domain].get().is_none_or(|known| known.is(&front));
        let Some(slot) = BEHIND.iter().position(|behind| fits(&behind)) else {
            return Err("too many others put hooks of their own in front of the interpreter's memory".to_owned());
        };
        let behind = &BEHIND[slot][domain];
        behind.set(&front, || domain != RAW && passes_on(&front));
        python.put(domain, &ours(slot, domain, &front));
        *placed = Some((slot, true));
    }
    Ok(found)
}

/// Puts the hooks of small blocks in place, or takes them away, for a stretch of time; whether that is possible. Then
/// blocks that are sampled stand for `stretches`, else for one. Only what gives large blocks back to the
/// raw domain can do without our hooks for a while. The calling thread need not have the interpreter's lock: where
/// somebody else stands in front nothing is done, and whoever comes between the look at that and what is done then,
/// some nanoseconds later, loses its place to us.
pub(super) fn look_at_small(is_looked_at: bool, stretches: u32) -> bool {
    let (Ok(python), Ok(placed)) = (python(), PLACED.try_lock()) else { return false };
    let found = [MEM, OBJECT].map(|domain| {
        let (slot, _) = placed[domain].filter(|(_, is_in_place)| *is_in_place)?;
        let passes_on = BEHIND[slot][domain].passes_on();
        let behind = BEHIND[slot][domain].get().filter(|_| passes_on)?;
        let (front, hook) = (python.front(domain), ours(slot, domain, behind));
        (front.is(&hook) || front.is(behind)).then_some((domain, front, hook, behind))
    });
    let [Some(mem), Some(object)] = found else {
        look_at_all(python, &placed);
        return false;
    };
    stretches::stand_for(stretches);
    for (domain, front, hook, behind) in [mem, object] {
        let wanted = if is_looked_at { &hook } else { behind };
        if !front.is(wanted) {
            python.put(domain, wanted);
        }
    }
    true
}

/// Puts the hooks of small blocks in place again that were taken away for a while.
fn look_at_all(python: &Python, placed: &Placed) {
    if stretches::stands_for() == 1 {
        return;
    }
    stretches::stand_for(1);
    for domain in [MEM, OBJECT] {
        if let Some((slot, true)) = placed[domain]
            && let Some(behind) = BEHIND[slot][domain].get()
            && python.front(domain).is(behind)
        {
            python.put(domain, &ours(slot, domain, behind));
        }
    }
}

/// Whether nothing has to be done when blocks of objects are given back that were not sampled.
pub(super) fn is_free_spared() -> bool {
    let Some(placed) = placed() else { return false };
    placed[OBJECT].is_some_and(|(slot, _)| BEHIND[slot][OBJECT].passes_on())
}

/// Takes our hooks away where nobody stands in front of them; elsewhere they do nothing but pass on. The calling
/// thread has the interpreter's lock.
pub(super) fn take_away() {
    let (Ok(python), Some(mut placed)) = (python(), placed()) else { return };
    look_at_all(python, &placed);
    for (domain, placed) in placed.iter_mut().enumerate() {
        let Some((slot, is_in_place @ true)) = placed else { continue };
        if let Some(behind) = BEHIND[*slot][domain].get()
            && python.front(domain).is(&ours(*slot, domain, behind))
        {
            python.put(domain, behind);
            *is_in_place = false;
        }
    }
}
