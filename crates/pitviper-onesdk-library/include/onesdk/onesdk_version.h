/* The version of the interface that a program is compiled with. */
#ifndef PITVIPER_ONESDK_VERSION_H
#define PITVIPER_ONESDK_VERSION_H

#define ONESDK_STUB_VERSION_MAJOR 1
#define ONESDK_STUB_VERSION_MINOR 7
#define ONESDK_STUB_VERSION_PATCH 1

#endif
