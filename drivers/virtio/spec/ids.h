/* SPDX-License-Identifier: MIT */
/* Device types, §5. Those without a chapter of their own are reserved there. */
#ifndef DRIVERS_VIRTIO_SPEC_IDS_H
#define DRIVERS_VIRTIO_SPEC_IDS_H

#define VIRTIO_ID_NET            1 /* §5.1 */
#define VIRTIO_ID_BLOCK          2 /* §5.2 */
#define VIRTIO_ID_CONSOLE        3 /* §5.3 */
#define VIRTIO_ID_RNG            4 /* entropy source, §5.4 */
#define VIRTIO_ID_BALLOON        5 /* traditional memory balloon, §5.5 */
#define VIRTIO_ID_IOMEM          6
#define VIRTIO_ID_RPMSG          7
#define VIRTIO_ID_SCSI           8 /* §5.6 */
#define VIRTIO_ID_9P             9
#define VIRTIO_ID_MAC80211_WLAN  10
#define VIRTIO_ID_RPROC_SERIAL   11
#define VIRTIO_ID_CAIF           12
#define VIRTIO_ID_MEMORY_BALLOON 13
#define VIRTIO_ID_GPU            16 /* §5.7 */
#define VIRTIO_ID_CLOCK          17 /* real time clock, §5.23 */
#define VIRTIO_ID_INPUT          18 /* §5.8 */
#define VIRTIO_ID_VSOCK          19 /* §5.10 */
#define VIRTIO_ID_CRYPTO         20 /* §5.9 */
#define VIRTIO_ID_SIGNAL_DIST    21
#define VIRTIO_ID_PSTORE         22
#define VIRTIO_ID_IOMMU          23 /* §5.13 */
#define VIRTIO_ID_MEM            24 /* §5.15 */
#define VIRTIO_ID_SOUND          25 /* §5.14 */
#define VIRTIO_ID_FS             26 /* §5.11 */
#define VIRTIO_ID_PMEM           27 /* §5.19 */
#define VIRTIO_ID_RPMB           28 /* §5.12 */
#define VIRTIO_ID_MAC80211_HWSIM 29
#define VIRTIO_ID_VIDEO_ENCODER  30
#define VIRTIO_ID_VIDEO_DECODER  31
#define VIRTIO_ID_SCMI           32 /* §5.17 */
#define VIRTIO_ID_NITRO_SEC_MOD  33
#define VIRTIO_ID_I2C_ADAPTER    34 /* §5.16 */
#define VIRTIO_ID_WATCHDOG       35
#define VIRTIO_ID_CAN            36 /* §5.20 */
#define VIRTIO_ID_PARAM_SERV     38
#define VIRTIO_ID_AUDIO_POLICY   39
#define VIRTIO_ID_BT             40
#define VIRTIO_ID_GPIO           41 /* §5.18 */
#define VIRTIO_ID_RDMA           42
#define VIRTIO_ID_CAMERA         43
#define VIRTIO_ID_ISM            44
#define VIRTIO_ID_SPI            45 /* §5.21 */
#define VIRTIO_ID_TEE            46
#define VIRTIO_ID_CPU_BALLOON    47
#define VIRTIO_ID_MEDIA          48 /* §5.22 */
#define VIRTIO_ID_USB            49

#endif
