"""Users of a cluster who send to each other without end, and the checker of what they got."""

import random
import threading
import time

import grpc

from cluster_fixture import wait_for
from im_client import Client, message

DOMAIN = "localhost"
LARGE = 80 << 10  # more than what goes along with a push
GHOST = 20  # seconds after which nobody is listed any more who is gone, and everybody who is there


class Device(Client):
    """Connects to a random node that lives."""

    def __init__(self, cluster, seed, user, device, **options):
        self.cluster, self.random = cluster, random.Random(seed)
        self.channel = self.node = None
        self.sent = []  # ids, in order
        super().__init__(self.choose, f"{user}@{DOMAIN}", device, **options)

    def choose(self):
        self.leave()
        node = self.random.choice([n for n in self.cluster.nodes if n.state == "up"] or self.cluster.nodes)
        self.channel, self.node = node.connect(), node
        return self.channel

    def leave(self):
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def say(self, recipients, size=0):
        id = f"{self.user}/{self.device}/{len(self.sent)}"
        self.sent.append(id)
        self.send(message(id, recipients, f"{time.monotonic()}".ljust(size, "x")))

    def stop(self):
        super().stop()
        self.leave()


class Crowd:
    """Users with one or two devices each; every other relies on the cursor that the node keeps."""

    def __init__(self, cluster, users=8, pause=0.15, seed=1, on_deliver=None):
        self.cluster, self.pause = cluster, pause
        self.random = random.Random(seed)
        self.devices, self.threads = [], []
        self.content = {}
        self.users = [f"u{n}@{DOMAIN}" for n in range(users)]
        self.quiet = threading.Event()
        for number in range(users):
            for device in ("phone", "laptop")[:1 + number % 2]:
                self.devices.append(Device(cluster, self.random.random(), f"u{number}", device, patience=3,
                                           from_cursor=number % 4 >= 2, on_deliver=on_deliver))
        self.talk()

    def talk(self):
        self.quiet.clear()
        for device in self.devices:
            thread = threading.Thread(target=self._talk, args=(device, self.random.random()), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _talk(self, device, seed):
        dice = random.Random(seed)
        while not self.quiet.wait(dice.uniform(0, 2 * self.pause)):
            # Who cannot send does not pile up more than a person would.
            if len(device.unanswered) < 50:
                device.say(dice.sample(self.users, dice.choice((1, 1, 1, 2, 3))),
                           LARGE if dice.random() < 0.01 else 0)

    def hush(self):
        self.quiet.set()
        for thread in self.threads:
            thread.join()
        self.threads = []

    def stop(self):
        self.hush()
        for device in self.devices:
            device.stop()

    def of(self, user):
        return [device for device in self.devices if device.user == user]

    # -- when all is well again

    def settle(self, timeout=90):
        """Until services list exactly the sessions that there are, everything is answered and everybody has
        everything. Gives how long each took."""
        figures = {}
        _, figures["joined"] = wait_for(self.cluster.joined, "all nodes to be joined", timeout)
        _, figures["listed"] = wait_for(self.listed, self.differences, GHOST)
        figures.update(self.settle_messages(timeout))
        return figures

    def settle_messages(self, timeout=90):
        figures = {}
        self.hush()
        _, figures["answered"] = wait_for(lambda: not any(d.unanswered for d in self.devices), self.unanswered, timeout)
        self.content = {user: self.cluster.mailbox(user) for user in self.users}
        _, figures["delivered"] = wait_for(lambda: all(len(d.got) >= len(self.content[d.user]) for d in self.devices),
                                           self.missing, timeout)
        return figures

    def living(self):
        return {(d.user, d.device, d.session) for d in self.devices}

    def listed(self):
        return all(self.cluster.sessions(service) == self.living() for service in self.cluster.services)

    def differences(self):
        living = self.living()
        lines = ["the sessions that live to be listed, and no others:"]
        for service in self.cluster.services:
            known = self.cluster.sessions(service) or set()
            lines.append(f"{service.name}: not listed {sorted(map(str, living - known))}, "
                         f"ghosts {sorted(map(str, known - living))}")
        return "\n".join(lines)

    def unanswered(self):
        return "answers: " + ", ".join(
            f"{d.user}/{d.device} at {d.node.name}, session {d.session}: {len(d.unanswered)}"
            for d in self.devices if d.unanswered)

    def missing(self):
        return "messages: " + ", ".join(
            f"{d.user}/{d.device} at {d.node.name} has {len(d.got)} of {len(self.content[d.user])}"
            for d in self.devices if len(d.got) < len(self.content[d.user]))

    def live(self, within=10, rounds=20):
        """Everybody is told at once: of each of some messages to all, the seconds until every device has it. With a
        longer resync_interval it is pushes that told them, and no look into the storage."""
        taken = []
        for _ in range(rounds):
            sender = self.random.choice(self.devices)
            begin = time.monotonic()
            sender.say(self.users)
            id = sender.sent[-1]
            for device in self.devices:
                if not device.wait(lambda d: d.got and d.got[-1][2] == id, within):
                    raise AssertionError(f"{device.user}/{device.device} at {device.node.name} was not told within "
                                         f"{within} s what {sender.user} sent at {sender.node.name}")
            taken.append(time.monotonic() - begin)
        return taken

    # -- the checker

    def check(self):
        """Problems, as lines of text; none is the aim."""
        content = {user: self.cluster.mailbox(user) for user in self.users}
        found = []
        for device in self.devices:
            name = f"{device.user}/{device.device}"
            found += [f"{name}: {problem}" for problem in device.problems]
            # Exactly what the mailbox has: nothing lost, nothing twice, nothing out of order.
            expected = [(epoch, sequence, id) for sequence, (epoch, id) in sorted(content[device.user].items())]
            if device.got != expected:
                at = next((n for n, (a, b) in enumerate(zip(device.got, expected)) if a != b),
                          min(len(device.got), len(expected)))
                found.append(f"{name} got {len(device.got)} messages, its mailbox has {len(expected)}; the first that "
                             f"differs is {device.got[at:at + 1]} instead of {expected[at:at + 1]}")
            if set(device.acknowledged) != set(device.sent):
                found.append(f"{name}: {len(set(device.sent) - set(device.acknowledged))} were never answered")
            for id, positions in device.acknowledged.items():
                for mailbox, epoch, sequence in positions:
                    if content[mailbox].get(sequence) != (epoch, id):
                        found.append(f"lost: {id} was acknowledged as {sequence} of {mailbox}, there is "
                                     f"{content[mailbox].get(sequence)}")
        for user, messages in content.items():
            ids = [id for _, (_, id) in sorted(messages.items())]
            if len(ids) != len(set(ids)):
                found.append(f"twice in the mailbox of {user}: {sorted(id for id in set(ids) if ids.count(id) > 1)}")
            if sorted(messages) != list(range(1, len(messages) + 1)):
                found.append(f"the mailbox of {user} has gaps")
            found += self._out_of_order(user, ids)
        found += self._cursors()
        return found

    def _out_of_order(self, user, ids):
        """Of one sender, what comes later than what was sent after it, though it was sent once only."""
        found, last = [], {}
        tries = {id: count for device in self.devices for id, count in device.tries.items()}
        for id in ids:
            sender, number = id.rsplit("/", 1)
            if int(number) < last.get(sender, -1) and tries[id] == 1:
                found.append(f"out of order in the mailbox of {user}: {id} after {last[sender]}")
            last[sender] = max(last.get(sender, -1), int(number))
        return found

    def _cursors(self):
        def wrong():
            lines = []
            for user in self.users:
                cursors = self.cluster.cursors(user)
                lines += [f"the cursor of {user}/{d.device} is {cursors.get(d.device)}, acknowledged is {d.place[1]}"
                          for d in self.of(user) if d.place and cursors.get(d.device) != d.place[1]]
            return lines

        try:
            wait_for(lambda: not wrong(), "the cursors", 15)
            return []
        except (AssertionError, grpc.RpcError):
            return wrong()
