# SPDX-License-Identifier: MIT
"""FAT file systems in a file, by dosfstools and mtools: the same content gives the same bytes."""

import os
import subprocess
import tempfile

SECTOR = 512


def epoch():
    """The date of everything that is made: SOURCE_DATE_EPOCH, or 2024-01-01."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "1704067200"))


def run(*command):
    """A tool that a build needs; its failure ends ours."""
    environment = dict(os.environ, SOURCE_DATE_EPOCH=str(epoch()), TZ="UTC", MTOOLS_SKIP_CHECK="1")
    try:
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not installed: run  tools/setup run images") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{command[0]}: {error.stderr.decode(errors='replace').strip()}") from None


def fat_image(path, sectors, serial, files):
    """files: names with / between folders, and their bytes. serial: 8 hexadecimal digits."""
    with open(path, "wb") as file:
        file.truncate(sectors * SECTOR)
    run("/sbin/mkfs.fat", "--invariant", "-i", serial, "-n", "AEROSTAT", path)
    folders = set()
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as workspace:
        source = os.path.join(workspace, "file")
        for name, content in files.items():
            with open(source, "wb") as file:
                file.write(content)
            os.utime(source, (epoch(), epoch()))
            parts = name.split("/")[:-1]
            for folder in ("/".join(parts[:n]) for n in range(1, len(parts) + 1)):
                if folder not in folders:
                    run("mmd", "-i", path, "::" + folder)
                    folders.add(folder)
            run("mcopy", "-m", "-i", path, source, "::" + name)
