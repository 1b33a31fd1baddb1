#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the ring costs, and how fast it is:  tests/bench/ring.py [--runs N] [--only SECTION]... [--output FILE]

Sections: cost pair packets reads guest. Rates are of this machine at this time: everything that is compared takes turns
in the same run, on two CPUs that nobody else should use. Each number is the median of so many runs, with the least and
the most. No number makes it fail; a program that fails does, after the other sections.
"""
import argparse
import collections
import contextlib
import json
import os
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "build", "bench")
BUILDS = {"image": "the image's own object", "O2": "-O2", "O3-native": "-O3 -march=native"}

PROGRAM_DEADLINE = 60
GUEST_DEADLINE = 240
START_DEADLINE = 20
STOP_DEADLINE = 10

RING = 256
WINDOWS = 3
WINDOW_SECONDS = 0.2

# DPDK takes another path through its driver for each of these; which is the fastest depends on the CPU.
DPDK_PATHS = {
    "packed": ["packed_vq=1,in_order=1,mrg_rxbuf=0", "packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1",
               "packed_vq=1,in_order=0,mrg_rxbuf=0"],
    "split": ["in_order=1,mrg_rxbuf=0", "in_order=0,mrg_rxbuf=0,vectorized=1", "in_order=0,mrg_rxbuf=0"],
}

BLOCK = 4096
IMAGE_BLOCKS = 16384


class BenchError(Exception):
    """A program did not do its work; the text is for the user."""


class Report:
    """Lines that go to the terminal and into a file."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8") if path else None

    def say(self, text=""):
        print(text, flush=True)
        if self.file:
            self.file.write(text + "\n")
            self.file.flush()

    def table(self, title, header, rows):
        lines = [header] + [[str(cell) for cell in row] for row in rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        self.say(f"\n### {title}\n")
        for number, line in enumerate(lines):
            self.say("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
            if number == 0:
                self.say("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def spread(numbers, form="{:.1f}", scale=1):
    """"median (least to most)", or the one number that all are."""
    least, middle, most = (form.format(number / scale) for number in
                           (min(numbers), statistics.median(numbers), max(numbers)))
    return middle if least == most else f"{middle} ({least} to {most})"


def millions(numbers):
    return spread(numbers, "{:.2f}", 1e6)


def thousands(numbers):
    return spread(numbers, "{:.1f}", 1e3)


# ---- programs

def pinned(cpus):
    return lambda: os.sched_setaffinity(0, cpus)


def run(command, cpus=None, deadline=PROGRAM_DEADLINE):
    """What the program printed."""
    name = os.path.basename(command[0])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=deadline, preexec_fn=pinned(cpus) if cpus else None)
    except subprocess.TimeoutExpired as late:
        raise BenchError(f"{name} did not end in {deadline} s: {late.stdout} {late.stderr}") from late
    except OSError as error:
        raise BenchError(f"{name}: {error.strerror}") from error
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def ours(name, *arguments):
    return run([os.path.join(PROGRAMS, name), *map(str, arguments)])


class Device:
    """A program that waits at sockets while others come and go. What goes wrong while it is in use is told with its log."""

    def __init__(self, command, cpus, sockets):
        self.name = os.path.basename(command[0])
        self.log = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=subprocess.STDOUT,
                                            preexec_fn=pinned(cpus))
        except OSError as error:
            raise BenchError(f"{self.name}: {error.strerror}") from error
        end = time.monotonic() + START_DEADLINE
        while not all(map(os.path.exists, sockets)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"{self.name} does not start:\n{self.stop()[-2000:]}")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _where):
        log = self.stop()
        if isinstance(error, BenchError):
            raise BenchError(f"{error}\n{self.name}:\n{log[-2000:]}") from error

    def stop(self):
        """Ends it; all that it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.log.seek(0)
        return self.log.read()


# ---- the driver's side alone

def cost_of(build, cpu, stepped):
    """{(format, event_idx, in_order, batch): (add, get, add instructions, get instructions)}, and the machine's line."""
    cells, machine = {}, None
    for line in ours(f"ring_cost-{build}", cpu, *(["steps"] if stepped else [])).splitlines():
        word, *rest = line.split()
        if word == "cost":
            cells[rest[0], rest[1] == "1", rest[2] == "1", int(rest[3])] = tuple(map(float, rest[4:]))
        else:
            machine = float(rest[0]), float(rest[1])
    return cells, machine


def cost_section(report, runs, cpus):
    results = {build: collections.defaultdict(list) for build in BUILDS}
    machines = []
    for number in range(runs):
        for build in BUILDS:
            cells, machine = cost_of(build, cpus[0], build == "image" or number == 0)
            machines.append(machine)
            for cell, values in cells.items():
                results[build][cell].append(values)
    report.say("\n## Driver's cost alone")
    report.say(f"\nOne thread, ring of {RING}, one descriptor a buffer, all in the first-level cache. TSC ticks "
               f"({statistics.median(hz for hz, _ in machines) / 1e6:,.0f} MHz; the core made "
               f"{statistics.median(ratio for _, ratio in machines):.2f} cycles a tick) and instructions a buffer, counted "
               f"by single stepping; {runs} runs: median (least to most).")
    report.table("With the image's own object", ["ring", "EVENT_IDX", "IN_ORDER", "batch", "ticks", "of it add + publish",
                                                 "of it get", "instructions", "of it add + publish", "of it get"],
                 [cost_row(cell, values) for cell, values in results["image"].items()])
    report.table("The same source by other options: ticks, instructions",
                 ["ring", "EVENT_IDX", "IN_ORDER", "batch", *BUILDS.values()],
                 [[cell[0], yes(cell[1]), yes(cell[2]), cell[3],
                   *(f"{spread([add + get for add, get, _, _ in results[build][cell]])}, "
                     f"{sum(results[build][cell][0][2:]):.1f}" for build in BUILDS)] for cell in results["image"]])


def yes(flag):
    return "yes" if flag else "no"


def cost_row(cell, values):
    add, get, add_steps, get_steps = zip(*values)
    ring, event_idx, in_order, batch = cell
    return [ring, yes(event_idx), yes(in_order), batch, spread([sum(pair) for pair in zip(add, get)]), spread(add), spread(get),
            spread([sum(pair) for pair in zip(add_steps, get_steps)]), spread(add_steps), spread(get_steps)]


# ---- two threads

def pair_section(report, runs, cpus):
    rates = collections.defaultdict(list)
    for _ in range(runs):
        for line in ours("ring_pair", *cpus).splitlines():
            word, *cell, rate = line.split()
            if word == "pair":
                rates[tuple(cell)].append(float(rate))
    report.say("\n## Two threads")
    report.say(f"\nDriver and device poll, each on its own CPU; ring of {RING}, one descriptor a buffer, which nobody touches. "
               "The lean device does nothing but give buffers back; the fake device is that of the hosted tests, which checks "
               f"the driver and allocates for each buffer. {runs} runs: median (least to most).")
    report.table("Buffers a second, millions", ["device", "ring", "EVENT_IDX", "IN_ORDER", "batch", "rate"],
                 [[device, ring, yes(event_idx == "1"), yes(in_order == "1"), batch, millions(values)]
                  for (device, ring, event_idx, in_order, batch), values in rates.items()])


# ---- packets, beside DPDK

class PacketDevice(Device):
    """dpdk-testpmd with a vhost-user port: takes all packets (rxonly) or sends without end (txonly).

    What it has beside the thread that polls is on the driver's CPU, which is idle when a driver comes or goes.
    """

    def __init__(self, mode, cpus, folder):
        self.socket = os.path.join(folder, mode)
        super().__init__(
            ["dpdk-testpmd", f"--lcores=0@{cpus[0]},1@{cpus[1]}", "--main-lcore=0", "--no-huge", "-m", "256", "--no-pci",
             "--no-telemetry", f"--file-prefix=bench{os.getpid()}{mode}", f"--vdev=net_vhost0,iface={self.socket},queues=1",
             "--", f"--forward-mode={mode}", "--no-lsc-interrupt", "--total-num-mbufs=4096"], set(cpus), [self.socket])
        time.sleep(0.5)  # the socket is there before the forwarding

    def stop_and_count(self):
        """The packets that it received and sent in all."""
        log = self.stop()
        counts = re.findall(r"(RX|TX)-packets: (\d+)", log.partition("Accumulated forward statistics")[2])
        if len(counts) != 2:
            raise BenchError(f"{self.name} tells no sums:\n{log[-2000:]}")
        return tuple(int(number) for _, number in counts)


class Traffic:
    """One program's windows."""

    def __init__(self, output):
        self.rate = statistics.median(map(float, re.findall(r"^rate (\d+)$", output, re.M)))
        self.steps = [float(steps) for steps in re.findall(r"^instructions ([\d.]+)$", output, re.M)]
        self.total = int(re.search(r"^total (\d+)$", output, re.M).group(1))


def our_traffic(direction, ring, cpu, device):
    return Traffic(ours("ring_net", direction, cpu, WINDOWS, WINDOW_SECONDS, ring, device.socket))


def dpdk_traffic(direction, path, cpu, device):
    return Traffic(ours("ring_dpdk", direction, cpu, WINDOWS, WINDOW_SECONDS,
                        f"net_virtio_user0,path={device.socket},queue_size={RING},{path}"))


def check_totals(direction, totals, counted):
    """The device must have seen all packets but those that lay in the rings when they were closed."""
    received, sent = counted
    if direction == "tx" and not sum(totals) - RING * len(totals) <= received <= sum(totals):
        raise BenchError(f"{sum(totals)} packets were sent, the device received {received}")
    if direction == "rx" and sent < sum(totals):
        raise BenchError(f"{sum(totals)} packets were received, the device sent {sent}")


def direction_rows(direction, runs, cpus, folder):
    """Both drivers in turn against one device: the rows of the table, and the paths that DPDK took."""
    totals, rows, paths = [], [], []
    with PacketDevice("rxonly" if direction == "tx" else "txonly", cpus, folder) as device:
        for ring, ways in DPDK_PATHS.items():
            us, them = [], {path: [] for path in ways}
            for _ in range(runs):
                us.append(our_traffic(direction, ring, cpus[0], device))
                for path in ways:
                    them[path].append(dpdk_traffic(direction, path, cpus[0], device))
            totals += [traffic.total for traffics in (us, *them.values()) for traffic in traffics]
            best = max(ways, key=lambda path: statistics.median(traffic.rate for traffic in them[path]))
            paths.append(f"{direction} {ring}: {best}")
            rows.append(traffic_row(direction, ring, us, them[best]))
        check_totals(direction, totals, device.stop_and_count())
    return rows, paths


def traffic_row(direction, ring, us, them):
    ratios = [mine.rate / theirs.rate for mine, theirs in zip(us, them)]
    return [{"tx": "transmit", "rx": "receive"}[direction], ring, millions([traffic.rate for traffic in us]),
            millions([traffic.rate for traffic in them]), spread(ratios, "{:.2f}"), instructions(us), instructions(them)]


def instructions(traffics):
    steps = [step for traffic in traffics for step in traffic.steps]
    return spread(steps) if steps else "not counted: no full burst"


def packets_section(report, runs, cpus):
    rows, paths = [], []
    with tempfile.TemporaryDirectory() as folder:
        for direction in "tx", "rx":
            more_rows, more_paths = direction_rows(direction, runs, cpus, folder)
            rows += more_rows
            paths += more_paths
    report.say("\n## Packets, beside DPDK's virtio-user driver")
    report.say(f"\n64-byte frames to and from dpdk-testpmd's vhost-user port, which has one CPU, as the driver has. Both "
               f"drivers run in the same loop (tests/bench/ring_net.c, ring_dpdk.c): bursts of 32, rings of {RING}, a buffer "
               "taken from a pool and given back for each packet, the frame written into it (transmit). They take turns, "
               f"{runs} runs each, of which each is the median of {WINDOWS} windows of {WINDOW_SECONDS} s. Ratio: ours to DPDK's, "
               "by pairs. Instructions: of the driver's whole loop, by single stepping full bursts; a repetition of a string "
               "instruction counts as one. The sums agree with those of dpdk-testpmd.")
    report.say("\nEach of DPDK's paths took its turn; shown is the one with the best median: " + "; ".join(paths) + ".")
    report.table("Packets a second, millions", ["direction", "ring", "ours", "DPDK", "ratio", "instructions a packet, ours",
                                                "instructions a packet, DPDK"], rows)


# ---- reads, beside io_uring

def write_numbered_image(path):
    with open(path, "wb") as file:
        for number in range(IMAGE_BLOCKS):
            file.write(struct.pack("<Q", number).ljust(BLOCK, b"\0"))


def read_device(image, sockets, cpu):
    """The exports have a thread that polls for a while before it sleeps: the fastest that the daemon can do."""
    arguments = ["--object", "iothread,id=thread",
                 "--blockdev", f"driver=file,node-name=file,filename={image},aio=io_uring,read-only=on",
                 "--blockdev", f"driver=null-co,node-name=null,size={IMAGE_BLOCKS * BLOCK}"]
    for node, socket in sockets.items():
        arguments += ["--export", f"type=vhost-user-blk,id={node},node-name={node},iothread=thread,"
                                  f"addr.type=unix,addr.path={socket}"]
    return Device(["qemu-storage-daemon", *arguments], {cpu}, sockets.values())


def our_reads(how, depth, node, cpu, socket):
    output = ours("ring_blk", how, depth, cpu, 1, WINDOW_SECONDS * 2, "numbered" if node == "file" else "any", socket)
    return float(re.search(r"^rate (\d+)$", output, re.M).group(1))


def fio_reads(depth, image, cpus):
    output = run(["fio", "--name=read", f"--filename={image}", "--rw=randread", f"--bs={BLOCK}", "--ioengine=io_uring",
                  f"--iodepth={depth}", "--time_based", "--runtime=1", "--readonly", "--output-format=json"], set(cpus))
    return json.loads(output[output.index("{"):])["jobs"][0]["read"]["iops"]


def reads_section(report, runs, cpus):
    rates = collections.defaultdict(list)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        image = os.path.join(folder, "image")
        sockets = {"file": os.path.join(folder, "file.socket"), "null": os.path.join(folder, "null.socket")}
        write_numbered_image(image)
        with read_device(image, sockets, cpus[1]):
            for _ in range(runs):
                for depth in 1, 32:
                    for node, socket in sockets.items():
                        for how in "poll", "sleep":
                            rates[node, depth, how].append(our_reads(how, depth, node, cpus[0], socket))
                    rates["file", depth, "fio"].append(fio_reads(depth, image, cpus))
    report.say("\n## Reads of 4 KiB, beside fio")
    report.say("\nRandom reads through our split ring (EVENT_IDX, INDIRECT_DESC) from qemu-storage-daemon's vhost-user-blk export "
               "(in an iothread, which polls before it sleeps; aio=io_uring), "
               "driver and device on one CPU each: the driver polls, or sleeps until the device interrupts. The file lies in "
               "/dev/shm; each block read from it is checked. fio reads the same file by io_uring without another process "
               f"between, and may use both CPUs; null-co it cannot read. {runs} runs, in turns: median (least to most).")
    report.table("Reads a second, thousands", ["image", "depth", "ours, polling", "ours, sleeping", "fio, io_uring"],
                 [[{"file": "file in memory", "null": "null-co"}[node], depth, thousands(rates[node, depth, "poll"]),
                   thousands(rates[node, depth, "sleep"]),
                   thousands(rates[node, depth, "fio"]) if node == "file" else "cannot"]
                  for node in sockets for depth in (1, 32)])


# ---- in the guest

def guest_section(report, _runs, _cpus):
    program = os.path.join(ROOT, "tests", "bench", "ring_guest.py")
    report.say("\n## In the guest\n")
    if os.path.exists(program):
        report.say(run([program], deadline=GUEST_DEADLINE).strip())
    else:
        report.say("Not measured: there is no tests/bench/ring_guest.py.")


# ---- all of it

SECTIONS = {"cost": cost_section, "pair": pair_section, "packets": packets_section, "reads": reads_section,
            "guest": guest_section}


def first_line(command):
    try:
        return run(command).splitlines()[0]
    except BenchError as error:
        return str(error)


def say_machine(report):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
    report.say(f"{time.strftime('%Y-%m-%d')}, {model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} CPUs, Linux "
               f"{os.uname().release}; {first_line(['gcc', '--version'])}; DPDK "
               f"{first_line(['pkg-config', '--modversion', 'libdpdk'])}; {first_line(['qemu-storage-daemon', '--version'])}; "
               f"{first_line(['fio', '--version'])}.")
    load = os.getloadavg()[0]
    report.say(f"Load average at the start: {load:.1f}" + (": **others use the CPUs, rates are too low**." if load > 0.7 else "."))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--only", action="append", choices=list(SECTIONS), default=[])
    options.add_argument("--output", help="a file for the same text")
    options = options.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench-ring: ended"))  # by an exception: devices must not poll on
    report = Report(options.output)
    cpus = sorted(os.sched_getaffinity(0))
    started, failed = time.monotonic(), []
    say_machine(report)
    for name in options.only or SECTIONS:
        try:
            if name in ("pair", "packets", "reads") and len(cpus) < 2:
                raise BenchError("two CPUs are needed")
            SECTIONS[name](report, options.runs, (cpus[-1], cpus[0]))
        except BenchError as error:
            failed.append(name)
            report.say(f"\n**{name}: not measured**\n\n```\n{error}\n```")
    report.say(f"\n{time.monotonic() - started:.0f} s in all.")
    if failed:
        sys.exit(f"bench-ring: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
