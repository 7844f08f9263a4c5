"""Limits and expiry, which are settings: max_batch, max_message, max_reply, max_recipients,
mailbox_retention. Each case starts a host of its own."""

import threading
import time

import kit
from kit import OUT_OF_RANGE, RESOURCE_EXHAUSTED, event, message, put_record


class LimitsTest(kit.Case):
    def setUp(self):
        self.client = self.fresh(max_batch=20, max_message="10KiB", max_reply="30KiB",
                                 max_recipients=5).client

    def test_messages(self):
        client = self.client
        ids = [f"m{n}" for n in range(21)]
        self.assertIn("max_batch", self.invalid(client.put, *[event(i) for i in ids]))
        self.assertIn("max_batch", self.invalid(client.get, *ids))
        self.assertIn("max_batch", self.invalid(client.delete, *ids))
        self.assertEqual(client.get(*ids[:20]), [])
        self.assertEqual(client.put(*[event(i) for i in ids[:20]]), 20)
        large = event("large", "x" * 10300)
        self.assertEqual(client.put(event("good"), large, event("after")), 1)
        self.assertIn("max_message", self.invalid(client.put, large))
        self.assertEqual(len(client.get("good", "large", "after")), 1)

    def test_an_answer_that_is_too_large(self):
        self.client.put(*[event(f"big{n}", "x" * 9000) for n in range(4)])
        ids = [f"big{n}" for n in range(4)]
        self.assertEqual(len(self.client.get(*ids[:3])), 3)
        self.fails(RESOURCE_EXHAUSTED, self.client.get, *ids)
        self.assertEqual(len(self.client.get(*ids[:2])), 2)

    def test_mailboxes(self):
        client = self.client
        boxes = [f"b{n}" for n in range(6)]
        self.assertIn("max_recipients", self.invalid(client.append, message("m"), *boxes))
        self.assertEqual(len(client.list_mailboxes().mailboxes), 0)
        self.assertEqual(len(client.append(message("m"), *boxes[:5]).positions), 5)
        large = message("large", "x" * 10300)
        self.assertIn("max_message", self.invalid(client.append, large, "b1"))
        self.assertEqual(client.read("b1").last, 1)
        for n in range(30):
            client.append(message(f"n{n}"), "many")
        for limit in (0, 21, 1000):
            self.assertEqual(len(client.read("many", limit=limit).entries), 20)
        self.assertEqual([e.sequence for e in client.read_all("many")], list(range(1, 31)))
        for n in range(25):
            client.append(message(f"l{n}"), f"list{n:02}")
        for limit in (0, 21, 1000):
            page = client.list_mailboxes("list", limit)
            self.assertEqual(len(page.mailboxes), 20)
            self.assertNotEqual(page.next_page_token, "")
        self.assertEqual(len(client.all_mailboxes("list")), 25)

    def test_a_page_of_a_mailbox_stays_below_max_reply_but_has_one(self):
        client = self.client
        for n in range(12):
            client.append(message(f"m{n}", "x" * 9000), "box")
        page = client.read("box")
        self.assertGreaterEqual(len(page.entries), 1)
        self.assertLessEqual(page.ByteSize(), 30 * 1024)
        self.assertEqual([e.sequence for e in client.read_all("box")], list(range(1, 13)))
        stream = client.watch("box")
        self.assertEqual([next(stream).sequence for _ in range(12)], list(range(1, 13)))
        stream.cancel()

    def test_records(self):
        client, at = self.client, "conformance/c"
        self.assertIn("max_message", self.invalid(client.put_record, at, "k", b"x" * 10241))
        self.assertEqual(client.put_record(at, "k", b"x" * 10240), 1)
        writes = [put_record(at, f"w{n}") for n in range(21)]
        self.assertIn("max_batch", self.invalid(client.commit, *writes))
        self.assertEqual(client.commit(*writes[:20]), list(range(2, 22)))
        client.commit(*[put_record(at, f"x{n}") for n in range(10)])
        for limit in (0, 21, 1000):
            page = client.list_records(at, limit=limit)
            self.assertEqual(len(page.records), 20)
            self.assertNotEqual(page.next_page_token, "")
        self.assertEqual(len(client.all_records(at)), 31)

    def test_a_page_of_records_stays_below_max_reply_but_has_one(self):
        client, at = self.client, "conformance/c"
        for n in range(8):
            client.put_record(at, f"k{n}", b"x" * 9000, [("n", "v")])
        for fields in ({}, {"index": ("n", "v")}):
            page = client.list_records(at, **fields)
            self.assertGreaterEqual(len(page.records), 1)
            self.assertLessEqual(page.ByteSize(), 30 * 1024)
            self.assertEqual([r.key for r in client.all_records(at, **fields)],
                             [f"k{n}" for n in range(8)])
        self.assertEqual(len(client.list_records(at, keys_only=True).records), 8)


class QueueTest(kit.Case):
    def test_too_much_waits(self):
        """Refused is not stored, acknowledged is, and nothing in between."""
        client = self.fresh(queue_bytes="256KiB").client
        wanted = {f"m{n}": message(f"m{n}", "x" * 50_000) for n in range(200)}
        calls = {id: client.mailboxes.Append.future(
            kit.mb.AppendRequest(message=one, recipients=["box", id]), timeout=kit.TIMEOUT)
            for id, one in wanted.items()}
        for call in calls.values():
            self.assertIn(call.code(), (kit.OK, RESOURCE_EXHAUSTED), call.details())
        stored = {id for id, call in calls.items() if call.code() == kit.OK}
        entries = client.read_all("box")
        self.assertEqual({e.message.event.id for e in entries}, stored)
        self.assertEqual([e.sequence for e in entries], list(range(1, len(stored) + 1)))
        self.assertEqual({m.mailbox for m in client.all_mailboxes()}, stored | {"box"})
        for id, one in wanted.items():
            self.assertEqual(client.append(one, "box", id).duplicate, id in stored)


class OneEntryTest(kit.Case):
    def test_one_that_is_larger_than_max_reply_is_given_alone(self):
        try:
            client = self.fresh(max_message="10KiB", max_reply="10KiB").client
        except RuntimeError as error:
            self.assertIn("max_reply", str(error))
            self.skipTest("the back end refuses settings with which that could be")
        for n in range(3):
            client.append(message(f"m{n}", "x" * 9900), "box")
            client.put_record("conformance/c", f"k{n}", b"x" * 10240)
        self.assertEqual([e.sequence for e in client.read_all("box")], [1, 2, 3])
        self.assertEqual(len(client.all_records("conformance/c")), 3)


class ExpiryTest(kit.Case):
    """Messages in mailboxes that expire."""

    def expire(self, client, box, first):
        """Waits until the mailbox begins there. What expires does so on a schedule."""
        deadline = time.monotonic() + kit.TIMEOUT
        while (state := client.read(box)).first != first:
            self.assertLess(state.first, first)
            self.assertLess(time.monotonic(), deadline, f"still {state.first}, not {first}")
            time.sleep(0.05)

    def test_the_first_that_is_left_is_declared(self):
        client = self.fresh(mailbox_retention="2s", clean_interval="200ms").client
        a, b = "a", "b"
        old = [message(f"old{n}") for n in range(5)]
        for one in old:
            first = client.append(one, a)
        client.append(message("b"), b)
        epoch = first.positions[0].epoch
        client.ack(a, "phone", 2)
        whole = client.watch(a)
        self.assertEqual([next(whole).sequence for _ in range(5)], [1, 2, 3, 4, 5])
        time.sleep(1.2)
        young = [client.append(message(f"young{n}"), a).positions[0].sequence for n in range(3)]
        self.assertEqual(young, [6, 7, 8])
        self.assertEqual([next(whole).sequence for _ in range(3)], young)
        self.expire(client, a, 6)
        page = client.read(a)
        self.assertEqual(([e.sequence for e in page.entries], page.first, page.last, page.epoch),
                         ([6, 7, 8], 6, 8, epoch))
        self.assertEqual([m.first for m in client.list_mailboxes(a).mailboxes], [6])
        # One that begins at the beginning gets what is left; one that would miss something is told.
        stream = client.watch(a)
        self.assertEqual(next(stream).sequence, 6)
        stream.cancel()
        stream = client.watch(a, after=5)
        self.assertEqual(next(stream).sequence, 6)
        stream.cancel()
        for after in (1, 4):
            self.ends(OUT_OF_RANGE, client.watch(a, after=after))
        self.assertEqual([c.sequence for c in client.cursors(a).cursors], [2])
        self.assertEqual(client.ack(a, "phone", 4).sequence, 4)

        # All of it: empty, but no number is given again.
        self.expire(client, a, 9)
        page = client.read(a)
        self.assertEqual((len(page.entries), page.first, page.last, page.epoch), (0, 9, 8, epoch))
        self.assertEqual([m.mailbox for m in client.list_mailboxes().mailboxes], [a, b])
        position = client.append(message("new"), a).positions[0]
        self.assertEqual((position.sequence, position.epoch), (9, epoch))
        # The one that had seen everything goes on.
        self.assertEqual(next(whole).sequence, 9)
        whole.cancel()
        # What expired is not stored any more: it is new.
        again = client.append(old[0], a)
        self.assertFalse(again.duplicate)
        self.assertEqual(again.positions[0].sequence, 10)

    def test_reads_and_dumps_while_what_is_old_goes(self):
        """What is young is found at every moment, by everybody."""
        storage = self.fresh(retention="1s", mailbox_retention="1s", clean_interval="100ms")
        stop, wrong = threading.Event(), []

        def load(client, number):
            turn, last = 0, 0
            while not stop.is_set():
                turn += 1
                id = f"{number}/{turn}"
                began = time.monotonic()
                client.put(event(id, "x" * 500))
                sequence = client.append(message(id, "x" * 500), f"box{number}").positions[0].sequence
                if sequence != last + 1:
                    wrong.append(f"{sequence} after {last}")
                last = sequence
                found = [m.id for m in client.get(id)]
                page = client.read(f"box{number}", after=sequence - 1)
                numbers = [e.sequence for e in page.entries]
                if time.monotonic() - began > 0.9:
                    continue  # it may have expired meanwhile
                if found != [id] or numbers != [sequence] or page.first > sequence:
                    wrong.append(f"{id}: {found}, {numbers}, {page.first}")

        threads = [threading.Thread(target=load, args=(storage.another(), n)) for n in range(3)]
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                items = storage.client.dump()
                states = {i.mailbox.state.mailbox: i.mailbox.state for i in items
                          if i.WhichOneof("item") == "mailbox"}
                places = {box: [] for box in states}
                for item in items:
                    for position in item.delivery.positions:
                        places[position.mailbox].append(position.sequence)
                for box, state in states.items():
                    self.assertEqual(places[box], list(range(state.first, state.last + 1)))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_clean_does_not_touch_them(self):
        client = self.fresh(retention="100ms", clean_interval="100ms").client
        client.append(message("m"), "box")
        client.put(event("e"))
        time.sleep(0.5)
        client.clean()
        self.assertEqual(client.get("e"), [])
        self.assertEqual(client.read("box").entries[0].message, message("m"))
