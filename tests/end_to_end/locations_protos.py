"""Types and stubs of imctl.cluster.v1.Locations, made by protoc when first imported; and a service that
reports as the contract says."""

import atexit
import importlib
import shutil
import subprocess
import sys
import tempfile
import time

from google.protobuf.duration_pb2 import Duration

import stubs  # noqa: F401: imctl/options
from host_fixture import ROOT

_folder = tempfile.mkdtemp(prefix="imctl-locations-protos-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
subprocess.run(
    ["protoc", f"-I{ROOT / 'modules/router/locations/api/proto'}", f"-I{ROOT / 'sdk/proto'}",
     f"--python_out={_folder}", f"--grpc_python_out={_folder}",
     "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
     "imctl/cluster/v1/locations.proto"],
    check=True)
sys.path.insert(0, _folder)
pb = importlib.import_module("imctl.cluster.v1.locations_pb2")
rpc = importlib.import_module("imctl.cluster.v1.locations_pb2_grpc")

TIMEOUT = 20
PART = 5000


def duration(seconds):
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


class Service:
    """A cluster service that tells `host` where its sessions are."""

    def __init__(self, host, name, boot=1, lease=15.0):
        self.host = host
        self.name = name
        self.boot = boot
        self.lease = lease
        self.number = 0
        self.sessions = {}  # (node, boot, session): (user, device)
        self.calls = rpc.LocationsStub(host.channel(**{"grpc.max_receive_message_length": 64 << 20}))
        self.slowest = 0.0

    def location(self, key):
        user, device = self.sessions[key]
        return pb.Location(user=user, device=device, node=key[0], boot=key[1], session=key[2])

    def timed(self, call, request):
        begun = time.monotonic()
        answer = call(request, timeout=TIMEOUT)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return answer

    def report(self, **fields):
        self.number += 1
        return self.timed(self.calls.Report, pb.ReportRequest(
            service=self.name, boot=self.boot, number=self.number, lease=duration(self.lease), **fields))

    def report_all(self):
        keys = list(self.sessions)
        parts = [keys[i:i + PART] for i in range(0, len(keys), PART)] or [[]]
        for i, part in enumerate(parts):
            answer = self.report(begin=i == 0, end=i + 1 == len(parts), add=map(self.location, part))
            assert not answer.report_all
        return answer

    def renew(self):
        """Reports that nothing changed, or everything if that is asked for."""
        answer = self.report()
        return self.report_all() if answer.report_all else answer

    def add(self, user, node, session, boot=1, device="phone"):
        key = (node, boot, session)
        self.sessions[key] = (user, device)
        answer = self.report(add=[self.location(key)])
        if answer.report_all:
            self.report_all()

    def remove(self, node, session, boot=1):
        self.sessions.pop((node, boot, session), None)
        self.report(remove=[pb.LocationKey(node=node, boot=boot, session=session)])

    def find(self, *users):
        """(user, node, boot, session) of each location that others have, and the answer."""
        answer = self.timed(self.calls.Find, pb.FindRequest(service=self.name, users=users))
        return {(l.user, l.node, l.boot, l.session) for l in answer.locations}, answer

    def found(self, *users):
        return self.find(*users)[0]

    def status(self):
        return self.timed(self.calls.Status, pb.LocationsStatusRequest())

    def list(self, **filters):
        """All locations, page by page."""
        token = ""
        while True:
            page = self.timed(self.calls.List, pb.ListLocationsRequest(page_token=token, **filters))
            yield from page.locations
            token = page.next_page_token
            if not token:
                return
