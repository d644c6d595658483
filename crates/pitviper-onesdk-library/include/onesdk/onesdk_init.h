/* Options, initialization, shutdown. */
#ifndef PITVIPER_ONESDK_INIT_H
#define PITVIPER_ONESDK_INIT_H

#include "onesdk/onesdk_common.h"

ONESDK_BEGIN_DECLS

typedef struct onesdk_stub_version {
    onesdk_uint32_t version_major;
    onesdk_uint32_t version_minor;
    onesdk_uint32_t version_patch;
} onesdk_stub_version_t;

typedef void onesdk_stub_logging_callback_t(onesdk_logging_level_t level, onesdk_xchar_t const* message);

/* The version of the interface that the library has. */
void onesdk_stub_get_version(onesdk_stub_version_t* out_stub_version);
/* What a code means; writes at most `buffer_length` characters, and returns `buffer`. */
onesdk_xchar_t* onesdk_stub_xstrerror(onesdk_result_t error_code, onesdk_xchar_t* buffer, onesdk_size_t buffer_length);

/* Options, `name=value` and on the command line `--dt_name=value`. They are taken, and of them only
 * agentactive=false has a meaning; Pitviper's own settings are variables of the environment. */
onesdk_bool_t onesdk_stub_is_sdk_cmdline_arg(onesdk_xchar_t const* arg);
onesdk_result_t onesdk_stub_process_cmdline_arg(onesdk_xchar_t const* arg, onesdk_bool_t replace_existing);
onesdk_result_t onesdk_stub_process_cmdline_args(int argc, onesdk_xchar_t* const* argv, onesdk_bool_t replace_existing);
onesdk_result_t onesdk_stub_strip_sdk_cmdline_args(int* argc, onesdk_xchar_t** argv);
onesdk_result_t onesdk_stub_set_variable(onesdk_xchar_t const* var, onesdk_bool_t replace_existing);
void onesdk_stub_free_variables(void);

/* The SDK's own log, which stays empty: what matters comes through the callbacks of onesdk_agent.h. */
void onesdk_stub_default_logging_function(onesdk_logging_level_t level, onesdk_xchar_t const* message);
void onesdk_stub_set_logging_level(onesdk_logging_level_t level);
void onesdk_stub_set_logging_callback(onesdk_stub_logging_callback_t* stub_logging_callback);

/* Gets ready. May be called by several parts of a program; each of them shuts down what it initialized, and with
 * the last one what has ended is sent. What has not been sent when the program ends is sent then. */
onesdk_result_t onesdk_initialize(void);
onesdk_result_t onesdk_initialize_2(onesdk_uint32_t init_flags);
onesdk_result_t onesdk_shutdown(void);

/* Whether an agent was found, and whether it has these functions. */
void onesdk_stub_get_agent_load_info(onesdk_bool_t* agent_found, onesdk_bool_t* agent_compatible);

ONESDK_END_DECLS

#endif
