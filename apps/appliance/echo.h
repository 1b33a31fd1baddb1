/* SPDX-License-Identifier: MIT */
/* TCP echo (RFC 862) on plain sockets. */
#ifndef APPS_APPLIANCE_ECHO_H
#define APPS_APPLIANCE_ECHO_H

/* Serves for ever; -1 with errno when it can not. */
int echo_serve(unsigned short port);

#endif
