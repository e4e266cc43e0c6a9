#include "hakmem/profile/estimate.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace {

TEST(ProfileEstimate, LogarithmIsLibms) {
  for (double x = 1e-17; x < 1e17; x *= 1.37) {
    EXPECT_NEAR(hak_profile_log(x), std::log(x), 1e-12 * std::fabs(std::log(x)) + 1e-14) << x;
  }
  EXPECT_EQ(hak_profile_log(1), 0);
}

TEST(ProfileEstimate, OneMinusExpIsLibmsAlsoNearZero) {
  EXPECT_EQ(hak_profile_one_minus_exp(0), 0);
  for (double x = 1e-15; x < 100; x *= 1.21) {
    EXPECT_NEAR(hak_profile_one_minus_exp(x) / -std::expm1(-x), 1, 1e-10) << x;
  }
}

TEST(ProfileEstimate, DistancesAreExponential) {
  constexpr int kCount = 200000;
  constexpr uint64_t kMean = 512 * 1024;
  double sum = 0;
  int beyond_mean = 0;
  int beyond_thrice = 0;
  for (int i = 0; i < kCount; i++) {
    const auto distance = static_cast<double>(hak_profile_distance(hak_profile_random(i), kMean));
    sum += distance;
    beyond_mean += distance > kMean;
    beyond_thrice += distance > 3.0 * kMean;
  }
  EXPECT_NEAR(sum / kCount / kMean, 1, 0.01) << "4.5 standard deviations";
  EXPECT_NEAR(static_cast<double>(beyond_mean) / kCount, std::exp(-1), 0.005);
  EXPECT_NEAR(static_cast<double>(beyond_thrice) / kCount, std::exp(-3), 0.0025);
}

TEST(ProfileEstimate, DistancesHaveBounds) {
  EXPECT_EQ(hak_profile_distance(~0ull, 1000), 1u) << "never 0, which would be no step";
  EXPECT_NEAR(static_cast<double>(hak_profile_distance(0, 1)), 37, 1);
  EXPECT_GE(hak_profile_distance(0, 1ull << 40), 36ull << 40);
}

TEST(ProfileEstimate, AWeightIsTheReciprocalOfTheChance) {
  for (const uint64_t mean : {1ull, 4096ull, 512ull * 1024, 1ull << 40}) {
    for (const uint64_t bytes : {0ull, 1ull, 100ull, 40000ull, 1ull << 20, 1ull << 40}) {
      const double chance = -std::expm1(-static_cast<double>(bytes + 1) / static_cast<double>(mean));
      EXPECT_NEAR(static_cast<double>(hak_profile_weight(bytes, mean)) * chance / HAK_PROFILE_WEIGHT_ONE, 1,
                  0.5 / HAK_PROFILE_WEIGHT_ONE + 1e-9)
          << bytes << " of " << mean;
    }
  }
}

// 4,096 bits of a good sequence differ from those of its neighbour in about a half.
TEST(ProfileEstimate, NeighboursInTheSequenceHaveNothingInCommon) {
  int bits = 0;
  for (uint64_t n = 0; n < 64; n++) {
    bits += __builtin_popcountll(hak_profile_random(1000 + n) ^ hak_profile_random(1001 + n));
  }
  EXPECT_NEAR(bits, 2048, 160) << "5 standard deviations";
}

}  // namespace
