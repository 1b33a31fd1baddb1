# SPDX-License-Identifier: MIT
"""The build as a stranger meets it: the same bytes in every folder, nothing done twice, nothing forgotten, applications
from outside the tree."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import ROOT

UP_TO_DATE = "make: 'build/hello.elf' is up to date.\n"
SHARED = ["sources", "newlib", "newlib-src", "lwip-src", "musl-src", ".setup-build"]


def copy_of_the_tree(folder):
    """Our files as they are, and the libraries that are built or unpacked already."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("build", ".git", "__pycache__", "*.md"))
    os.mkdir(folder / "build")
    for name in SHARED:
        if not os.path.exists(os.path.join(ROOT, "build", name)):
            pytest.skip(f"build/{name} is missing: make builds it")
        os.symlink(os.path.join(ROOT, "build", name), folder / "build" / name)
    return folder


def make(tree, *words, check=True, **environment):
    # Not the flags of the make that runs this test.
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=tree, env=clean | environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


def sources_compiled(output):
    """From the output of make V=1."""
    return {words[-1] for words in map(str.split, output.splitlines()) if "-c" in words and words[-1].endswith(".c")}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the tree in which hello is built. Its tests leave it up to date."""
    tree = copy_of_the_tree(tmp_path_factory.mktemp("build") / "tree")
    make(tree, "-j2", "build/hello.elf")
    return tree


def test_another_folder_order_time_and_language_give_the_same_bytes(tmp_path):
    one = copy_of_the_tree(tmp_path / "one")
    other = copy_of_the_tree(tmp_path / "another" / "and-a-longer" / "name")
    for path in (other / "kernel").iterdir():
        os.utime(path, (1e9, 1e9))
    make(one, "-j1", "build/aerostat.elf")
    make(other, "-j3", "build/aerostat.elf", TZ="Asia/Tokyo", LC_ALL="tr_TR.UTF-8", USER="nobody", CFLAGS="-O0")
    assert sha256(one / "build/aerostat.elf") == sha256(other / "build/aerostat.elf")
    assert os.fsencode(one) not in (one / "build/aerostat.elf").read_bytes()


def test_a_second_make_does_nothing(built):
    assert make(built, "V=1", "build/hello.elf") == UP_TO_DATE


def test_a_touched_header_compiles_what_includes_it_and_nothing_else(built):
    os.utime(built / "kernel/symbol.h")
    compiled = sources_compiled(make(built, "V=1", "build/hello.elf"))
    assert "kernel/symbol.c" in compiled
    assert "lib/base/string.c" not in compiled
    assert make(built, "V=1", "build/hello.elf") == UP_TO_DATE


def test_a_touched_public_header_compiles_the_applications_that_include_it(built):
    make(built, "-j2", "build/aerostat.elf")
    os.utime(built / "include/aerostat/status_server.h")
    assert "apps/appliance/main.c" in sources_compiled(make(built, "-j2", "V=1", "build/aerostat.elf"))


def test_a_touched_glue_of_the_allocator_reaches_its_copies_in_one_make(built):
    os.utime(built / "lib/libc/malloc_glue.h")
    assert "build/malloc/malloc.c" in sources_compiled(make(built, "V=1", "build/hello.elf"))
    assert make(built, "V=1", "build/hello.elf") == UP_TO_DATE


def test_a_touched_linker_script_links_and_compiles_nothing(built):
    os.utime(built / "linker.ld")
    output = make(built, "V=1", "build/hello.elf")
    assert "linker.ld" in output
    assert not sources_compiled(output)


def test_a_source_that_left_the_list_leaves_the_image(built):
    listed = (built / "Makefile").read_text()
    before = sha256(built / "build/hello.elf")
    (built / "Makefile").write_text(listed.replace("drivers/pvpanic.c", ""))
    make(built, "build/hello.elf")
    assert b"pvpanic" not in (built / "build/hello.elf").read_bytes()
    (built / "Makefile").write_text(listed)
    make(built, "build/hello.elf")
    assert sha256(built / "build/hello.elf") == before


def test_changed_flags_compile_everything(built):
    compiled = sources_compiled(make(built, "-j2", "V=1", "build/hello.elf", "VERSION=9.8.7"))
    assert {"lib/base/string.c", "apps/hello/main.c", "lib/libc/fd.c"} <= compiled
    assert b"9.8.7" in (built / "build/hello.elf").read_bytes()
    make(built, "-j2", "build/hello.elf")
    assert b"9.8.7" not in (built / "build/hello.elf").read_bytes()


def test_a_make_interrupted_again_and_again_leaves_nothing_half_written(built):
    before = sha256(built / "build/hello.elf")
    make(built, "clean")
    ends = []
    for seconds in (0.3, 0.6, 1.2):  # a quick machine may be done before the last of them
        process = subprocess.Popen(["make", "-j2", "build/hello.elf"], cwd=built, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, process_group=0)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        ends.append(process.wait())
    assert any(ends), "it was faster than each interruption"
    make(built, "-j2", "build/hello.elf")
    assert sha256(built / "build/hello.elf") == before


def test_an_application_outside_the_tree_is_built_and_boots(built, tmp_path):
    shutil.copytree(os.path.join(ROOT, "apps/hello"), tmp_path / "greeter")
    main = tmp_path / "greeter/main.c"
    main.write_text(main.read_text().replace("Hello, world!", "Hello from outside!"))
    assert make(built, "-j2", f"APP_DIR={tmp_path}/greeter").splitlines()[-2:] == ["build/greeter.elf", "build/greeter.bzimage"]
    done = subprocess.run([os.path.join(ROOT, "tools/run"), "--app", built / "build/greeter.elf", "--accel", "tcg", "--net", "none",
                           "--deadline", "20"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    assert "Hello from outside!" in done.stdout
    assert done.returncode == 0


def test_an_application_outside_may_bear_the_name_of_one_inside(built, tmp_path):
    before = sha256(built / "build/hello.elf")
    shutil.copytree(os.path.join(ROOT, "apps/hello"), tmp_path / "hello")
    main = tmp_path / "hello/main.c"
    main.write_text(main.read_text().replace("Hello, world!", "Hello from outside!"))
    os.utime(main, (1e9, 1e9))  # older than the object of the other
    make(built, "-j2", f"APP_DIR={tmp_path}/hello")
    assert b"Hello from outside!" in (built / "build/hello.elf").read_bytes()
    make(built, "-j2", "build/hello.elf")
    assert sha256(built / "build/hello.elf") == before


PRINTS = """#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    char text[60];
    int number;
    sscanf("-77 ", "%d", &number);
    snprintf(text, sizeof(text), "%s %5d|%-5lx|%lld", argv[0], number, 0xbeefL, 1LL << 40);
    return printf("%s\\n", text) < argc;
}
"""


def application(folder, main, mk):
    folder.mkdir()
    (folder / "main.c").write_text(main)
    (folder / "app.mk").write_text("APP_SRCS := main.c\n" + mk)
    return f"APP_DIR={folder}"


def test_an_application_without_floating_point_prints_integers_and_carries_no_other_printf(built, tmp_path):
    sizes = []
    for name, mk in [("integers", "WITHOUT := float\n"), ("all", "")]:
        make(built, "-j2", application(tmp_path / name, PRINTS, mk), f"build/{name}.elf")
        image = built / f"build/{name}.elf"
        names = subprocess.run(["nm", image], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert ("_dtoa_r" in names) == (name == "all")
        done = subprocess.run([os.path.join(ROOT, "tools/run"), "--app", image, "--accel", "tcg", "--net", "none", "--deadline", "20"],
                              stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        assert f"{name}   -77|beef |1099511627776\n" in done.stdout
        assert done.returncode == 0
        sizes.append(subprocess.run(["size", "-A", image], stdout=subprocess.PIPE, text=True, check=True).stdout)
    text = [int(re.search(r"^\.text +(\d+)", size, re.M).group(1)) for size in sizes]
    assert text[0] + 10000 < text[1]


def test_floating_point_that_was_said_not_to_be_there_is_refused(built, tmp_path):
    main = PRINTS.replace("int number;", "int number;\n    double half = argc / 2.0;").replace("1LL << 40", "(long long)half")
    output = make(built, application(tmp_path / "halves", main, "WITHOUT := float\n"), "build/halves.elf", check=False)
    assert "SSE" in output and "Error" in output


def test_what_cannot_be_left_out_is_named(built, tmp_path):
    output = make(built, application(tmp_path / "less", PRINTS, "WITHOUT := printf\n"), "build/less.elf", check=False)
    assert "WITHOUT := printf: only float can be left out" in output


@pytest.mark.parametrize("folder, complaint", [("/nonexistent", "no app.mk"), ("/a b", "spaces")])
def test_an_application_folder_that_cannot_be_is_named(built, folder, complaint):
    output = make(built, f"APP_DIR={folder}", check=False)
    assert complaint in output and "Makefile" in output
