/* SPDX-License-Identifier: MIT */
/* Disks and their partitions in the boot report and on the status page. */
#include "kernel/report.h"
#include "kernel/alloc.h"
#include "kernel/blkdev.h"
#include "lib/fs/partition.h"

static void tell_partition(struct report *report, const struct blkdev *dev,
                           const struct partition_table *table, const struct partition *partition)
{
    report_open_item(report, "%s%u", dev->name, partition->number);
    report_number(report, "first_sector", partition->first_sector);
    report_number(report, "bytes", partition->sectors * BLK_SECTOR_BYTES);
    report_text(report, "type", "%s", partition_type_text(table, partition));
    if (partition->name[0])
        report_text(report, "label", "%s", partition->name);
    report_close(report);
}

static void tell_partitions(struct report *report, struct blkdev *dev)
{
    static const char *const schemes[] = {
        [PARTITION_NONE] = "none",
        [PARTITION_MBR] = "dos",
        [PARTITION_GPT] = "gpt",
    };
    struct partition_table *table = partition_table_read(dev);

    if (!table)
        return;
    report_text(report, "partition_table", "%s", schemes[table->scheme]);
    if (table->problem)
        report_text(report, "problem", "%s", table->problem);
    report_open_list(report, "partitions");
    for (unsigned i = 0; i < table->n_partitions; i++)
        tell_partition(report, dev, table, &table->partition[i]);
    report_close(report);
    kfree(table);
}

static void tell_counters(struct report *report, const struct blkdev_counters *counters)
{
    report_number(report, "reads", counters->reads);
    report_number(report, "read_bytes", counters->read_bytes);
    report_number(report, "writes", counters->writes);
    report_number(report, "written_bytes", counters->written_bytes);
    report_number(report, "flushes", counters->flushes);
    report_number(report, "errors", counters->errors);
}

static void tell_disk(struct report *report, struct blkdev *dev)
{
    blkdev_update(dev);
    report_open_item(report, "%s", dev->name);
    report_text(report, "identity", "%s", blkdev_identity(dev));
    report_number(report, "bytes", dev->sectors * BLK_SECTOR_BYTES);
    report_number(report, "block_bytes", dev->block_bytes);
    report_number(report, "read_only", dev->read_only);
    report_number(report, "write_back", dev->write_back);
    tell_counters(report, &dev->counters);
    tell_partitions(report, dev);
    report_close(report);
}

static void tell(struct report *report)
{
    for (struct blkdev *dev = blkdev_next(NULL); dev; dev = blkdev_next(dev))
        tell_disk(report, dev);
}

REPORTER(disk_reporter) = { "disks", 60, tell };
