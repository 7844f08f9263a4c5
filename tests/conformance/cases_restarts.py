"""What a restart of the host leaves. Skipped with --server."""

import kit
from cases_snapshots import fill, seen
from kit import FAILED_PRECONDITION, event, message, put_record


class RestartTest(kit.Case):
    def setUp(self):
        self.storage = self.fresh()
        self.client = self.storage.client

    def test_everything_stays(self):
        ids = fill(self.client)
        before = seen(self.client, ids)
        for kill in (False, True, True, False):
            with self.subTest(kill=kill):
                self.storage.restart(kill)
                self.assertEqual(seen(self.storage.client, ids), before)

    def test_numbers_go_on(self):
        first = self.client.append(message("a"), "box")
        self.client.put_record("m/c", "k", b"1")
        self.client.put(event("e"))
        for number in range(2, 5):
            self.storage.restart(kill=number % 2 == 0)
            client = self.storage.client
            again = client.append(message("a"), "box")
            self.assertTrue(again.duplicate)
            self.assertEqual(again.positions, first.positions)
            (position,) = client.append(message(f"a{number}"), "box").positions
            self.assertEqual((position.sequence, position.epoch),
                             (number, first.positions[0].epoch))
            self.assertEqual(client.put_record("m/c", "k", b"1", revision=number - 1), number)
            self.fails(kit.ALREADY_EXISTS, client.put, event("e", "other"))

    def test_a_watch_goes_on_from_the_last_that_was_seen(self):
        mail = self.client.watch("box")
        changes = self.client.watch_records("m/c")
        for n in range(5):
            self.client.append(message(f"{n}"), "box")
            self.client.put_record("m/c", f"k{n}")
        self.assertEqual([next(mail).sequence for _ in range(5)], [1, 2, 3, 4, 5])
        self.assertEqual([next(changes).revision for _ in range(5)], [1, 2, 3, 4, 5])
        self.storage.restart()
        client = self.storage.client
        client.append(message("6"), "box")
        client.commit(put_record("m/c", "k6"))
        mail, changes = client.watch("box", after=5), client.watch_records("m/c", after=5)
        self.assertEqual(next(mail).sequence, 6)
        self.assertEqual(next(changes).record.key, "k6")
        changes.cancel()
        changes = client.watch_records("m/c", after=2)
        self.assertEqual([next(changes).record.key for _ in range(4)], ["k2", "k3", "k4", "k6"])
        for stream in (mail, changes):
            stream.cancel()

    def test_a_stop_ends_watches(self):
        if self.storage.host is None:
            self.skipTest("needs a host that the suite starts")
        mail, changes = self.client.watch("box"), self.client.watch_records("m/c")
        self.client.append(message("a"), "box")
        self.client.put_record("m/c", "k")
        next(mail)
        next(changes)
        # Not by closing the channel on this side.
        self.storage.host.process.terminate()
        for stream in (mail, changes):
            self.ends(kit.grpc.StatusCode.UNAVAILABLE, stream)
        self.assertEqual(self.storage.host.process.wait(kit.TIMEOUT), 0)
        self.storage.close()
        self.storage.host.start()
        self.storage.client = self.storage.another()

    def test_a_large_mailbox_that_was_deleted_stays_so(self):
        """Though removing all of it takes a while."""
        shared = []
        for number, kill in enumerate((True, False, True)):
            client = self.storage.client
            calls = [client.mailboxes.Append.future(
                kit.mb.AppendRequest(message=message(f"{number}/{n}"), recipients=["large"]),
                timeout=kit.TIMEOUT) for n in range(3000)]
            for call in calls:
                call.result()
            shared.append(message(f"{number}/shared"))
            client.append(shared[-1], "large", "other")
            epoch = client.read("large").epoch
            client.ack("large", "phone", 7)
            client.delete_mailbox("large")
            self.storage.restart(kill)
            client = self.storage.client
            page = client.read("large")
            self.assertEqual((len(page.entries), page.epoch, page.last), (0, 0, 0))
            self.assertEqual(len(client.cursors("large").cursors), 0)
            self.assertEqual([e.message for e in client.read_all("other")], shared)
            position = client.append(message(f"{number}/0"), "large").positions[0]
            self.assertEqual(position.sequence, 1)
            self.assertGreater(position.epoch, epoch)
            client.delete_mailbox("large")

    def test_a_deleted_mailbox_gets_a_larger_epoch(self):
        epochs = []
        for kill in (False, True, False):
            epochs.append(self.storage.client.append(message("a"), "box").positions[0].epoch)
            self.storage.client.delete_mailbox("box")
            self.storage.restart(kill)
            self.fails(FAILED_PRECONDITION, self.storage.client.read, "box", epoch=epochs[-1])
        self.assertEqual(epochs, sorted(set(epochs)))
