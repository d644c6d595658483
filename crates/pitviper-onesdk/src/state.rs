//! What concerns the SDK as a whole: options, initialisation, states, and where messages go.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Error codes, `ONESDK_ERROR_*`.
pub mod code {
    const BASE: i32 = -0x5002_0000;
    /// It worked.
    pub const SUCCESS: i32 = 0;
    pub(crate) const GENERIC: i32 = BASE + 1;
    pub(crate) const INVALID_ARGUMENT: i32 = BASE + 2;
    pub(crate) const NOT_IMPLEMENTED: i32 = BASE + 3;
    pub(crate) const NOT_INITIALIZED: i32 = BASE + 4;
    pub(crate) const OUT_OF_MEMORY: i32 = BASE + 5;
    pub(crate) const AGENT_NOT_ACTIVE: i32 = BASE + 6;
    pub(crate) const LOAD_AGENT: i32 = BASE + 7;
    pub(crate) const INVALID_AGENT_BINARY: i32 = BASE + 8;
    pub(crate) const UNEXPECTED: i32 = BASE + 9;
    pub(crate) const ENTRY_ALREADY_EXISTS: i32 = BASE + 10;
    pub(crate) const FEATURE_LEVEL_NOT_SUPPORTED: i32 = BASE + 11;
    pub(crate) const INTERFACE_NOT_SUPPORTED: i32 = BASE + 12;
    pub(crate) const FORK_CHILD: i32 = BASE + 13;
    pub(crate) const NO_DATA: i32 = BASE + 14;

    /// What a code means.
    #[must_use]
    pub fn message(code: i32) -> &'static str {
        match code {
            SUCCESS => "The operation completed successfully.",
            GENERIC => "The operation failed.",
            INVALID_ARGUMENT => "An argument makes no sense.",
            NOT_IMPLEMENTED => "Pitviper does not have this function.",
            NOT_INITIALIZED => "The SDK has not been initialized.",
            OUT_OF_MEMORY => "There is not enough memory.",
            AGENT_NOT_ACTIVE => "The agent is switched off.",
            LOAD_AGENT => "Pitviper's agent does not run in this process; start it with pitviper run.",
            INVALID_AGENT_BINARY => "The agent's library does not have what the SDK needs.",
            UNEXPECTED => "Something went wrong within the agent.",
            ENTRY_ALREADY_EXISTS => "The option was set before.",
            FEATURE_LEVEL_NOT_SUPPORTED => "The agent does not have this version's functions.",
            INTERFACE_NOT_SUPPORTED => "The agent does not have this interface.",
            FORK_CHILD => "This process was forked while the SDK was initialized.",
            NO_DATA => "There is nothing to return.",
            _ => "An error that is not the SDK's.",
        }
    }
}

/// `ONESDK_AGENT_STATE_*`.
pub(crate) mod agent_state {
    pub(crate) const ACTIVE: i32 = 0;
    pub(crate) const PERMANENTLY_INACTIVE: i32 = 2;
    pub(crate) const NOT_INITIALIZED: i32 = 3;
}

/// `ONESDK_AGENT_FORK_STATE_*`.
pub(crate) mod fork_state {
    pub(crate) const PARENT_INITIALIZED: i32 = 1;
    pub(crate) const PRE_INITIALIZED: i32 = 2;
    pub(crate) const FULLY_INITIALIZED: i32 = 3;
    pub(crate) const NOT_FORKABLE: i32 = 4;
    pub(crate) const ERROR: i32 = -1;
}

/// The flag of `onesdk_initialize_2` for processes whose children trace.
const FORKABLE: u32 = 1;
/// What options on a command line begin with.
const ARGUMENT_PREFIX: &str = "--dt_";
/// Most options that are remembered. Pitviper's agent has settings of its own and uses none of them.
const MAX_OPTIONS: usize = 256;

/// Who initialized the SDK and has not shut it down: programs and their libraries do so each for itself.
static USES: AtomicUsize = AtomicUsize::new(0);
/// The last one who wanted to use it was told that it is switched off.
static IS_SWITCHED_OFF: AtomicBool = AtomicBool::new(false);
static IS_FORKABLE: AtomicBool = AtomicBool::new(false);
/// The process that initialized the SDK.
static INITIALIZER: AtomicU32 = AtomicU32::new(0);
/// The process that used the SDK last.
static USER: AtomicU32 = AtomicU32::new(0);
static OPTIONS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
static WARN: AtomicUsize = AtomicUsize::new(0);

/// A function that takes a message.
pub type Callback = unsafe extern "C" fn(*const c_char);

fn options() -> MutexGuard<'static, BTreeMap<String, String>> {
    OPTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an argument is an option for the SDK.
#[must_use]
pub fn is_argument(argument: &str) -> bool {
    argument.starts_with(ARGUMENT_PREFIX)
}

/// Takes `--dt_name=value`.
pub fn set_from_argument(argument: &str, replace: bool) -> i32 {
    argument.strip_prefix(ARGUMENT_PREFIX).map_or(code::INVALID_ARGUMENT, |option| set_option(option, replace))
}

/// Takes `name=value`.
pub fn set_option(option: &str, replace: bool) -> i32 {
    let Some((name, value)) = option.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return code::INVALID_ARGUMENT;
    };
    let mut options = options();
    if options.contains_key(name) && !replace {
        return code::ENTRY_ALREADY_EXISTS;
    }
    if options.len() >= MAX_OPTIONS && !options.contains_key(name) {
        return code::OUT_OF_MEMORY;
    }
    options.insert(name.to_owned(), value.to_owned());
    code::SUCCESS
}

/// Forgets all options.
pub fn free_options() {
    options().clear();
}

/// Gets ready; may be called again.
pub fn initialize(flags: u32) -> i32 {
    if crate::spans().is_none() {
        return code::LOAD_AGENT;
    }
    crate::handles::follow_forks();
    IS_SWITCHED_OFF.store(is_switched_off(&options()), Ordering::Relaxed);
    if IS_SWITCHED_OFF.load(Ordering::Relaxed) {
        return code::AGENT_NOT_ACTIVE;
    }
    // What the first one says holds.
    if USES.fetch_add(1, Ordering::Relaxed) == 0 {
        IS_FORKABLE.store(flags & FORKABLE != 0, Ordering::Relaxed);
        INITIALIZER.store(std::process::id(), Ordering::Relaxed);
    }
    code::SUCCESS
}

/// Whether an option or the environment says that nothing is to be traced.
fn is_switched_off(options: &BTreeMap<String, String>) -> bool {
    let said = options.get("agentactive").cloned().or_else(|| std::env::var("DT_AGENTACTIVE").ok());
    said.is_some_and(|said| said.eq_ignore_ascii_case("false") || said == "0")
}

fn is_initialized() -> bool {
    USES.load(Ordering::Relaxed) > 0
}

/// Ends what one [`initialize`] began; with the last of them the SDK. The agent itself goes on.
pub fn shutdown() -> i32 {
    let before = USES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |uses| uses.checked_sub(1));
    match before {
        Err(_) => return code::NOT_INITIALIZED,
        Ok(1) => crate::spans().into_iter().for_each(|spans| spans.send()),
        Ok(_) => {}
    }
    code::SUCCESS
}

/// Where spans live, if the SDK was initialized; notes that this process uses it.
pub(crate) fn spans() -> Option<&'static dyn crate::Spans> {
    if !is_initialized() {
        return None;
    }
    USER.store(std::process::id(), Ordering::Relaxed);
    crate::spans().filter(|spans| spans.agent().is_enabled())
}

/// Whether there is an agent that traces.
#[must_use]
pub fn current_state() -> i32 {
    match crate::spans() {
        Some(spans) if is_initialized() && spans.agent().is_enabled() => {
            // Asking counts as using.
            USER.store(std::process::id(), Ordering::Relaxed);
            agent_state::ACTIVE
        }
        Some(_) if is_initialized() || IS_SWITCHED_OFF.load(Ordering::Relaxed) => agent_state::PERMANENTLY_INACTIVE,
        _ => agent_state::NOT_INITIALIZED,
    }
}

/// What forked children may do. All of them trace, whoever asked for it; what is told is what callers of
/// the SDK go by.
#[must_use]
pub fn current_fork_state() -> i32 {
    if !is_initialized() {
        return fork_state::ERROR;
    }
    let process = std::process::id();
    match IS_FORKABLE.load(Ordering::Relaxed) {
        false => fork_state::NOT_FORKABLE,
        true if INITIALIZER.load(Ordering::Relaxed) == process => fork_state::PARENT_INITIALIZED,
        true if USER.load(Ordering::Relaxed) == process => fork_state::FULLY_INITIALIZED,
        true => fork_state::PRE_INITIALIZED,
    }
}

/// Says where warnings go; `None` for nowhere.
pub fn set_warning_callback(callback: Option<Callback>) -> i32 {
    WARN.store(callback.map_or(0, |callback| callback as usize), Ordering::Release);
    code::SUCCESS
}

/// Tells the application what it does that has no effect.
pub(crate) fn warn(message: &str) {
    let callback = WARN.load(Ordering::Acquire);
    if callback != 0
        && let Ok(message) = CString::new(message)
    {
        crate::ffi::call(callback, &message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_once_unless_they_are_to_be_replaced() {
        assert_eq!(set_option("home=/opt", false), code::SUCCESS);
        assert_eq!(set_option("home=/srv", false), code::ENTRY_ALREADY_EXISTS);
        assert_eq!(set_option("home=/srv", true), code::SUCCESS);
        assert_eq!(set_option("home", true), code::INVALID_ARGUMENT);
        assert_eq!(set_from_argument("--dt_loglevel=info", false), code::SUCCESS);
        assert_eq!(set_from_argument("--loglevel=info", false), code::INVALID_ARGUMENT);
        assert_eq!(options().get("home").map(String::as_str), Some("/srv"));
        free_options();
        assert!(options().is_empty());
        assert!(is_argument("--dt_x=1") && !is_argument("-dt_x=1"));
    }
}
