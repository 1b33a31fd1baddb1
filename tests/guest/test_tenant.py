# SPDX-License-Identifier: MIT
"""Whether apps/tenant would see that a page is lost."""

import mmap
import os
import re
import struct
import time
from contextlib import contextmanager

from harness import MIB, image
from tenant import Tenant

PATTERN_STEP = 0x9e3779b97f4a7c15  # from one word of a working set to the next


@contextmanager
def tenant_in_a_file(tmp_path):
    """A guest whose memory is a file, which the test may change."""
    ram = tmp_path / "ram"
    guest = Tenant("guest", image("tenant"), 96, "tcg", os.fspath(tmp_path), qemu_args=[
        "-object", f"memory-backend-file,id=ram,size=96M,mem-path={ram},share=on", "-machine", "memory-backend=ram"])
    try:
        guest.start()
        guest.hold(32, 200)
        guest.wait_for("done", 20)
        with open(ram, "r+b") as file, mmap.mmap(file.fileno(), 96 * MIB) as memory:
            yield guest, memory
    finally:
        guest.kill()


def pages_of_the_working_set(memory):
    for at in range(0, len(memory), mmap.PAGESIZE):
        one, other, third = struct.unpack_from("<3Q", memory, at + 2048)
        if (other - one) % 2**64 == (third - other) % 2**64 == PATTERN_STEP:
            yield at


def spoil(memory, how):
    pages = list(pages_of_the_working_set(memory))
    assert len(pages) > 31 * MIB // mmap.PAGESIZE
    first, second = pages[1000], pages[5000]
    if how == "lost":
        memory[first:first + mmap.PAGESIZE] = bytes(mmap.PAGESIZE)
    elif how == "in two places":
        memory[first:first + mmap.PAGESIZE] = memory[second:second + mmap.PAGESIZE]
    elif how == "one bit":
        memory[first + 100] ^= 4
    elif how == "as it once was":
        page = slice(first, first + mmap.PAGESIZE)
        old, end = memory[page], time.monotonic() + 20
        while memory[page] == old:
            assert time.monotonic() < end, "it is not filled anew"
            time.sleep(0.05)
        memory[page] = old


def test_a_guest_sees_each_page_that_is_not_as_it_was(tmp_path):
    with tenant_in_a_file(tmp_path) as (guest, memory):
        checked = guest.checked
        guest.wait_until(lambda: guest.checked > checked + 64, 20, "to go through all of it twice")
        assert guest.lost == 0
        for lost, how in enumerate(["lost", "in two places", "one bit", "as it once was"], 1):
            spoil(memory, how)
            guest.wait_until(lambda lost=lost: guest.lost == lost, 20, f"to see a page that is {how}")
        guest.order("end")
        assert guest.vm.wait(20) == 1
        assert len(re.findall(r"^lost: the page at ", guest.vm.console_text(), re.M)) == guest.lost == 4
