#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How memory moves, beside a Linux guest on the same QEMU:  tests/bench/balloon.py [--quick] [--only PART...]

The guests take turns in one run, so that a slower minute of the machine meets both. Each step has a deadline; one that
is late is named and left out, and so is what would begin after --minutes. Guests that do not fit into the memory that is
available are waited for, then left out. The tables also go to build/bench-balloon.md. No number makes it fail.
"""
import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

from balloon_guests import GIB, LOAD, MIB, ROOT, Late, Linux, LinuxUncleared, Ours, qemu
from linux_guest import linux_missing

REPORT = os.path.join(ROOT, "build/bench-balloon.md")
BOTH = [Ours, Linux]
left_out = []
last_start = None  # by time.monotonic(): nothing begins later


# ---- telling

def say(text=""):
    print(text, flush=True)
    with open(REPORT, "a", encoding="utf-8") as file:
        file.write(text + "\n")


def spread(values, digits=2):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def table(title, heads, rows):
    say(f"\n#### {title}\n\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        say("| " + " | ".join(str(field) for field in row) + " |")


def leave_out(what, why):
    left_out.append(f"{what}: {why}".strip())
    print(f"LEFT OUT: {what}: {why}", file=sys.stderr, flush=True)


def wait_for_memory(mib, what, seconds=180):
    """true: there is as much, and some for others."""
    end = time.monotonic() + seconds
    while True:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = int(re.search(r"MemAvailable:\s+(\d+)", file.read()).group(1)) // 1024
        if available >= mib + 1024:
            return True
        if time.monotonic() > end:
            leave_out(what, f"{available} MiB are available, {mib + 1024} wanted")
            return False
        time.sleep(2)


def attempt(kind, what, mib, run):
    """run(folder) with a place for its files; None: it was late, or did not fit."""
    if time.monotonic() > last_start:
        leave_out(f"{kind.NAME}, {what}", "the time is over, see --minutes")
        return None
    if not wait_for_memory(mib, f"{kind.NAME}, {what}"):
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run(folder)
    except (Late, qemu.QemuError) as error:
        leave_out(f"{kind.NAME}, {what}", str(error))
        return None


# ---- rates and notifications

def measure_rates(kind, mib, parts, accel, folder, note):
    with kind(mib, accel, folder) as guest:
        for touched in [False, True]:
            for part in parts:
                if touched:
                    guest.touch_and_free(mib * 75 // 100)
                before = guest.notifications()
                inflate, left = guest.move((mib - mib * part // 100) * MIB)
                between = guest.notifications()
                deflate = guest.follow(mib * MIB)
                after = guest.notifications()
                size = mib / 1024 - left / GIB
                note(part, touched, size / inflate, size / deflate, (between - before) / size, (after - between) / size,
                     100 * size * 1024 / mib)


def tell_rates(options):
    for mib in options.sizes:
        kinds = BOTH + [LinuxUncleared] if mib == options.sizes[0] else BOTH
        seen = {}
        for _ in range(options.repeat):
            for kind in kinds:
                def note(part, touched, *numbers, kind=kind):
                    seen.setdefault((part, touched, kind), []).append(numbers)
                parts = options.parts if kind in BOTH else [50]
                attempt(kind, f"rates of {mib} MiB", mib, lambda folder, kind=kind, note=note, parts=parts: measure_rates(
                    kind, mib, parts, options.accel, folder, note))
        rows = []
        for touched in [False, True]:
            for part in options.parts:
                for kind in kinds:
                    told = seen.get((part, touched, kind))
                    if not told:
                        continue
                    inflate, deflate, in_kicks, out_kicks, given = zip(*told)
                    less = "" if min(given) > part - 1 else f" ({min(given):.0f} % given)"
                    ratio = ratios(seen.get((part, touched, Ours)), told, kind)
                    rows.append([f"{part} %{less}", "yes" if touched else "no", kind.NAME, spread(inflate), spread(deflate), ratio,
                                 spread(in_kicks[-1:], 0), spread(out_kicks[-1:], 0)])
        table(f"A guest of {mib} MiB: GiB/s", ["part", "written before", "guest", "inflate", "deflate",
              "Aerostat to this one", "notifications a GiB, inflating", "deflating"], rows)


def ratios(ours, theirs, kind):
    """Aerostat's medians of inflation and deflation, by this one's."""
    if kind is Ours or not ours:
        return ""
    middle = [[statistics.median(run[n] for run in runs) for n in [0, 1]] for runs in [ours, theirs]]
    return f"{middle[0][0] / middle[1][0]:.1f} and {middle[0][1] / middle[1][1]:.1f}"


# ---- reporting

def wait_for_fall(guest, high, bytes_, seconds):
    started = time.monotonic()
    while high - guest.rss() < bytes_:
        if time.monotonic() - started > seconds:
            raise guest.late(f"a fall of {bytes_ // MIB} MiB (it is {(high - guest.rss()) // MIB})", seconds)
        time.sleep(0.0005)


def measure_report(kind, accel, folder):
    """Seconds from the free until the first report, and until a GiB has left the host; and the number of reports."""
    with kind(1536, accel, folder, "free-page-reporting=on") as guest:
        guest.do("touch 1152", r"^bench: touched", 240)
        high = guest.rss()
        guest.do("free", r"^bench: freed", 60)
        freed = time.time()
        wait_for_fall(guest, high, GIB, 120)
        guest.vm.execute("query-balloon", deadline=60)  # answered when the device has done with the last report
        fallen = time.time()
        reports = [at for at in guest.notified() if at > freed]
        return reports[0] - freed, fallen - freed, len(reports)


def measure_taking(kind, accel, folder):
    """Seconds until the balloon has taken a GiB that was freed: until QEMU says so, and until it has left the host."""
    with kind(1536, accel, folder) as guest:
        guest.touch_and_free(1152)
        high = guest.rss()
        inflate = guest.follow(512 * MIB)
        return inflate, (high - guest.rss()) / MIB


def tell_reports(options):
    reports = {kind: [] for kind in BOTH}
    takings = {kind: [] for kind in BOTH}
    for _ in range(options.repeat):
        for kind in BOTH:
            reports[kind].append(attempt(kind, "reporting", 1536, lambda folder, kind=kind: measure_report(kind, options.accel, folder)))
            takings[kind].append(attempt(kind, "taking 1 GiB", 1536, lambda folder, kind=kind: measure_taking(kind, options.accel, folder)))
    rows, spans = [], {}
    for kind in BOTH:
        told = [report for report in reports[kind] if report]
        taken = [taking[0] for taking in takings[kind] if taking]
        if not told or not taken:
            continue
        spans[kind] = statistics.median(end - began for began, end, _ in told), statistics.median(taken)
        rows.append([kind.NAME, spread([end for _, end, _ in told], 3), spread([began for began, _, _ in told], 3),
                     spread([end - began for began, end, _ in told], 3), spread([n for _, _, n in told], 0),
                     spread(taken, 3), f"{spans[kind][1] / spans[kind][0]:.1f}"])
    table("Seconds until 1 GiB that was written and freed has left the host: by reporting, and by the balloon",
          ["guest", "reported, from the free on", "of it until the first report", "and from there on", "reports",
           "the same by inflation", "inflation to the reports"], rows)
    if len(spans) == 2:
        say(f"\nAerostat's reports, from the first on, take 1/{spans[Linux][1] / spans[Ours][0]:.1f} of the Linux guest's inflation.")


# ---- a workload meanwhile

WORK_MIB = 64


def measure_work_beside_balloon(kind, accel, folder, seconds):
    """What of its work is done while the balloon moves without a pause, in percent; the GiB/s moved; seconds lost a GiB."""
    with kind(1024, accel, folder) as guest:
        guest.touch_and_free(768)
        guest.work(WORK_MIB, 500)
        quiet = guest.work(WORK_MIB, seconds * 1000)
        guest.begin_work(WORK_MIB, seconds * 1000)
        began, moved = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            guest.follow((1024 if moved % 2 else 512) * MIB)
            moved += 1
        span = time.monotonic() - began
        share = guest.end_work(120) / ((quiet + guest.work(WORK_MIB, seconds * 1000)) / 2)
        return share * 100, moved / 2 / span, seconds * (1 - share) / (moved / 2)


def measure_work_beside_reports(kind, accel, folder, seconds):
    """The same while a GiB that was freed is reported."""
    with kind(1536, accel, folder, "free-page-reporting=on") as guest:
        guest.work(WORK_MIB, 500)
        guest.do("touch 1152", r"^bench: touched", 240)
        high = guest.rss()
        guest.do("free", r"^bench: freed", 60)
        busy, began = [], time.monotonic()
        while not busy or high - guest.rss() < GIB:
            busy.append(guest.work(WORK_MIB, 1000))
            if time.monotonic() - began > 120:
                raise guest.late("what was freed", 120)
        quiet = guest.work(WORK_MIB, seconds * 1000)
        return statistics.mean(busy) / quiet * 100, 1 / len(busy), sum(1 - rate / quiet for rate in busy)


def tell_work(options):
    moving, reporting = {kind: [] for kind in BOTH}, {kind: [] for kind in BOTH}
    for _ in range(options.repeat):
        for kind in BOTH:
            moving[kind].append(attempt(kind, "work beside the balloon", 1024, lambda folder, kind=kind: measure_work_beside_balloon(
                kind, options.accel, folder, options.seconds)))
            reporting[kind].append(attempt(kind, "work beside reports", 1536, lambda folder, kind=kind: measure_work_beside_reports(
                kind, options.accel, folder, options.seconds)))
    columns = {kind: ([m for m in moving[kind] if m], [r for r in reporting[kind] if r]) for kind in BOTH}
    table("A workload (random additions in 64 MiB, one CPU) while memory moves: what it does of what it does undisturbed",
          ["guest", "meanwhile", "it does, %", "GiB/s moved", "seconds of work lost a GiB"],
          [[kind.NAME, "the balloon takes and gives 512 MiB without a pause"] + [spread(column) for column in zip(*columns[kind][0])]
           for kind in BOTH if columns[kind][0]] +
          [[kind.NAME, "1 GiB that was freed is reported"] + [spread(column) for column in zip(*columns[kind][1])]
           for kind in BOTH if columns[kind][1]])


# ---- instructions

def measure_instructions(kind, folder):
    """In the guest, a GiB: while inflating, deflating, and in as long a time of nothing."""
    with kind(1024, "tcg", folder, count=True) as guest:
        guest.follow(768 * MIB)
        guest.follow(1024 * MIB)
        time.sleep(0.5)
        marks = [guest.instructions()]
        for left in [512, 1024]:
            guest.follow(left * MIB)
            marks.append(guest.instructions())
        return (marks[1] - marks[0]) * 2, (marks[2] - marks[1]) * 2


def tell_instructions(options):
    rows = []
    for kind in BOTH:
        told = [attempt(kind, "instructions", 1024, lambda folder, kind=kind: measure_instructions(kind, folder))
                for _ in range(min(options.repeat, 2))]
        told = [run for run in told if run]
        if told:
            rows.append([kind.NAME] + [spread([n / 1e6 for n in column], 2) for column in zip(*told)])
    table("Instructions of the guest, millions a GiB (QEMU counts: -icount shift=0; 50 % of 1024 MiB)",
          ["guest", "inflating", "deflating"], rows)


# ---- migration

def measure_migration(kind, hint, accel, folder):
    """MiB sent, seconds, and milliseconds of standstill of a guest that writes; its sum must be right when it is there."""
    wire = os.path.join(folder, "wire")
    device = "free-page-hint=on,iothread=hints" if hint else ""
    thread = ["-object", "iothread,id=hints"]
    folders = [os.path.join(folder, name) for name in ["here", "there"]]
    for name in folders:
        os.mkdir(name)
    with kind(1024, accel, folders[1], device, [*thread, "-incoming", f"unix:{wire}"]) as there, \
            kind(1024, accel, folders[0], device, thread) as here:
        here.touch_and_free(768)
        here.begin_work(32, 20000)
        here.vm.execute("migrate-set-parameters", {"max-bandwidth": 4 * GIB, "downtime-limit": 500})
        began = time.monotonic()
        here.vm.execute("migrate", {"uri": f"unix:{wire}"})
        while (told := here.vm.execute("query-migrate"))["status"] not in ("completed", "failed"):
            if time.monotonic() - began > 90:
                raise here.late("the end of the migration", 90)
            time.sleep(0.02)
        if told["status"] != "completed":
            raise Late(f"{kind.NAME}: the migration {told}")
        if "bench: worked" in here.vm.console_text():
            raise Late(f"{kind.NAME}: the workload ended before the migration did")
        there.end_work(120)
        return told["ram"]["transferred"] / MIB, told["total-time"] / 1000, told["downtime"]


def tell_migration(options):
    seen = {}
    for _ in range(options.repeat):
        for kind in BOTH:
            for hint in [False, True]:
                told = attempt(kind, f"migration {'with' if hint else 'without'} hints", 2048,
                               lambda folder, kind=kind, hint=hint: measure_migration(kind, hint, options.accel, folder))
                if told:
                    seen.setdefault((kind, hint), []).append(told)
    rows = []
    for (kind, hint), told in sorted(seen.items(), key=lambda item: (item[0][0] is Linux, item[0][1])):
        sent, seconds, still = zip(*told)
        rows.append([kind.NAME, "yes" if hint else "no", spread(sent, 0), spread(seconds), spread(still, 0), f"right, {len(told)} times"])
    table("A live migration by a Unix socket of a guest of 1024 MiB that has written and freed 768 MiB and writes to 32 MiB at random",
          ["guest", "hints", "MiB sent", "seconds", "standstill, ms", "the workload's sum afterwards"], rows)


# ---- the host

def host_rate(kib, how):
    """GiB/s of madvise() alone."""
    told = subprocess.run([LOAD], input=f"drop 1024 {kib} {how}\n", stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    return 1e9 / int(re.search(r"dropped in (\d+) ns", told).group(1))


def tell_host(options):
    if not wait_for_memory(1024, "the host's own cost"):
        return
    steps = [("dropped in one piece", 1 << 20, "dontneed"), ("dropped by 2 MiB", 2048, "dontneed"),
             ("dropped by 4 KiB, as QEMU does when it inflates", 4, "dontneed"),
             ("wanted by 4 KiB, as QEMU does when it deflates", 4, "willneed")]
    told = {what: [] for what, *_ in steps}
    for _ in range(options.repeat):
        for what, kib, how in steps:
            told[what].append(host_rate(kib, how))
    table("The host alone: madvise() of 1 GiB that was written, GiB/s", ["how", "rate"], [[what, spread(rates)] for what, rates in told.items()])


PARTS = {"host": tell_host, "rates": tell_rates, "reports": tell_reports, "work": tell_work,
         "instructions": tell_instructions, "migration": tell_migration}


def tell_where(options):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        cpu = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    version = subprocess.run([qemu.qemu_binary(), "--version"], stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout.splitlines()[0]
    say(f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; {cpu.group(1) if cpu else 'unknown CPU'}, {os.cpu_count()} CPUs; "
        f"Linux {platform.release()}; {version}; {options.accel.upper()}; {options.repeat} runs each, taking turns: median (least to most); "
        f"load {os.getloadavg()[0]:.1f} at the start.")


def main():
    global last_start
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accel", default="tcg", choices=["tcg", "kvm"])
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS), help="parts of the run")
    parser.add_argument("--sizes", metavar="MiB", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--parts", metavar="PERCENT", type=int, nargs="+", default=[25, 50, 90])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="for which a workload is watched")
    parser.add_argument("--minutes", type=int, default=25, help="after which no guest is started any more")
    parser.add_argument("--quick", action="store_true", help="a guest of 1024 MiB, 50 %%, once")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.parts, options.repeat = [1024], [50], 1
    if linux_missing():
        raise SystemExit(f"bench-balloon: {linux_missing()}: make build/linux/vmlinuz")
    open(REPORT, "w", encoding="utf-8").close()
    began = time.monotonic()
    last_start = began + options.minutes * 60
    tell_where(options)
    for part in PARTS:
        if part in options.only:
            at = time.monotonic()
            PARTS[part](options)
            print(f"({part}: {time.monotonic() - at:.0f} s)", file=sys.stderr, flush=True)
    say(f"\nThe load at the end was {os.getloadavg()[0]:.1f}; the run took {(time.monotonic() - began) / 60:.0f} minutes.")
    for line in left_out:
        say(f"\nLEFT OUT: {line.splitlines()[0]}")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
