/* Where CPython keeps what the sampler reads, as its own headers say. Constants alone: what is read is
 * read by Rust. A field that a version does not have is -1. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h>
#include <frameobject.h>
#include <stddef.h>
#include <stdint.h>
#include "internal/pycore_context.h"
#include "internal/pycore_gil.h"
#include "internal/pycore_hamt.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_dict.h"
#endif
#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_code.h"
#include "internal/pycore_frame.h"
#endif
#if PY_VERSION_HEX >= 0x030D0000
#include "internal/pycore_tstate.h"
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_interpframe_structs.h"
#endif

#define AT(type, field) ((int64_t)offsetof(type, field))
#define NONE ((int64_t)-1)

/* The order is that of `Layout` in layout.rs. */
struct layout {
    int64_t version;
    int64_t runtime_interpreters, runtime_finalizing, runtime_gil;
    int64_t interpreter_next, interpreter_threads, interpreter_gil;
    int64_t gil_size;
    int64_t thread_next, thread_interpreter, thread_number, thread_ident, thread_native_id;
    int64_t thread_cframe, cframe_frame, thread_frame, thread_context;
    int64_t thread_context_version, thread_loop_hook;
    int64_t frame_code, frame_back, frame_ip, frame_ip_size, frame_owner, frame_shim_owner;
    int64_t object_type, var_size;
    int64_t code_file, code_name, code_qualname, code_first_line, code_lines, code_units;
    int64_t text_length, text_state, text_ascii_data, text_data;
    int64_t bytes_data;
    int64_t type_name, context_variables, tree_root;
    int64_t bitmap_bits, bitmap_entries, array_nodes, collision_entries;
    int64_t thread_dict, thread_running_loop, thread_running_task, thread_tasks;
    int64_t generator_frame, generator_state, frame_state, suspended;
    int64_t frame_stack_depth, frame_stack, frame_stack_top;
    int64_t dict_keys;
    int64_t keys_size, keys_log2_indices, keys_kind, keys_count, keys_indices;
    int64_t set_mask, set_table, reference_object, type_base, type_size;
    int64_t number_tag, number_digits;
    int64_t traceback_next, traceback_frame, traceback_instruction;
    int64_t frame_object_frame, frame_object_back, frame_object_data;
};

/* The nodes of a context's tree, which most versions declare where they are used alone. */
struct bitmap_node {
    PyObject_VAR_HEAD
    uint32_t bits;
    PyObject *entries[1];
};
struct array_node {
    PyObject_HEAD
    void *nodes[32];
    Py_ssize_t count;
};
struct collision_node {
    PyObject_VAR_HEAD
    int32_t hash;
    PyObject *entries[1];
};

#if PY_VERSION_HEX < 0x030B0000
/* The keys of a dictionary, which these versions declare where they are used alone. */
struct _dictkeysobject {
    Py_ssize_t dk_refcnt;
    Py_ssize_t dk_size;
    void *dk_lookup;
    Py_ssize_t dk_usable;
    Py_ssize_t dk_nentries;
    char dk_indices[];
};
#endif

extern const struct layout pitviper_profiler_layout;
const struct layout pitviper_profiler_layout = {
    .version = PY_VERSION_HEX,
    .runtime_interpreters = AT(_PyRuntimeState, interpreters.head),
    .runtime_finalizing = AT(_PyRuntimeState, _finalizing),
#if PY_VERSION_HEX >= 0x030C0000
    .runtime_gil = NONE,
    .interpreter_gil = AT(PyInterpreterState, ceval.gil),
#else
    .runtime_gil = AT(_PyRuntimeState, ceval.gil),
    .interpreter_gil = NONE,
#endif
#if PY_VERSION_HEX >= 0x030B0000
    .interpreter_next = AT(PyInterpreterState, next),
    .interpreter_threads = AT(PyInterpreterState, threads.head),
#else
    .interpreter_next = AT(PyInterpreterState, next),
    .interpreter_threads = AT(PyInterpreterState, tstate_head),
#endif
    .gil_size = sizeof(struct _gil_runtime_state),
    .thread_next = AT(PyThreadState, next),
    .thread_interpreter = AT(PyThreadState, interp),
    .thread_number = AT(PyThreadState, id),
    .thread_ident = AT(PyThreadState, thread_id),
#if PY_VERSION_HEX >= 0x030B0000
    .thread_native_id = AT(PyThreadState, native_thread_id),
#else
    .thread_native_id = NONE,
#endif
#if PY_VERSION_HEX >= 0x030D0000
    .thread_cframe = NONE,
    .cframe_frame = NONE,
    .thread_frame = AT(PyThreadState, current_frame),
#elif PY_VERSION_HEX >= 0x030B0000
    .thread_cframe = AT(PyThreadState, cframe),
    .cframe_frame = AT(_PyCFrame, current_frame),
    .thread_frame = NONE,
#else
    .thread_cframe = NONE,
    .cframe_frame = NONE,
    .thread_frame = AT(PyThreadState, frame),
#endif
    .thread_context = AT(PyThreadState, context),
    .thread_context_version = AT(PyThreadState, context_ver),
    .thread_loop_hook = AT(PyThreadState, async_gen_firstiter),
#if PY_VERSION_HEX >= 0x030D0000
    .frame_code = AT(_PyInterpreterFrame, f_executable),
    .frame_back = AT(_PyInterpreterFrame, previous),
    .frame_ip = AT(_PyInterpreterFrame, instr_ptr),
    .frame_ip_size = 8,
    .frame_owner = AT(_PyInterpreterFrame, owner),
#elif PY_VERSION_HEX >= 0x030B0000
    .frame_code = AT(_PyInterpreterFrame, f_code),
    .frame_back = AT(_PyInterpreterFrame, previous),
    .frame_ip = AT(_PyInterpreterFrame, prev_instr),
    .frame_ip_size = 8,
    .frame_owner = AT(_PyInterpreterFrame, owner),
#else
    .frame_code = AT(PyFrameObject, f_code),
    .frame_back = AT(PyFrameObject, f_back),
    .frame_ip = AT(PyFrameObject, f_lasti),
    .frame_ip_size = 4,
    .frame_owner = NONE,
#endif
    /* Frames of this owner and those after it are the interpreter's own: entries from C. */
#if PY_VERSION_HEX >= 0x030E0000
    .frame_shim_owner = FRAME_OWNED_BY_INTERPRETER,
#elif PY_VERSION_HEX >= 0x030C0000
    .frame_shim_owner = FRAME_OWNED_BY_CSTACK,
#else
    .frame_shim_owner = NONE,
#endif
    .object_type = AT(PyObject, ob_type),
    .var_size = AT(PyVarObject, ob_size),
    .code_file = AT(PyCodeObject, co_filename),
    .code_name = AT(PyCodeObject, co_name),
#if PY_VERSION_HEX >= 0x030B0000
    .code_qualname = AT(PyCodeObject, co_qualname),
    .code_units = AT(PyCodeObject, co_code_adaptive),
#else
    .code_qualname = NONE,
    .code_units = NONE,
#endif
    .code_first_line = AT(PyCodeObject, co_firstlineno),
#if PY_VERSION_HEX >= 0x030A0000
    .code_lines = AT(PyCodeObject, co_linetable),
#else
    .code_lines = AT(PyCodeObject, co_lnotab),
#endif
    .text_length = AT(PyASCIIObject, length),
    .text_state = AT(PyASCIIObject, state),
    .text_ascii_data = sizeof(PyASCIIObject),
    .text_data = sizeof(PyCompactUnicodeObject),
    .bytes_data = AT(PyBytesObject, ob_sval),
    .type_name = AT(PyTypeObject, tp_name),
    .context_variables = AT(struct _pycontextobject, ctx_vars),
    .tree_root = AT(PyHamtObject, h_root),
    .bitmap_bits = AT(struct bitmap_node, bits),
    .bitmap_entries = AT(struct bitmap_node, entries),
    .array_nodes = AT(struct array_node, nodes),
    .collision_entries = AT(struct collision_node, entries),
    .thread_dict = AT(PyThreadState, dict),
#if PY_VERSION_HEX >= 0x030D0000
    .thread_running_loop = AT(_PyThreadStateImpl, asyncio_running_loop),
#else
    .thread_running_loop = NONE,
#endif
#if PY_VERSION_HEX >= 0x030E0000
    .thread_running_task = AT(_PyThreadStateImpl, asyncio_running_task),
    .thread_tasks = AT(_PyThreadStateImpl, asyncio_tasks_head),
#else
    .thread_running_task = NONE,
    .thread_tasks = NONE,
#endif
#if PY_VERSION_HEX >= 0x030B0000
    .generator_frame = AT(PyGenObject, gi_iframe),
    .generator_state = AT(PyGenObject, gi_frame_state),
#else
    .generator_frame = AT(PyGenObject, gi_frame),
    .generator_state = NONE,
#endif
    /* How a frame that waits says so, and where what it waits for lies: on top of its stack. */
#if PY_VERSION_HEX >= 0x030D0000
    .frame_state = NONE,
    .suspended = FRAME_SUSPENDED_YIELD_FROM,
#elif PY_VERSION_HEX >= 0x030B0000
    .frame_state = NONE,
    .suspended = FRAME_SUSPENDED,
#elif PY_VERSION_HEX >= 0x030A0000
    .frame_state = AT(PyFrameObject, f_state),
    .suspended = FRAME_SUSPENDED,
#else
    .frame_state = NONE,
    .suspended = NONE,
#endif
#if PY_VERSION_HEX >= 0x030E0000
    .frame_stack_depth = NONE,
    .frame_stack = AT(_PyInterpreterFrame, localsplus),
    .frame_stack_top = AT(_PyInterpreterFrame, stackpointer),
#elif PY_VERSION_HEX >= 0x030B0000
    .frame_stack_depth = AT(_PyInterpreterFrame, stacktop),
    .frame_stack = AT(_PyInterpreterFrame, localsplus),
    .frame_stack_top = NONE,
#elif PY_VERSION_HEX >= 0x030A0000
    .frame_stack_depth = AT(PyFrameObject, f_stackdepth),
    .frame_stack = AT(PyFrameObject, f_valuestack),
    .frame_stack_top = NONE,
#else
    .frame_stack_depth = NONE,
    .frame_stack = AT(PyFrameObject, f_valuestack),
    .frame_stack_top = AT(PyFrameObject, f_stacktop),
#endif
    .dict_keys = AT(PyDictObject, ma_keys),
#if PY_VERSION_HEX >= 0x030B0000
    .keys_size = NONE,
    .keys_log2_indices = AT(struct _dictkeysobject, dk_log2_index_bytes),
    .keys_kind = AT(struct _dictkeysobject, dk_kind),
#else
    .keys_size = AT(struct _dictkeysobject, dk_size),
    .keys_log2_indices = NONE,
    .keys_kind = NONE,
#endif
    .keys_count = AT(struct _dictkeysobject, dk_nentries),
    .keys_indices = AT(struct _dictkeysobject, dk_indices),
    .set_mask = AT(PySetObject, mask),
    .set_table = AT(PySetObject, table),
    .reference_object = AT(PyWeakReference, wr_object),
    .type_base = AT(PyTypeObject, tp_base),
    .type_size = AT(PyTypeObject, tp_basicsize),
#if PY_VERSION_HEX >= 0x030C0000
    .number_tag = AT(PyLongObject, long_value.lv_tag),
    .number_digits = AT(PyLongObject, long_value.ob_digit),
#else
    .number_tag = NONE,
    .number_digits = NONE,
#endif
    .traceback_next = AT(PyTracebackObject, tb_next),
    .traceback_frame = AT(PyTracebackObject, tb_frame),
    .traceback_instruction = AT(PyTracebackObject, tb_lasti),
    /* Frames as objects, where those are not what runs. Tracebacks are read where exceptions are told of when they are
     * given back, which 3.12 and later versions need not. */
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
    .frame_object_frame = AT(PyFrameObject, f_frame),
    .frame_object_back = AT(PyFrameObject, f_back),
    .frame_object_data = AT(PyFrameObject, _f_frame_data),
#else
    .frame_object_frame = NONE,
    .frame_object_back = NONE,
    .frame_object_data = NONE,
#endif
};

/* What the bits of a text's state say: its kind (bytes a character), 8 for compact, 16 for ASCII. */
uint32_t pitviper_profiler_text_state(uint32_t raw);
uint32_t pitviper_profiler_text_state(uint32_t raw)
{
    PyASCIIObject text;
    memset(&text, 0, sizeof text);
    memcpy(&text.state, &raw, sizeof raw);
    return (uint32_t)text.state.kind | (text.state.compact ? 8u : 0u) | (text.state.ascii ? 16u : 0u);
}
