# SPDX-License-Identifier: MIT
"""Fetching and unpacking, from a bundle; the network is one that never answers."""

import hashlib
import os
import subprocess
import tarfile

import pytest

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def sources(tree):
    """The tree with two sources of its own in its lock, and the folder where their tarballs are."""
    folder = tree / "origin"
    lock = ""
    for name in ("alpha", "beta"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file.c").write_text(f"int {name}(void);\n")
        tarball = folder / f"{name}_1.0.orig.tar.gz"
        with tarfile.open(tarball, "w:gz") as tar:
            tar.add(folder / name, f"{name}-1.0")
        lock += f"{name} 1.0 MIT {name}/patches {tarball.name}\n  {hashlib.sha256(tarball.read_bytes()).hexdigest()}\n"
    (tree / "tools" / "sources.lock").write_text(lock)
    return folder


def tool(tree, name, *options, **environment):
    done = subprocess.run([tree / "tools" / name, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
                          env={**os.environ, "http_proxy": DEAD, "https_proxy": DEAD, **environment})
    return done.returncode, done.stdout


def fetched(tree, name):
    return tree / "build" / "sources" / f"{name}_1.0.orig.tar.gz"


def test_a_bundle_serves_without_network_and_is_the_same_bytes_twice(tree, sources):
    assert tool(tree, "fetch", "alpha", "beta", VENDOR=str(sources))[0] == 0
    assert tool(tree, "fetch", "--bundle", "one.tar")[0] == 0
    os.utime(fetched(tree, "alpha"))
    assert tool(tree, "fetch", "--bundle", "two.tar")[0] == 0
    assert (tree / "one.tar").read_bytes() == (tree / "two.tar").read_bytes()
    fetched(tree, "alpha").unlink()
    assert tool(tree, "fetch", "alpha", VENDOR="one.tar")[0] == 0


@pytest.mark.parametrize("spoil", [b"", b"short", None], ids=["empty", "truncated", "one byte off"])
def test_a_damaged_download_is_noticed_and_done_again(tree, sources, spoil):
    tool(tree, "fetch", "alpha", VENDOR=str(sources))
    whole = fetched(tree, "alpha").read_bytes()
    fetched(tree, "alpha").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if spoil is None else spoil)
    status, output = tool(tree, "fetch", "alpha", VENDOR=str(sources))
    assert status == 0 and "damaged" in output
    assert fetched(tree, "alpha").read_bytes() == whole


def test_without_network_it_says_what_is_missing_and_what_would_help(tree, sources):
    status, output = tool(tree, "fetch", "alpha")
    assert status != 0 and "alpha 1.0 is missing" in output and "make vendor" in output
    assert not fetched(tree, "alpha").exists()


def test_a_damaged_bundle_is_not_believed(tree, sources):
    (sources / "alpha_1.0.orig.tar.gz").write_bytes(b"something else")
    status, output = tool(tree, "fetch", "alpha", VENDOR=str(sources))
    assert status != 0 and "does not hold" in output
    assert not fetched(tree, "alpha").exists()


def test_a_bundle_that_does_not_exist_is_an_error(tree, sources):
    status, output = tool(tree, "fetch", "alpha", VENDOR="/nowhere")
    assert status != 0 and "/nowhere does not exist" in output


def test_a_name_that_is_not_in_the_lock_is_an_error(tree, sources):
    status, output = tool(tree, "fetch", "gamma")
    assert status != 0 and "gamma" in output


def test_unpacking_follows_pins_and_patches(tree, sources):
    tool(tree, "fetch", "alpha", VENDOR=str(sources))
    file = tree / "build" / "alpha-src" / "file.c"
    assert tool(tree, "unpack", "alpha")[0] == 0 and file.read_text() == "int alpha(void);\n"
    file.write_text("changed by hand\n")
    assert tool(tree, "unpack", "alpha") == (0, "") and file.read_text() == "changed by hand\n"

    patch = tree / "alpha" / "patches" / "01-name.patch"
    patch.parent.mkdir(parents=True)
    patch.write_text("--- a/file.c\n+++ b/file.c\n@@ -1 +1 @@\n-int alpha(void);\n+int omega(void);\n")
    assert tool(tree, "unpack", "alpha")[0] == 0 and file.read_text() == "int omega(void);\n"

    patch.write_text("--- a/file.c\n+++ b/file.c\n@@ -1 +1 @@\n-int nothing(void);\n+int omega(void);\n")
    status, output = tool(tree, "unpack", "alpha")
    assert status != 0 and "does not apply" in output
    patch.unlink()
    assert tool(tree, "unpack", "alpha")[0] == 0 and file.read_text() == "int alpha(void);\n"


def test_a_damaged_tarball_is_not_unpacked(tree, sources):
    tool(tree, "fetch", "alpha", VENDOR=str(sources))
    fetched(tree, "alpha").write_bytes(b"")
    status, output = tool(tree, "unpack", "alpha")
    assert status != 0 and "tools/fetch alpha" in output
    assert not (tree / "build" / "alpha-src").exists()
