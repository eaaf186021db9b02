// The forward pass of a LLaMA-like decoder on a processor, for several sequences at once.
//
// Weights are float or int8 with a scale for each group; everything else, the sums of
// products too, is float. Each sum runs in one order, whatever is computed beside it:
// the logits of a sequence are the same to the bit alone and in any batch, read in one
// piece or token by token.
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

// ---------------------------------------------------------------- vectors of floats

#if defined(__AVX512F__)
constexpr int LANES = 16;
using Vector = __m512;
inline Vector zero() { return _mm512_setzero_ps(); }
inline Vector fill(float x) { return _mm512_set1_ps(x); }
inline Vector load(const float* p) { return _mm512_loadu_ps(p); }
inline Vector load(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline void store(float* p, Vector x) { _mm512_storeu_ps(p, x); }
inline Vector times(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
inline Vector fused(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline __m256 folded(Vector x) {
  const __m256d high = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);
  return _mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(high));
}
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int LANES = 8;
using Vector = __m256;
inline Vector zero() { return _mm256_setzero_ps(); }
inline Vector fill(float x) { return _mm256_set1_ps(x); }
inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
inline Vector load(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
inline Vector times(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
inline Vector fused(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline __m256 folded(Vector x) { return x; }
#else
// The compiler makes of these what the processor has, such as two NEON registers.
constexpr int LANES = 8;
struct Vector {
  float lane[LANES];
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
inline Vector fused(Vector a, Vector b, Vector c) {
  for (int i = 0; i < LANES; i++) c.lane[i] += a.lane[i] * b.lane[i];
  return c;
}
#endif

inline float total(Vector x) {
  float lane[LANES];
  store(lane, x);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lane[i] += lane[i + width];
  return lane[0];
}

// The totals of four vectors at once, as products need them.
#if defined(__AVX2__) && defined(__FMA__)
inline void totals(Vector a, Vector b, Vector c, Vector d, float* four) {
  const __m256 ab = _mm256_hadd_ps(folded(a), folded(b));
  const __m256 cd = _mm256_hadd_ps(folded(c), folded(d));
  const __m256 sums = _mm256_hadd_ps(ab, cd);
  _mm_storeu_ps(four, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}
#else
inline void totals(Vector a, Vector b, Vector c, Vector d, float* four) {
  four[0] = total(a), four[1] = total(b), four[2] = total(c), four[3] = total(d);
}
#endif

inline float dot(const float* a, const float* b, int count) {
  Vector sum = zero();
  int i = 0;
  for (; i + LANES <= count; i += LANES) sum = fused(load(a + i), load(b + i), sum);
  float result = total(sum);
  for (; i < count; i++) result += a[i] * b[i];
  return result;
}

// y += a * x
inline void add_scaled(float* y, float a, const float* x, int count) {
  const Vector factor = fill(a);
  int i = 0;
  for (; i + LANES <= count; i += LANES)
    store(y + i, fused(factor, load(x + i), load(y + i)));
  for (; i < count; i++) y[i] += a * x[i];
}

// exp(x) to the last digits of a float: 2^n times a polynomial. Compilers make vectors
// of a loop over it, which they do not of std::exp.
inline float exponential(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

// ---------------------------------------------------------------- threads

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

  void wait() {
    const int turn = turn_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int tries = 0; turn_.load(std::memory_order_acquire) == turn; tries++)
      if (tries > PATIENCE) std::this_thread::yield();
  }

 private:
  static constexpr int PATIENCE = 20000;

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
  std::atomic<int> arrived_{0};
  std::atomic<int> turn_{0};
};

struct Range {
  int begin, end;
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
// to a multiple of 4 and columns to `stride`, a multiple of 16, with 0.
struct Matrix {
  const float* floats;    // or null
  const int8_t* codes;    // or null
  const float* scales;    // with codes: rows / 4 x groups x 4
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

// One token of a step.
struct Token {
  float* cache;  // layers x (keys, values) x kept_heads x capacity x head_size
  int32_t capacity, id, position, adapter;  // adapter -1: none
};
}

namespace {

// ---------------------------------------------------------------- products

// Weights lie in blocks of four rows, and in a block 16 columns of each row after the
// other: they are read from the first to the last, as memory likes it best.
constexpr int ROWS = 4;
constexpr int COLUMNS = 16;
constexpr int AHEAD = 2048;  // bytes of weights that are asked for before they are needed
constexpr const float* NONE = nullptr;

inline int64_t place_of(int64_t row, int column, int stride) {
  return row / ROWS * ROWS * stride + column / COLUMNS * ROWS * COLUMNS +
         row % ROWS * COLUMNS + column % COLUMNS;
}

inline int64_t place_of_scale(int64_t row, int column, const Matrix& matrix) {
  const int64_t groups = matrix.stride / matrix.group;
  return (row / ROWS * groups + column / matrix.group) * ROWS + row % ROWS;
}

// The weights of a row that a register holds, of codes as of floats.
inline Vector weights_at(const float* place, Vector) { return load(place); }
inline Vector weights_at(const int8_t* place, Vector scale) {
  return times(load(place), scale);
}

template <int TOKENS, typename Weight>
inline void block_times(const Weight* block, const float* scales, int stride, int group,
                        const float* x, int x_stride, float (&sums)[TOKENS][ROWS]) {
  Vector sum[ROWS][TOKENS];
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) sum[r][t] = zero();
  for (int start = 0; start < stride; start += group) {
    Vector scale[ROWS];
    for (int r = 0; r < ROWS; r++) scale[r] = scales ? fill(scales[r]) : zero();
    if (scales) scales += ROWS;
    for (int k = start; k < start + group; k += COLUMNS, block += ROWS * COLUMNS) {
      if (sizeof(Weight) == 1)
        __builtin_prefetch(reinterpret_cast<const char*>(block) + AHEAD, 0, 0);
      for (int c = 0; c < COLUMNS; c += LANES) {
        Vector inputs[TOKENS];
        for (int t = 0; t < TOKENS; t++)
          inputs[t] = load(x + static_cast<int64_t>(t) * x_stride + k + c);
        for (int r = 0; r < ROWS; r++) {
          const Vector w = weights_at(block + r * COLUMNS + c, scale[r]);
          for (int t = 0; t < TOKENS; t++) sum[r][t] = fused(w, inputs[t], sum[r][t]);
        }
      }
    }
  }
  for (int t = 0; t < TOKENS; t++)
    totals(sum[0][t], sum[1][t], sum[2][t], sum[3][t], sums[t]);
}

// What becomes of a sum: it is written, or added to what is there.
struct Target {
  float* y;
  int stride;
  bool is_added;
};

// Some inputs of `product`, which all of its parts need.
struct Inputs {
  const float* x;
  int stride, tokens;
};

template <int TOKENS, typename Weight>
inline void tile(const Matrix& matrix, int row, const Weight* block, const float* scales,
                 int group, const Inputs& inputs, int token, const Target& to) {
  float sums[TOKENS][ROWS];
  block_times<TOKENS>(block, scales, matrix.stride, group,
                      inputs.x + static_cast<int64_t>(token) * inputs.stride, inputs.stride,
                      sums);
  const int rows = std::min(ROWS, matrix.rows - row);
  for (int t = 0; t < TOKENS; t++) {
    float* y = to.y + static_cast<int64_t>(token + t) * to.stride + row;
    if (matrix.bias)
      for (int r = 0; r < rows; r++) sums[t][r] += matrix.bias[row + r];
    for (int r = 0; r < rows; r++) y[r] = to.is_added ? y[r] + sums[t][r] : sums[t][r];
  }
}

template <typename Weight>
void tiles(const Matrix& matrix, int row, const Weight* block, const float* scales, int group,
           const Inputs& inputs, const Target& to) {
  int t = 0;
  for (; t + 3 <= inputs.tokens; t += 3)
    tile<3>(matrix, row, block, scales, group, inputs, t, to);
  if (t + 2 <= inputs.tokens) {
    tile<2>(matrix, row, block, scales, group, inputs, t, to);
    t += 2;
  }
  if (t < inputs.tokens) tile<1>(matrix, row, block, scales, group, inputs, t, to);
}

void make_dense(const int8_t* codes, const float* scales, int stride, int group, float* y) {
  for (int start = 0; start < stride; start += group, scales += ROWS) {
    Vector scale[ROWS];
    for (int r = 0; r < ROWS; r++) scale[r] = fill(scales[r]);
    for (int k = start; k < start + group; k += COLUMNS) {
      __builtin_prefetch(codes + AHEAD, 0, 0);
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c += LANES, codes += LANES, y += LANES)
          store(y, weights_at(codes, scale[r]));
    }
  }
}

// y = x matrix^T + bias, for a thread's share of the rows.
void product(const Matrix& matrix, const Inputs& inputs, const Target& to, int rank, int size,
             std::vector<float>& dense) {
  const Range mine = share(matrix.rows, rank, size, ROWS);
  const int stride = matrix.stride;
  for (int row = mine.begin; row < mine.end; row += ROWS) {
    const int64_t start = static_cast<int64_t>(row) * stride;
    if (!matrix.codes) {
      tiles(matrix, row, matrix.floats + start, NONE, stride, inputs, to);
      continue;
    }
    const int8_t* codes = matrix.codes + start;
    const float* scales = matrix.scales + start / matrix.group;
    if (inputs.tokens <= 3) {
      tiles(matrix, row, codes, scales, matrix.group, inputs, to);
      continue;
    }
    // For many tokens the codes are made floats once; they are the same numbers.
    dense.resize(static_cast<size_t>(ROWS) * stride);
    make_dense(codes, scales, stride, matrix.group, dense.data());
    tiles(matrix, row, static_cast<const float*>(dense.data()), NONE, stride, inputs, to);
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

int padded(int count) { return (count + 15) / 16 * 16; }

class Decoder {
 public:
  Decoder(const Model& model, int threads)
      : model_(model),
        layers_(model.layers, model.layers + model.layer_count),
        adapters_(model.adapters,
                  model.adapters +
                      static_cast<size_t>(model.adapter_count) * model.layer_count * PARTS),
        team_(threads),
        dense_(threads),
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
      for (int w = mine.begin; w < mine.end; w++)
        normalize(&normed_[static_cast<size_t>(w) * width_],
                  &hidden_[static_cast<size_t>(wanted[w]) * width_], model_.final_norm,
                  model_.width, model_.epsilon);
      team_.wait();
      product(model_.head, {normed_.data(), width_, wanted_count},
              {logits, model_.head.rows, false}, rank, team_.size(), dense_[rank]);
    });
  }

 private:
  void reserve(int tokens) {
    if (tokens <= room_) return;
    room_ = tokens;
    const size_t n = static_cast<size_t>(tokens);
    hidden_.assign(n * width_, 0.0f);
    normed_.assign(n * width_, 0.0f);
    joint_.assign(n * joint_width_, 0.0f);
    attended_.assign(n * attended_width_, 0.0f);
    inner_.assign(n * 2 * model_.inner, 0.0f);
    active_.assign(n * inner_width_, 0.0f);
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
        const int64_t place = place_of(id, k, table.stride);
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
    norm(layer.attention_norm, count, rank);
    linear(number, QKV, tokens, normed_.data(), width_, count,
           {joint_.data(), joint_width_, false}, rank);
    place(layer, number, tokens, count, rank);
    attend(layer, number, tokens, count, rank);
    linear(number, OUTPUT, tokens, attended_.data(), attended_width_, count,
           {hidden_.data(), width_, true}, rank);
    norm(layer.feed_forward_norm, count, rank);
    linear(number, GATE_UP, tokens, normed_.data(), width_, count,
           {inner_.data(), 2 * model_.inner, false}, rank);
    activate(count, rank);
    linear(number, DOWN, tokens, active_.data(), inner_width_, count,
           {hidden_.data(), width_, true}, rank);
  }

  void norm(const float* weight, int count, int rank) {
    const Range mine = share(count, rank, team_.size());
    for (int t = mine.begin; t < mine.end; t++)
      normalize(&normed_[static_cast<size_t>(t) * width_],
                &hidden_[static_cast<size_t>(t) * width_], weight, model_.width,
                model_.epsilon);
    team_.wait();
  }

  void linear(int number, Part part, const Token* tokens, const float* x, int x_stride,
              int count, const Target& to, int rank) {
    const Matrix& matrix = layers_[number].parts[part];
    product(matrix, {x, x_stride, count}, to, rank, team_.size(), dense_[rank]);
    if (!adapters_.empty()) adapt(number, part, tokens, x, x_stride, count, to, rank);
    team_.wait();
  }

  void adapt(int number, Part part, const Token* tokens, const float* x, int x_stride,
             int count, const Target& to, int rank) {
    const Range mine = share(count, rank, team_.size());
    for (int t = mine.begin; t < mine.end; t++) {
      const LowRank* low = adapter(tokens[t], number, part);
      for (int r = 0; low && r < low->rank; r++)
        low_[static_cast<size_t>(t) * most_rank_ + r] =
            dot(low->down + static_cast<int64_t>(r) * x_stride,
                x + static_cast<int64_t>(t) * x_stride, x_stride);
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

  // Where the keys (or values) of a kept head begin in a token's cache.
  float* kept(const Token& token, int number, bool is_value, int head) const {
    const int64_t plane = static_cast<int64_t>(token.capacity) * model_.head_size;
    return token.cache + ((number * 2 + is_value) * model_.kept_heads + head) * plane;
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
      const int64_t place = static_cast<int64_t>(tokens[t].position) * size;
      std::copy_n(head, size, kept(tokens[t], number, false, k) + place);
      std::copy_n(joint + (heads + kept_heads + k) * size, size,
                  kept(tokens[t], number, true, k) + place);
    }
    team_.wait();
  }

  void attend(const Layer& layer, int number, const Token* tokens, int count, int rank) {
    const int size = model_.head_size, heads = model_.heads;
    std::vector<float>& scores = scores_[rank];
    // Tokens go round, as the later ones of a prompt have more to look at.
    for (int task = rank; task < count * heads; task += team_.size()) {
      const int t = task / heads, h = task % heads;
      const int k = h / (heads / model_.kept_heads);
      const int last = tokens[t].position;
      const int first = layer.window ? std::max(0, last + 1 - layer.window) : 0;
      const float* keys = kept(tokens[t], number, false, k);
      const float* values = kept(tokens[t], number, true, k);
      const float* query = &joint_[static_cast<size_t>(t) * joint_width_ + h * size];
      const int seen = last + 1 - first;
      scores.resize(seen);
      float highest = -INFINITY;
      for (int i = 0; i < seen; i++) {
        scores[i] = model_.score_scale *
                    dot(query, keys + static_cast<int64_t>(first + i) * size, size);
        highest = std::max(highest, scores[i]);
      }
      for (int i = 0; i < seen; i++) scores[i] = exponential(scores[i] - highest);
      float sum = 0.0f;
      for (int i = 0; i < seen; i++) sum += scores[i];
      float* y = &attended_[static_cast<size_t>(t) * attended_width_ + h * size];
      std::fill_n(y, size, 0.0f);
      for (int i = 0; i < seen; i++)
        add_scaled(y, scores[i] / sum, values + static_cast<int64_t>(first + i) * size, size);
    }
    team_.wait();
  }

  void activate(int count, int rank) {
    const int inner = model_.inner;
    const Range mine = share(inner, rank, team_.size(), 16);
    for (int t = 0; t < count; t++) {
      const float* gate = &inner_[static_cast<size_t>(t) * 2 * inner];
      float* y = &active_[static_cast<size_t>(t) * inner_width_];
      for (int i = mine.begin; i < mine.end; i++)
        y[i] = gate[i] / (1.0f + exponential(-gate[i])) * gate[inner + i];
    }
    team_.wait();
  }

  const Model model_;
  const std::vector<Layer> layers_;
  const std::vector<LowRank> adapters_;
  const int half_ = model_.head_size / 2;
  const int width_ = padded(model_.width);
  const int inner_width_ = padded(model_.inner);
  const int attended_width_ = padded(model_.heads * model_.head_size);
  const int joint_width_ = (model_.heads + 2 * model_.kept_heads) * model_.head_size;
  int most_rank_ = 0, room_ = 0;
  std::vector<float> hidden_, normed_, joint_, attended_, inner_, active_;
  std::vector<float> cosines_, sines_, low_;
  Team team_;
  std::vector<std::vector<float>> dense_, scores_;
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
