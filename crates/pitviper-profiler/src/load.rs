//! Loads that may fail: reading memory that its owner may give back at any moment.
//!
//! A load is one instruction at a known address. When it faults, the handler of SIGSEGV and SIGBUS moves the
//! thread on to an address that says so; every other fault is passed to the handler that was there before.
//! The interpreter's own handler (`faulthandler`), when it is put on top of ours, is called by ours instead. While
//! anybody else's is on top nothing is read: asking the kernel to copy would take some hundred times as long, and
//! stacks that change meanwhile could not be told from others.
#![expect(unsafe_code, reason = "reads memory of the interpreter, and handles the faults of that")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Whether the handler of a fault is ours, as of the last [`check`].
static OWNED: AtomicBool = AtomicBool::new(false);
/// Faults of our loads.
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// The signals of a load that fails.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// How many loads have faulted.
pub(crate) fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// Whether anything can be read: not while somebody else's handler is on top of ours.
pub(crate) fn is_possible() -> bool {
    OWNED.load(Ordering::Relaxed)
}

/// The eight bytes at an address; `None` if nothing can be read there.
#[inline]
pub(crate) fn word(address: usize) -> Option<usize> {
    let mut value = 0_usize;
    if OWNED.load(Ordering::Relaxed) {
        // SAFETY: the function reads eight bytes at any address and says whether that worked; `value` can
        // be written to. A fault is handled, because the handler is ours.
        let read = unsafe { pitviper_load_word(address, &raw mut value) };
        return (read != 0).then_some(value);
    }
    None
}

/// Copies what is at an address; whether all of it can be read.
pub(crate) fn copy(address: usize, to: &mut [u8]) -> bool {
    if OWNED.load(Ordering::Relaxed) {
        // SAFETY: as above; `to` is as long as is said.
        return unsafe { pitviper_load_copy(to.as_mut_ptr(), address, to.len()) != 0 };
    }
    false
}

/// While it lives, faults of the calling thread's loads are handled, though the application may have blocked their
/// signals there: one that comes while its signal is blocked ends the process. For threads that are not ours.
#[derive(Debug)]
pub(crate) struct Handled {
    before: Option<libc::sigset_t>,
}

impl Handled {
    pub(crate) fn here() -> Self {
        // SAFETY: both sets are plain structures; the first is initialised before it is read, and the second
        // filled by the call, and used only if that succeeded. Nothing but this thread's mask is changed.
        unsafe {
            let mut faults = std::mem::zeroed::<libc::sigset_t>();
            let mut before = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut faults);
            for signal in SIGNALS {
                libc::sigaddset(&raw mut faults, signal);
            }
            let is_done = libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const faults, &raw mut before) == 0;
            let was_blocked = || SIGNALS.into_iter().any(|signal| libc::sigismember(&raw const before, signal) == 1);
            Self { before: (is_done && was_blocked()).then_some(before) }
        }
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: gives back the mask that the thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text",
    ".hidden pitviper_load_word",
    ".globl pitviper_load_word",
    ".type pitviper_load_word,@function",
    "pitviper_load_word:",
    ".hidden pitviper_load_word_at",
    ".globl pitviper_load_word_at",
    "pitviper_load_word_at:",
    "mov rax, [rdi]",
    "mov [rsi], rax",
    "mov eax, 1",
    "ret",
    ".hidden pitviper_load_copy",
    ".globl pitviper_load_copy",
    ".type pitviper_load_copy,@function",
    "pitviper_load_copy:",
    "mov rcx, rdx",
    ".hidden pitviper_load_copy_at",
    ".globl pitviper_load_copy_at",
    "pitviper_load_copy_at:",
    "rep movsb",
    "mov eax, 1",
    "ret",
    ".hidden pitviper_load_failed",
    ".globl pitviper_load_failed",
    "pitviper_load_failed:",
    "xor eax, eax",
    "ret",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .text",
    ".hidden pitviper_load_word",
    ".globl pitviper_load_word",
    ".type pitviper_load_word,@function",
    "pitviper_load_word:",
    ".hidden pitviper_load_word_at",
    ".globl pitviper_load_word_at",
    "pitviper_load_word_at:",
    "ldr x2, [x0]",
    "str x2, [x1]",
    "mov x0, #1",
    "ret",
    ".hidden pitviper_load_copy",
    ".globl pitviper_load_copy",
    ".type pitviper_load_copy,@function",
    "pitviper_load_copy:",
    "cbz x2, 2f",
    ".hidden pitviper_load_copy_at",
    ".globl pitviper_load_copy_at",
    "pitviper_load_copy_at:",
    "ldrb w3, [x1]",
    "strb w3, [x0], #1",
    "add x1, x1, #1",
    "subs x2, x2, #1",
    "b.ne pitviper_load_copy_at",
    "2:",
    "mov x0, #1",
    "ret",
    ".hidden pitviper_load_failed",
    ".globl pitviper_load_failed",
    "pitviper_load_failed:",
    "mov x0, #0",
    "ret",
    ".popsection",
);

mod handler {
    use super::*;

    unsafe extern "C" {
        pub(super) fn pitviper_load_word(address: usize, to: *mut usize) -> usize;
        pub(super) fn pitviper_load_copy(to: *mut u8, address: usize, length: usize) -> usize;
        static pitviper_load_word_at: u8;
        static pitviper_load_copy_at: u8;
        static pitviper_load_failed: u8;
    }

    /// The handlers that were there before ours.
    struct Earlier(UnsafeCell<[MaybeUninit<libc::sigaction>; 2]>);

    // SAFETY: written before our handler is put in place, by the one thread that holds the profiler's
    // lock, and read by our handler.
    unsafe impl Sync for Earlier {}

    /// Handlers of the interpreter that were put on top of ours. They end the process, and give ours back before:
    /// they are called once.
    static OVER: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

    static EARLIER: Earlier = Earlier(UnsafeCell::new([const { MaybeUninit::uninit() }; 2]));

    /// Handles a fault: one of ours is over, every other one goes to the handler that was there before.
    extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives the interrupted thread's registers, which may be written to. The
        // addresses are those of the instructions above. The earlier handler was written before this one
        // was put in place, and is called as the kernel would have called it.
        unsafe {
            let context_of = context.cast::<libc::ucontext_t>();
            #[cfg(target_arch = "x86_64")]
            let at = &raw mut (*context_of).uc_mcontext.gregs[libc::REG_RIP as usize];
            #[cfg(target_arch = "aarch64")]
            let at = &raw mut (*context_of).uc_mcontext.pc;
            let here = *at as usize;
            if here == &raw const pitviper_load_word_at as usize || here == &raw const pitviper_load_copy_at as usize {
                FAULTS.fetch_add(1, Ordering::Relaxed);
                *at = (&raw const pitviper_load_failed as usize) as _;
                return;
            }
            let place = usize::from(signal == SIGNALS[1]);
            let over = OVER[place].swap(0, Ordering::SeqCst);
            if over != 0 {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(over);
                return handler(signal);
            }
            let earlier = (*EARLIER.0.get())[place].assume_init();
            match earlier.sa_sigaction {
                libc::SIG_DFL | libc::SIG_IGN => {
                    // The instruction faults again, now without a handler.
                    libc::signal(signal, libc::SIG_DFL);
                    if (*info).si_code <= 0 {
                        libc::raise(signal);
                    }
                }
                handler if earlier.sa_flags & libc::SA_SIGINFO != 0 => {
                    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(handler);
                    handler(signal, info, context);
                }
                handler => {
                    let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                    handler(signal);
                }
            }
        }
    }

    fn current(signal: libc::c_int) -> Option<libc::sigaction> {
        // SAFETY: the structure is plain and filled by the call before it is read.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            (libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0).then_some(action)
        }
    }

    fn ours() -> usize {
        on_fault as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize
    }

    /// Puts our handlers in place, before those that are there. To be called by one thread at a time.
    pub(crate) fn install() {
        for (place, signal) in SIGNALS.into_iter().enumerate() {
            put(place, signal, true);
        }
        check();
    }

    /// Puts ours in front of what is there; unless `always`, only where nobody handles the signal.
    fn put(place: usize, signal: libc::c_int, always: bool) {
        let Some(there) = current(signal).filter(|there| there.sa_sigaction != ours()) else {
            return;
        };
        // That of the `signal` module, which is also the one of SIGINT, comes back to the fault for ever.
        let is_of_signal_module = current(libc::SIGINT).is_some_and(|of| of.sa_sigaction == there.sa_sigaction);
        let is_interpreters = !always
            && !is_of_signal_module
            && there.sa_flags & libc::SA_SIGINFO == 0
            && is_of_interpreter(there.sa_sigaction);
        if !always && there.sa_sigaction != libc::SIG_DFL && !is_interpreters {
            return;
        }
        if is_interpreters {
            OVER[place].store(there.sa_sigaction, Ordering::SeqCst);
        }
        // SAFETY: see `Earlier`; the action is a plain structure with a function of this library, which is
        // never unloaded.
        unsafe {
            if !is_interpreters {
                OVER[place].store(0, Ordering::SeqCst);
                (*EARLIER.0.get())[place] = MaybeUninit::new(there);
            }
            let mut action = std::mem::zeroed::<libc::sigaction>();
            action.sa_sigaction = ours();
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }

    /// Whether a function lies in the same file as the interpreter.
    fn is_of_interpreter(function: usize) -> bool {
        // SAFETY: both calls look up what is loaded; the structures are plain, and filled where the call says so.
        let file_of = |address: usize| unsafe {
            let mut found = std::mem::zeroed::<libc::Dl_info>();
            (libc::dladdr(address as *const libc::c_void, &raw mut found) != 0).then_some(found.dli_fbase as usize)
        };
        // SAFETY: as above.
        let runtime = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_PyRuntime".as_ptr()) as usize };
        runtime != 0 && function > 1 && file_of(function).is_some_and(|file| file_of(runtime) == Some(file))
    }

    /// Looks whose the handlers are. One that was taken away is put back; so is one that the interpreter put its own
    /// on top of. One that somebody else put there stays.
    pub(crate) fn check() {
        let mut owned = true;
        for (place, signal) in SIGNALS.into_iter().enumerate() {
            let is_ours = || current(signal).is_some_and(|there| there.sa_sigaction == ours());
            if !is_ours() {
                put(place, signal, false);
                owned &= is_ours();
            }
        }
        OWNED.store(owned, Ordering::Relaxed);
    }

    /// Gives the earlier handlers back, where ours are on top.
    pub(crate) fn uninstall() {
        OWNED.store(false, Ordering::Relaxed);
        for (place, signal) in SIGNALS.into_iter().enumerate() {
            if current(signal).is_some_and(|there| there.sa_sigaction == ours()) {
                // SAFETY: ours is in place, so the earlier one was written.
                unsafe {
                    let mut earlier = (*EARLIER.0.get())[place].assume_init();
                    let over = OVER[place].swap(0, Ordering::SeqCst);
                    if over != 0 {
                        earlier.sa_sigaction = over;
                        earlier.sa_flags = libc::SA_NODEFER | libc::SA_ONSTACK;
                    }
                    libc::sigaction(signal, &raw const earlier, std::ptr::null_mut());
                }
            }
        }
    }
}

pub(crate) use handler::{check, install, uninstall};
use handler::{pitviper_load_copy, pitviper_load_word};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_and_other_faults_stay_the_owners() {
        install();
        assert!(is_possible());
        let value = 0x1234_5678_usize;
        assert_eq!(word(&raw const value as usize), Some(value));
        let before = faults();
        assert_eq!(word(0), None);
        assert_eq!(word(usize::MAX - 7), None);
        let mut to = [7_u8; 16];
        assert!(!copy(8, &mut to));
        assert_eq!(to, [7; 16]);
        assert!(faults() >= before + 2);
        assert!(copy(&raw const value as usize, &mut to[..8]));
        assert_eq!(usize::from_ne_bytes(to[..8].try_into().expect("eight")), value);
        std::thread::spawn(|| {
            crate::task::with_signals_blocked(|| {
                let handled = Handled::here();
                assert_eq!(word(0), None);
                drop(handled);
                let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
                // SAFETY: with no new mask the call only fills in the thread's own.
                let is_blocked = unsafe {
                    libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
                    libc::sigismember(mask.as_ptr(), libc::SIGSEGV)
                };
                assert_eq!(is_blocked, 1, "the application's mask is as it was");
            });
        })
        .join()
        .expect("a thread whose signals are blocked reads as others do");
        uninstall();
        assert!(!is_possible());
        assert_eq!(word(&raw const value as usize), None);
    }
}
