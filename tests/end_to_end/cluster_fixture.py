"""A cluster of real processes: PostgreSQL, a broker, Cluster Management Services and nodes, each a host of its
own. All share the storage; there are no accounts, so everybody is a user."""

import concurrent.futures
import hashlib
import secrets
import signal
import time

import grpc

from broker_fixture import free_port
from host_fixture import Host
from postgres_fixture import Postgres
from router_protos import cluster, cluster_rpc, mailboxes, mailboxes_rpc, sessions, sessions_rpc

START = 60  # seconds until all have joined
KEY = secrets.token_hex(16)  # of all hosts, and of the test, which speaks as one of them


def wait_for(condition, what, timeout=30):
    """Gives what the condition gave, and how long it took."""
    begin = time.monotonic()
    while True:
        result = condition()
        if result:
            return result, time.monotonic() - begin
        if time.monotonic() > begin + timeout:
            raise AssertionError(f"waited in vain for {what() if callable(what) else what}")
        time.sleep(0.02)


def quietly(action, default=None):
    """What it gives; the default, if who is asked is not there just now."""
    try:
        return action()
    except grpc.RpcError:
        return default


class _AsAdministrator(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the credentials of a node that forwards an administrator's call."""

    METADATA = [("imctl-node", "tests"), ("imctl-node-key", KEY), ("imctl-principal-kind", "admin"),
                ("imctl-principal", "tests")]

    def _details(self, details):
        class Details(grpc.ClientCallDetails):
            pass

        made = Details()
        for name in ("method", "timeout", "credentials", "wait_for_ready", "compression"):
            setattr(made, name, getattr(details, name, None))
        made.metadata = list(details.metadata or []) + self.METADATA
        return made

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._details(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(self._details(details), requests)


class Member(Host):
    """A host of the cluster: on a port that it keeps, and whose process may stand still."""

    def __init__(self, name, address, prefix, **options):
        super().__init__(listen=f"{address}:{free_port()}", **options)
        self.name, self.address, self.prefix = name, address, prefix
        self.state = "down"  # up, down, still

    @property
    def target(self):
        return self.settings["host.listen"]

    def command(self):
        return [*self.prefix, *super().command()]

    def start(self):
        super().start()
        self.state = "up"
        return self

    def kill(self):
        self.state = "down"
        super().kill()

    def pause(self):
        self.state = "still"
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.state = "up"

    def connect(self):
        """A channel that the caller closes."""
        if self.state == "down":
            raise ConnectionError(f"{self.name} is down")
        return grpc.intercept_channel(
            grpc.insecure_channel(self.target, options=[("grpc.use_local_subchannel_pool", 1)]),
            _AsAdministrator())

    def ask(self, stub, method, request, timeout=5):
        """One call; None if it fails."""
        if self.state != "up":
            return None
        with grpc.insecure_channel(self.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            with_name = grpc.intercept_channel(channel, _AsAdministrator())
            return quietly(lambda: getattr(stub(with_name), method)(request, timeout=timeout))


class Cluster:
    """`network`: gives each its place (see netns_fixture.py); without, all are on 127.0.0.1."""

    def __init__(self, broker, locations, services=2, nodes=3, network=None, **settings):
        self.broker, self.locations, self.network = broker, locations, network
        self.settings = {
            "router.lease": "2s", "router.resync_interval": "5s", "router.stall_timeout": "10s", **settings}
        postgres = {"max_connections": "300", "fsync": "off"}  # machines that lose power are another test's
        if network:
            postgres.update(network.of_postgres())
        self.postgres = Postgres(postgres)
        self.services, self.nodes = [], []
        self.storage_address = network.STORAGE if network else "127.0.0.1"
        self.broker_address = network.BROKER if network else "127.0.0.1"
        for number in range(services):
            self.services.append(self.member(f"service-{number}", roles="cluster"))
        for number in range(nodes):
            self.nodes.append(self.member(f"node-{number}", roles="node"))

    def member(self, name, roles, place=None):
        """A host that is not started. `place`: of the network, when it is not its name."""
        modules = ["storage-postgresql", "router"]
        uri = f"postgresql://im@{self.storage_address}:{self.postgres.port}/im"
        settings = {**self.settings, "router.name": name, "router.roles": roles,
                    "storage-postgresql.uri": f"{uri}?connect_timeout=3&tcp_user_timeout=3000"}
        key = hashlib.sha256(KEY.encode()).hexdigest()
        settings["nodes.tests"] = f"sha256:{key}"
        if roles == "cluster":
            modules.append(self.locations)
            settings[f"{self.locations}.uri"] = self.broker.uri.replace("127.0.0.1", self.broker_address)
        else:
            settings["router.services"] = ",".join(f"grpc://{service.target}" for service in self.services)
            settings["bind.node"] = "tests"
            settings["bind.node_key"] = KEY
        address, prefix = "127.0.0.1", []
        if self.network:
            address, prefix = self.network.place(place or name)
            settings.update({"host.auth": "required", "host.plaintext": "yes"})
        return Member(name, address, prefix, modules=modules, settings=settings)

    # -- life

    def __enter__(self):
        try:
            self.postgres.start()
            if self.broker:
                self.broker.start()
            with concurrent.futures.ThreadPoolExecutor() as pool:
                list(pool.map(Member.start, self.services + self.nodes))
            wait_for(self.joined, "all nodes to join", START)
            return self
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, *unused):
        self.discard()

    def discard(self):
        for member in self.services + self.nodes:
            member.discard()
        if self.broker:
            self.broker.discard()
        self.postgres.discard()

    # -- how it is

    def joined(self):
        """Every service has a link to every node, and believes that it knows where everybody is."""
        for service in self.services:
            status = service.ask(cluster_rpc.ClusterStub, "Status", cluster.ClusterStatusRequest())
            if status is None or not status.services or not status.services[0].sure:
                return False
            if {n.node for n in status.nodes if n.link == "up"} != {n.name for n in self.nodes}:
                return False
            if len(status.services) != len(self.services):
                return False
        return True

    def status(self, service):
        return service.ask(cluster_rpc.ClusterStub, "Status", cluster.ClusterStatusRequest())

    def sessions(self, service):
        """Names of all sessions, as that service knows them; None if it does not answer."""
        names, page = set(), ""
        while True:
            reply = service.ask(sessions_rpc.SessionsStub, "List", sessions.ListSessionsRequest(page_token=page))
            if reply is None:
                return None
            names.update((s.user, s.device, s.session) for s in reply.sessions)
            page = reply.next_page_token
            if not page:
                return names

    def mailbox(self, name):
        """All that is in it: {sequence: (epoch, id)}."""
        content, after = {}, 0
        while True:
            page = next((page for page in (
                node.ask(mailboxes_rpc.MailboxesStub, "Read",
                         mailboxes.ReadRequest(mailbox=name, after=after, limit=500), 30)
                for node in self.nodes) if page is not None), None)
            if page is None:
                raise AssertionError(f"no node reads the mailbox {name}")
            for entry in page.entries:
                content[entry.sequence] = (entry.epoch or page.epoch, entry.message.event.id)
                after = entry.sequence
            if not page.entries or after >= page.last:
                return content

    def cursors(self, name):
        for node in self.nodes:
            reply = node.ask(mailboxes_rpc.MailboxesStub, "Cursors", mailboxes.CursorsRequest(mailbox=name))
            if reply is not None:
                return {c.device: c.sequence for c in reply.cursors}
        raise AssertionError("no node tells cursors")

    def text(self):
        return "\n".join(f"---- {m.name}\n{m.text()}" for m in self.services + self.nodes)
