/* SPDX-License-Identifier: MIT */
/*
 * drivers/virtio/spec against Linux's UAPI headers, at compile time: every
 * constant, and size and offsets of every struct. That the file compiles is
 * the test; the program only checks that no constant was forgotten.
 *
 * Both sides use the standard's names. So Linux's structs are renamed as they
 * are included, and its constants are kept in enumerations before ours take
 * over their names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define virtio_pci_cap                  linux_virtio_pci_cap
#define virtio_pci_cap64                linux_virtio_pci_cap64
#define virtio_pci_notify_cap           linux_virtio_pci_notify_cap
#define virtio_pci_cfg_cap              linux_virtio_pci_cfg_cap
#define virtio_pci_common_cfg           linux_virtio_pci_common_cfg
#define virtio_blk_config               linux_virtio_blk_config
#define virtio_blk_geometry             linux_virtio_blk_geometry
#define virtio_blk_discard_write_zeroes linux_virtio_blk_discard_write_zeroes
#define virtio_net_config               linux_virtio_net_config
#define virtio_net_hdr                  linux_virtio_net_hdr
#define virtio_net_ctrl_mac             linux_virtio_net_ctrl_mac
#define virtio_balloon_config           linux_virtio_balloon_config
#define virtio_balloon_stat             linux_virtio_balloon_stat
#define virtio_console_config           linux_virtio_console_config
#define virtio_console_control          linux_virtio_console_control
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#undef virtio_pci_cap
#undef virtio_pci_cap64
#undef virtio_pci_notify_cap
#undef virtio_pci_cfg_cap
#undef virtio_pci_common_cfg
#undef virtio_blk_config
#undef virtio_blk_geometry
#undef virtio_blk_discard_write_zeroes
#undef virtio_net_config
#undef virtio_net_hdr
#undef virtio_net_ctrl_mac
#undef virtio_balloon_config
#undef virtio_balloon_stat
#undef virtio_console_config
#undef virtio_console_control

#define SAME(name)          linux_##name = name,
#define OTHER(name, theirs) linux_##name = theirs,
#define ALONE(name, number) linux_##name = number,
enum {
#include "tests/unit/spec_constants.def"
};
#undef SAME
#undef OTHER
#undef ALONE

#pragma clang diagnostic ignored "-Wmacro-redefined"
#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/spec/blk.h"
#include "drivers/virtio/spec/config.h"
#include "drivers/virtio/spec/console.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/mmio.h"
#include "drivers/virtio/spec/net.h"
#include "drivers/virtio/spec/pci.h"
#include "drivers/virtio/spec/ring.h"

#define SAME(name)          _Static_assert(name == linux_##name, #name);
#define OTHER(name, theirs) _Static_assert(name == linux_##name, #name);
#define ALONE(name, number) _Static_assert(name == linux_##name, #name);
#include "tests/unit/spec_constants.def"
#undef SAME
#undef OTHER
#undef ALONE

#define SIZE(ours, theirs) _Static_assert(sizeof(struct ours) == sizeof(struct theirs), #ours)
#define FIELD(ours, field, theirs, their_field)                                            \
    _Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, their_field) && \
                       sizeof(((struct ours *)0)->field) ==                                \
                           sizeof(((struct theirs *)0)->their_field),                      \
                   #ours "." #field)
#define SAME(name, field) FIELD(name, field, linux_##name, field)

/* spec/ring.h */
SIZE(virtq_desc, vring_desc);
FIELD(virtq_desc, addr, vring_desc, addr);
FIELD(virtq_desc, len, vring_desc, len);
FIELD(virtq_desc, flags, vring_desc, flags);
FIELD(virtq_desc, next, vring_desc, next);
SIZE(virtq_avail, vring_avail);
FIELD(virtq_avail, flags, vring_avail, flags);
FIELD(virtq_avail, idx, vring_avail, idx);
_Static_assert(offsetof(struct virtq_avail, ring) == offsetof(struct vring_avail, ring), "ring");
SIZE(virtq_used_elem, vring_used_elem);
FIELD(virtq_used_elem, id, vring_used_elem, id);
FIELD(virtq_used_elem, len, vring_used_elem, len);
SIZE(virtq_used, vring_used);
FIELD(virtq_used, flags, vring_used, flags);
FIELD(virtq_used, idx, vring_used, idx);
_Static_assert(offsetof(struct virtq_used, ring) == offsetof(struct vring_used, ring), "ring");
SIZE(pvirtq_desc, vring_packed_desc);
FIELD(pvirtq_desc, addr, vring_packed_desc, addr);
FIELD(pvirtq_desc, len, vring_packed_desc, len);
FIELD(pvirtq_desc, id, vring_packed_desc, id);
FIELD(pvirtq_desc, flags, vring_packed_desc, flags);
SIZE(pvirtq_event_suppress, vring_packed_desc_event);
FIELD(pvirtq_event_suppress, desc, vring_packed_desc_event, off_wrap);
FIELD(pvirtq_event_suppress, flags, vring_packed_desc_event, flags);

/* spec/pci.h */
SIZE(virtio_pci_cap, linux_virtio_pci_cap);
SAME(virtio_pci_cap, cap_vndr);
SAME(virtio_pci_cap, cap_next);
SAME(virtio_pci_cap, cap_len);
SAME(virtio_pci_cap, cfg_type);
SAME(virtio_pci_cap, bar);
SAME(virtio_pci_cap, id);
SAME(virtio_pci_cap, padding);
SAME(virtio_pci_cap, offset);
SAME(virtio_pci_cap, length);
SIZE(virtio_pci_cap64, linux_virtio_pci_cap64);
SAME(virtio_pci_cap64, offset_hi);
SAME(virtio_pci_cap64, length_hi);
SIZE(virtio_pci_notify_cap, linux_virtio_pci_notify_cap);
SAME(virtio_pci_notify_cap, notify_off_multiplier);
SIZE(virtio_pci_cfg_cap, linux_virtio_pci_cfg_cap);
SAME(virtio_pci_cfg_cap, pci_cfg_data);
SAME(virtio_pci_common_cfg, device_feature_select);
SAME(virtio_pci_common_cfg, device_feature);
FIELD(virtio_pci_common_cfg, driver_feature_select, linux_virtio_pci_common_cfg,
      guest_feature_select);
FIELD(virtio_pci_common_cfg, driver_feature, linux_virtio_pci_common_cfg, guest_feature);
FIELD(virtio_pci_common_cfg, config_msix_vector, linux_virtio_pci_common_cfg, msix_config);
SAME(virtio_pci_common_cfg, num_queues);
SAME(virtio_pci_common_cfg, device_status);
SAME(virtio_pci_common_cfg, config_generation);
SAME(virtio_pci_common_cfg, queue_select);
SAME(virtio_pci_common_cfg, queue_size);
SAME(virtio_pci_common_cfg, queue_msix_vector);
SAME(virtio_pci_common_cfg, queue_enable);
SAME(virtio_pci_common_cfg, queue_notify_off);
#define OFFSET(field, number) \
    _Static_assert(offsetof(struct virtio_pci_common_cfg, field) == (number), #field)
OFFSET(queue_desc, VIRTIO_PCI_COMMON_Q_DESCLO);
OFFSET(queue_driver, VIRTIO_PCI_COMMON_Q_AVAILLO);
OFFSET(queue_device, VIRTIO_PCI_COMMON_Q_USEDLO);
OFFSET(queue_notif_config_data, VIRTIO_PCI_COMMON_Q_NDATA);
OFFSET(queue_reset, VIRTIO_PCI_COMMON_Q_RESET);
OFFSET(admin_queue_index, 60); /* not in Linux 6.1 */
OFFSET(admin_queue_num, 62);
_Static_assert(sizeof(struct virtio_pci_common_cfg) == 64, "size");

/* spec/blk.h */
SAME(virtio_blk_config, capacity);
SAME(virtio_blk_config, size_max);
SAME(virtio_blk_config, seg_max);
SAME(virtio_blk_config, geometry);
SAME(virtio_blk_config, geometry.cylinders);
SAME(virtio_blk_config, geometry.heads);
SAME(virtio_blk_config, geometry.sectors);
SAME(virtio_blk_config, blk_size);
FIELD(virtio_blk_config, topology.physical_block_exp, linux_virtio_blk_config, physical_block_exp);
FIELD(virtio_blk_config, topology.alignment_offset, linux_virtio_blk_config, alignment_offset);
FIELD(virtio_blk_config, topology.min_io_size, linux_virtio_blk_config, min_io_size);
FIELD(virtio_blk_config, topology.opt_io_size, linux_virtio_blk_config, opt_io_size);
FIELD(virtio_blk_config, writeback, linux_virtio_blk_config, wce);
FIELD(virtio_blk_config, unused0, linux_virtio_blk_config, unused);
SAME(virtio_blk_config, num_queues);
SAME(virtio_blk_config, max_discard_sectors);
SAME(virtio_blk_config, max_discard_seg);
SAME(virtio_blk_config, discard_sector_alignment);
SAME(virtio_blk_config, max_write_zeroes_sectors);
SAME(virtio_blk_config, max_write_zeroes_seg);
SAME(virtio_blk_config, write_zeroes_may_unmap);
SAME(virtio_blk_config, unused1);
SAME(virtio_blk_config, max_secure_erase_sectors);
SAME(virtio_blk_config, max_secure_erase_seg);
SAME(virtio_blk_config, secure_erase_sector_alignment);
_Static_assert(offsetof(struct virtio_blk_config, zoned) == sizeof(struct linux_virtio_blk_config),
               "zoned follows what Linux 6.1 knows");
_Static_assert(offsetof(struct virtio_blk_zoned_characteristics, model) == 20, "model");
_Static_assert(sizeof(struct virtio_blk_zoned_characteristics) == 24, "zoned");
SIZE(virtio_blk_req, virtio_blk_outhdr);
FIELD(virtio_blk_req, type, virtio_blk_outhdr, type);
FIELD(virtio_blk_req, reserved, virtio_blk_outhdr, ioprio);
FIELD(virtio_blk_req, sector, virtio_blk_outhdr, sector);
SIZE(virtio_blk_discard_write_zeroes, linux_virtio_blk_discard_write_zeroes);
SAME(virtio_blk_discard_write_zeroes, sector);
SAME(virtio_blk_discard_write_zeroes, num_sectors);
SAME(virtio_blk_discard_write_zeroes, flags);
_Static_assert(sizeof(struct virtio_blk_lifetime) == 6, "not in Linux");

/* spec/net.h */
SAME(virtio_net_config, mac);
SAME(virtio_net_config, status);
SAME(virtio_net_config, max_virtqueue_pairs);
SAME(virtio_net_config, mtu);
SAME(virtio_net_config, speed);
SAME(virtio_net_config, duplex);
SAME(virtio_net_config, rss_max_key_size);
SAME(virtio_net_config, rss_max_indirection_table_length);
SAME(virtio_net_config, supported_hash_types);
_Static_assert(offsetof(struct virtio_net_config, supported_tunnel_types) ==
                   sizeof(struct linux_virtio_net_config),
               "supported_tunnel_types follows what Linux 6.1 knows");
SIZE(virtio_net_hdr, virtio_net_hdr_v1);
FIELD(virtio_net_hdr, flags, virtio_net_hdr_v1, flags);
FIELD(virtio_net_hdr, gso_type, virtio_net_hdr_v1, gso_type);
FIELD(virtio_net_hdr, hdr_len, virtio_net_hdr_v1, hdr_len);
FIELD(virtio_net_hdr, gso_size, virtio_net_hdr_v1, gso_size);
FIELD(virtio_net_hdr, csum_start, virtio_net_hdr_v1, csum_start);
FIELD(virtio_net_hdr, csum_offset, virtio_net_hdr_v1, csum_offset);
FIELD(virtio_net_hdr, num_buffers, virtio_net_hdr_v1, num_buffers);
SIZE(virtio_net_ctrl, virtio_net_ctrl_hdr);
FIELD(virtio_net_ctrl, class, virtio_net_ctrl_hdr, class);
FIELD(virtio_net_ctrl, command, virtio_net_ctrl_hdr, cmd);
SIZE(virtio_net_ctrl_mac, linux_virtio_net_ctrl_mac);
SAME(virtio_net_ctrl_mac, entries);
SIZE(virtio_net_ctrl_mq_pairs_set, virtio_net_ctrl_mq);
SIZE(virtio_net_ctrl_coal, virtio_net_ctrl_coal_tx);
FIELD(virtio_net_ctrl_coal, max_packets, virtio_net_ctrl_coal_tx, tx_max_packets);
FIELD(virtio_net_ctrl_coal, max_usecs, virtio_net_ctrl_coal_tx, tx_usecs);
_Static_assert(offsetof(struct virtio_net_ctrl_coal_vq, coal) == 4, "not in Linux 6.1");

/* spec/balloon.h */
SIZE(virtio_balloon_config, linux_virtio_balloon_config);
SAME(virtio_balloon_config, num_pages);
SAME(virtio_balloon_config, actual);
SAME(virtio_balloon_config, free_page_hint_cmd_id);
SAME(virtio_balloon_config, poison_val);
SIZE(virtio_balloon_stat, linux_virtio_balloon_stat);
SAME(virtio_balloon_stat, tag);
SAME(virtio_balloon_stat, val);

/* spec/console.h */
SIZE(virtio_console_config, linux_virtio_console_config);
SAME(virtio_console_config, cols);
SAME(virtio_console_config, rows);
SAME(virtio_console_config, max_nr_ports);
SAME(virtio_console_config, emerg_wr);
SIZE(virtio_console_control, linux_virtio_console_control);
SAME(virtio_console_control, id);
SAME(virtio_console_control, event);
SAME(virtio_console_control, value);
_Static_assert(sizeof(struct virtio_console_resize) == 4, "not in Linux");
#undef SAME

#define SAME(name)          #name,
#define OTHER(name, theirs) #name,
#define ALONE(name, number) #name,
static const char *const compared[] = {
#include "tests/unit/spec_constants.def"
};

static bool is_compared(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(compared); i++) {
        if (strcmp(compared[i], name) == 0)
            return true;
    }
    return false;
}

static void every_constant_of_spec_is_compared(void **state)
{
    static const char *const headers[] = { "balloon", "blk", "config", "console",
                                           "ids",     "net", "pci",    "ring" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(headers); i++) {
        char path[64], line[256], name[128], value[2];
        unsigned constants = 0;
        FILE *file;

        snprintf(path, sizeof(path), "drivers/virtio/spec/%s.h", headers[i]);
        file = fopen(path, "r");
        if (!file)
            fail_msg("%s: not found; run the test from the root of the tree", path);
        while (fgets(line, sizeof(line), file)) {
            if (sscanf(line, "#define %127s %1s", name, value) != 2)
                continue;
            constants++;
            if (!is_compared(name))
                fail_msg("%s: %s is missing in tests/unit/spec_constants.def", path, name);
        }
        fclose(file);
        assert_true(constants > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_constant_of_spec_is_compared) };

    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
