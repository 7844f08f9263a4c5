"""Steers failing_disk.c, a library that is preloaded into the host: a disk that fails when the test
wants it, or that forgets what was not synced.

FAILING_DISK_SO: the compiled library; by default it is compiled here with `cc`. It needs no line in
CMake, but may be built by it:
    add_library(failing_disk MODULE failing_disk.c)
    set_target_properties(failing_disk PROPERTIES PREFIX "" C_STANDARD 11)
    target_link_libraries(failing_disk PRIVATE ${CMAKE_DL_LIBS})
and the test's ENVIRONMENT then has FAILING_DISK_SO=$<TARGET_FILE:failing_disk>. Without instrumentation:
a preloaded library does not go together with the address sanitizer.
"""

import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

WRITES, SYNCS, TRUNCATES = 1, 2, 4  # kinds of calls
DATABASE, LOG, SETTINGS, AUDIT = 1, 2, 4, 8  # files
CONTROL = struct.Struct("<QQQIIIIQ")  # struct control in failing_disk.c
BLOCK = 4096

_folder = tempfile.TemporaryDirectory(prefix="imctl-failing-")


def shim():
    built = os.environ.get("FAILING_DISK_SO", os.path.join(_folder.name, "failing_disk.so"))
    if not os.path.exists(built):
        source = pathlib.Path(__file__).with_name("failing_disk.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, str(source), "-ldl"], check=True)
    return built


class Disk:
    """Steers the library in the hosts that are started with `env`."""

    def __init__(self, shadow=False):
        self.shadow = shadow
        self.path = os.path.join(tempfile.mkdtemp(prefix="disk", dir=_folder.name), "control")
        with open(self.path, "w+b") as file:
            file.truncate(4096)
            self.map = mmap.mmap(file.fileno(), 4096)
        self.env = {"LD_PRELOAD": shim(), "FAILING_DISK": self.path}
        self.disarm()

    def set(self, at, count, error, kinds, files):
        # Counting begins with the last field that is written, kinds.
        CONTROL.pack_into(self.map, 0, 0, at, count, error, 0, files, self.shadow, 0)
        struct.pack_into("<I", self.map, 28, kinds)

    def arm(self, at, count, error, kinds=WRITES | SYNCS | TRUNCATES, files=DATABASE | LOG):
        """Call number `at` from now on fails, and so do those after it, `count` in all."""
        self.set(at, count, error, kinds, files)

    def disarm(self, files=DATABASE | LOG):
        """Goes on counting."""
        self.set(0, 0, 0, WRITES | SYNCS | TRUNCATES, files)

    @property
    def calls(self):
        return CONTROL.unpack_from(self.map)[0]

    @property
    def failed(self):
        return CONTROL.unpack_from(self.map)[7]


def cut_power(folder, chance):
    """What a power cut leaves of the files below `folder`, whose host was killed: of what was not
    synced nothing, or some blocks. Gives how many blocks were lost."""
    lost = 0
    whole = chance.random() < 0.3  # nothing of it
    for shadow in pathlib.Path(folder).rglob("*.synced"):
        path = shadow.with_suffix("")
        synced = shadow.read_bytes()
        shadow.unlink()
        if not path.exists():
            continue
        written = path.read_bytes()
        size = len(synced) if whole else chance.choice((len(synced), len(written)))
        kept = bytearray()
        for at in range(0, size, BLOCK):
            old, new = (part[at:at + BLOCK].ljust(BLOCK, b"\0") for part in (synced, written))
            keep = old != new and not whole and chance.random() < 0.5
            lost += old != new and not keep
            kept += new if keep else old
        path.write_bytes(kept[:size])
    # It is not on the disk, but in memory that is shared.
    for path in pathlib.Path(folder).rglob("*-shm"):
        path.unlink()
    return lost
