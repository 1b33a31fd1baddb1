/* SPDX-License-Identifier: MIT */
/*
 * The system's report over HTTP, on port 80 of every interface: "/" is a page
 * for people, "/status.json", "/metrics" (the Prometheus text format) and
 * "/status.txt" are the same facts for programs, and "/history.json" what the
 * memory was in the last minutes. For applications whose app.mk says USES = net.
 * docs/security.md says what it shows to whom.
 */
#ifndef AEROSTAT_STATUS_SERVER_H
#define AEROSTAT_STATUS_SERVER_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Starts serving in the network's thread, until the guest ends, and returns at once. 0; -1 with
 * errno EALREADY: it is served already, EADDRINUSE: the application has a socket on port 80, or
 * ENOMEM. For any thread of the application, not for signal handlers.
 */
int aerostat_status_serve(void);

#ifdef __cplusplus
}
#endif

#endif
