"""Real XMPP servers, ejabberd and Prosody as Debian has them, each started on a free port of 127.0.0.1
with all of its files in a temporary folder, and stopped; and a client of XMPP for them.

Both refuse to be root, so they run as the users that their packages made. That takes root; without it
the tests that need them are skipped.
"""

import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

DOMAIN = "example.org"
TIMEOUT = 120


def available():
    """Why they cannot be run here; empty if they can."""
    if os.geteuid() != 0:
        return "ejabberd and Prosody are run as users of their own, which takes root"
    missing = [p for p in ("ejabberdctl", "prosody", "prosodyctl", "prosody-migrator")
               if shutil.which(p) is None]
    return f"not installed: {', '.join(missing)} (packaging/install-deps test)" if missing else ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    user = None

    def __init__(self, sha256):
        self.sha256 = sha256
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"imctl-{self.user}-"))
        self.log = open(self.folder / "output.log", "wb")

    def give(self):
        """All files to the user that the server runs as."""
        account = pwd.getpwnam(self.user)
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, account.pw_uid, account.pw_gid)

    def wait_for_port(self):
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.text()
                time.sleep(0.05)

    def text(self):
        return (self.folder / "output.log").read_text(errors="replace")

    def run(self, *command, **options):
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                              stdin=subprocess.DEVNULL, **options)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.text())
        return done.stdout

    def discard(self):
        try:
            self.stop()
        finally:
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.discard()


class Ejabberd(Server):
    user = "ejabberd"

    def __init__(self, sha256=False):
        super().__init__(sha256)
        (self.folder / "spool").mkdir()
        (self.folder / "logs").mkdir()
        (self.folder / "inetrc").write_text("{file, hosts, \"/etc/hosts\"}.\n")
        # No epmd: a port of its own, and a name of its own.
        (self.folder / "ejabberdctl.cfg").write_text(
            f"ERL_DIST_PORT={free_port()}\nERLANG_NODE=imctl{self.port}@localhost\n"
            "INET_DIST_INTERFACE=127.0.0.1\n")
        (self.folder / "ejabberd.yml").write_text(f"""
hosts: ["{DOMAIN}"]
loglevel: warning
auth_method: internal
auth_password_format: scram
auth_scram_hash: {"sha256" if sha256 else "sha"}
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
modules:
  mod_offline: {{}}
  mod_roster: {{}}
  mod_disco: {{}}
""")
        self.process = None

    def command(self, *arguments):
        return ["ejabberdctl", "--config-dir", str(self.folder),
                "--ctl-config", str(self.folder / "ejabberdctl.cfg"),
                "--config", str(self.folder / "ejabberd.yml"),
                "--spool", str(self.folder / "spool"), "--logs", str(self.folder / "logs"),
                *arguments]

    def start(self):
        self.give()
        self.process = subprocess.Popen(self.command("foreground"), stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        self.wait_for_port()
        self.ctl("started")
        return self

    def ctl(self, *arguments):
        return self.run(*self.command(*arguments))

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            subprocess.run(self.command("stop"), capture_output=True, timeout=TIMEOUT, check=False)
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)
        self.process = None

    def register(self, user, password):
        self.ctl("register", user, DOMAIN, password)

    def export(self):
        """The folder that `export_piefxis` writes."""
        folder = self.folder / "export"
        folder.mkdir(exist_ok=True)
        self.give()
        self.ctl("export_piefxis", str(folder))
        return folder

    def load(self, xml):
        path = self.folder / "import.xml"
        path.write_bytes(xml)
        self.give()
        self.ctl("import_piefxis", str(path))


class Prosody(Server):
    user = "prosody"

    def __init__(self, sha256=False):
        super().__init__(sha256)
        (self.folder / "data").mkdir()
        (self.folder / "pie").mkdir()
        self.process = None
        self.on_files = False  # accounts are read where the files of XEP-0227 are

    def configure(self):
        (self.folder / "prosody.cfg.lua").write_text(f"""
data_path = "{self.folder}/{"pie" if self.on_files else "data"}"
pidfile = "{self.folder}/prosody.pid"
log = {{ info = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
modules_enabled = {{ "roster", "saslauth", "offline", "mam", "disco" }}
modules_disabled = {{ "s2s", "tls" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
password_hash = "{"SHA-256" if self.sha256 else "SHA-1"}"
archive_expires_after = "never"
default_archive_policy = true
storage = {{ accounts = "{"xep0227" if self.on_files else "internal"}" }}
default_storage = "internal"
VirtualHost "{DOMAIN}"
""")

    def start(self):
        self.configure()
        self.give()
        self.process = subprocess.Popen(
            self.as_user("prosody", "--config", f"{self.folder}/prosody.cfg.lua", "-F"),
            stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")
        self.wait_for_port()
        return self

    def as_user(self, *command):
        return ["runuser", "-u", self.user, "--", *command]

    def stop(self):
        if self.process is None:
            return
        pid = self.folder / "prosody.pid"
        if self.process.poll() is None:
            if pid.exists():
                os.kill(int(pid.read_text()), 15)
            else:
                self.process.terminate()
            self.process.wait(TIMEOUT)
        self.process = None

    def register(self, user, password):
        self.run(*self.as_user("prosodyctl", "--config", f"{self.folder}/prosody.cfg.lua",
                               "register", user, DOMAIN, password), cwd="/")

    def migrate(self, source, target):
        """With Prosody's own migrator, between its own storage and XEP-0227; while it is stopped."""
        paths = {"internal": self.folder / "data", "xep0227": self.folder / "pie"}
        # The driver of XEP-0227 takes the migrator's data folder, which stands in the program.
        script = re.sub(r"(?m)^CFG_DATADIR=.*$", f"CFG_DATADIR='{paths['xep0227']}'",
                        pathlib.Path(shutil.which("prosody-migrator")).read_text())
        (self.folder / "migrator").write_text(script)
        (self.folder / "migrator.cfg.lua").write_text("\n".join(
            f"""{name} {{ hosts = {{ ["{DOMAIN}"] = {{ "accounts", "archive-archive" }} }};
type = "{name}"; path = "{path}"; password_hash = "{"SHA-256" if self.sha256 else "SHA-1"}" }}"""
            for name, path in paths.items()))
        self.give()
        # It asks for an archive of the host, which these files do not have: that is the error to go on
        # after.
        return self.run(*self.as_user(
            "lua5.4", f"{self.folder}/migrator", "--keep-going", "--config", f"{self.folder}/migrator.cfg.lua",
            source, target), cwd="/")

    def export(self):
        self.stop()
        self.migrate("internal", "xep0227")
        return self.folder / "pie"


def chat(port, user, password, say=(), wait_for=0, archive=False):
    """Logs in by SASL, sends messages, [(to, text), ...]; gives the mechanism and the texts that came, of
    an archive (XEP-0313) or by themselves, as soon as there are so many."""
    script = pathlib.Path(__file__).with_name("xmpp_client.py")
    arguments = [str(port), f"{user}@{DOMAIN}", password, str(wait_for), str(int(archive))]
    for to, text in say:
        arguments += [to, text]
    done = subprocess.run([sys.executable, "-B", str(script), *arguments], capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    lines = done.stdout.splitlines()
    return lines[0], lines[1:]
