/* SPDX-License-Identifier: MIT */
/*
 * lwIP's options. Shaped for a server with tens of busy connections and a
 * thousand that come at once: everything lwIP allocates comes out of one
 * bounded heap (lib/net/heap.c), so nothing is set aside for what does not
 * happen, and a flood ends in refused memory, not in a lack of it elsewhere.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

/* Threads: the network thread works under the core lock, application threads take it in their
 * calls. */
#define NO_SYS                    0
#define SYS_LIGHTWEIGHT_PROT      0 /* kernel code is never preempted */
#define LWIP_TCPIP_CORE_LOCKING   1
#define LOCK_TCPIP_CORE()         net_lock()
#define UNLOCK_TCPIP_CORE()       net_unlock()
#define LWIP_TIMERS_CUSTOM        1 /* lib/net/timeouts.c */
#define TCPIP_THREAD_NAME         "net"
#define TCPIP_MBOX_SIZE           32
#define DEFAULT_THREAD_STACKSIZE  0
#define TCPIP_THREAD_STACKSIZE    0 /* the kernel's default */
#define DEFAULT_RAW_RECVMBOX_SIZE 32
#define DEFAULT_UDP_RECVMBOX_SIZE 64
#define DEFAULT_TCP_RECVMBOX_SIZE 64 /* more frames than fit the window */
#define DEFAULT_ACCEPTMBOX_SIZE   64

/* Memory. The numbers of MEMP_NUM_... do not bind; the heap's limit does. */
#define MEM_LIBC_MALLOC   1
#define MEMP_MEM_MALLOC   1
#define mem_clib_malloc   net_heap_alloc
#define mem_clib_calloc   net_heap_calloc
#define mem_clib_free     net_heap_free
#define MEM_ALIGNMENT     8
#define MEMP_NUM_NETCONN  240 /* sockets; below FD_MAX */
#define MEMP_NUM_TCP_PCB  1024
#define MEMP_NUM_TCP_SEG  4096
#define PBUF_POOL_BUFSIZE 1536

/* The driver's own header goes in front of the frame, into the same memory. */
#define PBUF_LINK_ENCAPSULATION_HLEN 12

/* IPv4. */
#define LWIP_IPV4           1
#define LWIP_IPV6           0
#define IP_FORWARD          0
#define IP_REASSEMBLY       1
#define IP_REASS_MAX_PBUFS  64
#define IP_FRAG             1
#define LWIP_ARP            1
#define ARP_TABLE_SIZE      32
#define ARP_QUEUEING        1
#define ARP_QUEUE_LEN       8
#define LWIP_ICMP           1
#define LWIP_BROADCAST_PING 0
#define LWIP_RAW            1
#define LWIP_DHCP           1
/* A probe for the offered address would cost every start half a second. */
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_DNS            1
#define LWIP_DNS_SECURE                                                   \
    (LWIP_DNS_SECURE_RAND_XID | LWIP_DNS_SECURE_NO_MULTIPLE_OUTSTANDING | \
     LWIP_DNS_SECURE_RAND_SRC_PORT)
#define DNS_MAX_SERVERS 2
#define DNS_TABLE_SIZE  4
#define LWIP_UDP        1

/* TCP: a window of 44 segments, which is what the other side may have under way. */
#define LWIP_TCP                   1
#define TCP_MSS                    1460
#define TCP_WND                    (44 * TCP_MSS)
#define TCP_SND_BUF                (44 * TCP_MSS)
#define TCP_SND_QUEUELEN           176
#define TCP_SNDLOWAT               (TCP_SND_BUF / 2)
#define TCP_SNDQUEUELOWAT          88
#define TCP_LISTEN_BACKLOG         1
#define TCP_DEFAULT_LISTEN_BACKLOG 128
#define TCP_QUEUE_OOSEQ            1
#define TCP_OOSEQ_MAX_BYTES        TCP_WND
#define TCP_OOSEQ_MAX_PBUFS        32
#define LWIP_TCP_SACK_OUT          0
#define LWIP_TCP_KEEPALIVE         1
#define LWIP_HOOK_FILENAME         "lib/net/port/hooks.h"
#define LWIP_HOOK_TCP_ISN          net_tcp_isn
#define TCP_OVERSIZE               TCP_MSS
#define TCP_ORPHAN_TIMEOUT         60000 /* ms, with our patch: closed, but not all of it taken */
#define TCP_MAX_TIME_WAIT          1024  /* connections, with our patch */

/* Sockets. */
#define LWIP_NETCONN                1
#define LWIP_SOCKET                 1
#define LWIP_COMPAT_SOCKETS         0
#define LWIP_POSIX_SOCKETS_IO_NAMES 0
#define LWIP_SOCKET_SELECT          0
#define LWIP_SOCKET_POLL            1
#define LWIP_SO_SNDTIMEO            1
#define LWIP_SO_RCVTIMEO            1
#define LWIP_SO_RCVBUF              1
#define RECV_BUFSIZE_DEFAULT        (128 * 1024)
#define LWIP_SO_LINGER              1
#define SO_REUSE                    1
#define LWIP_ERRNO_INCLUDE          "lib/net/port/socket_errno.h"

/* Interfaces. */
#define LWIP_NETIF_HOSTNAME          1
#define LWIP_NETIF_STATUS_CALLBACK   1
#define LWIP_NETIF_LINK_CALLBACK     0
#define LWIP_HAVE_LOOPIF             1
#define LWIP_NETIF_LOOPBACK          1
#define LWIP_LOOPBACK_MAX_PBUFS      64
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM                  net_checksum
#define LWIP_NETIF_TX_SINGLE_PBUF    0
#define LWIP_STATS                   0

/* lwIP's own HTTP server, for pages that an application generates. */
#define LWIP_HTTPD_CUSTOM_FILES             1
#define LWIP_HTTPD_DYNAMIC_HEADERS          1
#define LWIP_HTTPD_SUPPORT_V09              0
#define LWIP_HTTPD_SUPPORT_11_KEEPALIVE     0
#define LWIP_HTTPD_ABORT_ON_CLOSE_MEM_ERROR 1
#define LWIP_HTTPD_MAX_REQ_LENGTH           2048
#define LWIP_HTTPD_REQ_QUEUELEN             8
#define LWIP_HTTPD_MAX_REQUEST_URI_LEN      255
#define HTTPD_SERVER_AGENT                  "aerostat"
#define HTTPD_LIMIT_SENDING_TO_2MSS         0
#define HTTPD_MAX_RETRIES                   8 /* 16 s without anything sent or received */
/* With our patch: so many connections, the oldest makes room, and each is over after 60 s. */
#define HTTPD_MAX_CONNECTIONS                       128
#define HTTPD_MAX_POLLS                             30
#define LWIP_HTTPD_KILL_OLD_ON_CONNECTIONS_EXCEEDED 1
#define HTTPD_FSDATA_FILE                           "lib/net/port/fsdata.h"
/* A generated page is gone when its request is closed, before the last of it was acknowledged. */
#define HTTP_IS_DATA_VOLATILE(state) TCP_WRITE_FLAG_COPY

#endif
