# SPDX-License-Identifier: MIT
"""The diagonal of the matrix: few cells, in which every two values that go together do so at least once. `make test-matrix` runs
all of them."""

import matrix
import pytest
from harness import Guest, network_missing, random_disk

needs_network = pytest.mark.skipif(network_missing() is not None, reason=f"a network is missing: {network_missing()}")

# An interpreted KVM starts no UEFI firmware, and counts every instruction.
KVM_CELLS = [matrix.Cell("microvm", "PVH", "modern", "split", "msix", "mmio", 1),
             matrix.Cell("q35", "PVH", "transitional", "packed", "msix1", "port", 1),
             matrix.Cell("pc", "Linux", "legacy", "split", "intx", "port", 1),
             matrix.Cell("microvm", "PVH", "mmio", "packed", "intx", "mmio", 1)]


@needs_network
@pytest.mark.parametrize("cell", matrix.diagonal(), ids=str)
def test_it_boots_reads_its_disk_answers_ping_follows_the_balloon_and_powers_off(cell, tmp_path):
    matrix.run_cell(cell, "tcg", tmp_path)


@needs_network
@pytest.mark.parametrize("cell", KVM_CELLS, ids=str)
def test_it_does_so_under_kvm(cell, kvm, tmp_path):
    matrix.run_cell(cell, kvm, tmp_path)


def test_every_legal_pair_is_on_the_diagonal():
    missing = set().union(*map(matrix.pairs_of, matrix.legal_cells()))
    for cell in matrix.diagonal():
        assert cell.is_legal()
        missing -= matrix.pairs_of(cell)
    assert not missing


def test_a_whole_mebibyte_is_read_as_it_is(tmp_path):
    """The cells have small disks."""
    path, digest = random_disk(tmp_path / "disk", 1 << 20)
    with Guest("selftest", disks=[(path, "packed=on")], cmdline="ring=packed -- disk-hash") as guest:
        guest.wait_for(rf"^sha256 {digest} bytes {1 << 20}$", 30)
        assert guest.wait_exit(10) == 0
