"""What docs/cluster.md says, done: the client in Python, and two nodes on one machine."""

import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from host_fixture import IMCTL, ROOT, clean_environment
from test_router import add_users, node, wait_for

DOC = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


class Talk:
    """A program that one talks to by lines; what it says is in `lines`."""

    def __init__(self, case, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        case.addCleanup(self.end)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class PythonClientTest(unittest.TestCase):
    def stubs(self):
        """As the document says, into a folder."""
        begin = DOC.index("protoc -Isdk/proto")
        command = DOC[begin:DOC.index("\nPYTHONPATH", begin)]
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        subprocess.run(["sh", "-c", command.replace("build/python", folder.name)], cwd=ROOT, check=True)
        return folder.name

    def test_it_chats_with_imctl(self):
        stubs = self.stubs()
        with node() as host:
            add_users(host, "ann", "bob")
            server = f"127.0.0.1:{host.port}"
            ann = Talk(self, ["/usr/bin/python3", "-B", str(ROOT / "docs" / "examples" / "chat.py"), server,
                              "ann@localhost", "a good password", "bob@localhost"],
                       env=clean_environment({"PYTHONPATH": stubs}))
            bob = Talk(self, [str(IMCTL), "chat", "ann", "--as", "bob", "--server", server], env=host.env)
            self.reaches(ann, bob, "ann@localhost/chat.py: ")
            self.reaches(bob, ann, "bob@localhost: ")
            # It is there again when the host is, and nothing is lost meanwhile.
            port = host.port
            host.stop()
            ann.say("while it is away")
            host.settings["host.listen"] = f"127.0.0.1:{port}"
            host.start()
            wait_for(lambda: "while it is away" in host.imctl("message", "history", "bob", "-o", "json")[1],
                     "what was said meanwhile to be stored")
            host.imctl("message", "send", "--to", "ann", "--from", "bob", "after the restart")
            wait_for(lambda: "bob@localhost: after the restart" in ann.lines, "Ann to be connected again")
            self.assertEqual(len(ann.lines), len(set(ann.lines)), ann.lines)

    def reaches(self, sender, reader, prefix):
        """Who has just been started may not listen yet: it is said until it is heard."""
        deadline = time.monotonic() + 30
        number = 0
        while not any(line.startswith(prefix) for line in reader.lines):
            self.assertLess(time.monotonic(), deadline, reader.lines)
            number += 1
            sender.say(f"can you hear me? {number}")
            end = time.monotonic() + 1
            while time.monotonic() < end and not any(line.startswith(prefix) for line in reader.lines):
                time.sleep(0.02)


class TwoNodesTest(unittest.TestCase):
    def test_the_script(self):
        ports = free_port(), free_port()
        env = clean_environment({"IMCTL": str(IMCTL), "FIRST_PORT": str(ports[0]), "SECOND_PORT": str(ports[1])})
        script = subprocess.Popen([str(ROOT / "packaging" / "two-nodes.sh")], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, start_new_session=True)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(script.stdout.readline, "")), daemon=True)
        reader.start()

        def end():
            if script.poll() is None:
                script.send_signal(signal.SIGTERM)
            script.wait(60)
            reader.join()
            script.stdout.close()

        self.addCleanup(end)
        first, second = (f"127.0.0.1:{port}" for port in ports)

        def imctl(server, *arguments, stdin=None):
            run = subprocess.run([str(IMCTL), "--server", server, *arguments], env=clean_environment(), input=stdin,
                                 capture_output=True, text=True, timeout=60, check=False)
            return run.returncode, run.stdout, run.stderr

        wait_for(lambda: imctl(first, "node", "list", "-o", "name")[1].split() == ["one", "two"],
                 f"two nodes: {lines}", 60)
        code, out, err = imctl(first, "user", "import", stdin="user\nann\nbob\n")
        self.assertEqual(code, 0, out + err)
        # It may have come up before the first one's storage, and tries that again in a moment.
        wait_for(lambda: imctl(second, "user", "get", "bob")[0] == 0, "the second node to reach the storage", 60)
        ann = Talk(self, [str(IMCTL), "--server", first, "chat", "bob", "--as", "ann"], env=clean_environment())
        bob = Talk(self, [str(IMCTL), "--server", second, "chat", "ann", "--as", "bob"], env=clean_environment())
        PythonClientTest.reaches(self, ann, bob, "ann@localhost: ")
        PythonClientTest.reaches(self, bob, ann, "bob@localhost: ")
        end()
        self.assertIn(script.returncode, (0, 143), lines)


if __name__ == "__main__":
    unittest.main()
