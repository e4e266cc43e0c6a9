#include "hakmem/background/background.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "hakmem/background/metrics_inl.h"
#include "hakmem/config/config.h"

#include "gtest/gtest.h"

namespace {

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool IsWhole(const std::string& text) {
  return text.rfind("# TYPE hakmem info\n", 0) == 0 && text.size() > 6 && text.substr(text.size() - 6) == "# EOF\n";
}

template <typename Condition>
bool Comes(Condition condition) {
  for (int i = 0; i < 3000 && !condition(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return condition();
}

// Numbers of this process's threads that are called "hakmem".
int Threads() {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  for (dirent* entry = readdir(tasks); entry != nullptr; entry = readdir(tasks)) {
    count += FileText(std::string("/proc/self/task/") + entry->d_name + "/comm") == "hakmem\n";
  }
  closedir(tasks);
  return count;
}

// Each in a process of its own: the thread stays until its process ends.
template <typename Test>
int InChild(Test test) {
  const pid_t child = fork();
  if (child == 0) {
    test();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

class Background : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "/metrics." + std::to_string(getpid());
  void SetUp() override { hak_config_reset_for_test(); }
  void TearDown() override { unlink(path_.c_str()); }
  void Set(const char* name, const std::string& value) {
    std::string entry = std::string("HAKMEM_") + name + "=" + value;
    char* environment[] = {entry.data(), nullptr};
    hak_config_reset_for_test();
    hak_config_load_as(environment, false);
  }
};

TEST_F(Background, NobodyAsksAndThereIsNoThread) {
  EXPECT_FALSE(hak_background_configure());
  hak_background_start();
  EXPECT_FALSE(hak_background_is_due());
  EXPECT_EQ(Threads(), 0);
  hak_background_stop();
}

TEST_F(Background, TheFileIsThereAtOnceAndWholeAtTheEnd) {
  EXPECT_EQ(InChild([&] {
              Set("METRICS", path_);
              EXPECT_TRUE(hak_background_configure());
              errno = 77;
              hak_background_start();
              hak_background_start();
              EXPECT_EQ(errno, 77);
              EXPECT_TRUE(Comes([&] { return IsWhole(FileText(path_)); }));
              EXPECT_EQ(Threads(), 1);
              unlink(path_.c_str());
              hak_background_stop();
              EXPECT_TRUE(IsWhole(FileText(path_)));
            }),
            0);
}

TEST_F(Background, AShorterPeriodDoesNotWaitForTheLongerOne) {
  EXPECT_EQ(InChild([&] {
              Set("METRICS", path_);
              ASSERT_EQ(hak_config_set("metrics_seconds", "86400"), 0);
              EXPECT_TRUE(hak_background_configure());
              hak_background_start();
              EXPECT_TRUE(Comes([&] { return IsWhole(FileText(path_)); }));
              unlink(path_.c_str());
              ASSERT_EQ(hak_config_set("metrics_seconds", "1"), 0);
              EXPECT_TRUE(Comes([&] { return IsWhole(FileText(path_)); }));
            }),
            0);
}

TEST_F(Background, SignalsGoToTheOthers) {
  EXPECT_EQ(InChild([&] {
              Set("BACKGROUND_THREAD", "1");
              sigset_t all, before;
              sigfillset(&all);
              EXPECT_TRUE(hak_background_configure());
              hak_background_start();
              pthread_sigmask(SIG_SETMASK, nullptr, &before);
              EXPECT_EQ(sigismember(&before, SIGTERM), 0) << "the caller's own mask is as it was";
              EXPECT_TRUE(Comes([] { return Threads() == 1; }));
              pthread_sigmask(SIG_BLOCK, &all, nullptr);
              kill(getpid(), SIGTERM);
              std::this_thread::sleep_for(std::chrono::milliseconds(100));
            }),
            0)
      << "blocked here, and blocked there";
}

TEST_F(Background, AChildWritesOnlyWhatIsItsOwn) {
  EXPECT_EQ(InChild([&] {
              Set("METRICS", path_);
              EXPECT_TRUE(hak_background_configure());
              EXPECT_FALSE(hak_background_after_fork_child()) << "the file is the parent's";
              hak_background_stop();
              EXPECT_EQ(FileText(path_), "");
              Set("METRICS", path_ + ".%p");
              EXPECT_TRUE(hak_background_configure());
              EXPECT_TRUE(hak_background_after_fork_child());
              EXPECT_TRUE(hak_background_is_due());
              hak_background_start();
              EXPECT_FALSE(hak_background_is_due());
              const std::string own = path_ + "." + std::to_string(getpid());
              EXPECT_TRUE(Comes([&] { return IsWhole(FileText(own)); }));
              unlink(own.c_str());
            }),
            0);
}

std::string Ask(const std::string& path) {
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  std::string text;
  if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    char piece[4096];
    for (ssize_t n = read(client, piece, sizeof piece); n > 0; n = read(client, piece, sizeof piece))
      text.append(piece, n);
  }
  close(client);
  return text;
}

TEST_F(Background, ASocketAnswersEachConnection) {
  const std::string path = "/tmp/hakmem_metrics_test." + std::to_string(getpid());
  for (int round = 0; round < 2; round++) { /* the second finds what the first left behind */
    EXPECT_EQ(InChild([&] {
                Set("METRICS", "unix:" + path);
                EXPECT_TRUE(hak_background_configure());
                hak_background_start();
                EXPECT_TRUE(Comes([&] { return IsWhole(Ask(path)); }));
                EXPECT_TRUE(IsWhole(Ask(path)));
                if (round == 1) {
                  hak_background_stop();
                  EXPECT_NE(access(path.c_str(), F_OK), 0);
                }
              }),
              0);
  }
}

// Seconds that it takes to answer a client that reads `bytes` of what it gets every 100 ms. A socket's least buffer is far
// smaller than the text.
double SecondsToAnswer(size_t bytes, size_t* got) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const int least = 1;
  EXPECT_EQ(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
  std::atomic<bool> is_answered{false};
  std::thread client([&] {
    std::string piece(bytes + 1, 0);
    while (!is_answered && bytes != 0) {
      const ssize_t n = read(ends[1], piece.data(), bytes);
      if (n > 0) *got += static_cast<size_t>(n);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  const auto start = std::chrono::steady_clock::now();
  hak_metrics_answer(ends[0]);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  is_answered = true;
  client.join();
  close(ends[1]);
  return seconds.count();
}

TEST_F(Background, AClientThatDoesNotReadIsLeftAlone) {
  size_t got = 0;
  const double seconds = SecondsToAnswer(0, &got);
  EXPECT_GE(seconds, 0.9) << "it has its chance";
  EXPECT_LT(seconds, 5);
}

TEST_F(Background, AClientThatReadsSlowlyHasNoMoreTime) {
  size_t got = 0;
  EXPECT_LT(SecondsToAnswer(256, &got), 5) << "15 KB would take it six";
  EXPECT_GT(got, 500u);
}

TEST_F(Background, AClientThatReadsSomewhatSlowlyGetsAll) {
  size_t got = 0;
  EXPECT_LT(SecondsToAnswer(1 << 16, &got), 5);
  EXPECT_GT(got, 4096u);
}

TEST_F(Background, WhatCannotBeWrittenIsSaidOnce) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(InChild([&] {
              Set("METRICS", "/no/such/folder/metrics");
              EXPECT_TRUE(hak_background_configure());
              hak_background_stop();
              hak_background_stop();
            }),
            0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "hakmem: cannot write metrics to /no/such/folder/metrics: no such folder\n");
}

}  // namespace
