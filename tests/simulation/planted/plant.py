#!/usr/bin/env python3
"""Writes a copy of a source of the router with one bug in it.

plant.py NAME CORE_DIR OUT    writes the copy
plant.py --list               "name file" a line, for the build

Each is a bug that systems like this one have had. The old text must be in the file exactly once, so a
change of the code that a bug was planted into does not go unnoticed.
"""
import pathlib
import sys

BUGS = {
    # The sender is told before the message is durable.
    "ack-before-durable": (
        "node.cc",
        "  out.emplace_back(Append{ticket, std::move(send.recipients), std::move(send.payload)});",
        "  out.emplace_back(Append{ticket, std::move(send.recipients), std::move(send.payload)});\n"
        "  out.emplace_back(Sent{session.id, send.reference, 0, false, {}});"),
    # A cursor moves with what was sent, not with what was acknowledged.
    "cursor-on-send": (
        "node_cursors.cc",
        "  session.cursor = session.inbox.acknowledged();",
        "  session.cursor = session.inbox.delivered();"),
    # The end of an older session takes the user's newer one along.
    "stale-disconnect": (
        "table.cc",
        "  places.erase(std::find_if(places.begin(), places.end(), [&](const UserRecord::Place& place) {\n"
        "    return place.node == &node && place.session == session;\n"
        "  }));\n"
        "  if (places.empty()) users_.erase(users_.find(*user.name));",
        "  std::erase_if(places, [&](const UserRecord::Place& place) { return place.node == &node; });"),
    # A push that is newer than the next one goes out as if it were.
    "gap-skipped": (
        "inbox.cc",
        "  if (sequence == next_ && payload != nullptr) {",
        "  if (payload != nullptr) {"),
    # A page forgets that pushes went out while it was read.
    "push-races-catch-up": (
        "inbox.cc",
        "    if (entry.sequence < next_) continue;\n",
        ""),
    # Pushes that were lost with a link are not looked for.
    "resync-forgotten": (
        "node_sessions.cc",
        "  if (sessions.empty()) return;\n  ++stats.resyncs;",
        "  return;\n  ++stats.resyncs;"),
    # A node's word that an old session is gone takes the newer one along.
    "nack-drops-newer": (
        "table.cc",
        "    if (place.node == &node && place.session <= up_to) gone.push_back(place.session);",
        "    if (place.node == &node && up_to > 0) gone.push_back(place.session);"),
    # The window of a client is not looked at.
    "window-unbounded": (
        "inbox.cc",
        "  if (!fits(size)) {",
        "  if (size == 0) {"),
    # A node that went without goodbye is believed in for ever.
    "lease-never-ends": (
        "service.cc",
        "  const Time end = node.heard_at + settings.lease;\n"
        "  if (node.ended_at == kNever) return end;",
        "  const Time end = node.heard_at + 1000 * settings.lease;\n"
        "  if (node.ended_at != 0) return end;"),
    # A session that ends moves its cursor over what its client never took.
    "cut-session-loses": (
        "node_cursors.cc",
        "  const uint64_t last = session.inbox.acknowledged();",
        "  const uint64_t last = session.inbox.delivered();"),
    # A service that is not the home any more goes on telling of the node's sessions.
    "old-home-kept": (
        "links.cc",
        "    if (link.id == home_ || !link.holds || !link.ready) continue;",
        "    if (link.id != 0) continue;"),
    # A frame for each recipient instead of one for each node.
    "not-grouped": (
        "routes.cc",
        "    if (node.split != splits) {",
        "    if (node.split != splits || session != 0) {"),
}


def main():
    if sys.argv[1:] == ["--list"]:
        for name, (file, _, _) in BUGS.items():
            print(name, file)
        return 0
    name, core, out = sys.argv[1:]
    file, old, new = BUGS[name]
    text = (pathlib.Path(core) / file).read_text()
    if text.count(old) != 1:
        sys.exit(f"{name}: the text to change is {text.count(old)} times in {file}, not once: "
                 "plant the bug anew (tests/simulation/planted/plant.py)")
    pathlib.Path(out).write_text(text.replace(old, new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
