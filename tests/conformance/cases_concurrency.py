"""Many at once: numbers without gaps, nothing twice, watchers that miss nothing."""

import collections
import concurrent.futures
import random
import threading

import kit
from kit import ALREADY_EXISTS, FAILED_PRECONDITION, NOT_FOUND, OK, event, message, put_record

THREADS = 8


class ConcurrencyCase(kit.Case):
    def together(self, work, threads=THREADS):
        """Runs work(client, number) in as many threads, each with a connection of its own, begun at one
        moment; gives what they return."""
        barrier = threading.Barrier(threads)

        def run(number):
            client = self.storage.another()
            barrier.wait()
            return work(client, number)

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return [f.result() for f in [pool.submit(run, n) for n in range(threads)]]


class MailboxesTest(ConcurrencyCase):
    def test_overlapping_recipients(self):
        boxes = [self.mailbox() for _ in range(6)]

        def work(client, number):
            chance = random.Random(number)
            calls = []
            for turn in range(100):
                sent = message(self.name(f"{number}_{turn}"))
                recipients = chance.sample(boxes, chance.randint(1, len(boxes)))
                calls.append((sent, recipients, client.mailboxes.Append.future(
                    kit.mb.AppendRequest(message=sent, recipients=recipients),
                    timeout=kit.TIMEOUT)))
                if len(calls) % 10 == 9:
                    calls[-5][2].result()
            return [(sent, recipients, call.result()) for sent, recipients, call in calls]

        places = {box: {} for box in boxes}
        epochs = {box: set() for box in boxes}
        for done in self.together(work):
            for sent, recipients, answer in done:
                self.assertFalse(answer.duplicate)
                self.assertEqual([p.mailbox for p in answer.positions], recipients)
                for position in answer.positions:
                    self.assertNotIn(position.sequence, places[position.mailbox], "given twice")
                    places[position.mailbox][position.sequence] = sent
                    epochs[position.mailbox].add(position.epoch)
        for box in boxes:
            self.assertEqual(sorted(places[box]), list(range(1, len(places[box]) + 1)))
            self.assertEqual(len(epochs[box]), 1)
            entries = self.client.read_all(box)
            self.assertEqual([e.sequence for e in entries], sorted(places[box]))
            self.assertEqual([e.message for e in entries],
                             [places[box][n] for n in sorted(places[box])])

    def test_one_caller_after_the_other_gets_larger_numbers(self):
        box = self.mailbox()

        def work(client, number):
            return [client.append(message(self.name(f"{number}_{n}")), box).positions[0].sequence
                    for n in range(50)]

        for numbers in self.together(work):
            self.assertEqual(numbers, sorted(numbers))

    def test_the_same_message_from_many(self):
        boxes = [self.mailbox() for _ in range(3)]
        sent = [message(self.name()) for _ in range(40)]

        def work(client, number):
            # Each in its own order, to recipients of its own.
            mine = list(sent)
            random.Random(number).shuffle(mine)
            own = [boxes[number % 3]]
            return [(m.event.id, client.append(m, *own)) for m in mine]

        answers = collections.defaultdict(list)
        for done in self.together(work):
            for id, answer in done:
                answers[id].append(answer)
        for found in answers.values():
            self.assertEqual([a.duplicate for a in found].count(False), 1)
            self.assertEqual({a.positions[0].SerializeToString() for a in found}.__len__(), 1)
            self.assertEqual({len(a.positions) for a in found}, {1})
        entries = [e for box in boxes for e in self.client.read_all(box)]
        self.assertEqual(sorted(e.message.event.id for e in entries),
                         sorted(m.event.id for m in sent))
        for box in boxes:
            numbers = [e.sequence for e in self.client.read_all(box)]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_other_content_from_many(self):
        box, id = self.mailbox(), self.name()

        def work(client, number):
            try:
                client.append(message(id, str(number)), box)
                return OK
            except kit.grpc.RpcError as error:
                return error.code()

        codes = self.together(work)
        self.assertEqual((codes.count(OK), codes.count(ALREADY_EXISTS)), (1, THREADS - 1))
        self.assertEqual([e.message.event.text_data for e in self.client.read_all(box)],
                         [str(codes.index(OK))])

    def test_acknowledgements_of_one_device(self):
        box = self.mailbox()
        count = 60
        for n in range(count):
            self.client.append(message(self.name(str(n))), box)

        def work(client, number):
            chance = random.Random(number)
            stands = 0
            for _ in range(60):
                sequence = chance.randint(1, count - 1)
                cursor = client.ack(box, "phone", sequence).sequence
                self.assertGreaterEqual(cursor, max(sequence, stands))
                stands = cursor
            return stands

        highest = max(self.together(work))
        self.assertEqual(self.client.cursors(box).cursors[0].sequence, highest)

    def test_a_mailbox_that_is_deleted_again_and_again(self):
        box = self.mailbox()

        def work(client, number):
            if number == 0:
                for _ in range(60):
                    try:
                        client.delete_mailbox(box)
                    except kit.grpc.RpcError as error:
                        self.assertEqual(error.code(), NOT_FOUND)
                return []
            return [client.append(message(self.name(f"{number}_{n}")), box).positions[0]
                    for n in range(60)]

        lives = collections.defaultdict(list)
        for done in self.together(work):
            epochs = [position.epoch for position in done]
            self.assertEqual(epochs, sorted(epochs))
            for position in done:
                lives[position.epoch].append(position.sequence)
        for numbers in lives.values():
            self.assertEqual(sorted(numbers), list(range(1, len(numbers) + 1)))
        state = self.client.read(box)
        if state.epoch:  # the last delete may have come after the last append
            self.assertEqual(state.epoch, max(lives))
            self.assertEqual([e.sequence for e in self.client.read_all(box)],
                             sorted(lives[state.epoch]))

    def test_a_number_that_was_read_has_all_before_it(self):
        box, done = self.mailbox(), threading.Event()

        def work(client, number):
            if number < 2:
                last = 0
                while not done.is_set():
                    page = client.read(box, limit=1000)
                    numbers = [e.sequence for e in page.entries]
                    self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
                    self.assertEqual(page.last, len(numbers))
                    self.assertGreaterEqual(page.last, last)
                    last = page.last
                return
            try:
                for n in range(60):
                    client.append(message(self.name(f"{number}_{n}")), box, self.mailbox())
            finally:
                ended.append(number)
                if len(ended) == THREADS - 2:
                    done.set()

        ended = []
        self.together(work)


class RecordsTest(ConcurrencyCase):
    def test_counters_by_compare_and_set(self):
        at, keys, turns = self.collection(), ["a", "b"], 15
        self.client.commit(*[put_record(at, key, b"0") for key in keys])

        def work(client, number):
            refused = 0
            for turn in range(turns):
                key = keys[(turn + number) % 2]
                while True:
                    found = client.get_record(at, key)
                    try:
                        client.put_record(at, key, str(int(found.value) + 1).encode(),
                                          revision=found.revision)
                        break
                    except kit.grpc.RpcError as error:
                        self.assertEqual(error.code(), FAILED_PRECONDITION, error.details())
                        refused += 1
            return refused

        self.together(work)
        values = [int(self.client.get_record(at, key).value) for key in keys]
        self.assertEqual(sum(values), THREADS * turns)
        self.assertEqual(self.client.list_records(at).revision, 2 + THREADS * turns)

    def test_one_creates(self):
        at = self.collection()

        def work(client, number):
            won = []
            for n in range(30):
                try:
                    client.put_record(at, f"k{n}", str(number).encode(), create=True)
                    won.append(n)
                except kit.grpc.RpcError as error:
                    self.assertEqual(error.code(), ALREADY_EXISTS)
            return won

        winners = {}
        for number, won in enumerate(self.together(work)):
            for n in won:
                self.assertNotIn(n, winners)
                winners[n] = number
        self.assertEqual(len(winners), 30)
        for n, number in winners.items():
            self.assertEqual(self.client.get_record(at, f"k{n}").value, str(number).encode())

    def test_every_write_has_a_revision_of_its_own(self):
        at, other = self.collection(), self.collection()

        def work(client, number):
            given = []
            for n in range(40):
                given += [(at, r) for r in client.commit(
                    put_record(at, f"{number}a{n % 3}"), put_record(at, f"{number}b{n % 3}"))]
                first, second = client.commit(
                    put_record(other, f"{number}"), put_record(at, f"{number}c"))
                given += [(other, first), (at, second)]
            revisions = [r for c, r in given if c == at]
            self.assertEqual(revisions, sorted(revisions))
            return given

        given = [pair for done in self.together(work) for pair in done]
        for collection, count in ((at, 3 * 40 * THREADS), (other, 40 * THREADS)):
            self.assertEqual(sorted(r for c, r in given if c == collection),
                             list(range(1, count + 1)))
            self.assertEqual(self.client.list_records(collection).revision, count)

    def test_commits_that_cross(self):
        """Transfers between two accounts, named in either order: nothing is lost, nobody waits for ever."""
        at, other = self.collection(), self.collection()
        self.client.commit(put_record(at, "k", b"1000"), put_record(other, "k", b"1000"))

        def work(client, number):
            for _ in range(15):
                while True:
                    a, b = client.get_record(at, "k"), client.get_record(other, "k")
                    writes = [put_record(at, "k", str(int(a.value) - 1).encode(),
                                         revision=a.revision),
                              put_record(other, "k", str(int(b.value) + 1).encode(),
                                         revision=b.revision)]
                    try:
                        client.commit(*(writes if number % 2 else reversed(writes)))
                        break
                    except kit.grpc.RpcError as error:
                        self.assertEqual(error.code(), FAILED_PRECONDITION, error.details())

        self.together(work)
        self.assertEqual([self.client.get_record(c, "k").value for c in (at, other)],
                         [str(1000 - 15 * THREADS).encode(), str(1000 + 15 * THREADS).encode()])

    def test_watchers_see_every_write_of_a_record_of_its_own(self):
        """Each key is written once: then no write may be left out."""
        at, count = self.collection(), 60
        writing = threading.Semaphore(0)

        def work(client, number):
            if number < 3:
                writing.acquire(timeout=kit.TIMEOUT)
                after = client.list_records(at).revision
                found = []
                for change in client.watch_records(at, after=after):
                    found.append(change)
                    if change.revision == count * (THREADS - 3):
                        return after, found
            for n in range(count):
                client.put_record(at, f"{number}/{n}", str(n).encode())
                if number == 3 and n in (0, 5, 20):
                    writing.release()
            return None

        for after, found in filter(None, self.together(work)):
            revisions = [change.revision for change in found]
            self.assertEqual(revisions, list(range(after + 1, count * (THREADS - 3) + 1)))
            self.assertEqual([c.record.revision for c in found], revisions)


class AllTest(ConcurrencyCase):
    def test_many_connections_at_once(self):
        """Every service from many connections; each finds its own."""
        at = self.collection()

        def work(client, number):
            mine = self.name(str(number))
            for n in range(15):
                self.assertEqual(client.put(event(f"{mine}/{n}", mine)), 1)
                self.assertEqual(client.append(message(f"{mine}/{n}"), mine).positions[0].sequence,
                                 n + 1)
                client.put_record(at, mine, str(n).encode(), [("owner", mine)])
                self.assertEqual(client.get(f"{mine}/{n}"), [event(f"{mine}/{n}", mine)])
                self.assertEqual(client.read(mine).last, n + 1)
                self.assertEqual(client.ack(mine, "phone", n + 1).sequence, n + 1)
                self.assertEqual(client.get_record(at, mine).value, str(n).encode())
                self.assertEqual([r.key for r in client.all_records(at, index=("owner", mine))],
                                 [mine])

        self.together(work, 24)
