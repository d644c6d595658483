//! The functions that the interpreter calls to get and give back memory ([`super::places`] puts them in place).
//!
//! They stand in front of whatever was there, and call it: with the same context, so that a thread that
//! allocates without the interpreter's lock while they are put in place finds a pair that belongs together. What
//! stands behind a place is written once.
//!
//! The usual allocation costs a subtraction and a comparison, and giving back a look at one byte. Where the
//! interpreter's own allocator stands behind, giving back costs nothing: that one passes on to the raw domain what is
//! large, and what it then does not find among its own blocks when it is given back. So a block that is to be sampled is
//! asked for as a large one, and is seen to be given back there (ADR 0026).
#![expect(unsafe_code, reason = "these are C functions, called by the interpreter")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use super::recorder::Amount;
use super::{countdown, filter, interval, recorder, stretches};

/// The interpreter's domains: raw, mem, object.
pub(super) const DOMAINS: usize = 3;
/// The one that is also used without the interpreter's lock.
pub(super) const RAW: usize = 0;
/// In front of how many others ours can be put in place, one after the other.
pub(super) const SLOTS: usize = 4;
/// Allocations of more bytes may be passed on to another domain, whose hook then sees them as well. The
/// interpreter's own bound is 512, which includes what its debugging allocator adds.
const LARGE: usize = 384;
/// What the interpreter's own allocator passes on to the raw domain has at least so many bytes.
pub(super) const PASSED_ON: usize = 513;

type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// `PyMemAllocatorEx`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Allocator {
    pub(super) context: *mut c_void,
    pub(super) malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    pub(super) free: Free,
}

impl Allocator {
    pub(super) fn is(&self, other: &Self) -> bool {
        let parts = |it: &Self| {
            [it.context as usize, it.malloc as usize, it.calloc as usize, it.realloc as usize, it.free as usize]
        };
        parts(self) == parts(other)
    }
}

/// What stands behind a hook.
pub(super) struct Behind {
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

    pub(super) fn get(&self) -> Option<&Allocator> {
        // SAFETY: it was written before it was said so, and is not written again.
        self.is_written.load(Ordering::Acquire).then(|| unsafe { (*self.allocator.get()).assume_init_ref() })
    }

    /// Says what it is, unless that was said before. The calling thread has the interpreter's lock.
    pub(super) fn set(&self, front: &Allocator, passes_on: impl FnOnce() -> bool) {
        if !self.is_written.load(Ordering::Acquire) {
            // SAFETY: nobody reads it before it is said to be written, and that happens once.
            unsafe { (*self.allocator.get()).write(*front) };
            self.passes_on.store(passes_on(), Ordering::Relaxed);
            self.is_written.store(true, Ordering::Release);
            fence(Ordering::SeqCst);
        }
    }

    /// Whether it passes large blocks on to the raw domain, and gives them back there.
    pub(super) fn passes_on(&self) -> bool {
        self.passes_on.load(Ordering::Relaxed)
    }
}

// SAFETY: written once, before the hook is put in place, and only read from then on.
unsafe impl Sync for Behind {}

pub(super) static BEHIND: [[Behind; DOMAINS]; SLOTS] = [const { [const { Behind::nothing() }; DOMAINS] }; SLOTS];

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
    slowly::<PASSES_ON>(DOMAIN, size, |least| unsafe { (behind.malloc)(context, least_of::<PASSES_ON>(size, least)) })
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
    slowly::<PASSES_ON>(DOMAIN, size, |least| {
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
    let moved = slowly::<PASSES_ON>(DOMAIN, size, |least| unsafe {
        (behind.realloc)(context, block, least_of::<PASSES_ON>(size, least))
    });
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
fn slowly<const PASSES_ON: bool>(
    domain: usize,
    size: usize,
    allocate: impl FnOnce(usize) -> *mut c_void,
) -> *mut c_void {
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
        let gap = if (*own).left < 0 { (*own).sampled(size) } else { None };
        let block = allocate(if gap.is_some() { PASSED_ON } else { 0 });
        if let Some(gap) = gap.filter(|_| !block.is_null()) {
            interval::count();
            let is_small = PASSES_ON && size < PASSED_ON;
            let stands_for = if is_small { stretches::stands_for() } else { 1 };
            let amount = Amount::of(size, gap, stands_for);
            if is_small {
                stretches::count(amount.blocks);
            }
            recorder::sample(block as usize, amount, domain == RAW, PASSES_ON || domain == RAW);
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
pub(super) fn ours(slot: usize, domain: usize, behind: &Allocator) -> Allocator {
    let hooks = if countdown::is_near() { &NEAR_HOOKS } else { &HOOKS };
    let passes_on = BEHIND[slot][domain].passes_on();
    let (functions, free) = hooks[slot][domain];
    let (malloc, calloc, realloc) = functions[usize::from(passes_on)];
    let free = if passes_on { behind.free } else { free };
    Allocator { context: behind.context, malloc, calloc, realloc, free }
}
