#include "hakmem/profile/estimate.h"

static const double ln2 = 0.693147180559945309417;

double hak_profile_log(double x) {
  /* x = 2^exponent * m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)). */
  int exponent = 0;
  while (x >= 1.41421356237309504880) x /= 2, exponent++; /* bounded by 1024 */
  while (x < 0.70710678118654752440) x *= 2, exponent--;
  const double t = (x - 1) / (x + 1);
  const double t2 = t * t;
  double sum = 0;
  for (int i = 15; i >= 1; i -= 2) sum = sum * t2 + 1.0 / i;
  return 2 * t * sum + exponent * ln2;
}

double hak_profile_one_minus_exp(double x) {
  if (x >= 40) return 1;
  /* By halving until the series is short: with g(x) = 1 - exp(-x), g(2x) = g(x) (2 - g(x)). No difference of near numbers. */
  int doublings = 0;
  while (x > 0.125) x /= 2, doublings++;
  double series = 0;
  for (int i = 9; i >= 1; i--) series = (1 - series) * x / i; /* x/1 (1 - x/2 (1 - x/3 ...)) */
  for (; doublings > 0; doublings--) series *= 2 - series;
  return series;
}

uint64_t hak_profile_distance(uint64_t random, uint64_t mean_bytes) {
  const double uniform = ((double)(random >> 11) + 0.5) / 9007199254740992.0; /* in (0, 1), 53 bits */
  const double distance = -hak_profile_log(uniform) * (double)mean_bytes;
  return distance < 1 ? 1 : (uint64_t)distance;
}

uint64_t hak_profile_weight(uint64_t size_bytes, uint64_t mean_bytes) {
  const double probability = hak_profile_one_minus_exp(((double)size_bytes + 1) / (double)mean_bytes);
  return (uint64_t)(HAK_PROFILE_WEIGHT_ONE / probability + 0.5);
}

/* splitmix64: any counter makes a good sequence. */
uint64_t hak_profile_random(uint64_t n) {
  uint64_t z = (n + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
