# SPDX-License-Identifier: MIT
# The network, for applications that say USES = net: the class of device, its driver, lwIP with its port, sockets. lwIP's
# sources are what the build unpacks under build/lwip-src.

LWIP_DIR  := $(SHARED)/lwip-src/src
LWIP_SRCS := $(addprefix $(LWIP_DIR)/, \
             core/def.c core/dns.c core/inet_chksum.c core/init.c core/ip.c core/mem.c core/memp.c core/netif.c \
             core/pbuf.c core/raw.c core/tcp.c core/tcp_in.c core/tcp_out.c core/timeouts.c core/udp.c \
             core/ipv4/dhcp.c core/ipv4/etharp.c core/ipv4/icmp.c core/ipv4/ip4.c core/ipv4/ip4_addr.c \
             core/ipv4/ip4_frag.c netif/ethernet.c \
             api/api_lib.c api/api_msg.c api/err.c api/netbuf.c api/netdb.c api/sockets.c api/tcpip.c \
             apps/http/fs.c apps/http/httpd.c)

# They see lwIP's headers, and a <string.h> of ours.
NET_LWIP_SRCS := lib/net/checksum.c lib/net/config.c lib/net/heap.c lib/net/history.c lib/net/isn.c lib/net/libc.c lib/net/netif.c \
                 lib/net/ping.c lib/net/socket.c lib/net/start.c lib/net/status.c lib/net/status_server.c \
                 lib/net/sys_arch.c lib/net/timeouts.c

# It sees the C library's headers, as lib/libc does.
NET_LIBC_SRCS := lib/net/posix.c

NET_SRCS := kernel/netdev.c drivers/virtio/net.c lib/net/status_html.asm

# clang would have lwIP write a comparison in other brackets.
LWIP_FLAGS := -Ilib/net/port -I$(LWIP_DIR)/include -Wno-parentheses-equality

net_object    = $(patsubst %,$(BUILD)/obj/%.o,$(1))
net_OBJS      := $(call net_object,$(NET_SRCS) $(NET_LWIP_SRCS) $(NET_LIBC_SRCS) $(LWIP_SRCS))
net_APP_FLAGS := -isystem lib/net/include

$(call net_object,$(NET_LWIP_SRCS) $(LWIP_SRCS)): KERNEL_FLAGS += $(LWIP_FLAGS) -Ilib/net/port/libc
$(call net_object,$(NET_LWIP_SRCS)): | $(SHARED)/lwip-src/.unpacked
$(LWIP_SRCS): $(SHARED)/lwip-src/.unpacked ;

$(call net_object,$(NET_LIBC_SRCS)): KERNEL_FLAGS = $(APP_FLAGS) $(APP_INCLUDES) $(net_APP_FLAGS) $(WARNINGS) -mgeneral-regs-only
$(call net_object,$(NET_LIBC_SRCS)): | $(NEWLIB)

$(call net_object,lib/net/status_html.asm): lib/net/status.html
