//! The functions that the interpreter calls to get and give back memory, and how they are put in place.
//!
//! They stand in front of whatever was there, and call it: with the same context, so that a thread that
//! allocates without the interpreter's lock while they are put in place finds a pair that belongs together. What
//! stands behind a place is written once. Others may come in front of ours, or put back what was there before both;
//! ours are never unloaded, so whoever keeps them can call them, and once nobody does, others of ours take a
//! new place.
//!
//! The usual allocation costs a subtraction and a comparison, and giving back a look at one byte. Where the
//! interpreter's own allocator stands behind, giving back costs nothing: that one passes on to the raw domain what is
//! large, and what it then does not find among its own blocks when it is given back. So a block that is to be sampled is
//! asked for as a large one, and is seen to be given back there (ADR 0026).
#![expect(unsafe_code, reason = "these are C functions, called by the interpreter")]

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, OnceLock};

use super::{countdown, filter, recorder};
use crate::layout::symbol;

/// The interpreter's domains: raw, mem, object.
const DOMAINS: usize = 3;
/// The one that is also used without the interpreter's lock.
const RAW: usize = 0;
/// That of objects.
const OBJECT: usize = 2;
/// In front of how many others ours can be put in place, one after the other.
const SLOTS: usize = 4;
/// Allocations of more bytes may be passed on to another domain, whose hook then sees them as well. The
/// interpreter's own bound is 512, which includes what its debugging allocator adds.
const LARGE: usize = 384;
/// What the interpreter's own allocator passes on to the raw domain has at least so many bytes.
const PASSED_ON: usize = 513;

type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// `PyMemAllocatorEx`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    free: Free,
}

impl Allocator {
    fn is(&self, other: &Self) -> bool {
        let parts = |it: &Self| {
            [it.context as usize, it.malloc as usize, it.calloc as usize, it.realloc as usize, it.free as usize]
        };
        parts(self) == parts(other)
    }
}

/// What stands behind a hook.
struct Behind {
    allocator: UnsafeCell<MaybeUninit<Allocator>>,
    is_written: AtomicBool,
    /// It passes large blocks on to the raw domain, and gives them back there.
    passes_on: AtomicBool,
}

impl Behind {
    const fn nothing() -> Self {
        Self {
            allocator: UnsafeCell::new(MaybeUninit::uninit()),
            is_written: AtomicBool::new(false),
            passes_on: AtomicBool::new(false),
        }
    }

    fn get(&self) -> Option<&Allocator> {
        // SAFETY: it was written before it was said so, and is not written again.
        self.is_written.load(Ordering::Acquire).then(|| unsafe { (*self.allocator.get()).assume_init_ref() })
    }
}

// SAFETY: written once, before the hook is put in place, and only read from then on.
unsafe impl Sync for Behind {}

static BEHIND: [[Behind; DOMAINS]; SLOTS] = [const { [const { Behind::nothing() }; DOMAINS] }; SLOTS];

/// What a hook stands in front of.
#[inline(always)]
fn behind<const SLOT: usize, const DOMAIN: usize>() -> &'static Allocator {
    let behind = &BEHIND[SLOT][DOMAIN];
    // A processor that does not keep the order of loads may have found the hook before what was written earlier.
    // In the other domains the interpreter's lock sees to that.
    #[cfg(not(target_arch = "x86_64"))]
    while DOMAIN == RAW && !behind.is_written.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    // SAFETY: it was written before the hook was put in place.
    unsafe { (*behind.allocator.get()).assume_init_ref() }
}

/// Counts an allocation; whether there is nothing more to it.
#[inline(always)]
fn count<const DOMAIN: usize, const NEAR: bool>(size: usize) -> bool {
    if NEAR && DOMAIN != RAW {
        return countdown::count_near(size) && size <= LARGE;
    }
    let own = if NEAR { countdown::near() } else { countdown::own() };
    // SAFETY: `own` is the calling thread's, and no reference to it is held across a call.
    unsafe {
        // Most of what is asked of the raw domain is asked by the others.
        if DOMAIN == RAW && (*own).is_inside {
            return true;
        }
        let left = (*own).left.wrapping_sub(size as i64);
        (*own).left = left;
        left >= 0 && (DOMAIN == RAW || size <= LARGE)
    }
}

// What is rare is in functions of its own, which do not unwind either: so the others end with a jump. They take the same
// arguments at the same places, which costs nothing on the way to what is not rare. `PASSES_ON` says
// what is known of what stands behind, and whether a block that is sampled has to be a large one.

unsafe extern "C" fn malloc<const SLOT: usize, const DOMAIN: usize, const NEAR: bool, const PASSES_ON: bool>(
    context: *mut c_void,
    size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    if count::<DOMAIN, NEAR>(size) {
        // SAFETY: what was there before is called as the interpreter would have called it.
        return unsafe { (behind.malloc)(context, size) };
    }
    malloc_slowly::<SLOT, DOMAIN, PASSES_ON>(context, size)
}

#[inline(never)]
extern "C" fn malloc_slowly<const SLOT: usize, const DOMAIN: usize, const PASSES_ON: bool>(
    context: *mut c_void,
    size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    // SAFETY: as above.
    slowly(DOMAIN, size, |least| unsafe { (behind.malloc)(context, least_of::<PASSES_ON>(size, least)) })
}

unsafe extern "C" fn calloc<const SLOT: usize, const DOMAIN: usize, const NEAR: bool, const PASSES_ON: bool>(
    context: *mut c_void,
    items: usize,
    item_size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    // The interpreter has refused what would be too much.
    if count::<DOMAIN, NEAR>(items.wrapping_mul(item_size)) {
        // SAFETY: as above.
        return unsafe { (behind.calloc)(context, items, item_size) };
    }
    calloc_slowly::<SLOT, DOMAIN, PASSES_ON>(context, items, item_size)
}

#[inline(never)]
extern "C" fn calloc_slowly<const SLOT: usize, const DOMAIN: usize, const PASSES_ON: bool>(
    context: *mut c_void,
    items: usize,
    item_size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    let size = items.wrapping_mul(item_size);
    slowly(DOMAIN, size, |least| {
        let larger = least_of::<PASSES_ON>(size, least);
        let (items, item_size) = if larger == size { (items, item_size) } else { (1, larger) };
        // SAFETY: as above.
        unsafe { (behind.calloc)(context, items, item_size) }
    })
}

unsafe extern "C" fn realloc<const SLOT: usize, const DOMAIN: usize, const NEAR: bool, const PASSES_ON: bool>(
    context: *mut c_void,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    if count::<DOMAIN, NEAR>(size) && (PASSES_ON || !filter::may_have(block as usize)) {
        // SAFETY: as above.
        return unsafe { (behind.realloc)(context, block, size) };
    }
    realloc_slowly::<SLOT, DOMAIN, PASSES_ON>(context, block, size)
}

#[inline(never)]
extern "C" fn realloc_slowly<const SLOT: usize, const DOMAIN: usize, const PASSES_ON: bool>(
    context: *mut c_void,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    let behind = behind::<SLOT, DOMAIN>();
    // Before it is given back, as somebody else may get it then. What is passed on is so in the raw domain's hook.
    let is_known = !PASSES_ON && filter::may_have(block as usize);
    let earlier = if is_known { recorder::remove(block as usize) } else { None };
    // SAFETY: as above.
    let moved =
        slowly(DOMAIN, size, |least| unsafe { (behind.realloc)(context, block, least_of::<PASSES_ON>(size, least)) });
    if let Some(earlier) = earlier.filter(|_| moved.is_null()) {
        recorder::put_back(block as usize, earlier);
    }
    moved
}

unsafe extern "C" fn free<const SLOT: usize, const DOMAIN: usize>(context: *mut c_void, block: *mut c_void) {
    let behind = behind::<SLOT, DOMAIN>();
    if filter::may_have(block as usize) {
        return free_slowly::<SLOT, DOMAIN>(context, block);
    }
    // SAFETY: as above.
    unsafe { (behind.free)(context, block) };
}

#[inline(never)]
extern "C" fn free_slowly<const SLOT: usize, const DOMAIN: usize>(context: *mut c_void, block: *mut c_void) {
    // Before it is given back, as somebody else may get it then.
    let _ = recorder::remove(block as usize);
    // SAFETY: as above.
    unsafe { (behind::<SLOT, DOMAIN>().free)(context, block) };
}

/// For how many bytes what stands behind is asked.
#[inline(always)]
fn least_of<const PASSES_ON: bool>(size: usize, least: usize) -> usize {
    if PASSES_ON { size.max(least) } else { size }
}

/// Allocates what is sampled or large; `allocate` is told the least size that a block which is sampled must have.
fn slowly(domain: usize, size: usize, allocate: impl FnOnce(usize) -> *mut c_void) -> *mut c_void {
    let own = countdown::own();
    // SAFETY: `own` is the calling thread's, and no reference to it is held across a call.
    unsafe {
        if (*own).is_inside || (*own).probed != 0 {
            // It belongs to another allocation, or to a trial. In the first case the raw domain has counted nothing.
            if domain != RAW || !(*own).is_inside {
                (*own).left = (*own).left.wrapping_add(size as i64);
            }
            if usize::from((*own).probed) == domain + 1 {
                (*own).probed = 0;
            }
            return allocate(0);
        }
        (*own).is_inside = true;
        let interval = if (*own).left < 0 { (*own).sampled(size) } else { None };
        let block = allocate(if interval.is_some() { PASSED_ON } else { 0 });
        if let Some(interval) = interval.filter(|_| !block.is_null()) {
            recorder::sample(block as usize, size, interval, domain == RAW);
        }
        (*own).is_inside = false;
        block
    }
}

/// All but the function that gives back, which may be that of what stands behind.
type Hooks = (Malloc, Calloc, Realloc);

/// The hooks of a slot and domain: usual ones, and those in front of what passes on.
type OfDomain = ([Hooks; 2], Free);

const fn of_domain<const SLOT: usize, const DOMAIN: usize, const NEAR: bool>() -> OfDomain {
    let usual: Hooks = (
        malloc::<SLOT, DOMAIN, NEAR, false>,
        calloc::<SLOT, DOMAIN, NEAR, false>,
        realloc::<SLOT, DOMAIN, NEAR, false>,
    );
    let passes_on: Hooks =
        (malloc::<SLOT, DOMAIN, NEAR, true>, calloc::<SLOT, DOMAIN, NEAR, true>, realloc::<SLOT, DOMAIN, NEAR, true>);
    ([usual, passes_on], free::<SLOT, DOMAIN>)
}

const fn of_slot<const SLOT: usize, const NEAR: bool>() -> [OfDomain; DOMAINS] {
    [of_domain::<SLOT, 0, NEAR>(), of_domain::<SLOT, 1, NEAR>(), of_domain::<SLOT, 2, NEAR>()]
}

const fn all<const NEAR: bool>() -> [[OfDomain; DOMAINS]; SLOTS] {
    [of_slot::<0, NEAR>(), of_slot::<1, NEAR>(), of_slot::<2, NEAR>(), of_slot::<3, NEAR>()]
}

static HOOKS: [[OfDomain; DOMAINS]; SLOTS] = all::<false>();
static NEAR_HOOKS: [[OfDomain; DOMAINS]; SLOTS] = all::<true>();

/// Our hook of a slot in front of what stands behind it.
fn ours(slot: usize, domain: usize, behind: &Allocator) -> Allocator {
    let hooks = if countdown::is_near() { &NEAR_HOOKS } else { &HOOKS };
    let passes_on = BEHIND[slot][domain].passes_on.load(Ordering::Relaxed);
    let (functions, free) = hooks[slot][domain];
    let (malloc, calloc, realloc) = functions[usize::from(passes_on)];
    let free = if passes_on { behind.free } else { free };
    Allocator { context: behind.context, malloc, calloc, realloc, free }
}

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

/// Where ours are; the slot that was used last, and whether ours are in place, by domain.
static PLACED: Mutex<[Option<(usize, bool)>; DOMAINS]> = Mutex::new([None; DOMAINS]);

fn python() -> Result<&'static Python, String> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    PYTHON.get_or_init(Python::find).as_ref().map_err(String::clone)
}

/// Sees to it that allocations come through our hooks; whether they had been put away. The calling thread has the
/// interpreter's lock.
pub(super) fn keep_in_place() -> Result<bool, String> {
    let python = python()?;
    // It is held by others only if the process was forked meanwhile, and then for good.
    let mut placed = PLACED.try_lock().map_err(|_| "the process was forked while hooks were put in place")?;
    let mut were_away = false;
    for (domain, placed) in placed.iter_mut().enumerate() {
        let front = python.front(domain);
        let (slot, is_in_place) = placed.unwrap_or((0, false));
        let known = BEHIND[slot][domain].get();
        if is_in_place {
            let is_front = known.is_some_and(|behind| front.is(&ours(slot, domain, behind)));
            if is_front || python.reaches_ours(domain) {
                continue;
            }
            were_away = true;
        }
        let fits = |behind: &&[Behind; DOMAINS]| behind[domain].get().is_none_or(|known| known.is(&front));
        let Some(slot) = BEHIND.iter().position(|behind| fits(&behind)) else {
            return Err("too many others put hooks of their own in front of the interpreter's memory".to_owned());
        };
        let behind = &BEHIND[slot][domain];
        if !behind.is_written.load(Ordering::Acquire) {
            // SAFETY: nobody reads it before it is said to be written, and that happens once.
            unsafe { (*behind.allocator.get()).write(front) };
            behind.passes_on.store(domain != RAW && passes_on(&front), Ordering::Relaxed);
            behind.is_written.store(true, Ordering::Release);
            fence(Ordering::SeqCst);
        }
        python.put(domain, &ours(slot, domain, &front));
        *placed = Some((slot, true));
    }
    Ok(were_away)
}

/// Whether nothing has to be done when blocks of objects are given back that were not sampled.
pub(super) fn is_free_spared() -> bool {
    let Ok(placed) = PLACED.try_lock() else { return false };
    placed[OBJECT].is_some_and(|(slot, _)| BEHIND[slot][OBJECT].passes_on.load(Ordering::Relaxed))
}

/// Takes our hooks away where nobody stands in front of them; elsewhere they do nothing but pass on. The calling
/// thread has the interpreter's lock.
pub(super) fn take_away() {
    let (Ok(python), Ok(mut placed)) = (python(), PLACED.try_lock()) else { return };
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
