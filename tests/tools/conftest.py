# SPDX-License-Identifier: MIT
"""Where the tools are, a copy of them that a test may spoil, and a guest for the launcher."""

import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))


@pytest.fixture
def tree(tmp_path):
    """A tree with the tools and nothing else; tools work in the tree that they are in."""
    shutil.copytree(os.path.join(ROOT, "tools"), tmp_path / "tree" / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """The stub guest's ELF file."""
    folder = tmp_path_factory.mktemp("stub")
    flags = ["-m32", "-O1", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none", "-mgeneral-regs-only"]
    subprocess.run(["gcc", *flags, "-c", os.path.join(HERE, "stub.c"), "-o", folder / "stub.o"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-z", "noexecstack", "--build-id=none", "-Ttext=0x100000", "-e", "_start",
                    folder / "stub.o", "-o", folder / "stub.elf"], check=True)
    return os.fspath(folder / "stub.elf")
