"""A client of XMPP in a process of its own: see xmpp_servers.chat."""

import asyncio
import sys

import slixmpp


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, say, wait_for, archive):
        super().__init__(jid, password, plugin_config={"feature_mechanisms": {
            "unencrypted_scram": True, "encrypted_plain": False, "unencrypted_plain": False}})
        self.say, self.wait_for, self.archive = say, wait_for, archive
        self.came = []
        self.failure = "not connected"
        self.register_plugin("xep_0313")
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("message", self.message)
        self.add_event_handler("failed_auth", lambda _: self.fail("not authenticated"))
        self.add_event_handler("connection_failed", lambda _: self.fail("no connection"))

    def fail(self, why):
        self.failure = why
        self.disconnect()

    async def begin(self, _):
        self.mechanism = self.plugin["feature_mechanisms"].mech.name
        if self.archive:
            results = await self.plugin["xep_0313"].retrieve()
            for item in results["mam"]["results"]:
                self.came.append(item["mam_result"]["forwarded"]["stanza"]["body"])
        self.send_presence()
        for to, text in self.say:
            self.send_message(mto=to, mbody=text, mtype="chat")
        # What was sent is taken when the server answers this.
        await self.plugin["xep_0030"].get_info(jid=self.boundjid.domain)
        self.end_if_enough()

    def message(self, message):
        if message["body"]:
            self.came.append(message["body"])
        self.end_if_enough()

    def end_if_enough(self):
        if len(self.came) >= self.wait_for:
            self.failure = None
            self.disconnect()


def main():
    port, jid, password, wait_for, archive = sys.argv[1:6]
    say = list(zip(sys.argv[6::2], sys.argv[7::2]))
    client = Client(jid, password, say, int(wait_for), archive == "1")
    client.connect(("127.0.0.1", int(port)), disable_starttls=True)
    client.loop.run_until_complete(asyncio.wait_for(client.disconnected, 60))
    if client.failure:
        sys.exit(client.failure)
    print(client.mechanism, *client.came, sep="\n")


main()
