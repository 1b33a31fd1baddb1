# SPDX-License-Identifier: MIT
"""What tools/overcommit is made of: sizes, cgroups, the picture."""

import importlib.machinery
import importlib.util
import os
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import cgroup
import memory_chart
import pytest
import tenant

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def overcommit():
    path = os.path.join(os.path.dirname(cgroup.__file__), "overcommit")
    loader = importlib.machinery.SourceFileLoader("overcommit", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("overcommit", loader))
    loader.exec_module(module)
    return module


def wanted(**other):
    return SimpleNamespace(**{"by": "reporting", "guests": 6, "size": 2048, "budget": 8192, "work": 1536, "idle": 96, **other})


# --- sizes

def test_on_a_host_with_room_nothing_is_scaled(overcommit, capsys):
    options = wanted()
    overcommit.fit(options, 9216)
    assert options == wanted() and not capsys.readouterr().out


def test_on_a_smaller_host_all_is_smaller_and_that_is_said(overcommit, capsys):
    options = wanted()
    overcommit.fit(options, 5120)
    assert options == wanted(size=1024, budget=4096, work=768, idle=48)
    assert "has 5120 MiB available, 9216 are wanted" in capsys.readouterr().out


@pytest.mark.parametrize("room", [-1, 0, 1000, 1024, 1100])
def test_on_a_host_that_is_too_small_nothing_is_begun(overcommit, room):
    with pytest.raises(overcommit.Failure, match="does not fit"):
        overcommit.fit(wanted(), room)


@pytest.mark.parametrize("odd", [{"guests": 1}, {"guests": 0}, {"work": 1900}, {"idle": 1024}, {"budget": 5000}])
def test_sizes_that_cannot_be_are_refused(overcommit, odd):
    with pytest.raises(overcommit.Failure, match="does not fit"):
        overcommit.fit(wanted(**odd), 100000)


def test_a_budget_that_all_fit_in_is_refused_because_it_shows_nothing(overcommit):
    with pytest.raises(overcommit.Failure, match="nothing to show"):
        overcommit.fit(wanted(budget=11000), 100000)


# --- what guests tell

def told(*lines):
    guest = tenant.Tenant("one", "no.elf", 64, "tcg", "/nowhere")
    for line in lines:
        guest._hear(line)
    return guest


def test_what_a_guest_tells_is_taken_and_anything_else_is_an_answer():
    guest = told("ready", "holds 5 of 6, checked 70, lost 8", "done", "holds 5 of", "holds x of 6, checked 70, lost 8")
    assert (guest.holds, guest.wanted, guest.checked, guest.lost) == (5, 6, 70, 8)
    assert guest.said == ["ready", "done", "holds 5 of", "holds x of 6, checked 70, lost 8"]


def test_what_was_swapped_out_counts_as_had():
    status = "VmHWM:\t   999 kB\nVmRSS:\t  1200 kB\nRssAnon:\t 70 kB\nVmSwap:\t      34 kB\n"
    assert sum(map(int, tenant.HELD.findall(status))) == 1234


def test_a_guest_has_what_the_system_says_and_nothing_once_it_has_ended():
    guest = told()
    guest.vm.process = SimpleNamespace(pid=os.getpid())
    assert 5 * MIB < guest.resident() < 5000 * MIB
    guest.vm.process.pid = 2**22 + 1  # beyond any
    assert guest.resident() == 0


# --- cgroups

def mounts(proc, own, *lines):
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(own)
    (proc / "self/mountinfo").write_text("".join(line + "\n" for line in lines))
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:     2048 kB\n")
    return os.fspath(proc)


def v1(tmp_path, root="/", own="/mine"):
    above = tmp_path / "memory" / os.path.relpath(own, root)
    above.mkdir(parents=True)
    return above, mounts(tmp_path / "proc", f"5:cpu:/\n4:memory:{own}\n0::/\n",
                         "20 1 0:1 / / rw - ext4 /dev/root rw", f"21 20 0:2 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu",
                         f"22 20 0:2 {root} {tmp_path}/memory rw - cgroup cgroup rw,memory")


def v2(tmp_path, controllers="cpu memory pids"):
    root = tmp_path / "unified"
    (root / "a/b").mkdir(parents=True)
    (root / "cgroup.subtree_control").write_text(controllers + "\n")
    return root, mounts(tmp_path / "proc", "0::/a/b\n", f"22 20 0:2 / {root} rw shared:4 - cgroup2 cgroup2 rw")


@pytest.mark.parametrize("root, own", [("/", "/mine"), ("/docker/x", "/docker/x/inner"), ("/docker/x", "/docker/x")])
def test_a_cgroup_of_version_1_is_made_inside_our_own(tmp_path, root, own):
    above, proc = v1(tmp_path, root, own)
    group = cgroup.Cgroup("demo", 8192, proc)
    assert group.version == 1
    assert (above / "demo/memory.limit_in_bytes").read_text() == "8192"
    assert (above / "demo/memory.swappiness").read_text() == "0"
    (above / "demo/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert group.kills() == 3 and group.peak() is None
    (above / "demo/memory.max_usage_in_bytes").write_text("77\n")
    assert group.peak() == 77


def test_a_cgroup_of_version_2_is_made_at_the_root(tmp_path):
    root, proc = v2(tmp_path)
    group = cgroup.Cgroup("demo", 8192, proc)
    assert group.version == 2
    assert (root / "demo/memory.max").read_text() == "8192"
    (root / "demo/memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    (root / "demo/memory.peak").write_text("99\n")
    assert group.kills() == 1 and group.peak() == 99


@pytest.mark.parametrize("controllers", ["", "cpu pids"])
def test_a_hierarchy_that_does_not_count_memory_is_of_no_use(tmp_path, controllers):
    _, proc = v2(tmp_path, controllers)
    with pytest.raises(cgroup.CgroupMissing, match="no hierarchy"):
        cgroup.Cgroup("demo", 8192, proc)


def test_a_limit_that_is_refused_leaves_no_cgroup_behind(tmp_path, monkeypatch):
    root, proc = v2(tmp_path)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(cgroup.Cgroup, "_set", refuse)
    with pytest.raises(cgroup.CgroupMissing, match="not permitted"):
        cgroup.Cgroup("demo", 8192, proc)
    assert not (root / "demo").exists()


def test_room_is_what_the_tightest_limit_leaves(tmp_path):
    root, proc = v2(tmp_path)
    assert cgroup.room(proc) == 2 * MIB
    (root / "a/memory.max").write_text("max\n")
    (root / "a/memory.current").write_text("5\n")
    (root / "a/b/memory.max").write_text("1000\n")
    (root / "a/b/memory.current").write_text("400\n")
    assert cgroup.room(proc) == 600
    (root / "a/memory.max").write_text("100\n")
    assert cgroup.room(proc) == 95


def test_room_by_version_1_counts_the_limits_above(tmp_path):
    above, proc = v1(tmp_path)
    (above / "memory.stat").write_text("cache 1\nhierarchical_memory_limit 1000\n")
    (above / "memory.usage_in_bytes").write_text("300\n")
    assert cgroup.room(proc) == 700
    (above / "memory.stat").write_text("cache 1\nhierarchical_memory_limit 9223372036854771712\n")
    assert cgroup.room(proc) == 2 * MIB


# --- the picture

def picture(samples, budget=1000 * MIB, names=("a", "b"), busy=None):
    text = memory_chart.draw("a <title> & more", names, samples, busy or [[] for _ in names], budget)
    return ElementTree.fromstring(text)


def points(element):
    return [tuple(map(float, pair.split(","))) for pair in element.get("points").split()]


def line(root, kind):
    return next(points(element) for element in root.iter(SVG + "polyline") if element.get("class") == kind)


SAMPLES = [(0.1 * n, [(100 + n) * MIB, (400 if n < 50 else 200) * MIB]) for n in range(1, 101)]


def test_the_areas_stand_on_one_another_and_to_scale():
    root = picture(SAMPLES)
    both, first, alone_a, alone_b = [points(element) for element in root.iter(SVG + "polygon")]
    (_, budget_y), _ = line(root, "budget")
    ground = both[-1][1]
    per_mib = (ground - budget_y) / 1000
    assert first[9][1] == pytest.approx(ground - 110 * per_mib, abs=0.11)
    assert both[9][1] == pytest.approx(ground - 510 * per_mib, abs=0.11)
    assert both[-3][1] == pytest.approx(ground - 400 * per_mib, abs=0.11)
    assert len(both) == len(SAMPLES) + 2 and both[0][0] < both[1][0]
    assert alone_a[-1][1] < alone_b[-1][1], "each by itself, one below the other"


def test_the_line_of_what_was_never_given_back_only_rises():
    never = [y for _, y in line(picture(SAMPLES), "never")]
    assert never == sorted(never, reverse=True) and never[-1] < never[0]
    assert memory_chart.never_given_back(SAMPLES)[-1] == 600 * MIB


def test_busy_times_are_bars_below_their_guest():
    root = picture(SAMPLES, busy=[[(0, 5), (7.5, 10)], []])
    first, second = [element for element in root.iter(SVG + "rect") if element.get("class") == "busy"]
    assert float(first.get("width")) == pytest.approx(2 * float(second.get("width")), abs=0.2)
    assert float(first.get("x")) + float(first.get("width")) < float(second.get("x"))


def test_words_are_escaped_and_the_budget_is_named():
    texts = ["".join(element.itertext()) for element in picture(SAMPLES, names=("a<b", "c&d")).iter(SVG + "text")]
    assert "a<b" in texts and "c&d" in texts and "a <title> & more" in texts and "the budget, 1000 MiB" in texts


def test_thinning_loses_no_peak():
    samples = [(n, [10, 5]) for n in range(5000)]
    samples[1234] = (1234, [900, 5])
    kept = memory_chart.thin(samples)
    assert len(kept) <= memory_chart.POINTS and samples[1234] in kept
    assert memory_chart.thin(samples[:3]) == samples[:3]


@pytest.mark.parametrize("samples", [[(0.1, [0, 0])], [(0.1, [1, 0]), (100000, [5000 * MIB, 0])]])
def test_the_least_and_the_longest_run_can_be_drawn(samples):
    assert len(list(picture(samples).iter(SVG + "text"))) < 60
