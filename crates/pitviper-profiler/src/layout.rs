//! Where the interpreter that this was built for keeps what is read of it.
#![expect(unsafe_code, reason = "the table is compiled from CPython's own headers, and symbols are looked up")]

use std::ffi::CStr;

/// Offsets in bytes, and sizes; -1 for what the version does not have. See `shim/layout.c`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Layout {
    pub(crate) version: i64,
    pub(crate) runtime_interpreters: i64,
    pub(crate) runtime_finalizing: i64,
    pub(crate) runtime_gil: i64,
    pub(crate) interpreter_next: i64,
    pub(crate) interpreter_threads: i64,
    pub(crate) interpreter_gil: i64,
    pub(crate) gil_size: i64,
    pub(crate) thread_next: i64,
    pub(crate) thread_interpreter: i64,
    pub(crate) thread_number: i64,
    pub(crate) thread_ident: i64,
    pub(crate) thread_native_id: i64,
    pub(crate) thread_cframe: i64,
    pub(crate) cframe_frame: i64,
    pub(crate) thread_frame: i64,
    pub(crate) thread_context: i64,
    pub(crate) thread_context_version: i64,
    pub(crate) thread_loop_hook: i64,
    pub(crate) frame_code: i64,
    pub(crate) frame_back: i64,
    pub(crate) frame_ip: i64,
    pub(crate) frame_ip_size: i64,
    pub(crate) frame_owner: i64,
    pub(crate) frame_shim_owner: i64,
    pub(crate) object_type: i64,
    pub(crate) var_size: i64,
    pub(crate) code_file: i64,
    pub(crate) code_name: i64,
    pub(crate) code_qualname: i64,
    pub(crate) code_first_line: i64,
    pub(crate) code_lines: i64,
    pub(crate) code_units: i64,
    pub(crate) text_length: i64,
    pub(crate) text_state: i64,
    pub(crate) text_ascii_data: i64,
    pub(crate) text_data: i64,
    pub(crate) bytes_data: i64,
    pub(crate) type_name: i64,
    pub(crate) context_variables: i64,
    pub(crate) tree_root: i64,
    pub(crate) bitmap_bits: i64,
    pub(crate) bitmap_entries: i64,
    pub(crate) array_nodes: i64,
    pub(crate) collision_entries: i64,
    pub(crate) thread_dict: i64,
    pub(crate) thread_running_loop: i64,
    pub(crate) thread_running_task: i64,
    pub(crate) thread_tasks: i64,
    pub(crate) generator_frame: i64,
    pub(crate) generator_state: i64,
    pub(crate) frame_state: i64,
    pub(crate) suspended: i64,
    pub(crate) frame_stack_depth: i64,
    pub(crate) frame_stack: i64,
    pub(crate) frame_stack_top: i64,
    pub(crate) dict_keys: i64,
    pub(crate) keys_size: i64,
    pub(crate) keys_log2_indices: i64,
    pub(crate) keys_kind: i64,
    pub(crate) keys_count: i64,
    pub(crate) keys_indices: i64,
    pub(crate) set_mask: i64,
    pub(crate) set_table: i64,
    pub(crate) reference_object: i64,
    pub(crate) type_base: i64,
    pub(crate) type_size: i64,
    pub(crate) number_tag: i64,
    pub(crate) number_digits: i64,
    pub(crate) traceback_next: i64,
    pub(crate) traceback_frame: i64,
    pub(crate) traceback_instruction: i64,
    pub(crate) frame_object_frame: i64,
    pub(crate) frame_object_back: i64,
    pub(crate) frame_object_data: i64,
}

/// What is known of the running interpreter: its layout and where its things are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interpreter {
    pub(crate) layout: Layout,
    pub(crate) runtime: usize,
    pub(crate) code_type: usize,
    pub(crate) text_type: usize,
    pub(crate) bytes_type: usize,
}

unsafe extern "C" {
    static pitviper_profiler_layout: Layout;
    fn pitviper_profiler_text_state(raw: u32) -> u32;
}

impl Interpreter {
    /// The interpreter of this process, whose version is `hexversion`; the reason why it cannot be read.
    pub(crate) fn find(hexversion: u32) -> Result<Self, String> {
        // SAFETY: the constant is compiled from shim/layout.c with the same fields in the same order.
        let layout = unsafe { pitviper_profiler_layout };
        let minor = |version: i64| (version >> 24, (version >> 16) & 0xFF);
        if minor(layout.version) != minor(i64::from(hexversion)) {
            return Err(format!(
                "the agent was built for another CPython (0x{:08x}) than the one that runs (0x{hexversion:08x})",
                layout.version
            ));
        }
        Ok(Self {
            layout,
            runtime: symbol(c"_PyRuntime")?,
            code_type: symbol(c"PyCode_Type")?,
            text_type: symbol(c"PyUnicode_Type")?,
            bytes_type: symbol(c"PyBytes_Type")?,
        })
    }

    /// Major and minor version.
    pub(crate) fn version(&self) -> (u8, u8) {
        ((self.layout.version >> 24) as u8, (self.layout.version >> 16) as u8)
    }
}

/// The kind of a text (bytes a character), whether it is compact, and whether it is ASCII.
pub(crate) fn text_state(raw: u32) -> (u32, bool, bool) {
    // SAFETY: the function computes with its argument and touches nothing else.
    let state = unsafe { pitviper_profiler_text_state(raw) };
    (state & 7, state & 8 != 0, state & 16 != 0)
}

/// Where a variable or a function of the interpreter is.
pub(crate) fn symbol(name: &CStr) -> Result<usize, String> {
    // SAFETY: the name is a C string, and the call only looks it up in what is loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() {
        return Err(format!("the interpreter does not export {}", name.to_string_lossy()));
    }
    Ok(found as usize)
}
