#!/usr/bin/python3
"""A client of imctl in sixty lines: connects as a user, prints what comes, sends what is typed.

Debian: apt-get install python3-grpcio python3-protobuf. Stubs: see docs/cluster.md.
Usage: PYTHONPATH=build/python chat.py HOST:PORT USER PASSWORD WITH"""

import queue
import sys
import threading
import time
import uuid

import grpc
from api.grpc.cloudevents.cloudevent_pb2 import CloudEvent
from imctl.auth.v1 import login_pb2, login_pb2_grpc
from imctl.session.v1 import sessions_pb2 as im
from imctl.session.v1 import sessions_pb2_grpc
from imctl.storage.v1.mailboxes_pb2 import Message


def connect(channel, token, place, unanswered, current):
    """One stream, until it breaks. `place` is (epoch, sequence) of the last message that arrived here."""
    outgoing = queue.Queue()
    hello = im.Hello(device="chat.py", only_new=place[1] is None)
    if place[1] is not None:
        hello.after.CopyFrom(im.Place(epoch=place[0], sequence=place[1]))
    outgoing.put(im.ClientFrame(hello=hello))
    stream = sessions_pb2_grpc.SessionsStub(channel).Connect(
        iter(outgoing.get, None), metadata=[("authorization", "Bearer " + token)])
    for frame in stream:
        kind = frame.WhichOneof("frame")
        if kind == "welcome":
            place[:] = [frame.welcome.after.epoch, frame.welcome.after.sequence]
            current[0] = outgoing
            for message in list(unanswered.values()):  # the same ids: nothing is doubled
                outgoing.put(im.ClientFrame(send=message))
        elif kind == "deliver":
            entry = frame.deliver
            if entry.epoch != place[0] or entry.sequence > place[1]:  # else it came before
                place[:] = [entry.epoch, entry.sequence]
                print(getattr(entry.message, "from") + ": " + entry.message.event.text_data, flush=True)
            outgoing.put(im.ClientFrame(ack=im.Ack(epoch=place[0], sequence=place[1])))
        elif kind == "jump":
            place[:] = [frame.jump.epoch, frame.jump.next - 1]
        elif kind in ("sent", "rejected"):
            unanswered.pop(getattr(frame, kind).reference, None)
            if kind == "rejected":
                print("not sent: " + frame.rejected.message, file=sys.stderr)


def main(server, user, password, other):
    channel = grpc.insecure_channel(server)
    token = login_pb2_grpc.LoginStub(channel).Login(login_pb2.LoginRequest(user=user, password=password)).token
    unanswered, current, place = {}, [None], [0, None]

    def typed():
        for number, line in enumerate(sys.stdin, 1):
            event = CloudEvent(id=str(uuid.uuid4()), type="im", text_data=line.rstrip("\n"))
            unanswered[number] = im.Send(reference=number, message=Message(event=event, to=[other]))
            if current[0]:  # else it goes out with the next stream
                current[0].put(im.ClientFrame(send=unanswered[number]))

    threading.Thread(target=typed, daemon=True).start()
    while True:
        try:
            connect(channel, token, place, unanswered, current)
        except grpc.RpcError as error:
            print("connecting again: " + (error.details() or ""), file=sys.stderr)
        current[0] = None
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
