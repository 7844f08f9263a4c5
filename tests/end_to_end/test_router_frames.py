"""How many frames a message to many costs: one to the service, and one to each other node, however many recipients
it has."""

import contextlib
import hashlib
import re
import secrets
import unittest

import grpc

from host_fixture import Host
from im_client import Session, message
from router_protos import cluster, cluster_rpc
from test_router import MODULES, QUICK, nodes_of, wait_for
from user_protos import users, users_rpc

RECIPIENTS = 1000
# Sessions a node; the rest of the recipients is not connected, and costs nothing.
CONNECTED = 50
# As many connections as a test may have: sessions are streams of a few of them.
STREAMS = 25


@contextlib.contextmanager
def three_nodes():
    """Three nodes; the first has the storage and is the service, which the others are joined with."""
    keys = {name: secrets.token_hex(16) for name in ("two", "three")}
    known = {f"nodes.{name}": "sha256:" + hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()}
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Host(modules=MODULES, settings={**QUICK, "router.name": "one", **known}))
        there = f"grpc://127.0.0.1:{one.port}"
        nodes = [one]
        for name, key in keys.items():
            nodes.append(stack.enter_context(Host(modules=("user", "router"), settings={
                **QUICK, "router.name": name, "router.roles": "node", "router.services": there,
                "bind.node": name, "bind.node_key": key,
                "bind.imctl.storage.v1.Mailboxes": there, "bind.imctl.storage.v1.Records": there})))
        wait_for(lambda: len(nodes_of(one)) == 3, "all nodes to join")
        yield nodes


class Frames(unittest.TestCase):
    def test_a_message_to_a_thousand_on_three_nodes(self):
        with three_nodes() as nodes:
            names = [f"u{number}" for number in range(RECIPIENTS)]
            stub = users_rpc.UsersStub(nodes[0].channel())
            for call in [stub.Add.future(users.AddUserRequest(user=name, password="a good password"))
                         for name in [*names, "ann"]]:
                call.result()
            sessions = []
            self.addCleanup(lambda: [session.close() for session in sessions])
            for index, node in enumerate(nodes):
                for number in range(CONNECTED):
                    if number % STREAMS == 0:
                        channel = grpc.insecure_channel(
                            f"127.0.0.1:{node.port}", options=[("grpc.use_local_subchannel_pool", 1)])
                    sessions.append(Session(channel, user=names[index * CONNECTED + number], device="d", only_new=True))
            for session in sessions:
                self.assertIsNotNone(session.next("welcome"), session.details)
            status = cluster_rpc.ClusterStub(nodes[0].channel())
            wait_for(lambda: status.Status(cluster.ClusterStatusRequest()).sessions == len(sessions),
                     "the service to know of all sessions")
            before = status.Status(cluster.ClusterStatusRequest()).services[0]
            # From another node than the one that the service is on.
            sender = Session(nodes[1].channel(), user="ann", only_new=True)
            sessions.append(sender)
            sender.send(1, message("all", names, "to all of you"))
            sent = sender.next("sent")
            self.assertEqual(len(sent.positions), RECIPIENTS)
            for session in sessions[:-1]:
                self.assertEqual(session.next("deliver").message.event.id, "all")
            after = status.Status(cluster.ClusterStatusRequest()).services[0]
            to_service = after.pushes_in - before.pushes_in
            to_nodes = after.pushes_out - before.pushes_out
            self.assertEqual((to_service, to_nodes), (1, 2))
            self.assertLessEqual(to_service + to_nodes, 3)
