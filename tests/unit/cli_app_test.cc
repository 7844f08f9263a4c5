// Whole command lines against a host that is a few lines of this file.
#include <google/protobuf/text_format.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <sstream>

#include "cli/app.h"
#include "cli/catalog_source.h"
#include "cli/host_verbs.h"
#include "cli_fixture.h"
#include "road/code_name.h"

namespace imctl::host::cli {
namespace {

// Answers by method; remembers what it was asked.
struct FakeHost {
  std::vector<std::string> manifests = {notes_manifest()};
  std::string digest = "d1";
  bool down = false;
  std::map<std::string, Status> errors;
  std::map<std::string, std::vector<std::string>> replies;
  std::map<std::string, Status> ends;  // after the replies
  // Calls of the method that go well before its error.
  int good_calls = 0;

  std::vector<CallRequest> calls;
  std::vector<std::string> requests;
};

class FakeTransport : public Transport {
 public:
  explicit FakeTransport(FakeHost* host) : host_(host) {}
  Status call(const CallRequest& request,
              const std::function<std::optional<std::string>()>& next_request,
              const std::function<bool(std::string)>& on_reply) override {
    if (host_->down) return {IMCTL_UNAVAILABLE, "no host answers at fake"};
    host_->calls.push_back(request);
    std::optional<std::string> first = next_request();
    if (request.method == "/imctl.host.v1.Catalog/Get") {
      CatalogReply reply{host_->digest, host_->manifests, "1"};
      // Field 1 of the request is the digest that is known.
      if (first && first->find(host_->digest) != std::string::npos) reply.manifests.clear();
      on_reply(reply.serialize());
      return {};
    }
    for (std::optional<std::string> bytes = first; bytes; bytes = next_request()) {
      host_->requests.push_back(*bytes);
      if (!request.client_streams) break;
    }
    if (host_->errors.contains(request.method) && host_->good_calls-- <= 0)
      return host_->errors[request.method];
    for (const std::string& reply : host_->replies[request.method]) on_reply(reply);
    auto end = host_->ends.find(request.method);
    return end == host_->ends.end() ? Status() : end->second;
  }
  void cancel() override {}
  std::string where() const override { return "fake"; }

 private:
  FakeHost* host_;
};

class AppTest : public NotesTest {
 protected:
  void SetUp() override {
    ::setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    add_host_verbs();
    ::unsetenv("IMCTL_SERVER");  // NOLINT(concurrency-mt-unsafe)
    host_.replies["/notes.v1.Notes/Put"] = {bytes("PutReply", "ackCount: 2")};
  }
  std::string bytes(const std::string& name, const std::string& text) {
    auto message = make(name);
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get()));
    return message->SerializeAsString();
  }
  int run(const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    App app({out, err, -1, 0}, [this](const Flags&) -> Result<std::unique_ptr<Transport>> {
      std::unique_ptr<Transport> transport = std::make_unique<FakeTransport>(&host_);
      return transport;
    });
    int code = app.run(arguments);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  bool says(const std::string& text) const { return err_.find(text) != std::string::npos; }

  TemporaryFolder folder_;
  FakeHost host_;
  std::string out_;
  std::string err_;
};

TEST_F(AppTest, CallsAndPrints) {
  EXPECT_EQ(run({"note", "put", "--id", "x", "--timeout", "5s", "--dry-run"}), 0);
  EXPECT_EQ(out_, "ACK_COUNT\n2\n");
  EXPECT_EQ(err_, "dry run: nothing was changed\n");
  EXPECT_EQ(host_.calls.back().method, "/notes.v1.Notes/Put");
  EXPECT_TRUE(host_.calls.back().dry_run);
  EXPECT_EQ(host_.calls.back().timeout, std::chrono::seconds(5));
  EXPECT_EQ(host_.requests.back(), bytes("Note", "id: 'x'"));
}

// Of a file that broke off, the last reply is a part of it and says nothing of how far it was.
TEST_F(AppTest, ProgressEndsWithItsLineBeforeAnError) {
  host_.replies["/notes.v1.Notes/Fetch"] = {bytes("Part", "done: 7"), bytes("Part", "file: 'abc'")};
  host_.ends["/notes.v1.Notes/Fetch"] = Status(IMCTL_UNAVAILABLE, "it is gone");
  EXPECT_EQ(run({"note", "fetch"}), 5);
  EXPECT_EQ(out_, "abc");
  const size_t error = err_.find("imctl: note fetch: UNAVAILABLE: it is gone\n");
  ASSERT_NE(error, std::string::npos) << err_;
  EXPECT_EQ(err_.find('7'), 0U) << err_;
  EXPECT_EQ(err_.find('\n') + 1, error) << err_;
}

TEST_F(AppTest, ExitCodesAndMessages) {
  const std::map<imctl_code, int> codes = {{IMCTL_INTERNAL, 1},
                                           {IMCTL_NOT_FOUND, 3},
                                           {IMCTL_PERMISSION_DENIED, 4},
                                           {IMCTL_UNAUTHENTICATED, 4},
                                           {IMCTL_UNAVAILABLE, 5},
                                           {IMCTL_ALREADY_EXISTS, 6},
                                           {IMCTL_FAILED_PRECONDITION, 6},
                                           {IMCTL_ABORTED, 6},
                                           {IMCTL_DEADLINE_EXCEEDED, 7},
                                           {IMCTL_INVALID_ARGUMENT, 1}};
  for (auto [code, exit] : codes) {
    host_.errors["/notes.v1.Notes/Put"] = Status(code, "because");
    EXPECT_EQ(run({"note", "put", "--id", "x"}), exit);
    EXPECT_EQ(err_, "imctl: note put: " + code_name(code) + ": because\n");
  }
}

TEST_F(AppTest, Mistakes) {
  EXPECT_EQ(run({"noet", "put"}), 2);
  EXPECT_TRUE(says("there is no `noet` (did you mean `note`?)")) << err_;
  EXPECT_EQ(run({"note", "ptu"}), 2);
  EXPECT_TRUE(says("imctl: note: there is no `ptu` (did you mean `put`?)")) << err_;
  EXPECT_EQ(run({"note"}), 2);
  EXPECT_TRUE(says("which verb?"));
  EXPECT_EQ(run({"note", "put", "--di", "x"}), 2);
  EXPECT_TRUE(says("no such flag --di (did you mean --id?)")) << err_;
  EXPECT_EQ(run({"note", "put"}), 2);
  EXPECT_TRUE(says("-f FILE"));
  EXPECT_EQ(run({"--set", "a.b=c", "note", "get"}), 2);
  EXPECT_EQ(run({"--hepl"}), 2);
  EXPECT_TRUE(says("did you mean `help`"));
}

TEST_F(AppTest, NothingFoundIsSaidApart) {
  host_.replies["/notes.v1.Notes/Get"] = {""};
  EXPECT_EQ(run({"note", "get", "x"}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "none found\n");
}

TEST_F(AppTest, ManyDocumentsAreManyCalls) {
  std::string file = folder_.write("two", "{\"id\":\"a\"}{\"id\":\"b\"}");
  EXPECT_EQ(run({"note", "put", "-f", file}), 0);
  EXPECT_EQ(host_.requests.size(), 2U);
  host_.errors["/notes.v1.Notes/Put"] = Status(IMCTL_ALREADY_EXISTS, "b is there");
  host_.good_calls = 1;
  EXPECT_EQ(run({"note", "put", "-f", file}), 8);
  EXPECT_TRUE(says("that was request 2")) << err_;
}

TEST_F(AppTest, AClientStreamIsOneCall) {
  host_.replies["/notes.v1.Notes/Upload"] = {bytes("PutReply", "ackCount: 2")};
  std::string file = folder_.write("two", "{\"id\":\"a\"}{\"id\":\"b\"}");
  EXPECT_EQ(run({"note", "upload", "-f", file}), 0);
  EXPECT_EQ(host_.requests.size(), 2U);
  EXPECT_TRUE(host_.calls.back().client_streams);
}

TEST_F(AppTest, HelpIsFromComments) {
  EXPECT_EQ(run({"note", "put", "--help"}), 0);
  EXPECT_EQ(out_.find("Usage: imctl note put [--flag VALUE]... [-f FILE|-]\n\n"
                      "Writes a note. More about it here:\n- one thing\n- another\n"),
            0U)
      << out_;
  EXPECT_NE(out_.find("--id TEXT"), std::string::npos);
  EXPECT_NE(out_.find("The note's id."), std::string::npos);
  EXPECT_NE(out_.find("-s, --small N"), std::string::npos);
  EXPECT_NE(out_.find("--color red|dark-blue"), std::string::npos);
  EXPECT_NE(out_.find("--password[=@FILE]"), std::string::npos);
  EXPECT_NE(out_.find("imctl note put --id x"), std::string::npos);
  EXPECT_EQ(run({"help", "note"}), 0);
  EXPECT_NE(out_.find("note get     Reads notes"), std::string::npos) << out_;
  EXPECT_EQ(out_.find("serve"), std::string::npos);
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_NE(out_.find("serve"), std::string::npos);
  EXPECT_NE(out_.find("--embedded"), std::string::npos);
}

TEST_F(AppTest, TheCatalogIsSentOnce) {
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 0);
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 0) << err_;  // the fake sends no manifests now
  host_.digest = "d2";
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 0);
  // A broken cache is no cache.
  for (const auto& file : std::filesystem::directory_iterator(folder_.path() + "/imctl")) {
    std::ofstream(file.path()) << "\xff\xff";
  }
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 0) << err_;
}

TEST_F(AppTest, CatalogsOfManyHostsAreForgotten) {
  const CatalogReply reply{"digest", {"manifest"}, "1"};
  for (int port = 1; port <= 200; ++port) {
    CatalogCache("127.0.0.1:" + std::to_string(port)).store(reply);
  }
  const std::filesystem::directory_iterator files(folder_.path() + "/imctl");
  EXPECT_EQ(std::distance(begin(files), end(files)), 64);
  EXPECT_TRUE(CatalogCache("127.0.0.1:200").load().has_value());
  EXPECT_FALSE(CatalogCache("127.0.0.1:1").load().has_value());
}

TEST_F(AppTest, WithoutAHost) {
  EXPECT_EQ(run({"note", "get", "--help"}), 0);
  host_.down = true;
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 5);
  EXPECT_TRUE(says("no host answers"));
  EXPECT_EQ(run({"note", "get", "--help"}), 0) << "help is remembered";
  EXPECT_EQ(run({"sevre"}), 5);
  EXPECT_TRUE(says("Did you mean `imctl serve`?"));
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_EQ(run({"module", "inspect"}), 2);
}

TEST_F(AppTest, TheSameVerbOfTwoModulesIsRefused) {
  host_.manifests.push_back(notes_manifest("other"));
  EXPECT_EQ(run({"note", "put", "--id", "x"}), 6);
  EXPECT_TRUE(says("`notes`") && says("`other`")) << err_;
}

TEST_F(AppTest, ABrokenManifestIsSaid) {
  host_.manifests = {"\xff"};
  EXPECT_EQ(run({"note", "get"}), 1);
  EXPECT_TRUE(says("DATA_LOSS"));
}

}  // namespace
}  // namespace imctl::host::cli
