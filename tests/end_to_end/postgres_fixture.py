"""Starts a real PostgreSQL server in a temporary folder, on a free port of 127.0.0.1 and on a unix
socket, and stops it.

IMCTL_POSTGRESQL_BIN names the folder of its programs (default: the newest in /usr/lib/postgresql).
"""

import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import tempfile

TIMEOUT = 120


def programs():
    """The folder of initdb and pg_ctl, or None."""
    chosen = os.environ.get("IMCTL_POSTGRESQL_BIN")
    if chosen:
        return pathlib.Path(chosen)
    found = [p for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists()]
    return max(found, key=lambda p: float(p.parent.name), default=None)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A running server with a database "im" and a user "im". Use as a context manager, or start() and
    discard()."""

    def __init__(self, settings=None):
        """`settings`: of postgresql.conf, by name."""
        self.folder = tempfile.mkdtemp(prefix="imctl-postgres-")
        os.chmod(self.folder, 0o777)
        self.port = _free_port()
        self.running = False
        self._made = False
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            **(settings or {}),
        }

    # -- life

    def start(self):
        if not self._made:
            self._make()
        self._run("pg_ctl", "-D", self._data(), "-l", os.path.join(self.folder, "log"), "-w",
                  "-t", str(TIMEOUT), "start")
        self.running = True
        if not self._made:
            self._made = True
            self.sql("CREATE DATABASE im", database="postgres")
        return self

    def stop(self, mode="fast"):
        """"fast" as an operator would; "immediate" as if its machine failed, but for the cache."""
        if self.running:
            self._run("pg_ctl", "-D", self._data(), "-w", "-t", str(TIMEOUT), "-m", mode, "stop")
            self.running = False

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def discard(self):
        """Ends it whatever its state, and removes the folder."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, *unused):
        self.discard()

    # -- use

    @property
    def uri(self):
        """Over TCP."""
        return f"postgresql://im@127.0.0.1:{self.port}/im"

    @property
    def socket_uri(self):
        return f"postgresql://im@/im?host={self.folder}&port={self.port}"

    def sql(self, text, database="im"):
        """Runs SQL; gives what it answered, columns separated by |."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
                         "-p", str(self.port), "-U", "im", "-c", text, database).strip()

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    # -- parts

    def _data(self):
        return os.path.join(self.folder, "data")

    def _make(self):
        self._run("initdb", "-D", self._data(), "-U", "im", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")
        lines = "".join(f"{key} = '{value}'\n" for key, value in self.settings.items())
        path = os.path.join(self._data(), "postgresql.conf")
        if os.geteuid() == 0:  # the file is another user's
            self._shell(f"cat >> {shlex.quote(path)}", lines)
        else:
            with open(path, "a", encoding="utf-8") as file:
                file.write(lines)

    def _run(self, program, *arguments):
        folder = programs()
        if folder is None:
            raise RuntimeError("there is no PostgreSQL server here: install postgresql")
        return self._shell(shlex.join([str(folder / program), *arguments]))

    def _shell(self, command, text=""):
        # The server refuses to be root.
        start = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        # Files, not pipes: the server keeps what it inherits.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run([*start, "sh", "-c", command], input=text, stdout=output,
                                  stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
                                  cwd="/")
            output.seek(0)
            answer = output.read()
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {answer}")
        return answer
