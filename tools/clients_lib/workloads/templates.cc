// Makes a compiler work: containers, regular expressions and algorithms in as many instantiations as TIMES says.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#ifndef TIMES
#define TIMES 24
#endif

template <int N>
struct Key {
  int value;
  bool operator<(const Key& other) const { return value % (N + 7) < other.value % (N + 7); }
};

template <int N>
long Work() {
  std::map<Key<N>, std::vector<std::tuple<int, std::string>>> table;
  std::unordered_map<std::string, std::shared_ptr<std::set<Key<N>>>> sets;
  for (int i = 0; i < 500; i++) {
    table[Key<N>{i}].emplace_back(i, std::to_string(i * N));
    auto& set = sets[std::to_string(i % 17)];
    if (!set) set = std::make_shared<std::set<Key<N>>>();
    set->insert(Key<N>{i * N});
  }
  long sum = 0;
  for (auto& [key, list] : table) {
    std::sort(list.begin(), list.end(), std::greater<>());
    sum += std::accumulate(list.begin(), list.end(), 0L,
                           [](long s, const auto& t) { return s + std::get<0>(t) + std::get<1>(t).size(); });
  }
  for (auto& [name, set] : sets) sum += static_cast<long>(set->size() * name.size());
  std::variant<int, std::string, Key<N>> any = std::to_string(sum);
  return sum + static_cast<long>(std::get<std::string>(any).size());
}

template <int... Ns>
long All(std::integer_sequence<int, Ns...>) {
  return (Work<Ns>() + ...);
}

int main() {
  std::regex pattern("([a-z]+)([0-9]*)");
  std::string text;
  for (int i = 0; i < 200; i++) text += "word" + std::to_string(i) + " ";
  std::printf("%ld %zu\n", All(std::make_integer_sequence<int, TIMES>()),
              std::regex_replace(text, pattern, "$2$1").size());
}
