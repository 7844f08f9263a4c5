"""Watching mailboxes: imctl/storage/v1/mailboxes.proto."""

import threading

import kit
from kit import FAILED_PRECONDITION, message


class WatchTest(kit.Case):
    def append(self, *recipients):
        return self.client.append(message(self.name("m")), *recipients).positions

    def watch(self, *arguments, client=None, **fields):
        call = (client or self.watcher()).watch(*arguments, **fields)
        self.addCleanup(call.cancel)
        return call

    def watcher(self):
        return self.client

    def sequences(self, stream, count):
        return [entry.sequence for entry in self.take(stream, count)]

    def test_what_is_there_and_what_comes(self):
        box = self.mailbox()
        for _ in range(3):
            self.append(box)
        stream = self.watch(box)
        read = self.client.read(box).entries
        self.assertEqual(self.take(stream, 3), list(read))
        for number in range(4, 8):
            self.append(box)
            self.assertEqual(self.take(stream, 1), list(self.client.read(box, number - 1).entries))

    def test_after(self):
        box = self.mailbox()
        for _ in range(5):
            self.append(box)
        from_three, from_the_end, from_beyond = (self.watch(box, n) for n in (3, 5, 6))
        self.assertEqual(self.sequences(from_three, 2), [4, 5])
        for _ in range(3):
            self.append(box)
        self.assertEqual(self.sequences(from_three, 3), [6, 7, 8])
        self.assertEqual(self.sequences(from_the_end, 3), [6, 7, 8])
        self.assertEqual(self.sequences(from_beyond, 2), [7, 8])

    def test_one_that_begins(self):
        box = self.mailbox()
        stream = self.watch(box)
        # Something to know that the other waits already.
        other = self.mailbox()
        self.append(other)
        self.sequences(self.watch(other), 1)
        (position,) = self.append(box)
        entry = next(stream)
        self.assertEqual((entry.sequence, entry.epoch), (1, position.epoch))

    def test_only_that_mailbox(self):
        box, other = self.mailbox(), self.mailbox()
        self.append(box)
        stream = self.watch(box)
        self.sequences(stream, 1)
        self.append(other)
        self.append(box + "x")
        self.append(other, box)
        self.append(box)
        self.assertEqual(self.sequences(stream, 2), [2, 3])

    def test_the_epoch(self):
        box = self.mailbox()
        (position,) = self.append(box)
        self.assertEqual(self.sequences(self.watch(box, epoch=position.epoch), 1), [1])
        for epoch in (position.epoch - 1, position.epoch + 1):
            self.ends(FAILED_PRECONDITION, self.watch(box, epoch=epoch))

    def test_another_epoch_ends_it(self):
        box = self.mailbox()
        self.append(box)
        streams = [self.watch(box), self.watch(box, after=1)]
        self.sequences(streams[0], 1)
        self.client.delete_mailbox(box)
        for _ in range(3):
            self.append(box)
        # The first one is known to have seen the old epoch. The second may have begun in the new one.
        self.ends(FAILED_PRECONDITION, streams[0])
        self.assertEqual(self.sequences(self.watch(box), 3), [1, 2, 3])

    def test_an_acknowledgement_is_no_entry(self):
        box = self.mailbox()
        self.append(box)
        stream = self.watch(box)
        self.sequences(stream, 1)
        self.client.ack(box, "phone", 1)
        self.client.forget(box, "phone")
        self.append(box)
        self.assertEqual(self.sequences(stream, 1), [2])

    def test_a_duplicate_is_no_entry(self):
        box = self.mailbox()
        sent = message(self.name())
        self.client.append(sent, box)
        stream = self.watch(box)
        self.sequences(stream, 1)
        self.client.append(sent, box)
        self.append(box)
        self.assertEqual(self.sequences(stream, 1), [2])

    def test_more_than_fits_in_one_page(self):
        box = self.mailbox()
        calls = [self.client.mailboxes.Append.future(
            kit.mb.AppendRequest(message=message(self.name(), "x" * 5000), recipients=[box]),
            timeout=kit.TIMEOUT) for _ in range(2500)]
        stream = self.watch(box)
        for call in calls:
            call.result()
        self.assertEqual(self.sequences(stream, 2500), list(range(1, 2501)))

    def test_many_watchers_at_once(self):
        boxes = [self.mailbox() for _ in range(4)]
        streams = [self.watch(box, client=self.storage.another() if n % 10 == 0 else None)
                   for n in range(15) for box in boxes]
        count = 40
        for _ in range(count):
            self.append(*boxes)
        for stream in streams:
            self.assertEqual(self.sequences(stream, count), list(range(1, count + 1)))

    def test_watchers_that_go_leave_no_trace(self):
        box = self.mailbox()
        for _ in range(50):
            for stream in [self.watch(box) for _ in range(4)]:
                stream.cancel()
        self.append(box)
        self.assertEqual(self.sequences(self.watch(box), 1), [1])

    def test_one_that_begins_in_the_middle_of_writes(self):
        box, count = self.mailbox(), 300
        positions = []

        def load(client, number):
            for i in range(count // 3):
                positions.append(client.append(
                    message(self.name(f"m{number}_{i}")), box).positions[0].sequence)

        writers = [threading.Thread(target=load, args=(self.storage.another(), n)) for n in range(3)]
        for writer in writers:
            writer.start()
        streams, lasts = [], []
        while len(positions) < count and len(streams) < 20:
            lasts.append(self.client.read(box, limit=1).last)
            streams.append(self.watch(box, after=lasts[-1]))
        for writer in writers:
            writer.join()
        self.assertEqual(sorted(positions), list(range(1, count + 1)))
        for last, stream in zip(lasts, streams):
            self.assertEqual(self.sequences(stream, count - last), list(range(last + 1, count + 1)))
