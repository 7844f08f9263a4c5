#include "service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "test_kit.h"

namespace imctl::router {
namespace {

ServiceSettings settings() {
  ServiceSettings settings;
  settings.service = "s1";
  settings.boot = 1;
  return settings;
}

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() : service(settings(), 1) {}

  void join(LinkId link, const std::string& node, uint64_t boot = 1) {
    service.link_up(now, link);
    service.frame(now, link, Join{node, boot, "", "", NodeState::kActive});
  }
  void add(LinkId link, SessionId session, const std::string& user) {
    service.frame(now, link, Sessions{false, false, {{session, user, "phone", 0}}, {}});
  }
  Push push_to(const std::vector<std::string>& users, const std::string& from = "") {
    Push push;
    push.from_node = from;
    push.payload = text("hello");
    push.time = 9;
    for (const std::string& user : users) push.targets.push_back({user, 1, 5, 0});
    return push;
  }
  LocationsStatus peers(bool sure = true) {
    return {true, 1, sure, sure ? "" : "the broker is away"};
  }
  ServiceActions run(Time by) {
    const Time to = now + by;
    ServiceActions all;
    while (service.next_deadline() <= to) {
      now = std::max(now, service.next_deadline());
      service.tick(now);
      ServiceActions some = take(service);
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    now = to;
    return all;
  }

  Time now = 100000;
  ServiceMachine service;
};

TEST_F(ServiceTest, OneFrameForEachNodeAndNoneBack) {
  for (LinkId link = 1; link <= 3; ++link) join(link, "n" + std::to_string(link));
  std::vector<std::string> users;
  for (SessionId i = 1; i <= 1000; ++i) {
    users.push_back("u" + std::to_string(i) + "@x");
    add(1 + i % 3, i, users.back());
  }
  take(service);
  service.frame(now, 1, push_to(users, "somebody else"));
  const ServiceActions actions = take(service);
  EXPECT_TRUE(frames_of<Push>(actions, 1).empty());
  size_t targets = 0;
  for (const LinkId link : {2, 3}) {
    const auto pushes = frames_of<Push>(actions, link);
    ASSERT_EQ(pushes.size(), 1U);
    EXPECT_EQ(pushes[0].from_node, "n1");  // whatever the node wrote
    EXPECT_EQ(pushes[0].to_node, "n" + std::to_string(link));
    targets += pushes[0].targets.size();
    EXPECT_NE(pushes[0].targets[0].session, 0U);
  }
  EXPECT_EQ(targets, 667U);
}

TEST_F(ServiceTest, NobodyKnowsIsAnOfflineMessage) {
  join(1, "n1");
  join(2, "n2");
  take(service);
  service.frame(now, 1, push_to({"ann@x"}));
  EXPECT_TRUE(take(service).empty());
  EXPECT_EQ(service.stats().offline, 1U);
}

TEST_F(ServiceTest, AnOlderStartOfANodeIsRefusedANewerOneReplacesIt) {
  join(1, "n1", 5);
  add(1, 1, "ann@x");
  join(2, "n1", 4);
  auto dropped = all_of<DropLink>(take(service));
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].link, 2U);
  EXPECT_EQ(dropped[0].outcome.code, Code::kFailedPrecondition);
  EXPECT_EQ(service.stats().locations, 1U);
  join(3, "n1", 6);
  dropped = all_of<DropLink>(take(service));
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].link, 1U);
  EXPECT_EQ(service.stats().locations, 0U);
}

TEST_F(ServiceTest, ALocationLivesNoLongerThanTheLease) {
  join(1, "n1");
  join(2, "n2");
  add(1, 1, "ann@x");
  service.link_down(now, 1);
  run(settings().grace - 1);
  EXPECT_EQ(service.stats().locations, 1U);
  run(1);
  EXPECT_EQ(service.stats().locations, 0U);
  // And one that is silent on an open link.
  add(2, 1, "bob@x");
  const ServiceActions actions = run(settings().lease);
  ASSERT_EQ(all_of<DropLink>(actions).size(), 1U);
  EXPECT_EQ(service.stats().locations, 0U);
  EXPECT_EQ(service.stats().nodes, 0U);
}

TEST_F(ServiceTest, ANodeThatRenewsStays) {
  join(1, "n1");
  add(1, 1, "ann@x");
  for (int i = 0; i < 20; ++i) {
    run(settings().lease / 3);
    service.frame(now, 1, Renew{NodeState::kCordoned, 7});
  }
  EXPECT_EQ(service.stats().locations, 1U);
  EXPECT_EQ(service.nodes(now).at(0).state, NodeState::kCordoned);
  EXPECT_EQ(service.nodes(now).at(0).sessions, 7U);
}

TEST_F(ServiceTest, AServiceThatStoodStillDoesNotTakeItForSilence) {
  join(1, "n1");
  add(1, 1, "ann@x");
  now += 60000;
  service.tick(now);
  EXPECT_EQ(service.stats().locations, 1U);
  run(settings().lease);
  EXPECT_EQ(service.stats().locations, 0U);
}

TEST_F(ServiceTest, WhatWasHeardAfterItStoodStillIsNotProlonged) {
  join(1, "n1");
  now += 60000;
  join(2, "n2");  // its frames are read before the clock is looked at
  service.tick(now);
  run(settings().lease);
  EXPECT_EQ(service.stats().nodes, 0U);
}

TEST_F(ServiceTest, ARejoinKeepsWhatItHadUntilTheSnapshotEnds) {
  join(1, "n1");
  add(1, 1, "ann@x");
  add(1, 2, "bob@x");
  service.link_down(now, 1);
  take(service);
  join(2, "n1");
  EXPECT_EQ(frames_of<Joined>(take(service), 2).at(0).kept, 2U);
  EXPECT_EQ(service.stats().locations, 2U);
  service.frame(now, 2, Sessions{true, false, {{2, "bob@x", "phone", 0}}, {}});
  EXPECT_EQ(service.stats().locations, 2U);
  service.frame(now, 2, Sessions{false, true, {{3, "cid@x", "phone", 0}}, {}});
  EXPECT_EQ(service.stats().locations, 2U);
  EXPECT_EQ(frames_of<Registered>(take(service), 2).size(), 1U);
  EXPECT_TRUE(service.explain(now, "ann@x").hops.empty());
  EXPECT_EQ(service.explain(now, "cid@x").hops.size(), 1U);
}

TEST_F(ServiceTest, ANackDropsWhatItNamesAndNothingNewer) {
  join(1, "n1");
  add(1, 1, "ann@x");
  add(1, 2, "ann@x");
  add(1, 9, "ann@x");
  service.frame(now, 1, Nack{{{"ann@x", 2}}});
  const auto hops = service.explain(now, "ann@x").hops;
  ASSERT_EQ(hops.size(), 1U);
  EXPECT_EQ(hops[0].location.session, 9U);
}

TEST_F(ServiceTest, ALinkThatEndedMakesItsTargetsUnsure) {
  join(1, "n1");
  join(2, "n2");
  add(2, 1, "ann@x");
  service.link_down(now, 2);
  take(service);
  service.frame(now, 1, push_to({"ann@x", "nobody@x"}));
  const auto unsure = frames_of<Unsure>(take(service), 1);
  ASSERT_EQ(unsure.size(), 1U);
  ASSERT_EQ(unsure[0].targets.size(), 1U);
  EXPECT_EQ(unsure[0].targets[0].mailbox, "ann@x");
}

TEST_F(ServiceTest, OthersAreAskedInBatches) {
  join(1, "n1");
  join(2, "n2");
  service.locations(now, peers());
  take(service);
  service.frame(now, 1, push_to({"ann@x"}));
  ServiceActions actions = take(service);
  const auto first = all_of<Find>(actions);
  ASSERT_EQ(first.size(), 1U);
  service.frame(now, 1, push_to({"bob@x"}));
  service.frame(now, 1, push_to({"bob@x", "cid@x"}));
  EXPECT_TRUE(take(service).empty());  // they wait
  Found found;
  found.locations.push_back({"n2", 1, 7, "ann@x", "phone", 0});
  service.found(now, first[0].ticket, found);
  actions = take(service);
  EXPECT_EQ(frames_of<Push>(actions, 2).size(), 1U);
  const auto second = all_of<Find>(actions);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].users, std::vector<std::string>({"bob@x", "cid@x"}));
  service.found(now, second[0].ticket, {});
  EXPECT_TRUE(frames_of<Push>(take(service)).empty());
  EXPECT_EQ(service.stats().waiting, 0U);
}

TEST_F(ServiceTest, WhoIsRegisteredHereAndFoundThereGetsOneFrame) {
  join(1, "n1");
  join(2, "n2");
  add(2, 7, "ann@x");
  service.locations(now, peers());
  take(service);
  service.frame(now, 1, push_to({"ann@x"}));
  Found found;
  found.locations.push_back({"n2", 1, 7, "ann@x", "phone", 0});
  found.locations.push_back({"n2", 0, 99, "ann@x", "phone", 0});  // of a start that is over
  service.found(now, all_of<Find>(take(service)).at(0).ticket, found);
  const auto pushes = frames_of<Push>(take(service), 2);
  ASSERT_EQ(pushes.size(), 1U);
  ASSERT_EQ(pushes[0].targets.size(), 1U);
  EXPECT_EQ(pushes[0].targets[0].session, 7U);
}

TEST_F(ServiceTest, WhatCannotBeBelievedIsSaidAndOwnNodesAreTold) {
  join(1, "n1");
  join(2, "n2");
  add(2, 7, "ann@x");
  service.locations(now, peers(false));
  take(service);
  service.frame(now, 1, push_to({"ann@x", "bob@x"}));
  ServiceActions actions = take(service);
  EXPECT_TRUE(all_of<Find>(actions).empty());
  EXPECT_EQ(frames_of<Push>(actions, 2).size(), 1U);
  EXPECT_EQ(frames_of<Unsure>(actions, 1).at(0).targets.size(), 2U);
  // Whoever asks for its own only is not told that again.
  Push push = push_to({"ann@x", "bob@x"});
  push.own_only = true;
  service.frame(now, 1, push);
  actions = take(service);
  EXPECT_EQ(frames_of<Push>(actions, 2).size(), 1U);
  EXPECT_TRUE(frames_of<Unsure>(actions).empty());
}

// While the broker is away, the leases of other services run out.
TEST_F(ServiceTest, InDoubtNobodyIsTakenForTheOnlyService) {
  join(1, "n1");
  LocationsStatus status = peers(false);
  status.peers = 0;
  service.locations(now, status);
  take(service);
  service.frame(now, 1, push_to({"ann@x"}));
  EXPECT_EQ(frames_of<Unsure>(take(service), 1).size(), 1U);
  EXPECT_EQ(service.stats().offline, 0U);
  EXPECT_EQ(service.explain(now, "ann@x").why.find("no other service"), std::string::npos);
}

TEST_F(ServiceTest, ASecondJoinOverOneLinkIsRefused) {
  join(1, "n1");
  take(service);
  service.frame(now, 1, Join{"n1", 1, "", "", NodeState::kActive});
  const auto drops = all_of<DropLink>(take(service));
  ASSERT_EQ(drops.size(), 1U);
  EXPECT_EQ(drops[0].outcome.code, Code::kInvalidArgument);
}

TEST_F(ServiceTest, SessionsAreReportedAsASnapshotThenAsChanges) {
  join(1, "n1");
  for (SessionId i = 1; i <= 1500; ++i) add(1, i, "u" + std::to_string(i) + "@x");
  take(service);
  service.locations(now, peers());
  std::set<SessionId> known;
  const auto apply = [&](const Report& report) {
    if (report.first) known.clear();
    for (const Location& each : report.removed) known.erase(each.session);
    for (const Location& each : report.added) known.insert(each.session);
  };
  auto reports = all_of<Report>(run(10));
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_TRUE(reports[0].first && !reports[0].last);
  apply(reports[0]);
  // Comes and goes in the middle of the snapshot.
  service.frame(now, 1, Sessions{false, false, {{2000, "new@x", "phone", 0}}, {3, 1400}});
  for (int i = 0; i < 10 && !reports.empty(); ++i) {
    service.reported(now, reports[0].ticket, {});
    reports = all_of<Report>(run(200));
    if (!reports.empty()) apply(reports[0]);
  }
  EXPECT_EQ(known.size(), 1499U);
  EXPECT_EQ(known.count(2000), 1U);
  EXPECT_EQ(known.count(3) + known.count(1400), 0U);
  EXPECT_EQ(service.stats().unreported, 0U);
}

TEST_F(ServiceTest, AfterAReportThatFailedAllIsToldAnew) {
  join(1, "n1");
  service.locations(now, peers());
  auto reports = all_of<Report>(run(10));
  service.reported(now, reports.at(0).ticket, {});
  add(1, 1, "ann@x");
  reports = all_of<Report>(run(200));
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_FALSE(reports[0].first);
  service.reported(now, reports[0].ticket, {Code::kUnavailable, "away"});
  reports = all_of<Report>(run(2000));
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_TRUE(reports[0].first && reports[0].last);
  EXPECT_EQ(reports[0].added.size(), 1U);
  // It is renewed while nothing happens.
  service.reported(now, reports[0].ticket, {});
  service.frame(now, 1, Renew{});
  EXPECT_EQ(all_of<Report>(run(settings().lease / 3)).size(), 1U);
}

TEST_F(ServiceTest, LostPushesMakeTheOthersLookOncePerPause) {
  for (LinkId link = 1; link <= 3; ++link) join(link, "n" + std::to_string(link));
  take(service);
  service.frame(now, 1, Lost{});
  service.frame(now, 1, Lost{});
  ServiceActions actions = take(service);
  EXPECT_TRUE(frames_of<Resync>(actions, 1).empty());
  EXPECT_EQ(frames_of<Resync>(actions, 2).size(), 1U);
  actions = run(settings().resync_pause);
  EXPECT_EQ(frames_of<Resync>(actions, 3).size(), 1U);
}

TEST_F(ServiceTest, ANodeWhoseQueueIsFullIsToldToLookLater) {
  join(1, "n1");
  join(2, "n2");
  add(2, 1, "ann@x");
  size_t queued = 0;
  for (const SendFrame& sent : all_of<SendFrame>(take(service)))
    queued += sent.link == 2 ? sent.size : 0;
  Push push = push_to({"ann@x"});
  push.payload = text(std::string(60000, 'x'));
  for (int i = 0; i < 1000; ++i) service.frame(now, 1, push);
  for (const SendFrame& sent : all_of<SendFrame>(take(service))) queued += sent.size;
  EXPECT_LE(queued, settings().max_link_queue);
  EXPECT_GT(service.stats().pushes_dropped, 0U);
  service.link_written(now, 2, queued);
  EXPECT_EQ(frames_of<Resync>(take(service), 2).size(), 1U);
}

TEST_F(ServiceTest, AGoodbyeEndsTheLocationsAtOnce) {
  join(1, "n1");
  join(2, "n2");
  add(1, 1, "ann@x");
  take(service);
  service.frame(now, 1, Leave{});
  EXPECT_EQ(service.stats().locations, 0U);
  EXPECT_EQ(frames_of<Members>(take(service), 2).at(0).nodes, 1U);
}

TEST_F(ServiceTest, AFrameBeforeJoinOrOfAServiceIsRefused) {
  service.link_up(now, 1);
  service.frame(now, 1, Renew{});
  EXPECT_EQ(all_of<DropLink>(take(service)).at(0).outcome.code, Code::kFailedPrecondition);
  join(2, "n2");
  service.frame(now, 2, Joined{});
  EXPECT_EQ(all_of<DropLink>(take(service)).at(0).outcome.code, Code::kInvalidArgument);
  service.link_up(now, 3);
  EXPECT_EQ(all_of<DropLink>(run(15000)).size(), 1U);  // it never says anything
}

TEST_F(ServiceTest, PagesOfSessionsAreInOrderAndComplete) {
  join(1, "n1");
  join(2, "n2");
  for (SessionId i = 1; i <= 25; ++i) add(1 + i % 2, i, "u" + std::to_string(i) + "@x");
  std::vector<SessionId> seen;
  std::string node;
  SessionId session = 0;
  while (true) {
    const auto page = service.sessions(node, session, 4);
    for (const Location& each : page) seen.push_back(each.session);
    if (page.size() < 4) break;
    node = page.back().node;
    session = page.back().session;
  }
  EXPECT_EQ(seen.size(), 25U);
  EXPECT_EQ(std::set<SessionId>(seen.begin(), seen.end()).size(), 25U);
}

TEST_F(ServiceTest, ClosesASessionByItsKeyOnly) {
  join(1, "n1", 3);
  add(1, 7, "ann@x");
  EXPECT_FALSE(service.close_session(now, "n1", 2, 7, Code::kAborted, ""));
  EXPECT_FALSE(service.close_session(now, "n1", 3, 8, Code::kAborted, ""));
  EXPECT_TRUE(service.close_session(now, "n1", 3, 7, Code::kAborted, "by hand"));
  EXPECT_EQ(frames_of<CloseSession>(take(service), 1).at(0).session, 7U);
}

}  // namespace
}  // namespace imctl::router
