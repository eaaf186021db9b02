// The forward pass of a LLaMA-like decoder on a processor, for several sequences at once.
//
// Weights are float, or int8 with a scale for each group. What is multiplied by int8 is
// rounded to 16 bits in the same groups, so that a group's products are summed without
// an error; all other sums are float, and run in one order, whatever is computed beside
// them: the logits of a sequence are the same to the bit alone and in any batch, read in
// one piece or token by token.
//
// Plain C++17 without libraries. It is compiled where it runs, for that processor.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// ---------------------------------------------------------------- vectors

// a * b + c, rounded once where the processor can.
inline float fused(float a, float b, float c) {
#if defined(FP_FAST_FMAF)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

// Eight floats, and eight integers that are sums of products of 16-bit numbers.
constexpr int LANES = 8;

#if defined(__AVX2__) && defined(__FMA__)
using Vector = __m256;
using Integers = __m256i;
inline Vector zero() { return _mm256_setzero_ps(); }
inline Vector fill(float x) { return _mm256_set1_ps(x); }
inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
inline Vector load(const int16_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
inline Vector times(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
inline Vector plus(Vector a, Vector b) { return _mm256_add_ps(a, b); }
inline Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
inline Vector fused(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector floats(Integers x) { return _mm256_cvtepi32_ps(x); }
inline Integers none() { return _mm256_setzero_si256(); }
inline Integers widened(const int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Integers pairs(const int16_t* p) {
  int32_t both;
  std::memcpy(&both, p, sizeof both);
  return _mm256_set1_epi32(both);
}
inline Integers products(Integers a, Integers b, Integers sum) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
// Has the compiler finish these before it begins others, for which it has no registers.
inline void settle(Integers& a, Integers& b) { __asm__ volatile("" : "+x"(a), "+x"(b)); }
#else
// The compiler makes of these what the processor has, such as two NEON registers.
struct Vector {
  float lane[LANES];
};
struct Integers {
  int32_t lane[LANES];
};
struct Pairs {
  int16_t lane[2 * LANES];
};
inline Vector fill(float x) {
  Vector v;
  for (float& lane : v.lane) lane = x;
  return v;
}
inline Vector zero() { return fill(0.0f); }
template <typename Number>
inline Vector load(const Number* p) {
  Vector v;
  for (int i = 0; i < LANES; i++) v.lane[i] = static_cast<float>(p[i]);
  return v;
}
inline void store(float* p, Vector x) { std::memcpy(p, x.lane, sizeof x.lane); }
inline Vector times(Vector a, Vector b) {
  for (int i = 0; i < LANES; i++) a.lane[i] *= b.lane[i];
  return a;
}
inline Vector plus(Vector a, Vector b) {
  for (int i = 0; i < LANES; i++) a.lane[i] += b.lane[i];
  return a;
}
inline Vector larger(Vector a, Vector b) {
  for (int i = 0; i < LANES; i++) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}
inline Vector fused(Vector a, Vector b, Vector c) {
  for (int i = 0; i < LANES; i++) c.lane[i] = fused(a.lane[i], b.lane[i], c.lane[i]);
  return c;
}
inline Vector floats(Integers x) {
  Vector v;
  for (int i = 0; i < LANES; i++) v.lane[i] = static_cast<float>(x.lane[i]);
  return v;
}
inline Integers none() { return {}; }
inline Pairs widened(const int8_t* p) {
  Pairs v;
  for (int i = 0; i < 2 * LANES; i++) v.lane[i] = p[i];
  return v;
}
inline Pairs pairs(const int16_t* p) {
  Pairs v;
  for (int i = 0; i < 2 * LANES; i++) v.lane[i] = p[i % 2];
  return v;
}
inline Integers products(Pairs a, Pairs b, Integers sum) {
  for (int i = 0; i < LANES; i++)
    sum.lane[i] += a.lane[2 * i] * b.lane[2 * i] + a.lane[2 * i + 1] * b.lane[2 * i + 1];
  return sum;
}
inline void settle(Integers&, Integers&) {}
#endif

// The sum of the lanes: neighbours first, then their sums, the halves last.
inline float total(Vector x) {
  float lane[LANES];
  store(lane, x);
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
         ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

// Four such sums at once, to the same bits.
inline void totals(const Vector (&x)[4], float* four) {
#if defined(__AVX2__) && defined(__FMA__)
  const __m256 sums =
      _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
  _mm_storeu_ps(four,
                _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
#else
  for (int i = 0; i < 4; i++) four[i] = total(x[i]);
#endif
}

template <typename Number>
inline float dot(const float* a, const Number* b, int count) {
  Vector sum = zero();
  int i = 0;
  for (; i + LANES <= count; i += LANES) sum = fused(load(a + i), load(b + i), sum);
  float result = total(sum);
  for (; i < count; i++) result = fused(a[i], b[i], result);
  return result;
}

// The products of some vectors with `terms` others that lie one after the other.
template <int VECTORS, typename Number>
void dots(float* y, int y_stride, const float* a, const Number* others, int terms,
          int count) {
  const int whole = count / LANES * LANES;
  int i = 0;
  for (; i + 4 <= terms; i += 4) {
    const Number* b = others + static_cast<int64_t>(i) * count;
    Vector sums[VECTORS][4];
    for (auto& four : sums)
      for (Vector& sum : four) sum = zero();
    for (int c = 0; c < whole; c += LANES)
      for (int j = 0; j < 4; j++) {
        const Vector other = load(b + j * count + c);
        for (int v = 0; v < VECTORS; v++)
          sums[v][j] = fused(load(a + v * count + c), other, sums[v][j]);
      }
    for (int v = 0; v < VECTORS; v++) {
      float* four = y + v * y_stride + i;
      totals(sums[v], four);
      for (int j = 0; j < 4; j++)
        for (int c = whole; c < count; c++)
          four[j] = fused(a[v * count + c], b[j * count + c], four[j]);
    }
  }
  for (; i < terms; i++)
    for (int v = 0; v < VECTORS; v++)
      y[v * y_stride + i] =
          dot(a + v * count, others + static_cast<int64_t>(i) * count, count);
}

// A part of `weighted`, so many registers wide.
template <int VECTORS, int WIDTH, typename Number>
inline void weighted_part(float* y, const float* factors, int factors_stride, int terms,
                          const Number* x, int count) {
  Vector sums[VECTORS][WIDTH];
  for (auto& sum : sums)
    for (Vector& each : sum) each = zero();
  for (int i = 0; i < terms; i++, x += count)
    for (int w = 0; w < WIDTH; w++) {
      const Vector other = load(x + w * LANES);
      for (int v = 0; v < VECTORS; v++)
        sums[v][w] = fused(fill(factors[v * factors_stride + i]), other, sums[v][w]);
    }
  for (int v = 0; v < VECTORS; v++)
    for (int w = 0; w < WIDTH; w++) store(y + v * count + w * LANES, sums[v][w]);
}

// For some rows of factors: y = sum of factors[i] * x[i], vectors that lie one after the
// other.
template <int VECTORS, typename Number>
void weighted(float* y, const float* factors, int factors_stride, int terms,
              const Number* x, int count) {
  constexpr int WIDTH = VECTORS > 1 ? 4 : 8;  // registers there are for the sums
  int c = 0;
  for (; c + WIDTH * LANES <= count; c += WIDTH * LANES)
    weighted_part<VECTORS, WIDTH>(y + c, factors, factors_stride, terms, x + c, count);
  for (; c + LANES <= count; c += LANES)
    weighted_part<VECTORS, 1>(y + c, factors, factors_stride, terms, x + c, count);
  for (; c < count; c++)
    for (int v = 0; v < VECTORS; v++) {
      float sum = 0.0f;
      for (int i = 0; i < terms; i++)
        sum = fused(factors[v * factors_stride + i], x[static_cast<int64_t>(i) * count + c],
                    sum);
      y[v * count + c] = sum;
    }
}

// exp(x) to the last digits of a float: 2^n times a polynomial. Compilers make vectors
// of a loop over it, which they do not of std::exp.
inline float exponential(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = fused(n, 2.12194440e-4f, fused(n, -0.693359375f, x));
  float p = 1.9875691500e-4f;
  p = fused(p, r, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  p = fused(p * r, r, r) + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

// Makes shares of 1 of scores: their exponentials over the sum of all.
void soften(float* scores, int count) {
  const int whole = count / LANES * LANES;
  Vector most = fill(-INFINITY), sums = zero();
  for (int i = 0; i < whole; i += LANES) most = larger(most, load(scores + i));
  float lane[LANES];
  store(lane, most);
  float highest = *std::max_element(lane, lane + LANES);
  for (int i = whole; i < count; i++) highest = std::max(highest, scores[i]);
  for (int i = 0; i < count; i++) scores[i] = exponential(scores[i] - highest);
  for (int i = 0; i < whole; i += LANES) sums = plus(sums, load(scores + i));
  float sum = total(sums);
  for (int i = whole; i < count; i++) sum += scores[i];
  const float share = 1.0f / sum;
  for (int i = 0; i < count; i++) scores[i] *= share;
}

// ---------------------------------------------------------------- rounding

// The largest absolute value; what is no number is larger than all.
float largest_of(const float* x, int count) {
  int32_t largest = 0;
  for (int i = 0; i < count; i++) {
    int32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    largest = std::max(largest, bits & 0x7fffffff);
  }
  float value;
  std::memcpy(&value, &largest, sizeof value);
  return value;
}

// Rounds to codes of 16 bits; returns the scale: x = scale * code.
float rounded(const float* x, int count, int16_t* codes) {
  constexpr float STEPS = 32767.0f, LEAST = 1e-30f, MOST = 3.4e38f;
  const float largest = largest_of(x, count);
  if (largest >= LEAST && largest <= MOST) {
    const float steps = STEPS / largest;
    for (int i = 0; i < count; i++)
      codes[i] = static_cast<int16_t>(std::nearbyint(x[i] * steps));
    return largest / STEPS;
  }
  // Nothing, or no number, which is to be seen in all that is made of it.
  std::fill_n(codes, count, static_cast<int16_t>(0));
  return largest <= MOST ? 0.0f : NAN;
}

// ---------------------------------------------------------------- threads

struct Range {
  int begin, end;
};

// Threads that all run the same function, and wait for each other in it. Between two
// runs they sleep.
class Team {
 public:
  explicit Team(int size) : size_(size) {
    for (int rank = 1; rank < size; rank++)
      others_.emplace_back([this, rank] { serve(rank); });
  }

  ~Team() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
      round_++;
    }
    wake_.notify_all();
    for (std::thread& other : others_) other.join();
  }

  int size() const { return size_; }

  template <typename Function>
  void run(const Function& function) {
    call_ = [](const void* f, int rank) { (*static_cast<const Function*>(f))(rank); };
    argument_ = &function;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      round_++;
    }
    wake_.notify_all();
    function(0);
    wait();
  }

  // Some of `count` things that no other thread sees to, until all are taken. So a
  // thread that the system has stop for a while does not have all others wait. One such
  // list between two waits.
  Range take(int count) {
    const int some = std::max(1, count / (size_ * SHARES));
    const int begin = taken_.fetch_add(some, std::memory_order_relaxed);
    return {std::min(begin, count), std::min(begin + some, count)};
  }

  void wait() {
    const int turn = turn_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      taken_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int tries = 0; turn_.load(std::memory_order_acquire) == turn; tries++)
      if (tries > PATIENCE) std::this_thread::yield();
  }

 private:
  static constexpr int PATIENCE = 20000;
  static constexpr int SHARES = 8;  // that a thread's part of a list comes in

  void serve(int rank) {
    long seen = 0;
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_;
        if (is_over_) return;
      }
      call_(argument_, rank);
      wait();
    }
  }

  const int size_;
  std::vector<std::thread> others_;
  std::mutex mutex_;
  std::condition_variable wake_;
  long round_ = 0;
  bool is_over_ = false;
  void (*call_)(const void*, int) = nullptr;
  const void* argument_ = nullptr;
  std::atomic<int> arrived_{0}, taken_{0};
  std::atomic<int> turn_{0};
};

// The share of `count` things that a thread sees to, in whole blocks.
Range share(int count, int rank, int size, int block = 1) {
  const int blocks = (count + block - 1) / block;
  const int begin = blocks * rank / size * block;
  const int end = blocks * (rank + 1) / size * block;
  return {std::min(begin, count), std::min(end, count)};
}

}  // namespace

// ---------------------------------------------------------------- what Python fills in

extern "C" {

// A matrix of `rows` x `columns`, in the order that `place_of` tells; rows are filled up
// to a multiple of 16 and columns to `stride`, a multiple of 16, with 0.
struct Matrix {
  const float* floats;    // or null
  const int8_t* codes;    // or null
  const float* scales;    // with codes: rows / 16 x groups x 16
  const float* bias;      // or null
  int32_t rows, columns, stride, group;
};

// What an adapter adds to a matrix: scale * up (down x).
struct LowRank {
  const float* down;  // rank x stride
  const float* up;    // rows x rank
  float scale;
  int32_t rank;  // 0: nothing
};

enum Part { QKV, OUTPUT, GATE_UP, DOWN, PARTS };

struct Layer {
  Matrix parts[PARTS];
  const float* attention_norm;
  const float* feed_forward_norm;
  const float* query_norm;  // of each head, or null
  const float* key_norm;
  int32_t window;    // tokens that are looked back at, this one among them; 0: all
  int32_t is_rotary;
};

struct Model {
  const Layer* layers;
  Matrix embedding, head;
  const float* final_norm;
  const float* frequencies;  // head_size / 2
  const LowRank* adapters;   // adapter_count x layer_count x PARTS
  float epsilon, score_scale, rotary_scale;
  int32_t layer_count, width, heads, kept_heads, head_size, inner, adapter_count;
};

// One token of a step. Its cache holds floats, or codes of 16 bits with scales.
struct Token {
  void* cache;    // layers x (keys, values) x kept_heads x capacity x head_size
  float* scales;  // layers x (keys, values) x kept_heads x capacity, or null
  int32_t capacity, id, position, adapter;  // adapter -1: none
};
}

namespace {

// ---------------------------------------------------------------- products

// Weights lie in blocks of 16 rows: two columns of each row one after the other (of
// floats, one column), then the next two. They are read from the first to the last, as
// memory likes it best, and a register holds the sums of eight rows.
constexpr int ROWS = 16;
constexpr int TILE = 6;        // tokens whose sums the registers have room for,
constexpr int MOST = 8;        // and with how many more it is still faster than two tiles
constexpr int AHEAD = 8192;    // bytes of weights that are asked for before they are needed
constexpr int NEAR = 1 << 17;  // bytes of inputs that stay in the near caches

inline int64_t place_of(int64_t row, int column, const Matrix& matrix) {
  const int deep = matrix.codes ? 2 : 1;
  return row / ROWS * ROWS * matrix.stride +
         (column / deep * ROWS + row % ROWS) * deep + column % deep;
}

inline int64_t place_of_scale(int64_t row, int column, const Matrix& matrix) {
  const int64_t groups = matrix.stride / matrix.group;
  return (row / ROWS * groups + column / matrix.group) * ROWS + row % ROWS;
}

// Vectors that matrices are multiplied by, one for each token, filled up to the
// matrices' stride. `round` makes codes of 16 bits of a part of one.
struct Inputs {
  explicit Inputs(const Matrix& matrix) : stride(matrix.stride), group(matrix.group) {}

  void reserve(size_t tokens) {
    floats.assign(tokens * stride, 0.0f);
    codes.assign(tokens * stride, 0);
    scales.assign(tokens * groups(), 0.0f);
  }

  int groups() const { return stride / group; }
  float* at(int token) { return &floats[static_cast<size_t>(token) * stride]; }

  void round(int token, int begin, int end) {
    for (int start = begin; start < end; start += group)
      scales[static_cast<size_t>(token) * groups() + start / group] =
          rounded(at(token) + start, group,
                  &codes[static_cast<size_t>(token) * stride + start]);
  }

  const int stride, group;
  std::vector<float> floats, scales;
  std::vector<int16_t> codes;
};

// What becomes of a sum: it is written, or added to what is there.
struct Target {
  float* y;
  int stride;
  bool is_added;
};

// The sums of a block of rows, for each token in two registers.
template <int TOKENS>
struct Sums {
  Vector of[TOKENS][2];
};

template <int TOKENS>
inline Sums<TOKENS> of_codes(const Matrix& matrix, int64_t row, const Inputs& inputs,
                             int token) {
  const int stride = matrix.stride, group = matrix.group, groups = stride / group;
  const int8_t* block = matrix.codes + row * stride;
  const float* scales = matrix.scales + row * groups;
  const int16_t* x = &inputs.codes[static_cast<size_t>(token) * stride];
  const float* x_scales = &inputs.scales[static_cast<size_t>(token) * groups];
  Sums<TOKENS> sums;
  for (int t = 0; t < TOKENS; t++) sums.of[t][0] = sums.of[t][1] = zero();
  for (int g = 0; g < groups; g++, x += group, scales += ROWS) {
    Integers part[TOKENS][2];
    for (int t = 0; t < TOKENS; t++) part[t][0] = part[t][1] = none();
    for (int k = 0; k < group; k += 2, block += 2 * ROWS) {
      __builtin_prefetch(block + AHEAD, 0, 2);
      const auto low = widened(block), high = widened(block + ROWS);
      for (int t = 0; t < TOKENS; t++) {
        const auto both = pairs(x + static_cast<int64_t>(t) * stride + k);
        part[t][0] = products(low, both, part[t][0]);
        part[t][1] = products(high, both, part[t][1]);
        settle(part[t][0], part[t][1]);
      }
    }
    const Vector low = load(scales), high = load(scales + LANES);
    for (int t = 0; t < TOKENS; t++) {
      const Vector scale = fill(x_scales[t * groups + g]);
      sums.of[t][0] = fused(floats(part[t][0]), times(low, scale), sums.of[t][0]);
      sums.of[t][1] = fused(floats(part[t][1]), times(high, scale), sums.of[t][1]);
    }
  }
  return sums;
}

template <int TOKENS>
inline Sums<TOKENS> of_floats(const Matrix& matrix, int64_t row, const Inputs& inputs,
                              int token) {
  const int stride = matrix.stride;
  const float* block = matrix.floats + row * stride;
  const float* x = &inputs.floats[static_cast<size_t>(token) * stride];
  Sums<TOKENS> sums;
  for (int t = 0; t < TOKENS; t++) sums.of[t][0] = sums.of[t][1] = zero();
  for (int k = 0; k < stride; k++, block += ROWS) {
    const Vector low = load(block), high = load(block + LANES);
    for (int t = 0; t < TOKENS; t++) {
      const Vector input = fill(x[static_cast<int64_t>(t) * stride + k]);
      sums.of[t][0] = fused(low, input, sums.of[t][0]);
      sums.of[t][1] = fused(high, input, sums.of[t][1]);
    }
  }
  return sums;
}

template <int TOKENS>
void tile(const Matrix& matrix, int row, const Inputs& inputs, int token, const Target& to) {
  const Sums<TOKENS> sums = matrix.codes ? of_codes<TOKENS>(matrix, row, inputs, token)
                                         : of_floats<TOKENS>(matrix, row, inputs, token);
  const int rows = std::min(ROWS, matrix.rows - row);
  for (int t = 0; t < TOKENS; t++) {
    float sum[ROWS];
    store(sum, sums.of[t][0]);
    store(sum + LANES, sums.of[t][1]);
    float* y = to.y + static_cast<int64_t>(token + t) * to.stride + row;
    for (int r = 0; r < rows; r++) {
      if (matrix.bias) sum[r] += matrix.bias[row + r];
      y[r] = to.is_added ? y[r] + sum[r] : sum[r];
    }
  }
}

// A tile of as many tokens as are told when it runs.
template <int SOME>
void tile_of(int tokens, const Matrix& matrix, int row, const Inputs& inputs, int token,
             const Target& to) {
  if constexpr (SOME > 1)
    if (tokens < SOME) return tile_of<SOME - 1>(tokens, matrix, row, inputs, token, to);
  tile<SOME>(matrix, row, inputs, token, to);
}

// y = x matrix^T + bias, together with the other threads.
void product(const Matrix& matrix, const Inputs& inputs, int tokens, const Target& to,
             Team& team) {
  const int blocks = (matrix.rows + ROWS - 1) / ROWS;
  const int bytes = inputs.stride * static_cast<int>(matrix.codes ? 2 : sizeof(float));
  const int chunk = std::max(NEAR / bytes / TILE, 1) * TILE;
  for (Range mine = team.take(blocks); mine.begin < mine.end; mine = team.take(blocks))
    for (int first = 0; first < tokens; first += chunk) {
      const int end = std::min(first + chunk, tokens);
      for (int block = mine.begin; block < mine.end; block++)
        for (int token = first; token < end;) {
          // Tiles of like sizes: 9 tokens are 5 and 4.
          const int left = end - token;
          const int tiles = left <= MOST ? 1 : (left + TILE - 1) / TILE;
          const int some = (left + tiles - 1) / tiles;
          tile_of<MOST>(some, matrix, block * ROWS, inputs, token, to);
          token += some;
        }
    }
}

// ---------------------------------------------------------------- the decoder

void normalize(float* y, const float* x, const float* weight, int count, float epsilon) {
  const float scale = 1.0f / std::sqrt(dot(x, x, count) / count + epsilon);
  for (int i = 0; i < count; i++) y[i] = x[i] * scale * weight[i];
}

void rotate(float* head, const float* cosines, const float* sines, int half) {
  for (int i = 0; i < half; i++) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

// What a token looks back at: where the keys and values of a kept head begin in a cache.
template <typename Number>
struct Seen {
  const Number* cache;
  const float* scales;
  int64_t keys, values;
  int count;
};

class Decoder {
 public:
  Decoder(const Model& model, int threads)
      : model_(model),
        layers_(model.layers, model.layers + model.layer_count),
        adapters_(model.adapters,
                  model.adapters +
                      static_cast<size_t>(model.adapter_count) * model.layer_count * PARTS),
        normed_(layers_[0].parts[QKV]),
        attended_(layers_[0].parts[OUTPUT]),
        active_(layers_[0].parts[DOWN]),
        team_(threads),
        scores_(threads) {
    for (const LowRank& each : adapters_) most_rank_ = std::max(most_rank_, each.rank);
  }

  void step(const Token* tokens, int count, const int32_t* wanted, int wanted_count,
            float* logits) {
    reserve(std::max(count, wanted_count));
    team_.run([&](int rank) {
      embed(tokens, count, rank);
      for (int layer = 0; layer < model_.layer_count; layer++)
        block(layer, tokens, count, rank);
      const Range mine = share(wanted_count, rank, team_.size());
      for (int w = mine.begin; w < mine.end; w++) norm(w, wanted[w], model_.final_norm);
      team_.wait();
      product(model_.head, normed_, wanted_count, {logits, model_.head.rows, false}, team_);
    });
  }

 private:
  void reserve(int tokens) {
    if (tokens <= room_) return;
    room_ = tokens;
    const size_t n = static_cast<size_t>(tokens);
    hidden_.assign(n * width_, 0.0f);
    for (Inputs* each : {&normed_, &attended_, &active_}) each->reserve(n);
    joint_.assign(n * joint_width_, 0.0f);
    inner_.assign(n * 2 * model_.inner, 0.0f);
    cosines_.assign(n * half_, 0.0f);
    sines_.assign(n * half_, 0.0f);
    low_.assign(n * most_rank_, 0.0f);
  }

  void embed(const Token* tokens, int count, int rank) {
    const Range mine = share(count, rank, team_.size());
    const Matrix& table = model_.embedding;
    for (int t = mine.begin; t < mine.end; t++) {
      float* x = &hidden_[static_cast<size_t>(t) * width_];
      const int64_t id = tokens[t].id;
      for (int k = 0; k < table.columns; k++) {
        const int64_t place = place_of(id, k, table);
        x[k] = table.floats
                   ? table.floats[place]
                   : table.codes[place] * table.scales[place_of_scale(id, k, table)];
      }
      for (int i = 0; i < half_; i++) {
        const float angle = tokens[t].position * model_.frequencies[i];
        cosines_[static_cast<size_t>(t) * half_ + i] =
            std::cos(angle) * model_.rotary_scale;
        sines_[static_cast<size_t>(t) * half_ + i] = std::sin(angle) * model_.rotary_scale;
      }
    }
    team_.wait();
  }

  void block(int number, const Token* tokens, int count, int rank) {
    const Layer& layer = layers_[number];
    norms(layer.attention_norm, count, rank);
    linear(number, QKV, tokens, normed_, count, {joint_.data(), joint_width_, false}, rank);
    place(layer, number, tokens, count, rank);
    attend(layer, number, tokens, count, rank);
    linear(number, OUTPUT, tokens, attended_, count, {hidden_.data(), width_, true}, rank);
    norms(layer.feed_forward_norm, count, rank);
    linear(number, GATE_UP, tokens, normed_, count, {inner_.data(), 2 * model_.inner, false},
           rank);
    activate(count, rank);
    linear(number, DOWN, tokens, active_, count, {hidden_.data(), width_, true}, rank);
  }

  void norms(const float* weight, int count, int rank) {
    const Range mine = share(count, rank, team_.size());
    for (int t = mine.begin; t < mine.end; t++) norm(t, t, weight);
    team_.wait();
  }

  void norm(int to, int from, const float* weight) {
    normalize(normed_.at(to), &hidden_[static_cast<size_t>(from) * width_], weight,
              model_.width, model_.epsilon);
    ready(normed_, to, 0, normed_.stride);
  }

  // Has a part of some inputs as the weights want them.
  void ready(Inputs& inputs, int token, int begin, int end) {
    if (model_.head.codes) inputs.round(token, begin, end);
  }

  void linear(int number, Part part, const Token* tokens, Inputs& inputs, int count,
              const Target& to, int rank) {
    product(layers_[number].parts[part], inputs, count, to, team_);
    if (!adapters_.empty()) adapt(number, part, tokens, inputs, count, to, rank);
    team_.wait();
  }

  void adapt(int number, Part part, const Token* tokens, Inputs& inputs, int count,
             const Target& to, int rank) {
    const Range mine = share(count, rank, team_.size());
    for (int t = mine.begin; t < mine.end; t++) {
      const LowRank* low = adapter(tokens[t], number, part);
      for (int r = 0; low && r < low->rank; r++)
        low_[static_cast<size_t>(t) * most_rank_ + r] =
            dot(low->down + static_cast<int64_t>(r) * inputs.stride, inputs.at(t),
                inputs.stride);
    }
    team_.wait();
    const Range rows = share(layers_[number].parts[part].rows, rank, team_.size(), 4);
    for (int t = 0; t < count; t++) {
      const LowRank* low = adapter(tokens[t], number, part);
      if (!low) continue;
      for (int row = rows.begin; row < rows.end; row++)
        to.y[static_cast<int64_t>(t) * to.stride + row] +=
            low->scale * dot(low->up + static_cast<int64_t>(row) * low->rank,
                             &low_[static_cast<size_t>(t) * most_rank_], low->rank);
    }
  }

  const LowRank* adapter(const Token& token, int number, Part part) const {
    if (token.adapter < 0) return nullptr;
    const size_t place =
        (static_cast<size_t>(token.adapter) * model_.layer_count + number) * PARTS + part;
    return adapters_[place].rank ? &adapters_[place] : nullptr;
  }

  // Which of a cache's planes has the keys (or values) of a kept head from a token on.
  int64_t plane(const Token& token, int number, bool is_value, int head, int from) const {
    const int64_t before = (number * 2 + is_value) * model_.kept_heads + head;
    return before * token.capacity + from;
  }

  void keep(const Token& token, int64_t place, const float* head) const {
    const int size = model_.head_size;
    if (token.scales)
      token.scales[place] =
          rounded(head, size, static_cast<int16_t*>(token.cache) + place * size);
    else
      std::copy_n(head, size, static_cast<float*>(token.cache) + place * size);
  }

  void place(const Layer& layer, int number, const Token* tokens, int count, int rank) {
    const int size = model_.head_size, heads = model_.heads, kept_heads = model_.kept_heads;
    const Range mine = share(count * (heads + kept_heads), rank, team_.size());
    for (int task = mine.begin; task < mine.end; task++) {
      const int t = task / (heads + kept_heads), h = task % (heads + kept_heads);
      float* joint = &joint_[static_cast<size_t>(t) * joint_width_];
      float* head = joint + h * size;
      const float* norm = h < heads ? layer.query_norm : layer.key_norm;
      if (norm) normalize(head, head, norm, size, model_.epsilon);
      if (layer.is_rotary)
        rotate(head, &cosines_[static_cast<size_t>(t) * half_],
               &sines_[static_cast<size_t>(t) * half_], half_);
      if (h < heads) continue;
      const int k = h - heads;
      const int position = tokens[t].position;
      keep(tokens[t], plane(tokens[t], number, false, k, position), head);
      keep(tokens[t], plane(tokens[t], number, true, k, position),
           joint + (heads + kept_heads + k) * size);
    }
    team_.wait();
  }

  void attend(const Layer& layer, int number, const Token* tokens, int count, int rank) {
    const int kept_heads = model_.kept_heads, tasks = count * kept_heads;
    // From the last, as the later tokens of a prompt have more to look at.
    for (Range mine = team_.take(tasks); mine.begin < mine.end; mine = team_.take(tasks))
      for (int task = tasks - 1 - mine.begin; task > tasks - 1 - mine.end; task--) {
        const int t = task / kept_heads, k = task % kept_heads;
        if (tokens[t].scales)
          look<int16_t>(layer, number, tokens[t], t, k, rank);
        else
          look<float>(layer, number, tokens[t], t, k, rank);
      }
    team_.wait();
    if (!model_.head.codes) return;
    const Range mine = share(count, rank, team_.size());
    for (int t = mine.begin; t < mine.end; t++) attended_.round(t, 0, attended_.stride);
    team_.wait();
  }

  // What the heads of a token that share a kept head get of the values before it.
  template <typename Number>
  void look(const Layer& layer, int number, const Token& token, int t, int k, int rank) {
    const int first = layer.window ? std::max(0, token.position + 1 - layer.window) : 0;
    const Seen<Number> seen{static_cast<const Number*>(token.cache), token.scales,
                            plane(token, number, false, k, first),
                            plane(token, number, true, k, first),
                            token.position + 1 - first};
    const int each = model_.heads / model_.kept_heads, end = (k + 1) * each;
    int h = k * each;
    for (; h + 3 <= end; h += 3) look<3>(seen, t, h, rank);
    for (; h + 2 <= end; h += 2) look<2>(seen, t, h, rank);
    if (h < end) look<1>(seen, t, h, rank);
  }

  // The same for heads that follow each other.
  template <int HEADS, typename Number>
  void look(const Seen<Number>& seen, int t, int h, int rank) {
    const int size = model_.head_size, count = seen.count;
    std::vector<float>& all = scores_[rank];
    all.resize(static_cast<size_t>(HEADS) * count);
    dots<HEADS>(all.data(), count, &joint_[static_cast<size_t>(t) * joint_width_ + h * size],
                seen.cache + seen.keys * size, count, size);
    for (int head = 0; head < HEADS; head++) {
      float* scores = &all[static_cast<size_t>(head) * count];
      if (seen.scales)
        for (int i = 0; i < count; i++) scores[i] *= seen.scales[seen.keys + i];
      for (int i = 0; i < count; i++) scores[i] *= model_.score_scale;
      soften(scores, count);
      if (seen.scales)
        for (int i = 0; i < count; i++) scores[i] *= seen.scales[seen.values + i];
    }
    weighted<HEADS>(attended_.at(t) + h * size, all.data(), count, count,
                    seen.cache + seen.values * size, size);
  }

  void activate(int count, int rank) {
    const int inner = model_.inner;
    const Range mine = share(active_.stride, rank, team_.size(), active_.group);
    for (int t = 0; t < count; t++) {
      const float* gate = &inner_[static_cast<size_t>(t) * 2 * inner];
      float* y = active_.at(t);
      for (int i = mine.begin; i < std::min(mine.end, inner); i++)
        y[i] = gate[i] / (1.0f + exponential(-gate[i])) * gate[inner + i];
      ready(active_, t, mine.begin, mine.end);
    }
    team_.wait();
  }

  const Model model_;
  const std::vector<Layer> layers_;
  const std::vector<LowRank> adapters_;
  const int half_ = model_.head_size / 2;
  const int width_ = layers_[0].parts[QKV].stride;
  const int joint_width_ = (model_.heads + 2 * model_.kept_heads) * model_.head_size;
  int most_rank_ = 0, room_ = 0;
  Inputs normed_, attended_, active_;
  std::vector<float> hidden_, joint_, inner_;
  std::vector<float> cosines_, sines_, low_;
  Team team_;
  std::vector<std::vector<float>> scores_;
};

}  // namespace

extern "C" {

void* xturing_decoder_new(const Model* model, int32_t threads) {
  return new Decoder(*model, threads);
}

void xturing_decoder_step(void* decoder, const Token* tokens, int32_t count,
                          const int32_t* wanted, int32_t wanted_count, float* logits) {
  static_cast<Decoder*>(decoder)->step(tokens, count, wanted, wanted_count, logits);
}

void xturing_decoder_delete(void* decoder) { delete static_cast<Decoder*>(decoder); }
}
