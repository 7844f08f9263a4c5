"""A module that dies again and again in its own process: the others do not notice. And the processes
end with the program, in every way it can end."""

import os
import signal
import threading
import time
import unittest

import grpc

import stubs
from host_fixture import BUILD, MODULES, Host
from stubs import event

TEST_MODULES = BUILD / "tests" / "modules"
SANITIZED = os.environ.get("IMCTL_SANITIZED") == "1"
AT_ONCE = 64
SECONDS = 6


def settings(**more):
    return {
        "host.module_path": f"{MODULES},{TEST_MODULES}",
        "rogue.process_restarts": "1000",
        "rogue.process_answer": "1s",
        **more,
    }


def rogue(channel, name, timeout=30):
    """A call of a rogue's method with an empty request."""
    return channel.unary_unary(f"/imctl.test.rogue.v1.Rogue/{name}")(b"", timeout=timeout)


def children(pid):
    """The processes that a process has started, over all its threads."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def exists(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


class IsolationTest(unittest.TestCase):
    def start(self, **more):
        host = Host(settings=settings(**more), modules=("storage-sqlite", "rogue"))
        host.start()
        self.addCleanup(host.discard)
        return host

    def wait(self, holds, seconds=30):
        until = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def load(self, host, seconds):
        """Puts and gets with many in flight; gives the times and what failed."""
        client = stubs.Client(host.channel())
        over = time.monotonic() + seconds
        times, failures, lock = [], [], threading.Lock()

        def work(number):
            mine = []
            turn = 0
            while time.monotonic() < over:
                message = event(f"{number}-{turn}", "x" * 200)
                began = time.monotonic()
                try:
                    client.put(message)
                    got = client.get(message.id)
                    if got != [message]:
                        failures.append(f"{message.id} came back as {got}")
                except grpc.RpcError as error:
                    failures.append(str(error))
                mine.append(time.monotonic() - began)
                turn += 1
            with lock:
                times.extend(mine)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        return threads, times, failures

    def test_others_do_not_notice_that_it_dies(self):
        host = self.start()
        measured = {}
        for dying in (False, True, False, True):
            threads, times, failures = self.load(host, SECONDS)
            deaths = 0
            channel = host.channel()
            while any(thread.is_alive() for thread in threads):
                if dying:
                    name = ("Segv", "Abort", "Exit", "Deep", "Spin")[deaths % 5]
                    with self.assertRaises(grpc.RpcError) as caught:
                        rogue(channel, name)
                    self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
                    deaths += 1
                time.sleep(0.05)
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            self.assertGreater(len(times), AT_ONCE)
            if dying:
                self.assertGreater(deaths, 4)
            measured.setdefault(dying, []).extend(times)
            print(f"{'dying' if dying else 'quiet'}: {len(times)} put+get, "
                  f"p50 {percentile(times, 0.5) * 1000:.1f} ms, "
                  f"p99 {percentile(times, 0.99) * 1000:.1f} ms, calls that killed it: {deaths}")
        # Flat, but for what this test itself costs and what a busy machine adds.
        self.assertLess(percentile(measured[True], 0.99),
                        3 * percentile(measured[False], 0.99) + 0.05)
        self.assertIn("died (SIGSEGV)", host.text())

    def test_back_within_a_second(self):
        host = self.start()
        channel = host.channel()
        with self.assertRaises(grpc.RpcError):
            rogue(channel, "Segv")
        began = time.monotonic()

        def works():
            try:
                rogue(channel, "Echo")
                return True
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                return False

        self.wait(works)
        self.assertLess(time.monotonic() - began, 10 if SANITIZED else 1)
        self.wait(lambda: "SIGSEGV in thread" in host.text())

    def test_module_list_says_where(self):
        host = self.start()
        (child,) = children(host.process.pid)
        code, out, err = host.imctl("module", "list")
        self.assertEqual(code, 0, err)
        (line,) = [line for line in out.splitlines() if line.startswith("rogue")]
        self.assertIn(f"process {child}", line)

    def test_ends_with_the_program(self):
        for name, how in (("TERM", lambda p: p.send_signal(signal.SIGTERM)),
                          ("KILL", lambda p: p.kill()),
                          ("INT", lambda p: p.send_signal(signal.SIGINT))):
            with self.subTest(name):
                host = self.start()
                (child,) = children(host.process.pid)
                how(host.process)
                host.process.wait(60)
                self.wait(lambda c=child: not exists(c), 10)
                if name != "KILL":
                    self.assertEqual(host.process.returncode, 0, host.text())

    def test_a_signal_to_all_processes_stops_it_in_order(self):
        host = self.start()
        (child,) = children(host.process.pid)
        os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGINT)
        rogue(host.channel(), "Echo")
        self.assertEqual(children(host.process.pid), [child])
        self.assertEqual(host.stop(), 0)
        self.assertFalse(exists(child))


if __name__ == "__main__":
    unittest.main()
