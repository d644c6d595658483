/* The OneAgent SDK for C and C++, version 1.7, on Pitviper's agent.
 *
 * Written from the interface's documentation: the names and the meaning are those of the SDK, the code is
 * Pitviper's. A program is linked with -lonesdk_shared; a library within a Python process under Pitviper may be
 * linked with nothing, as pitviper has the same functions.
 */
#ifndef PITVIPER_ONESDK_H
#define PITVIPER_ONESDK_H

#include "onesdk/onesdk_agent.h"
#include "onesdk/onesdk_common.h"
#include "onesdk/onesdk_config.h"
#include "onesdk/onesdk_init.h"
#include "onesdk/onesdk_string.h"
#include "onesdk/onesdk_version.h"

#endif
