"""A network for each process: Linux network namespaces on a bridge, whose links can be cut one by one and in one
direction. Needs root and CAP_NET_ADMIN. The test itself runs in a namespace of its own (`enter`), so nothing of the
machine's network is touched, and all is gone when it ends."""

import os
import shutil
import subprocess
import sys
import tempfile

_INSIDE = "IMCTL_TEST_NETNS"
_NOWHERE = "02:00:00:00:00:01"  # nobody's


def _ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_not():
    """Why the machine does not allow it; None if it does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "there is no ip or unshare here (iproute2, util-linux)"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c",
         "mount -t tmpfs none /run && ip link add br0 type bridge && ip netns add probe && "
         "ip link add probe0 type veth peer name eth0 netns probe && ip netns exec probe true"],
        capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"this machine allows no network namespaces: {done.stderr.strip()}"


def enter():
    """Starts the program again in a namespace of its own, unless it is in one. Before anything else."""
    if os.environ.get(_INSIDE):
        return
    os.environ[_INSIDE] = "1"
    # With /run of its own, names of namespaces are, too.
    os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
                          sys.executable, "-B", *sys.argv])


class Network:
    """The test is at CLIENTS, and the servers that have no namespace of their own at STORAGE and BROKER."""

    CLIENTS, STORAGE, BROKER = "10.77.0.254", "10.77.0.253", "10.77.0.252"

    def __init__(self):
        self.addresses = {"clients": self.CLIENTS, "storage": self.STORAGE, "broker": self.BROKER}
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "br0", "type", "bridge")
        for address in (self.CLIENTS, self.STORAGE, self.BROKER):
            _ip("address", "add", f"{address}/24", "dev", "br0")
        _ip("link", "set", "br0", "up")
        self.folder = tempfile.mkdtemp(prefix="imctl-netns-")
        os.chmod(self.folder, 0o755)

    def discard(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def of_postgres(self):
        """Settings with which it lets the namespaces in."""
        path = os.path.join(self.folder, "hba.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("local all all trust\nhost all all 10.77.0.0/24 trust\nhost all all 127.0.0.1/32 trust\n")
        os.chmod(path, 0o644)
        return {"listen_addresses": "*", "hba_file": path}

    def place(self, name):
        """Makes a namespace; its address, and what begins a command in it."""
        address = f"10.77.0.{len(self.addresses)}"
        self.addresses[name] = address
        _ip("netns", "add", name)
        _ip("link", "add", f"v{len(self.addresses)}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"v{len(self.addresses)}", "master", "br0", "up")
        for command in (["address", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                        ["link", "set", "lo", "up"]):
            _ip("-n", name, *command)
        return address, ["ip", "netns", "exec", name]

    def cut(self, source, target):
        """What `source` sends to `target` gets lost, silently; the other direction goes on."""
        _ip("-n", source, "neighbour", "replace", self.addresses[target], "lladdr", _NOWHERE, "dev", "eth0",
            "nud", "permanent")

    def part(self, one, other):
        """Both directions, of two that have a namespace each."""
        self.cut(one, other)
        self.cut(other, one)

    def heal(self):
        for name in self.addresses:
            if name in ("clients", "storage", "broker"):
                continue
            for address in self.addresses.values():
                _ip("-n", name, "neighbour", "delete", address, "dev", "eth0", check=False)
