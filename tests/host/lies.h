/* SPDX-License-Identifier: MIT */
/*
 * What a hostile device may do, for the tests of every driver: a table of lies
 * about a queue, and one of what the device is like after the reset that they
 * cost it. A test goes through all pairs:
 *
 *     for each lie that fits, for each aftermath:
 *         start the device, lend it buffers
 *         host_arrange(&fake, aftermath, lie, queue);
 *         host_tell(&fake, lie, queue);
 *         let the driver look, as often as it likes
 *         ...                                  aftermath->survives: as if nothing had happened
 *         virtio_remove(&fake.device);
 *         host_assert_nothing_left(before);
 */
#ifndef TESTS_HOST_LIES_H
#define TESTS_HOST_LIES_H

#include "tests/host/fake_transport.h"

struct lie {
    const char *name;
    void (*tell)(struct fake_transport *fake, unsigned queue); /* buffers are lent in it */
    bool split_only, packed_only;
    bool two_entries; /* the second one would lie over the first in a packed ring of one descriptor
                       */
    bool unseen;      /* nothing follows from it: the device asks for a reset as well */
};

struct aftermath {
    const char *name;
    void (*arrange)(struct fake_transport *fake); /* before the lie; what shows from the reset on */
    bool survives;
    bool stuck;      /* the reset does not end */
    bool lies_again; /* at each doorbell */
};

extern const struct lie host_lies[];
extern const unsigned host_n_lies;
extern const struct aftermath host_aftermaths[];
extern const unsigned host_n_aftermaths;

/* How the test's device finishes a buffer honestly. */
extern void (*host_honest)(struct fake_transport *fake, unsigned queue, struct fake_chain *chain);

bool host_lie_fits(const struct lie *lie, bool packed);

/* Tells the lie, and interrupts. */
void host_tell(struct fake_transport *fake, const struct lie *lie, unsigned queue);

/* What will be after the reset. Takes the place of fake->kicked where the device lies again. */
void host_arrange(struct fake_transport *fake, const struct aftermath *aftermath,
                  const struct lie *lie, unsigned queue);

/* The end of a removed device, also of one that does not answer a reset. */
void host_take_away(struct fake_transport *fake);

/* What the code under test has: to be compared before and after. */
struct host_left {
    unsigned allocations, dma_blocks, irqs;
};

struct host_left host_left(void);

/* Fails the test where something is left but for so many of kalloc(). */
void host_assert_nothing_left(struct host_left before, unsigned allocations);

/*
 * Fails the test where a queue of the device has a buffer lent, or a descriptor
 * that is not free. but: one that is not looked at, in which buffers wait for the
 * device.
 */
void host_assert_queues_idle(const struct fake_transport *fake);
void host_assert_queues_idle_but(const struct fake_transport *fake, int but);

#endif
