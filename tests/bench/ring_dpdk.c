/* SPDX-License-Identifier: MIT */
/*
 * The peer of ring_net.c: DPDK's virtio-user driver in the same loop.
 *     ring_dpdk tx|rx CPU WINDOWS SECONDS VDEV       VDEV: "net_virtio_user0,path=..."
 *
 * tx: takes packets from the pool, writes the frame, sends; what could not be
 * sent is tried again. rx: receives and gives the packets back to the pool.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include "tests/bench/ring_traffic.h"

struct driver {
    struct rte_mempool *pool;
    struct rte_mbuf *pending[TRAFFIC_BURST]; /* tx: written, not sent yet */
    unsigned n_pending;
};

static unsigned transmit(void *argument)
{
    struct driver *driver = argument;
    unsigned n = driver->n_pending, sent;

    if (n < TRAFFIC_BURST &&
        rte_pktmbuf_alloc_bulk(driver->pool, &driver->pending[n], TRAFFIC_BURST - n) == 0) {
        for (; n < TRAFFIC_BURST; n++) {
            struct rte_mbuf *packet = driver->pending[n];

            memcpy(rte_pktmbuf_mtod(packet, void *), traffic_frame, TRAFFIC_FRAME);
            packet->data_len = packet->pkt_len = TRAFFIC_FRAME;
        }
    }
    sent = rte_eth_tx_burst(0, 0, driver->pending, (uint16_t)n);
    for (unsigned i = sent; i < n; i++)
        driver->pending[i - sent] = driver->pending[i];
    driver->n_pending = n - sent;
    return sent;
}

static unsigned receive(void *argument)
{
    struct rte_mbuf *packets[TRAFFIC_BURST];
    unsigned n = rte_eth_rx_burst(0, 0, packets, TRAFFIC_BURST);

    (void)argument;
    rte_pktmbuf_free_bulk(packets, n);
    return n;
}

static void start_eal(const char *program, const char *cpu, const char *vdev)
{
    char lcores[32], prefix[32];
    char *argv[] = { (char *)program, lcores,     "--no-huge",      "-m",
                     "256",           "--no-pci", "--no-telemetry", "--log-level=error",
                     prefix,          "--vdev",   (char *)vdev,     NULL };

    snprintf(lcores, sizeof(lcores), "--lcores=0@%s", cpu);
    snprintf(prefix, sizeof(prefix), "--file-prefix=ring%d", (int)getpid());
    if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
        errx(1, "EAL: %s", rte_strerror(rte_errno));
}

static void start_port(struct driver *driver)
{
    struct rte_eth_conf conf = { 0 };

    driver->pool = rte_pktmbuf_pool_create("packets", TRAFFIC_POOL, TRAFFIC_POOL_CACHE, 0,
                                           RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (!driver->pool)
        errx(1, "no memory for packets");
    if (rte_eth_dev_configure(0, 1, 1, &conf) ||
        rte_eth_rx_queue_setup(0, 0, TRAFFIC_RING, SOCKET_ID_ANY, NULL, driver->pool) ||
        rte_eth_tx_queue_setup(0, 0, TRAFFIC_RING, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(0))
        errx(1, "the port does not start");
}

int main(int argc, char **argv)
{
    static struct driver driver;

    if (argc != 6)
        errx(2, "usage: ring_dpdk tx|rx CPU WINDOWS SECONDS VDEV");
    start_eal(argv[0], argv[2], argv[5]);
    start_port(&driver);
    traffic_run(strcmp(argv[1], "tx") ? receive : transmit, &driver, (unsigned)atoi(argv[3]),
                atof(argv[4]));
    rte_eth_dev_stop(0);
    rte_eth_dev_close(0);
    rte_eal_cleanup();
    return 0;
}
