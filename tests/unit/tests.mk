# SPDX-License-Identifier: MIT
# The hosted tests: cmocka programs on Linux under ASan and UBSan. NAME_SRCS are
# the files linked with tests/unit/test_NAME.c.


UNIT_TESTS += string
string_SRCS :=

UNIT_TESTS += format
format_SRCS := lib/base/format.c

UNIT_TESTS += parse
parse_SRCS := lib/base/parse.c

UNIT_TESTS += cmdline
cmdline_SRCS := kernel/cmdline.c lib/base/format.c tests/host/log.c

UNIT_TESTS += fd
fd_SRCS := lib/libc/fd.c

# Includes kernel/page.c, to start each test from nothing.
UNIT_TESTS += page
page_SRCS := kernel/page_audit.c kernel/spinlock.c tests/host/panic.c tests/host/log.c tests/host/spinlock.c

UNIT_TESTS += virtq
virtq_SRCS := drivers/virtio/virtq.c tests/host/fake_device.c

# As optimized as in the image. Instrumented for threads, without that sanitizer's library: the test has its own.
UNIT_TESTS += order
order_SRCS := drivers/virtio/virtq.c tests/host/fake_device.c
order_CFLAGS := -O2 -fno-sanitize=address,undefined -fsanitize=thread
order_LDFLAGS := -fno-sanitize=address,undefined

UNIT_TESTS += ring_rules
ring_rules_SRCS := drivers/virtio/virtq.c tests/host/fake_device.c

UNIT_TESTS += spec
spec_SRCS :=

HOST_MEMORY_SRCS := kernel/page.c kernel/page_audit.c kernel/alloc.c kernel/spinlock.c kernel/vmem.c \
                    $(addprefix tests/host/,memory.c panic.c log.c spinlock.c)

UNIT_TESTS += alloc
alloc_SRCS := $(HOST_MEMORY_SRCS)

UNIT_TESTS += vmem
vmem_SRCS := $(HOST_MEMORY_SRCS) kernel/dma.c

UNIT_TESTS += acpi
acpi_SRCS := drivers/acpi/aml.c drivers/acpi/fadt.c drivers/acpi/madt.c drivers/acpi/tables.c tests/host/log.c

# Includes drivers/acpi/dmar.c, to start each test from nothing.
UNIT_TESTS += dmar
dmar_SRCS := kernel/report.c lib/base/format.c $(addprefix tests/host/,alloc.c dma.c log.c mmio.c panic.c registers.c)

UNIT_TESTS += partition
partition_SRCS := lib/fs/partition.c lib/fs/partition_text.c kernel/blkdev.c tests/host/smp.c lib/base/format.c tests/host/ramdisk.c \
                  tests/host/alloc.c tests/host/clock.c tests/host/event.c

UNIT_TESTS += memory
memory_SRCS := lib/libc/memory.c kernel/pressure.c $(HOST_MEMORY_SRCS) tests/host/clock.c tests/host/event.c
memory_CFLAGS := -Iinclude

# mallocng under other names; what its authors write without a thought, our warnings need not name.
UNIT_TESTS += malloc
malloc_SRCS := $(MALLOC_SRCS) lib/libc/malloc_trim.c $(HOST_MEMORY_SRCS)
malloc_CFLAGS := $(foreach f,malloc free realloc aligned_alloc malloc_usable_size,-D$(f)=ng_$(f)) -Wno-sign-compare \
                 -Wno-shadow -Wno-parentheses -D_DEFAULT_SOURCE -idirafter $(MALLOC_DIR)

# Includes kernel/clock.c, to start each test from nothing.
UNIT_TESTS += clock
clock_SRCS := kernel/spinlock.c drivers/clock/rtc.c $(addprefix tests/host/,irq.c log.c panic.c spinlock.c)
clock_LDFLAGS := -pthread

# Includes kernel/random.c, to start each test from nothing.
UNIT_TESTS += random
random_SRCS := kernel/spinlock.c lib/base/blake2s.c lib/base/chacha20.c $(addprefix tests/host/,log.c panic.c spinlock.c)
random_LDFLAGS := -pthread

VIRTIO_CORE := drivers/virtio/device.c drivers/virtio/virtq.c kernel/irq_line.c kernel/spinlock.c tests/host/spinlock.c

UNIT_TESTS += virtio_blk
virtio_blk_SRCS := drivers/virtio/blk.c kernel/blkdev.c tests/host/smp.c $(VIRTIO_CORE) \
                   lib/base/format.c $(addprefix tests/host/,fake_transport.c fake_device.c lies.c event.c irq.c dma.c \
                   alloc.c clock.c cmdline.c log.c panic.c)

UNIT_TESTS += pci
pci_SRCS := drivers/pci/bar.c drivers/pci/claim.c drivers/pci/ecam.c drivers/pci/line.c drivers/pci/msi.c drivers/pci/msix.c drivers/pci/pci.c drivers/pci/place.c \
            lib/base/format.c \
            tests/host/alloc.c tests/host/fake_pci.c tests/host/log.c tests/host/mmio.c tests/host/panic.c

UNIT_TESTS += hotplug
hotplug_SRCS := drivers/pci/hotplug.c lib/base/format.c tests/host/alloc.c tests/host/log.c tests/host/panic.c

UNIT_TESTS += virtio_device
virtio_device_SRCS := $(VIRTIO_CORE) lib/base/format.c \
                      tests/host/alloc.c tests/host/clock.c tests/host/cmdline.c tests/host/dma.c tests/host/event.c \
                      tests/host/fake_device.c tests/host/fake_transport.c tests/host/irq.c tests/host/log.c \
                      tests/host/panic.c

UNIT_TESTS += virtio_legacy
virtio_legacy_SRCS := $(virtio_device_SRCS)

UNIT_TESTS += virtio_balloon
virtio_balloon_SRCS := $(addprefix drivers/virtio/,balloon.c balloon_blocks.c balloon_hint.c balloon_report.c) \
                       drivers/virtio/device.c kernel/irq_line.c drivers/virtio/virtq.c \
                       lib/base/format.c kernel/page.c kernel/page_audit.c kernel/pressure.c kernel/spinlock.c kernel/vmem.c $(addprefix tests/host/,memory.c spinlock.c \
                       fake_transport.c fake_device.c lies.c driver_thread.c event.c irq.c dma.c alloc.c clock.c cmdline.c \
                       log.c panic.c report.c)

# The application's malloc, as the malloc test has it, beside the C library's.
UNIT_TESTS += fragmentation
fragmentation_SRCS := $(virtio_balloon_SRCS)
fragmentation_LDFLAGS := $(MALLOC_SRCS:%.c=$(BUILD)/tests/obj/malloc/%.o)
$(BUILD)/tests/fragmentation: $(fragmentation_LDFLAGS)

UNIT_TESTS += virtio_report
virtio_report_SRCS := drivers/virtio/report.c drivers/virtio/names.c kernel/report.c \
                      $(filter-out drivers/virtio/blk.c kernel/blkdev.c,$(virtio_blk_SRCS))

UNIT_TESTS += virtio_pci
virtio_pci_SRCS := drivers/pci/bar.c drivers/pci/claim.c drivers/pci/line.c drivers/pci/msix.c drivers/pci/pci.c drivers/pci/place.c $(VIRTIO_CORE) drivers/virtio/pci.c \
                   drivers/virtio/pci_legacy.c drivers/virtio/pci_registers.c lib/base/format.c tests/host/alloc.c tests/host/clock.c \
                   tests/host/cmdline.c \
                   tests/host/dma.c tests/host/event.c tests/host/fake_pci.c tests/host/irq.c tests/host/log.c \
                   tests/host/mmio.c tests/host/panic.c tests/host/registers.c

UNIT_TESTS += virtio_pci_legacy
virtio_pci_legacy_SRCS := $(virtio_pci_SRCS) tests/host/fake_device.c tests/host/ports.c

# Includes arch/x86_64/hypervisor.c, kvm.c and tsc.c, on a CPU of its own.
UNIT_TESTS += kvm
kvm_SRCS := tests/host/log.c

# Includes arch/x86_64/kvm_pv.c.
UNIT_TESTS += kvm_pv
kvm_pv_SRCS := tests/host/log.c

UNIT_TESTS += virtio_net
virtio_net_SRCS := drivers/virtio/net.c $(VIRTIO_CORE) \
                   kernel/netdev.c lib/base/format.c $(addprefix tests/host/,fake_transport.c fake_device.c lies.c \
                   event.c irq.c dma.c alloc.c clock.c cmdline.c log.c panic.c random.c)

# The real drivers of disks and networks.
UNIT_TESTS += virtio_rules
virtio_rules_SRCS := drivers/virtio/blk.c drivers/virtio/net.c kernel/blkdev.c tests/host/smp.c kernel/netdev.c \
                     $(VIRTIO_CORE) lib/base/format.c $(addprefix \
                     tests/host/,fake_transport.c fake_device.c event.c irq.c dma.c alloc.c clock.c cmdline.c log.c \
                     panic.c random.c)

UNIT_TESTS += virtio_legacy_drivers
virtio_legacy_drivers_SRCS := $(virtio_rules_SRCS)

# Includes lib/net/history.c.
UNIT_TESTS += history
history_SRCS := lib/base/format.c tests/host/clock.c

UNIT_TESTS += net_parts
net_parts_SRCS := lib/net/config.c lib/net/heap.c lib/net/checksum.c lib/net/isn.c lib/base/parse.c \
                  $(addprefix tests/host/,alloc.c clock.c log.c page.c panic.c random.c)

# lwIP and its port above a fake netdev, without sockets, whose types are not Linux's.
UNIT_TESTS += netif
netif_SRCS := $(filter-out %/sockets.c %/netdb.c %/fs.c %/httpd.c,$(LWIP_SRCS)) \
              $(filter-out %/libc.c %/socket.c %/status.c %/status_server.c,$(NET_LWIP_SRCS)) \
              kernel/cmdline.c kernel/netdev.c lib/base/format.c lib/base/parse.c \
              $(addprefix tests/host/,alloc.c clock.c event.c log.c page.c panic.c random.c)
netif_CFLAGS := $(LWIP_FLAGS)

UNIT_TESTS += acpi_window
acpi_window_SRCS := drivers/acpi/aml.c drivers/acpi/pci_window.c

UNIT_TESTS += smbios
smbios_SRCS := drivers/smbios.c lib/base/format.c kernel/report.c tests/host/panic.c tests/host/log.c

UNIT_TESTS += timer
timer_LDFLAGS := -pthread
timer_SRCS := kernel/timer.c kernel/spinlock.c $(addprefix tests/host/,clock.c irq.c panic.c percpu.c spinlock.c)

# At the addresses of an image's text.
UNIT_TESTS += symbol
symbol_SRCS := kernel/symbol.c
symbol_CFLAGS := -fno-pie
symbol_LDFLAGS := -no-pie -Wl,--defsym=__text_start=0x100000,--defsym=__text_end=0x100400

UNIT_TESTS += pvh multiboot2 linux_boot
pvh_SRCS := boot/handover.c boot/pvh.c tests/host/low_memory.c
multiboot2_SRCS := boot/handover.c boot/multiboot2.c tests/host/low_memory.c
linux_boot_SRCS := boot/handover.c boot/linux.c tests/host/low_memory.c

UNIT_TESTS += report
report_SRCS := kernel/report.c lib/base/format.c tests/host/panic.c

# With the image's own switch between stacks, which the address sanitizer does not follow.
UNIT_TESTS += thread
thread_SRCS := kernel/spinlock.c kernel/timer.c \
               $(addprefix tests/host/,alloc.c clock.c halt.c irq.c page.c panic.c percpu.c spinlock.c)
thread_CFLAGS := -fno-pie -fno-sanitize=address
thread_LDFLAGS := -no-pie -fno-sanitize=address -z noexecstack $(OBJ)/arch/x86_64/entry.asm.o
$(BUILD)/tests/thread: $(OBJ)/arch/x86_64/entry.asm.o

# The same on several threads of Linux.
UNIT_TESTS += cpus
cpus_SRCS := kernel/spinlock.c kernel/thread.c kernel/timer.c \
             $(addprefix tests/host/,halt.c panic.c percpu.c spinlock.c)
cpus_CFLAGS := -fno-pie -fno-sanitize=address
cpus_LDFLAGS := -no-pie -fno-sanitize=address -pthread -z noexecstack $(OBJ)/arch/x86_64/entry.asm.o
$(BUILD)/tests/cpus: $(OBJ)/arch/x86_64/entry.asm.o

# Includes kernel/footprint.c, to run single rounds.
UNIT_TESTS += footprint
footprint_SRCS := $(addprefix tests/host/,clock.c event.c log.c)

# Under the thread sanitizer, as locks are.
UNIT_TESTS += pressure
pressure_SRCS := kernel/pressure.c
pressure_CFLAGS := -fno-sanitize=address -fsanitize=thread
pressure_LDFLAGS := -fno-sanitize=address -fsanitize=thread -pthread

UNIT_TESTS += lock
lock_SRCS := lib/libc/lock.c
lock_CFLAGS := -isystem tests/host/newlib -fno-sanitize=address -fsanitize=thread
lock_LDFLAGS := -fno-sanitize=address -fsanitize=thread -pthread

# With wide characters as UEFI has them; it looks at a kernel of this build.
UNIT_TESTS += efi
efi_SRCS := boot/efi/cmdline.c boot/efi/kernel.c boot/efi/leave.c
efi_CFLAGS := -fshort-wchar -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 \
              -DKERNEL_FILE='"$(BUILD)/efi/aerostat/kernel"'
$(BUILD)/tests/efi: | $(BUILD)/aerostat.efi

# Includes kernel/log.c, to start each test from nothing.
UNIT_TESTS += log
log_SRCS := kernel/spinlock.c lib/base/format.c $(addprefix tests/host/,clock.c event.c irq.c panic.c spinlock.c)

UNIT_TESTS += virtio_rng
virtio_rng_SRCS := drivers/virtio/rng.c $(VIRTIO_CORE) lib/base/format.c \
                   $(addprefix tests/host/,fake_transport.c fake_device.c lies.c event.c irq.c dma.c alloc.c clock.c cmdline.c \
                   log.c panic.c)

# Includes drivers/acpi/generation.c, to ask it what a test wants.
UNIT_TESTS += generation
generation_SRCS := drivers/acpi/aml.c tests/host/log.c

UNIT_TESTS += virtio_console
virtio_console_SRCS := drivers/virtio/console.c kernel/chardev.c kernel/log.c kernel/spinlock.c drivers/virtio/device.c kernel/irq_line.c drivers/virtio/virtq.c \
                       lib/base/format.c $(addprefix tests/host/,fake_transport.c fake_device.c lies.c driver_thread.c event.c irq.c dma.c \
                       alloc.c clock.c cmdline.c page.c panic.c report.c spinlock.c)

UNIT_TESTS += virtio_mmio
virtio_mmio_SRCS := drivers/virtio/mmio.c $(VIRTIO_CORE) \
                    lib/base/format.c $(addprefix tests/host/,alloc.c clock.c cmdline.c dma.c event.c irq.c log.c mmio.c \
                    panic.c registers.c)

UNIT_TESTS += irq_line
irq_line_SRCS := kernel/irq_line.c kernel/spinlock.c $(addprefix tests/host/,irq.c log.c panic.c spinlock.c)

# Includes arch/x86_64/cpus.c and kernel/smp.c, and has low memory where CPUs start.
UNIT_TESTS += smp
smp_SRCS := kernel/spinlock.c $(addprefix tests/host/,alloc.c clock.c log.c page.c panic.c spinlock.c)

UNIT_TESTS += spinlock
spinlock_SRCS := $(HOST_MEMORY_SRCS)
spinlock_LDFLAGS := -pthread

# Includes kernel/irq.c, for CPUs that threads stand for.
UNIT_TESTS += irq
irq_SRCS := kernel/spinlock.c $(addprefix tests/host/,alloc.c panic.c spinlock.c)
irq_LDFLAGS := -pthread

# Includes arch/x86_64/tlb.c and what it stands on, for CPUs that the test moves, or threads.
UNIT_TESTS += tlb
tlb_SRCS :=
tlb_LDFLAGS := -pthread

# Includes arch/x86_64/apic.c and cpus.c, on registers that the test keeps.
UNIT_TESTS += apic
apic_SRCS := tests/host/panic.c tests/host/spinlock.c kernel/spinlock.c
