/* Types of numbers and characters. */
#ifndef PITVIPER_ONESDK_CONFIG_H
#define PITVIPER_ONESDK_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define ONESDK_BEGIN_DECLS extern "C" {
#define ONESDK_END_DECLS }
#else
#define ONESDK_BEGIN_DECLS
#define ONESDK_END_DECLS
#endif

typedef int32_t onesdk_bool_t;
typedef int32_t onesdk_int32_t;
typedef int64_t onesdk_int64_t;
typedef uint32_t onesdk_uint32_t;
typedef uint64_t onesdk_uint64_t;
typedef size_t onesdk_size_t;
/* ONESDK_SUCCESS, or one of ONESDK_ERROR_*. */
typedef int32_t onesdk_result_t;
/* A character of the texts that the platform passes: command lines, messages. */
typedef char onesdk_xchar_t;

/* A literal of such characters, and what printf takes for them. */
#define ONESDK_XSTR(text) text
#define ONESDK_STR_PRI_XSTR "s"
#define ONESDK_XSTR_PRI_STR "s"

#endif
