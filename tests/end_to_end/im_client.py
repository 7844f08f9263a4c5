"""A client of imctl.session.v1.Sessions as a real one would be: it keeps what it received by epoch and
sequence, acknowledges it, sends again what was not answered, and connects again when the stream breaks."""

import collections
import queue
import threading

import grpc

from router_protos import events, mailboxes, sessions, sessions_rpc

CODE = grpc.StatusCode


def message(id, to, text="", size=0):
    event = events.CloudEvent(id=id, type="im", text_data=text or "x" * size)
    return mailboxes.Message(event=event, to=[to] if isinstance(to, str) else to)


class Session:
    """One stream. Frames that come are in `frames`; the end is None, and `code` and `details` say how it was."""

    def __init__(self, channel, token=None, **hello):
        self.requests = queue.Queue()
        self.frames = queue.Queue()
        self.code = self.details = None
        metadata = [("authorization", f"Bearer {token}")] if token else []
        self.call = sessions_rpc.SessionsStub(channel).Connect(iter(self.requests.get, None), metadata=metadata)
        self.put(hello=sessions.Hello(**hello))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            for frame in self.call:
                self.frames.put(frame)
            self.code, self.details = CODE.OK, ""
        except grpc.RpcError as error:
            self.code, self.details = error.code(), error.details()
        self.frames.put(None)

    def put(self, **frame):
        self.requests.put(sessions.ClientFrame(**frame))

    def send(self, reference, message):
        self.put(send=sessions.Send(reference=reference, message=message))

    def ack(self, sequence, epoch=0):
        self.put(ack=sessions.Ack(sequence=sequence, epoch=epoch))

    def next(self, kind=None, timeout=30):
        """The next frame; of that kind, if one is named. None at the end."""
        while True:
            frame = self.frames.get(timeout=timeout)
            if frame is None:
                self.frames.put(None)
                return None
            if kind is None:
                return frame
            if frame.WhichOneof("frame") == kind:
                return getattr(frame, kind)

    def close(self):
        self.requests.put(None)
        self.call.cancel()
        self.reader.join()


class Client:
    """A user's device that stays connected, whatever happens; `pick` gives the channel to connect with, and
    may raise. What it was delivered is in `got`: by mailbox epoch, in order, each once. `patience`: seconds of
    silence after which it takes the node for dead. `from_cursor`: it relies on the node's cursor when it comes
    back, and not on what it has itself."""

    def __init__(self, pick, user, device, token=None, on_deliver=None, patience=None, from_cursor=False):
        self.pick, self.user, self.device, self.token = pick, user, device, token
        self.on_deliver, self.patience, self.from_cursor = on_deliver, patience, from_cursor
        self.session = None  # its name, as long as it lasts
        self.got = []  # (epoch, sequence, id)
        self.problems = []
        self.duplicates = 0
        self.connects = 0
        self.acknowledged = {}  # id -> positions
        self.unanswered = collections.OrderedDict()  # reference -> message
        self.tries = collections.Counter()  # id -> how often it was sent
        self.place = None
        self._reference = 0
        self._lock = threading.Condition()
        self._stopping = False
        self._session = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, message):
        with self._lock:
            self._reference += 1
            self.unanswered[self._reference] = message
            if self._session:
                self._send(self._session, self._reference, message)

    def _send(self, session, reference, message):
        self.tries[message.event.id] += 1
        session.send(reference, message)

    def wait(self, condition, timeout):
        with self._lock:
            return self._lock.wait_for(lambda: condition(self), timeout)

    def stop(self):
        with self._lock:
            self._stopping = True
            session = self._session
            self._lock.notify_all()
        if session:
            session.call.cancel()
            session.requests.put(None)
        self._thread.join()

    def _run(self):
        pause = 0.05
        while not self._stopping:
            try:
                self._serve(self.pick())
                pause = 0.05
            except (grpc.RpcError, ConnectionError, ValueError):
                pause = min(2 * pause, 1)
            with self._lock:
                self._session = self.session = None
                self._lock.wait_for(lambda: self._stopping, pause)

    def _serve(self, channel):
        hello = {"device": self.device}
        if self.token is None:
            hello["user"] = self.user
        if self.place and not self.from_cursor:
            hello["after"] = sessions.Place(epoch=self.place[0], sequence=self.place[1])
        session = Session(channel, self.token, **hello)
        try:
            while True:
                frame = self._next(session)
                if frame is None:
                    raise ConnectionError(session.details)
                self._handle(session, frame)
        finally:
            session.close()

    def _next(self, session):
        if self.patience is None:
            return session.next(timeout=None)
        try:
            return session.next(timeout=self.patience / 2)
        except queue.Empty:
            session.put(ping=sessions.Ping())
        try:
            return session.next(timeout=self.patience / 2)
        except queue.Empty:
            raise ConnectionError("the node is silent") from None

    def _handle(self, session, frame):
        kind = frame.WhichOneof("frame")
        with self._lock:
            if kind == "welcome":
                self.connects += 1
                self._session = session
                self.session = frame.welcome.session
                for reference, message in self.unanswered.items():
                    self._send(session, reference, message)
            elif kind == "sent":
                self.unanswered.pop(frame.sent.reference, None)
                self.acknowledged[frame.sent.id] = [(p.mailbox, p.epoch, p.sequence) for p in frame.sent.positions]
            elif kind == "rejected":
                if frame.rejected.code in (CODE.UNAVAILABLE.value[0], CODE.DEADLINE_EXCEEDED.value[0],
                                           CODE.RESOURCE_EXHAUSTED.value[0]):
                    # Sent again when the stream is another; not as fast as it comes back.
                    session.call.cancel()
                else:
                    self.problems.append(f"rejected: {frame.rejected.code} {frame.rejected.message}")
                    self.unanswered.pop(frame.rejected.reference, None)
            elif kind == "jump":
                if self.place and self.place[0] == frame.jump.epoch:
                    self.problems.append(f"{self.user}: jump from {self.place} to {frame.jump}")
                self.place = (frame.jump.epoch, frame.jump.next - 1)
            elif kind == "deliver":
                self._take(session, frame.deliver)
            self._lock.notify_all()

    def _take(self, session, entry):
        place = (entry.epoch, entry.sequence)
        if self.place and self.place[0] == entry.epoch and entry.sequence <= self.place[1]:
            self.duplicates += 1
        elif self.place and self.place[0] == entry.epoch and entry.sequence != self.place[1] + 1:
            self.problems.append(f"{self.user}/{self.device}: {place} after {self.place}")
        else:
            self.place = place
            self.got.append((entry.epoch, entry.sequence, entry.message.event.id))
            if self.on_deliver:
                self.on_deliver(self, entry)
        session.ack(self.place[1], self.place[0])
