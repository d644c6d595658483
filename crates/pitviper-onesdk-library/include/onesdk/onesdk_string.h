/* Texts: bytes, how many, and the number of their character set. Nobody copies them before a function that they
 * are given to, and nobody keeps them after. */
#ifndef PITVIPER_ONESDK_STRING_H
#define PITVIPER_ONESDK_STRING_H

#include <string.h>
#include <wchar.h>

#include "onesdk/onesdk_config.h"

typedef uint16_t onesdk_ccsid_t;

#define ONESDK_CCSID_NULL ((onesdk_ccsid_t)0)
#define ONESDK_CCSID_ASCII ((onesdk_ccsid_t)367)
#define ONESDK_CCSID_ISO8859_1 ((onesdk_ccsid_t)819)
#define ONESDK_CCSID_UTF8 ((onesdk_ccsid_t)1209)
#define ONESDK_CCSID_UTF16_BE ((onesdk_ccsid_t)1201)
#define ONESDK_CCSID_UTF16_LE ((onesdk_ccsid_t)1203)
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define ONESDK_CCSID_UTF16_NATIVE ONESDK_CCSID_UTF16_BE
#else
#define ONESDK_CCSID_UTF16_NATIVE ONESDK_CCSID_UTF16_LE
#endif

typedef struct onesdk_string {
    void const* data;
    onesdk_size_t byte_length;
    onesdk_ccsid_t ccsid;
} onesdk_string_t;

/* A text of this length in bytes, its end not counted. */
static inline onesdk_string_t onesdk_str(void const* data, onesdk_size_t byte_length, onesdk_ccsid_t ccsid) {
    onesdk_string_t text;
    text.data = data;
    text.byte_length = data == NULL ? 0 : byte_length;
    text.ccsid = data == NULL ? ONESDK_CCSID_NULL : ccsid;
    return text;
}

/* No text. */
static inline onesdk_string_t onesdk_nullstr(void) {
    return onesdk_str(NULL, 0, ONESDK_CCSID_NULL);
}

/* A text that ends with a zero byte; no text for NULL. */
static inline onesdk_string_t onesdk_bytestr(char const* data, onesdk_ccsid_t ccsid) {
    return onesdk_str(data, data == NULL ? 0 : strlen(data), ccsid);
}

static inline onesdk_string_t onesdk_asciistr(char const* data) {
    return onesdk_bytestr(data, ONESDK_CCSID_ASCII);
}

static inline onesdk_string_t onesdk_utf8str(char const* data) {
    return onesdk_bytestr(data, ONESDK_CCSID_UTF8);
}

#if WCHAR_MAX <= 0xFFFFu
/* Where wchar_t is UTF-16. */
static inline onesdk_string_t onesdk_wstr(wchar_t const* data) {
    return onesdk_str(data, data == NULL ? 0 : wcslen(data) * sizeof(wchar_t), ONESDK_CCSID_UTF16_NATIVE);
}
#endif

#endif
