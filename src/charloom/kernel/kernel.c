/* See kernel.h. How it is fast, and why it gives the same bits everywhere:

   - Hidden states lie in [-1, 1]; as whole numbers from -127 to 127 they meet weights from -63 to 63. Sums of whole
     numbers are exact, so it does not matter in which order or width an instruction adds them.
   - What is not whole is computed one value at a time by IEEE additions, multiplications and divisions, in an order
     that the source fixes. So this file must be compiled with -ffp-contract=off and without -ffast-math.
   - Weights lie in panels of 16 columns: 64 bytes hold 4 inputs of each. A dot-product instruction reads them as they
     lie. Gates are interleaved by 16 units, so that a unit's gates are found together and its state is updated at once.

   A micro-kernel is one product of rows with panels, and the cells' gates, compiled for one kind of processor. */

#include "kernel.h"

#include <float.h>
#include <stddef.h>

/* No header of a library is read, so that this file compiles for a platform whose library is not at hand. */
#define memcpy __builtin_memcpy
#define memset __builtin_memset

#if defined(__aarch64__) && !defined(CHARLOOM_PORTABLE)
#define NEON 1
#include <arm_neon.h>
#if defined(__linux__)
unsigned long getauxval(unsigned long type);
#define AT_HWCAP 16
#endif
#endif

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

#if FLT_EVAL_METHOD != 0
#error "the same bits everywhere need float computed as float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

#if defined(__x86_64__) && !defined(CHARLOOM_PORTABLE)
#define X86 1
#include <cpuid.h>
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* of vectors as arguments, which are all inlined here */
#endif

#define INLINE static inline __attribute__((always_inline))
#define LANES 16
#define PANEL_STEP 64 /* bytes: 16 columns × 4 inputs in int8, × 1 input in float32 */
#define CHUNK 64      /* rows × steps that are under way at a time */
#define TABLE 4194304 /* numbers (16 MiB): with more, what a symbol gives the first layer is computed each time */
#define LOGITS 524288 /* numbers held while writing */

static const uint64_t MAGIC = 0x31306d6f6f6c7263; /* "crloom01" */

typedef struct {
    int64_t columns; /* padded to whole panels */
    int64_t steps;   /* 64-byte steps in a panel */
    int64_t panels, start, scale, add; /* where each is in the block */
} matrix;

typedef struct {
    uint64_t magic;
    int64_t bytes;
    charloom_shape shape;
    int32_t micro;
    int32_t gates;
    int64_t units;      /* H padded */
    int64_t width;      /* gates · units */
    int64_t stride;     /* bytes of a row of hidden states as the product reads it */
    int64_t inputs;     /* E or V */
    int64_t table;      /* (V, width); 0: computed from the next three */
    int64_t embedding, first, first_scale, first_add;
    int64_t slab;       /* rows of logits held while writing */
    matrix below[32], recurrent[32], output;
} layout;

typedef struct {
    uint8_t *hidden, *above;         /* (CHUNK, stride): a layer's hidden states, and those of the one that is run */
    uint8_t *before;                 /* (CHUNK, stride): of the state before them */
    float *inputs;                   /* (CHUNK, width): what reaches the gates from below; of one step only 16 units' */
    const float **rows;              /* (CHUNK): where each row's is */
    float *gates;                    /* (CHUNK, gates · 16): what reaches them from before, of 16 units */
    float *h, *c;                    /* (CHUNK, units): the state, where H is not a multiple of 16 */
    double *sums;                    /* (width) */
    float *logits;                   /* (slab, V), for writing */
    double *weights, *ranking;       /* (V) */
} workspace;

/* ------------------------------------------------------------------ plain arithmetic */

/* Eight values side by side, in as many registers as the processor needs. */
typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));
typedef uint8_t bytes __attribute__((vector_size(8)));
enum { WIDE = 8 };

INLINE floats load(const float *from) { floats values; memcpy(&values, from, sizeof values); return values; }
INLINE void store(float *to, floats values) { memcpy(to, &values, sizeof values); }
INLINE floats all(float value) { return (floats){value, value, value, value, value, value, value, value}; }

/* Each value brought between -bound and bound; NaN becomes `of_nan`, one of them. */
INLINE floats bring(floats values, float bound, float of_nan) {
    floats high = all(bound), low = all(-bound);
    ints below, above;
    if (of_nan > 0) {
        below = values < high;
        values = (floats)((below & (ints)values) | (~below & (ints)high));
    }
    above = values > low;
    values = (floats)((above & (ints)values) | (~above & (ints)low));
    if (of_nan > 0) return values;
    below = values < high;
    return (floats)((below & (ints)values) | (~below & (ints)high));
}

/* 2^y for -60 ≤ y ≤ 60, which y is brought to (NaN: 60). Adding 1.5·2^23 rounds to a whole number, ties to even. */
INLINE floats exp2_of(floats y) {
    y = bring(y, 60, 60);
    floats shifted = y + 12582912.0f;
    floats f = y - (shifted - 12582912.0f);
    floats square = f * f; /* in pairs, so that fewer have to wait for each other */
    floats low = 6.931470036506653e-01f * f + 1.0f;
    floats middle = 5.550733581185341e-02f * f + 2.4022242426872253e-01f;
    floats high = 1.326472614891827e-03f * f + 9.671512991189957e-03f;
    floats p = (high * square + middle) * square + low;
    return (floats)((ints)p + ((ints)shifted << 23));
}

#define LOG2E 1.4426950408889634f
#define LOG2E_DOUBLE 1.4426950408889634
INLINE floats exp_minus(floats x) { return exp2_of(x * -LOG2E); }       /* of a sigmoid */
INLINE floats exp_twice(floats x) { return exp2_of(x * (2.0f * LOG2E)); } /* of a hyperbolic tangent */

/* Hidden states as whole numbers from -127 to 127, plus 128 (NaN: -127). */
INLINE void quantize_wide(uint8_t *to, floats h) {
    ints whole = (ints)(bring(h * 127.0f, 127, -127) + 12582912.0f) - (0x4b400000 - 128);
#ifdef X86 /* part of every such processor; compilers take these numbers one by one */
    __m128i parts[2];
    memcpy(parts, &whole, sizeof parts);
    __m128i narrow = _mm_packs_epi32(parts[0], parts[1]);
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(narrow, narrow));
#else
    bytes narrow = __builtin_convertvector(whole, bytes);
    memcpy(to, &narrow, sizeof narrow);
#endif
}

/* 2^y of y ≤ 0 in double, 0 below 2^-1000. */
INLINE double exp2_below(double y) {
    double kept = y > -1000.0 ? y : -1000.0;
    double shifted = kept + 6755399441055744.0;
    double f = kept - (shifted - 6755399441055744.0);
    double p = 1.3691488853904124e-12;
    p = p * f + 2.5678435993488196e-11;
    p = p * f + 4.44553827187081e-10;
    p = p * f + 7.054911620801121e-09;
    p = p * f + 1.0178086009239696e-07;
    p = p * f + 1.3215486790144305e-06;
    p = p * f + 1.5252733804059838e-05;
    p = p * f + 0.00015403530393381606;
    p = p * f + 0.0013333558146428441;
    p = p * f + 0.009618129107628477;
    p = p * f + 0.055504108664821576;
    p = p * f + 0.2402265069591007;
    p = p * f + 0.6931471805599453;
    p = p * f + 1.0;
    uint64_t bits, power;
    memcpy(&bits, &p, 8);
    memcpy(&power, &shifted, 8);
    bits += power << 52;
    memcpy(&p, &bits, 8);
    return y > -1000.0 ? p : 0.0;
}

/* How likely symbols are, the likeliest 1. */
INLINE void likelihoods_of(const float *logits, int64_t count, double largest, double temperature, double *to) {
    for (int64_t id = 0; id < count; id++) to[id] = exp2_below(((double)logits[id] - largest) / temperature * LOG2E_DOUBLE);
}

/* ln x of finite x ≥ 1: x = 2^k · m with √½ ≤ m < √2, ln m = 2·atanh(s), s = (m - 1) / (m + 1). */
static double log_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int64_t power = (int64_t)((bits - 0x3fe6a09e667f3bcd) >> 52); /* of √½ */
    bits -= (uint64_t)power << 52;
    memcpy(&x, &bits, 8);
    const double s = (x - 1.0) / (x + 1.0), square = s * s;
    double p = 1.0 / 21;
    for (int n = 19; n > 0; n -= 2) p = p * square + 1.0 / n;
    return (double)power * 0.6931471805599453 + 2.0 * s * p;
}

/* ------------------------------------------------------------------ gates of 16 units, in some rows */

typedef struct {
    int64_t rows;
    const float *gates;          /* (rows, G·16) from before */
    const float *const *inputs;  /* of each row, from below */
    int64_t at;                  /* where these units' are among the inputs */
    float *h, *c;                /* (rows, pitch) */
    int64_t pitch;
    void *hidden;                /* (rows, stride): what the next product reads */
    int64_t stride;
} gates_task;

INLINE void keep_hidden(const gates_task *task, int64_t row, int from, floats h, int is_float) {
    uint8_t *to = (uint8_t *)task->hidden + row * task->stride;
    store(task->h + row * task->pitch + from, h);
    if (is_float) store((float *)to + from, h);
    else quantize_wide(to + from, h);
}

INLINE void rnn_gates(const gates_task *task, int is_float) {
    for (int64_t row = 0; row < task->rows; row++)
        for (int j = 0; j < LANES; j += WIDE) {
            const float *x = task->inputs[row] + task->at + j, *z = task->gates + row * LANES + j;
            floats e = exp_twice(load(z) + load(x));
            keep_hidden(task, row, j, (e - 1.0f) / (e + 1.0f), is_float);
        }
}

/* n = tanh(xₙ + r·zₙ), h' = n + u·(h - n) */
INLINE void gru_gates(const gates_task *task, int is_float) {
    for (int64_t row = 0; row < task->rows; row++)
        for (int j = 0; j < LANES; j += WIDE) {
            const float *x = task->inputs[row] + task->at + j, *z = task->gates + row * 3 * LANES + j;
            floats r = 1.0f / (1.0f + exp_minus(load(z) + load(x)));
            floats u = 1.0f / (1.0f + exp_minus(load(z + LANES) + load(x + LANES)));
            floats e = exp_twice(load(x + 2 * LANES) + r * load(z + 2 * LANES));
            floats n = (e - 1.0f) / (e + 1.0f);
            keep_hidden(task, row, j, n + u * (load(task->h + row * task->pitch + j) - n), is_float);
        }
}

/* c' = f·c + i·tanh(g), h' = o·tanh(c'), each product of a sigmoid and a tangent by one division. */
INLINE void lstm_gates(const gates_task *task, int is_float) {
    for (int64_t row = 0; row < task->rows; row++)
        for (int j = 0; j < LANES; j += WIDE) {
            const float *x = task->inputs[row] + task->at + j, *z = task->gates + row * 4 * LANES + j;
            float *c = task->c + row * task->pitch + j;
            floats i = exp_minus(load(z) + load(x));
            floats f = exp_minus(load(z + LANES) + load(x + LANES));
            floats g = exp_twice(load(z + 2 * LANES) + load(x + 2 * LANES));
            floats o = exp_minus(load(z + 3 * LANES) + load(x + 3 * LANES));
            floats cell = (1.0f / (1.0f + f)) * load(c) + (g - 1.0f) / ((1.0f + i) * (g + 1.0f));
            floats e = exp_twice(cell);
            store(c, cell);
            keep_hidden(task, row, j, (e - 1.0f) / ((1.0f + o) * (e + 1.0f)), is_float);
        }
}

INLINE void gates_of(const gates_task *task, int cell, int is_float) {
    if (cell == CHARLOOM_LSTM) lstm_gates(task, is_float);
    else if (cell == CHARLOOM_GRU) gru_gates(task, is_float);
    else rnn_gates(task, is_float);
}

/* ------------------------------------------------------------------ products of rows with panels */

typedef struct {
    int64_t rows, stride;   /* rows of hidden states, bytes apart */
    const uint8_t *hidden;  /* of 64-byte steps: 4 whole numbers plus 128, or a float */
    int64_t panels, steps;
    const int8_t *weights;
    const int32_t *start;   /* (columns): -128 · a column's sum of weights */
    const float *scale, *add;
    float *to;              /* (rows, pitch) */
    int64_t pitch;
} product_task;

/* What a symbol gives the first layer, in double: sums[j] += value · weights[j]. */
INLINE void add_times(double *sums, double value, const float *weights, int64_t count) {
    for (int64_t j = 0; j < count; j++) sums[j] = sums[j] + value * (double)weights[j];
}

INLINE void product_of_whole(const product_task *task) {
    for (int64_t panel = 0; panel < task->panels; panel++) {
        const int8_t *panel_weights = task->weights + panel * task->steps * PANEL_STEP;
        for (int64_t row = 0; row < task->rows; row++) {
            const uint8_t *a = task->hidden + row * task->stride;
            const int8_t *w = panel_weights;
            int32_t sums[LANES];
            memcpy(sums, task->start + panel * LANES, sizeof sums);
            for (int64_t step = 0; step < task->steps; step++, a += 4, w += PANEL_STEP)
                for (int j = 0; j < LANES; j++)
                    sums[j] += a[0] * w[4 * j] + a[1] * w[4 * j + 1] + a[2] * w[4 * j + 2] + a[3] * w[4 * j + 3];
            const float *scale = task->scale + panel * LANES, *add = task->add + panel * LANES;
            float *to = task->to + row * task->pitch + panel * LANES;
            for (int j = 0; j < LANES; j++) to[j] = (float)sums[j] * scale[j] + add[j];
        }
    }
}

INLINE void product_of_floats(const product_task *task) {
    for (int64_t panel = 0; panel < task->panels; panel++) {
        const float *panel_weights = (const float *)task->weights + panel * task->steps * LANES;
        for (int64_t row = 0; row < task->rows; row++) {
            const float *a = (const float *)(task->hidden + row * task->stride), *w = panel_weights;
            float sums[LANES] = {0};
            for (int64_t step = 0; step < task->steps; step++, w += LANES)
                for (int j = 0; j < LANES; j++) sums[j] += a[step] * w[j];
            const float *add = task->add + panel * LANES;
            float *to = task->to + row * task->pitch + panel * LANES;
            for (int j = 0; j < LANES; j++) to[j] = sums[j] + add[j];
        }
    }
}

#ifdef X86
#define AVX2 __attribute__((target("avx2")))
#define AVX2_FMA __attribute__((target("avx2,fma")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Pairs of products fit in 16 bits, for 255 · 63 · 2 < 32,768. */
INLINE AVX2 __m256i dot_avx2(__m256i sums, __m256i a, __m256i w) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(a, w), _mm256_set1_epi16(1)));
}

INLINE AVX2 __m256i broadcast_avx2(const uint8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
}

INLINE AVX2 void tile_avx2(const product_task *task, int64_t row, int64_t panel, const int rows) {
    const uint8_t *a = task->hidden + row * task->stride;
    const int8_t *w = task->weights + panel * task->steps * PANEL_STEP;
    __m256i sums[4][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            sums[r][v] = _mm256_loadu_si256((const __m256i *)(task->start + panel * LANES + 8 * v));
    for (int64_t step = 0; step < task->steps; step++, a += 4, w += PANEL_STEP) {
        __m256i low = _mm256_load_si256((const __m256i *)w), high = _mm256_load_si256((const __m256i *)(w + 32));
        for (int r = 0; r < rows; r++) {
            __m256i four = broadcast_avx2(a + r * task->stride);
            sums[r][0] = dot_avx2(sums[r][0], four, low);
            sums[r][1] = dot_avx2(sums[r][1], four, high);
        }
    }
    for (int v = 0; v < 2; v++) {
        __m256 scale = _mm256_loadu_ps(task->scale + panel * LANES + 8 * v);
        __m256 add = _mm256_loadu_ps(task->add + panel * LANES + 8 * v);
        for (int r = 0; r < rows; r++)
            _mm256_storeu_ps(task->to + (row + r) * task->pitch + panel * LANES + 8 * v,
                             _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][v]), scale), add));
    }
}

/* Several sums are under way at a time, for an instruction takes longer than the next one's beginning. */
INLINE AVX2_FMA void float_tile_avx2(const product_task *task, int64_t row, int64_t panel, const int rows, const int panels) {
    const int64_t apart = task->steps * LANES;
    const float *w = (const float *)task->weights + panel * apart;
    const uint8_t *a = task->hidden + row * task->stride;
    __m256 sums[6][8];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2 * panels; v++) sums[r][v] = _mm256_setzero_ps();
    for (int64_t step = 0; step < task->steps; step++, a += 4, w += LANES)
        for (int r = 0; r < rows; r++) {
            __m256 value = _mm256_broadcast_ss((const float *)(a + r * task->stride));
            for (int v = 0; v < 2 * panels; v++)
                sums[r][v] = _mm256_fmadd_ps(value, _mm256_load_ps(w + v / 2 * apart + v % 2 * 8), sums[r][v]);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2 * panels; v++) {
            const int64_t at = panel * LANES + 8 * v;
            _mm256_storeu_ps(task->to + (row + r) * task->pitch + at,
                             _mm256_add_ps(sums[r][v], _mm256_loadu_ps(task->add + at)));
        }
}

INLINE VNNI __m512i broadcast_vnni(const uint8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return _mm512_set1_epi32(four);
}

INLINE VNNI void store_vnni(const product_task *task, int64_t row, int64_t panel, __m512i sums) {
    __m512 scale = _mm512_loadu_ps(task->scale + panel * LANES), add = _mm512_loadu_ps(task->add + panel * LANES);
    _mm512_storeu_ps(task->to + row * task->pitch + panel * LANES,
                     _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale), add));
}

INLINE VNNI void tile_vnni(const product_task *task, int64_t row, int64_t panel, const int rows, const int panels) {
    const uint8_t *a = task->hidden + row * task->stride;
    const int8_t *w = task->weights + panel * task->steps * PANEL_STEP;
    __m512i sums[8][2];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++) sums[r][p] = _mm512_loadu_si512(task->start + (panel + p) * LANES);
    for (int64_t step = 0; step < task->steps; step++, a += 4, w += PANEL_STEP) {
        __m512i columns[2];
        for (int p = 0; p < panels; p++) columns[p] = _mm512_load_si512(w + p * task->steps * PANEL_STEP);
        for (int r = 0; r < rows; r++) {
            __m512i four = broadcast_vnni(a + r * task->stride);
            for (int p = 0; p < panels; p++) sums[r][p] = _mm512_dpbusd_epi32(sums[r][p], four, columns[p]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++) store_vnni(task, row + r, panel + p, sums[r][p]);
}

/* One row: four sums take turns, for an instruction takes longer than the next one's beginning. */
INLINE VNNI void row_vnni(const product_task *task, int64_t row, int64_t panel) {
    const uint8_t *a = task->hidden + row * task->stride;
    const int8_t *w = task->weights + panel * task->steps * PANEL_STEP;
    __m512i sums[4] = {_mm512_loadu_si512(task->start + panel * LANES), _mm512_setzero_si512(),
                       _mm512_setzero_si512(), _mm512_setzero_si512()};
    int64_t step = 0;
    for (; step + 4 <= task->steps; step += 4)
        for (int k = 0; k < 4; k++)
            sums[k] = _mm512_dpbusd_epi32(sums[k], broadcast_vnni(a + 4 * (step + k)),
                                          _mm512_load_si512(w + (step + k) * PANEL_STEP));
    for (; step < task->steps; step++)
        sums[0] = _mm512_dpbusd_epi32(sums[0], broadcast_vnni(a + 4 * step), _mm512_load_si512(w + step * PANEL_STEP));
    store_vnni(task, row, panel, _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

INLINE VNNI void float_tile_vnni(const product_task *task, int64_t row, int64_t panel, const int rows, const int panels) {
    const int64_t apart = task->steps * LANES;
    const float *w = (const float *)task->weights + panel * apart;
    const uint8_t *a = task->hidden + row * task->stride;
    __m512 sums[8][4];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++) sums[r][p] = _mm512_setzero_ps();
    for (int64_t step = 0; step < task->steps; step++, a += 4, w += LANES)
        for (int r = 0; r < rows; r++) {
            __m512 value = _mm512_set1_ps(*(const float *)(a + r * task->stride));
            for (int p = 0; p < panels; p++) sums[r][p] = _mm512_fmadd_ps(value, _mm512_load_ps(w + p * apart), sums[r][p]);
        }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++) {
            const int64_t at = (panel + p) * LANES;
            _mm512_storeu_ps(task->to + (row + r) * task->pitch + at, _mm512_add_ps(sums[r][p], _mm512_loadu_ps(task->add + at)));
        }
}

static AVX2 void product_avx2(const product_task *task) {
    for (int64_t panel = 0; panel < task->panels; panel++) {
        int64_t row = 0;
        for (; row + 4 <= task->rows; row += 4) tile_avx2(task, row, panel, 4);
        if (row + 2 <= task->rows) { tile_avx2(task, row, panel, 2); row += 2; }
        if (row < task->rows) tile_avx2(task, row, panel, 1);
    }
}

static AVX2_FMA void float_product_avx2(const product_task *task) {
    const int64_t many = task->rows / 6 * 6, pairs = many + (task->rows - many) / 2 * 2;
    for (int64_t panel = 0; panel < task->panels; panel++)
        for (int64_t row = 0; row < many; row += 6) float_tile_avx2(task, row, panel, 6, 1);
    for (int64_t row = many; row < pairs; row += 2)
        for (int64_t panel = 0; panel < task->panels; panel += 2) {
            if (panel + 2 <= task->panels) float_tile_avx2(task, row, panel, 2, 2);
            else float_tile_avx2(task, row, panel, 2, 1);
        }
    if (pairs == task->rows) return;
    int64_t panel = 0;
    for (; panel + 4 <= task->panels; panel += 4) float_tile_avx2(task, pairs, panel, 1, 4);
    for (; panel < task->panels; panel++) float_tile_avx2(task, pairs, panel, 1, 1);
}

static VNNI void product_vnni(const product_task *task) {
    int64_t panel = 0;
    for (; panel < task->panels; panel++) {
        const int pair = panel + 2 <= task->panels && task->rows > 1;
        int64_t row = 0;
        if (pair) {
            for (; row + 8 <= task->rows; row += 8) tile_vnni(task, row, panel, 8, 2);
            if (row + 4 <= task->rows) { tile_vnni(task, row, panel, 4, 2); row += 4; }
            for (; row < task->rows; row++) tile_vnni(task, row, panel, 1, 2);
            panel++;
        } else {
            for (; row + 8 <= task->rows; row += 8) tile_vnni(task, row, panel, 8, 1);
            for (; row < task->rows; row++) row_vnni(task, row, panel);
        }
    }
}

static VNNI void float_product_vnni(const product_task *task) {
    const int64_t many = task->rows / 8 * 8;
    for (int64_t row = 0; row < many; row += 8)
        for (int64_t panel = 0; panel < task->panels; panel += 2) {
            if (panel + 2 <= task->panels) float_tile_vnni(task, row, panel, 8, 2);
            else float_tile_vnni(task, row, panel, 8, 1);
        }
    for (int64_t row = many; row < task->rows; row++) {
        int64_t panel = 0;
        for (; panel + 4 <= task->panels; panel += 4) float_tile_vnni(task, row, panel, 1, 4);
        for (; panel < task->panels; panel++) float_tile_vnni(task, row, panel, 1, 1);
    }
}

static AVX2 void gates_avx2(const gates_task *task, int cell) { gates_of(task, cell, 0); }
static AVX2 void float_gates_avx2(const gates_task *task, int cell) { gates_of(task, cell, 1); }
static AVX2 void likelihoods_avx2(const float *logits, int64_t count, double largest, double temperature, double *to) {
    likelihoods_of(logits, count, largest, temperature, to);
}
static AVX2 void add_avx2(double *sums, double value, const float *weights, int64_t count) { add_times(sums, value, weights, count); }
static VNNI void gates_vnni(const gates_task *task, int cell) { gates_of(task, cell, 0); }
static VNNI void float_gates_vnni(const gates_task *task, int cell) { gates_of(task, cell, 1); }
static VNNI void likelihoods_vnni(const float *logits, int64_t count, double largest, double temperature, double *to) {
    likelihoods_of(logits, count, largest, temperature, to);
}
static VNNI void add_vnni(double *sums, double value, const float *weights, int64_t count) { add_times(sums, value, weights, count); }

/* Whether the processor has what leaf 7's registers must show, and the system saves such registers. */
static int has(unsigned ebx, unsigned ecx, unsigned saved) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & saved) != saved || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b & ebx) == ebx && (c & ecx) == ecx;
}
static int has_avx2(void) { return has(1u << 5, 0, 0x06); }
static int has_vnni(void) { return has(1u << 5 | 1u << 16 | 1u << 30 | 1u << 31, 1u << 11, 0xe6); } /* F, BW, VL, VNNI */
#endif

#ifdef NEON
#define DOTPROD __attribute__((target("+dotprod")))

/* The instruction multiplies signed by signed, so 128 is taken off and the start is not needed. */
INLINE DOTPROD void tile_neon(const product_task *task, int64_t row, int64_t panel, const int rows) {
    const uint8_t *a = task->hidden + row * task->stride;
    const int8_t *w = task->weights + panel * task->steps * PANEL_STEP;
    int32x4_t sums[4][4];
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < 4; k++) sums[r][k] = vdupq_n_s32(0);
    for (int64_t step = 0; step < task->steps; step++, a += 4, w += PANEL_STEP) {
        int8x16_t columns[4];
        for (int k = 0; k < 4; k++) columns[k] = vld1q_s8(w + 16 * k);
        for (int r = 0; r < rows; r++) {
            uint32_t bits;
            memcpy(&bits, a + r * task->stride, 4);
            const int8x16_t four = vreinterpretq_s8_u32(vdupq_n_u32(bits ^ 0x80808080u));
            for (int k = 0; k < 4; k++) sums[r][k] = vdotq_s32(sums[r][k], columns[k], four);
        }
    }
    for (int k = 0; k < 4; k++) {
        const int64_t at = panel * LANES + 4 * k;
        for (int r = 0; r < rows; r++)
            vst1q_f32(task->to + (row + r) * task->pitch + at,
                      vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums[r][k]), vld1q_f32(task->scale + at)), vld1q_f32(task->add + at)));
    }
}

static DOTPROD void product_neon(const product_task *task) {
    for (int64_t panel = 0; panel < task->panels; panel++) {
        int64_t row = 0;
        for (; row + 4 <= task->rows; row += 4) tile_neon(task, row, panel, 4);
        for (; row < task->rows; row++) tile_neon(task, row, panel, 1);
    }
}

static int has_neon(void) {
#if defined(__APPLE__)
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) >> 20 & 1) != 0; /* HWCAP_ASIMDDP */
#else
    return 0;
#endif
}
#endif

#ifdef __wasm_simd128__
/* Of two weights, w₀ + 64 and w₁ lie side by side and are one number of 16 bits, p = w₀ + 64 + 256·w₁. Its upper byte is
   w₁, and x₀·w₀ + x₁·w₁ = x₀·p + (x₁ - 256·x₀)·w₁ - 64·x₀: so two products of such numbers need one shift. */
static void product_wasm(const product_task *task) {
    v128_t even[16384 / LANES], odd[16384 / LANES]; /* x₀ and x₁ - 256·x₀ */
    for (int64_t row = 0; row < task->rows; row++) {
        v128_t less = wasm_i32x4_splat(0);
        for (int64_t k = 0; 4 * k < task->steps; k++) {
            const v128_t x = wasm_v128_xor(wasm_v128_load(task->hidden + row * task->stride + 16 * k), wasm_i8x16_splat(-128));
            const v128_t raised = wasm_i16x8_shl(x, 8);
            even[k] = wasm_i16x8_shr(raised, 8);
            odd[k] = wasm_i16x8_sub(wasm_i16x8_shr(x, 8), raised);
            less = wasm_i32x4_add(less, wasm_i32x4_dot_i16x8(even[k], wasm_i16x8_splat(-64)));
        }
        less = wasm_i32x4_add(less, wasm_i32x4_shuffle(less, less, 2, 3, 0, 1));
        less = wasm_i32x4_add(less, wasm_i32x4_shuffle(less, less, 1, 0, 3, 2));
        for (int64_t panel = 0; panel < task->panels; panel++) {
            const int8_t *w = task->weights + panel * task->steps * PANEL_STEP;
            v128_t sums[4] = {less, less, less, less};
            for (int32_t step = 0; step < (int32_t)task->steps; step++, w += PANEL_STEP) {
                const v128_t x0 = wasm_v128_load32_splat((const int32_t *)even + step);
                const v128_t x1 = wasm_v128_load32_splat((const int32_t *)odd + step);
                for (int k = 0; k < 4; k++) {
                    const v128_t p = wasm_v128_load(w + 16 * k);
                    sums[k] = wasm_i32x4_add(sums[k], wasm_i32x4_add(wasm_i32x4_dot_i16x8(p, x0), wasm_i32x4_dot_i16x8(wasm_i16x8_shr(p, 8), x1)));
                }
            }
            for (int k = 0; k < 4; k++) {
                const int64_t at = panel * LANES + 4 * k;
                const v128_t scaled = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[k]), wasm_v128_load(task->scale + at));
                wasm_v128_store(task->to + row * task->pitch + at, wasm_f32x4_add(scaled, wasm_v128_load(task->add + at)));
            }
        }
    }
}
#define RAISED(k) ((k) % 2 ? 0 : 64)
#else
#define RAISED(k) 0
#endif

static void product_portable(const product_task *task) { product_of_whole(task); }
static void float_product_portable(const product_task *task) { product_of_floats(task); }
static void gates_portable(const gates_task *task, int cell) { gates_of(task, cell, 0); }
static void float_gates_portable(const gates_task *task, int cell) { gates_of(task, cell, 1); }
static void likelihoods_portable(const float *logits, int64_t count, double largest, double temperature, double *to) {
    likelihoods_of(logits, count, largest, temperature, to);
}
static void add_portable(double *sums, double value, const float *weights, int64_t count) { add_times(sums, value, weights, count); }
static int has_portable(void) { return 1; }

typedef struct {
    const char *name;
    int (*runs_here)(void);
    void (*product[2])(const product_task *);   /* by precision */
    void (*gates[2])(const gates_task *, int cell);
    void (*add)(double *sums, double value, const float *weights, int64_t count);
    void (*likelihoods)(const float *logits, int64_t count, double largest, double temperature, double *to);
} micro_kernel;

static const micro_kernel MICRO[] = {
#ifdef X86
    {"avx512vnni", has_vnni, {product_vnni, float_product_vnni}, {gates_vnni, float_gates_vnni}, add_vnni, likelihoods_vnni},
    {"avx2", has_avx2, {product_avx2, float_product_avx2}, {gates_avx2, float_gates_avx2}, add_avx2, likelihoods_avx2},
#endif
#ifdef NEON
    {"neon", has_neon, {product_neon, float_product_portable}, {gates_portable, float_gates_portable}, add_portable, likelihoods_portable},
#endif
#ifdef __wasm_simd128__
    {"wasm-simd", has_portable, {product_wasm, float_product_portable}, {gates_portable, float_gates_portable}, add_portable, likelihoods_portable},
#else
    {"portable", has_portable, {product_portable, float_product_portable}, {gates_portable, float_gates_portable}, add_portable, likelihoods_portable},
#endif
};
enum { MICROS = sizeof MICRO / sizeof *MICRO };

/* ------------------------------------------------------------------ laying out */

static int64_t padded(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

static int64_t reserve(int64_t *cursor, int64_t bytes) {
    int64_t at = *cursor;
    *cursor += padded(bytes, 64);
    return at;
}

static void lay_matrix(int64_t *cursor, matrix *at, int64_t inputs, int64_t columns, int is_float) {
    at->columns = columns;
    at->steps = is_float ? inputs : (inputs + 3) / 4;
    at->panels = reserve(cursor, columns / LANES * at->steps * PANEL_STEP);
    at->start = reserve(cursor, 4 * columns);
    at->scale = reserve(cursor, 4 * columns);
    at->add = reserve(cursor, 4 * columns);
}

static int lay_out(const charloom_shape *shape, layout *to) {
    static const int gates[] = {1, 3, 4};
    if (shape->cell < 0 || shape->cell > 2 || shape->layers < 1 || shape->layers > 32 || shape->hidden < 1 ||
        shape->hidden > 16384 || shape->embedding < 0 || shape->embedding > 16384 || shape->symbols < 2 ||
        shape->symbols > 1200000 || shape->precision < 0 || shape->precision > 1)
        return 0;
    memset(to, 0, sizeof *to);
    int is_float = shape->precision == CHARLOOM_FLOAT32;
    to->shape = *shape;
    to->gates = gates[shape->cell];
    to->units = padded(shape->hidden, LANES);
    to->width = to->gates * to->units;
    to->stride = padded(to->units * (is_float ? 4 : 1), 64);
    to->inputs = shape->embedding ? shape->embedding : shape->symbols;
    int64_t cursor = padded(sizeof *to, 64), symbols = shape->symbols;
    if (!shape->embedding || symbols * to->width <= TABLE) to->table = reserve(&cursor, 4 * symbols * to->width);
    if (shape->embedding) {
        to->embedding = reserve(&cursor, 4 * symbols * shape->embedding);
        to->first = reserve(&cursor, 4 * shape->embedding * to->width);
    }
    to->first_scale = reserve(&cursor, 4 * to->width);
    to->first_add = reserve(&cursor, 4 * to->width);
    for (int layer = 0; layer < shape->layers; layer++) {
        if (layer) lay_matrix(&cursor, &to->below[layer], shape->hidden, to->width, is_float);
        lay_matrix(&cursor, &to->recurrent[layer], shape->hidden, to->width, is_float);
    }
    lay_matrix(&cursor, &to->output, shape->hidden, padded(symbols, LANES), is_float);
    int64_t slab = LOGITS / symbols;
    to->slab = slab < 1 ? 1 : slab > CHUNK ? CHUNK : slab;
    to->magic = MAGIC;
    to->bytes = cursor;
    return 1;
}

static const layout *laid_out(const void *model, int64_t bytes) {
    const layout *m = model;
    if (!model || (uintptr_t)model % 64 || bytes < (int64_t)sizeof *m || m->magic != MAGIC || m->bytes != bytes) return NULL;
    return m;
}

static int64_t lay_workspace(const layout *m, uint8_t *base, workspace *to) {
    int64_t cursor = 0, symbols = m->shape.symbols;
#define PLACE(field, bytes) do { int64_t at = reserve(&cursor, (bytes)); if (base) to->field = (void *)(base + at); } while (0)
    PLACE(hidden, CHUNK * m->stride);
    PLACE(above, CHUNK * m->stride);
    PLACE(before, CHUNK * m->stride);
    PLACE(inputs, CHUNK * m->width * 4);
    PLACE(rows, CHUNK * (int64_t)sizeof(float *));
    PLACE(gates, CHUNK * m->gates * LANES * 4);
    PLACE(h, CHUNK * m->units * 4);
    PLACE(c, CHUNK * m->units * 4);
    PLACE(sums, m->width * 8);
    PLACE(logits, m->slab * symbols * 4);
    PLACE(weights, symbols * 8);
    PLACE(ranking, symbols * 8);
#undef PLACE
    return cursor;
}

int32_t charloom_version(void) { return 1; }

const char *charloom_micro(int32_t index) {
    if (index < 0 || index >= MICROS) return NULL;
    return MICRO[index].runs_here() ? MICRO[index].name : "";
}

int64_t charloom_model_bytes(const charloom_shape *shape) {
    layout m;
    return lay_out(shape, &m) ? m.bytes : CHARLOOM_BAD_SHAPE;
}

int64_t charloom_work_bytes(const void *model, int64_t model_bytes) {
    const layout *m = laid_out(model, model_bytes);
    return m ? lay_workspace(m, NULL, NULL) : CHARLOOM_BAD_MODEL;
}

int32_t charloom_quantize(const float *values, int64_t rows, int64_t columns, int32_t levels, int8_t *whole,
                          float *scales) {
    if (rows < 0 || columns < 0 || levels < 1 || levels > 127) return CHARLOOM_BAD_RANGE;
    for (int64_t row = 0; row < rows; row++, values += columns, whole += columns) {
        float largest = 0;
        for (int64_t j = 0; j < columns; j++) {
            float size = values[j] < 0 ? -values[j] : values[j];
            largest = size > largest ? size : largest;
        }
        double scale = (double)largest / levels;
        if (scale == 0) scale = 1;
        for (int64_t j = 0; j < columns; j++) {
            double shifted = (double)values[j] / scale;
            shifted = shifted > -levels ? shifted : -levels;
            shifted = (shifted < levels ? shifted : levels) + 6755399441055744.0;
            int64_t bits;
            memcpy(&bits, &shifted, 8);
            whole[j] = (int8_t)(bits & 255);
        }
        scales[row] = (float)scale;
    }
    return 0;
}

/* Row `row` of a source matrix (gates · units, inputs) goes to this column. */
static int64_t column_of(int64_t row, int64_t units, int64_t gates) {
    int64_t gate = row / units, unit = row % units;
    return (unit / LANES * gates + gate) * LANES + unit % LANES;
}

static void pack(uint8_t *base, const matrix *to, const void *from, const float *scales, int64_t gates, int64_t units,
                 int64_t inputs, int is_float) {
    int32_t *start = (int32_t *)(base + to->start);
    float *scale = (float *)(base + to->scale);
    for (int64_t row = 0; row < gates * units; row++) {
        int64_t column = column_of(row, units, gates), lane = column % LANES;
        uint8_t *panel = base + to->panels + column / LANES * to->steps * PANEL_STEP;
        if (is_float) {
            const float *source = (const float *)from + row * inputs;
            for (int64_t k = 0; k < inputs; k++) ((float *)panel)[k * LANES + lane] = source[k];
            continue;
        }
        const int8_t *source = (const int8_t *)from + row * inputs;
        int32_t sum = 0;
        for (int64_t k = 0; k < inputs; k++) {
            int8_t weight = source[k] < -CHARLOOM_LEVELS ? -CHARLOOM_LEVELS : source[k] > CHARLOOM_LEVELS ? CHARLOOM_LEVELS : source[k];
            ((int8_t *)panel)[k / 4 * PANEL_STEP + lane * 4 + k % 4] = weight + RAISED(k);
            sum += weight;
        }
        start[column] = -128 * sum;
        scale[column] = scales[row] / 127.0f;
    }
}

/* What symbol `id` gives the first layer's gates: sums in double, in the order of the inputs. */
static void embed(const layout *m, int64_t id, double *sums, float *to) {
    const uint8_t *base = (const uint8_t *)m;
    const float *values = (const float *)(base + m->embedding) + id * m->shape.embedding;
    const float *first = (const float *)(base + m->first);
    const float *scale = (const float *)(base + m->first_scale), *add = (const float *)(base + m->first_add);
    memset(sums, 0, (size_t)m->width * sizeof *sums);
    for (int64_t k = 0; k < m->shape.embedding; k++)
        MICRO[m->micro].add(sums, (double)values[k], first + k * m->width, m->width);
    for (int64_t j = 0; j < m->width; j++) to[j] = (float)(sums[j] * (double)scale[j] + (double)add[j]);
}

static void prepare_first(layout *m, const void *const *tensors) {
    uint8_t *base = (uint8_t *)m;
    const int64_t units = m->shape.hidden, symbols = m->shape.symbols, inputs = m->inputs;
    const int is_float = m->shape.precision == CHARLOOM_FLOAT32;
    float *scale = (float *)(base + m->first_scale), *add = (float *)(base + m->first_add);
    /* one-hot: the weights themselves lie where the table will be */
    float *first = (float *)(base + (m->shape.embedding ? m->first : m->table));
    for (int64_t row = 0; row < m->gates * units; row++) {
        int64_t column = column_of(row, units, m->gates);
        scale[column] = is_float ? 1.0f : ((const float *)tensors[2])[row];
        for (int64_t k = 0; k < inputs; k++)
            first[k * m->width + column] = is_float ? ((const float *)tensors[1])[row * inputs + k]
                                                    : (float)((const int8_t *)tensors[1])[row * inputs + k];
    }
    if (!m->shape.embedding) {
        for (int64_t id = 0; id < symbols; id++)
            for (int64_t j = 0; j < m->width; j++) {
                float *value = first + id * m->width + j;
                *value = (float)((double)*value * (double)scale[j] + (double)add[j]);
            }
        return;
    }
    memcpy(base + m->embedding, tensors[0], (size_t)(4 * symbols * m->shape.embedding));
    if (!m->table) return;
    for (int64_t id = 0; id < symbols; id++) {
        double sums[LANES * 8];
        const float *values = (const float *)(base + m->embedding) + id * m->shape.embedding;
        float *to = (float *)(base + m->table) + id * m->width;
        for (int64_t from = 0; from < m->width; from += LANES * 8) {
            int64_t count = m->width - from < LANES * 8 ? m->width - from : LANES * 8;
            memset(sums, 0, sizeof sums);
            for (int64_t k = 0; k < m->shape.embedding; k++)
                MICRO[m->micro].add(sums, (double)values[k], first + k * m->width + from, count);
            for (int64_t j = 0; j < count; j++)
                to[from + j] = (float)(sums[j] * (double)scale[from + j] + (double)add[from + j]);
        }
    }
}

/* Both biases reach a gate from below; a GRU's new gate gets the recurrent one with what comes from before. */
static void place_biases(const layout *m, const float *from_below, const float *from_before, float *below,
                         float *recurrent) {
    for (int64_t row = 0; row < (int64_t)m->gates * m->shape.hidden; row++) {
        int64_t column = column_of(row, m->shape.hidden, m->gates);
        int apart = m->shape.cell == CHARLOOM_GRU && row >= 2 * (int64_t)m->shape.hidden;
        below[column] = apart ? from_below[row] : from_below[row] + from_before[row];
        if (apart) recurrent[column] = from_before[row];
    }
}

static int sizes_fit(const layout *m, const void *const *tensors, const int64_t *sizes, int32_t count) {
    const charloom_shape *s = &m->shape;
    const int is_float = s->precision == CHARLOOM_FLOAT32;
    const int64_t item = is_float ? 4 : 1, rows = (int64_t)m->gates * s->hidden, scales = is_float ? 0 : 4;
    if (count != 4 + 6 * s->layers) return 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t expected;
        if (i == 0) expected = 4 * (int64_t)s->symbols * s->embedding;
        else if (i >= count - 3) {
            int which = i - (count - 3);
            expected = which == 0 ? item * s->symbols * s->hidden : (which == 1 ? scales : 4) * s->symbols;
        } else {
            int which = (i - 1) % 6, layer = (i - 1) / 6;
            expected = which == 0 ? item * rows * (layer ? s->hidden : m->inputs)
                     : which == 2 ? item * rows * s->hidden
                     : which < 4 ? scales * rows : 4 * rows;
        }
        if (sizes[i] != expected || (expected && !tensors[i])) return 0;
    }
    return 1;
}

int32_t charloom_prepare(const charloom_shape *shape, int32_t micro, const void *const *tensors, const int64_t *sizes,
                         int32_t count, void *model, int64_t model_bytes) {
    layout plan, *m = model;
    if (!lay_out(shape, &plan)) return CHARLOOM_BAD_SHAPE;
    if (micro < 0 || micro >= MICROS || !MICRO[micro].runs_here()) return CHARLOOM_NO_KERNEL;
    if (!model || (uintptr_t)model % 64 || model_bytes != plan.bytes || !sizes_fit(&plan, tensors, sizes, count))
        return CHARLOOM_BAD_SIZE;
    memset(model, 0, (size_t)model_bytes);
    plan.micro = micro;
    *m = plan;
    uint8_t *base = model;
    const int is_float = shape->precision == CHARLOOM_FLOAT32;
    for (int layer = 0; layer < shape->layers; layer++) {
        const void *const *own = tensors + 1 + 6 * layer;
        matrix *below = &m->below[layer], *recurrent = &m->recurrent[layer];
        if (layer) pack(base, below, own[0], own[1], m->gates, shape->hidden, shape->hidden, is_float);
        pack(base, recurrent, own[2], own[3], m->gates, shape->hidden, shape->hidden, is_float);
        place_biases(m, own[4], own[5], (float *)(base + (layer ? below->add : m->first_add)),
                     (float *)(base + recurrent->add));
    }
    prepare_first(m, tensors);
    const void *const *last = tensors + count - 3;
    pack(base, &m->output, last[0], last[1], 1, shape->symbols, shape->hidden, is_float);
    memcpy(base + m->output.add, last[2], (size_t)(4 * shape->symbols));
    return 0;
}

/* ------------------------------------------------------------------ running */

typedef struct {
    const layout *m;
    workspace *w;
    int64_t rows;        /* of all, B */
    int64_t begin, count; /* those that are read */
    float *state;        /* (S, B, H) */
} reading;

static void multiply(const layout *m, const matrix *by, const uint8_t *hidden, int64_t rows, int64_t first_panel,
                     int64_t panels, float *to, int64_t pitch) {
    const uint8_t *base = (const uint8_t *)m;
    product_task task = {
        .rows = rows, .stride = m->stride, .hidden = hidden, .panels = panels, .steps = by->steps,
        .weights = (const int8_t *)(base + by->panels) + first_panel * by->steps * PANEL_STEP,
        .start = (const int32_t *)(base + by->start) + first_panel * LANES,
        .scale = (const float *)(base + by->scale) + first_panel * LANES,
        .add = (const float *)(base + by->add) + first_panel * LANES, .to = to, .pitch = pitch,
    };
    MICRO[m->micro].product[m->shape.precision](&task);
}

/* A state's rows: where the caller has them, or padded copies of them. */
static float *take_state(const reading *r, int64_t index, float *copy) {
    const int64_t size = r->m->shape.hidden, units = r->m->units;
    float *own = r->state + (index * r->rows + r->begin) * size;
    if (size == units) return own;
    for (int64_t row = 0; row < r->count; row++) {
        memset(copy + row * units + units - LANES, 0, LANES * sizeof *copy);
        memcpy(copy + row * units, own + row * size, (size_t)size * sizeof *copy);
    }
    return copy;
}

static void give_state(const reading *r, int64_t index, const float *copy) {
    const int64_t size = r->m->shape.hidden, units = r->m->units;
    if (size == units) return;
    float *own = r->state + (index * r->rows + r->begin) * size;
    for (int64_t row = 0; row < r->count; row++)
        memcpy(own + row * size, copy + row * units, (size_t)size * sizeof *copy);
}

static void take_hidden(const reading *r, const float *h) {
    const layout *m = r->m;
    for (int64_t row = 0; row < r->count; row++) {
        uint8_t *to = r->w->before + row * m->stride;
        const float *from = h + row * m->units;
        if (m->shape.precision == CHARLOOM_FLOAT32) memcpy(to, from, (size_t)m->units * sizeof *from);
        else for (int64_t j = 0; j < m->units; j += WIDE) quantize_wide(to + j, load(from + j));
    }
}

/* What reaches a layer's gates from below, of `steps` steps: where each row's is goes to `rows`. Of a single step the
   products are left to `recur`, which makes those of 16 units at a time, for they then stay in the nearest cache. */
static void feed(const reading *r, int layer, const int64_t *ids, int64_t steps) {
    const layout *m = r->m;
    const workspace *w = r->w;
    const int64_t pitch = layer && steps == 1 ? m->gates * LANES : m->width;
    if (layer && steps > 1) multiply(m, &m->below[layer], w->hidden, steps * r->count, 0, m->width / LANES, w->inputs, pitch);
    for (int64_t step = 0, i = 0; step < steps; step++)
        for (int64_t row = 0; row < r->count; row++, i++) {
            w->rows[i] = w->inputs + i * pitch;
            if (layer) continue;
            int64_t id = ids[step * r->rows + r->begin + row];
            if (m->table) w->rows[i] = (const float *)((const uint8_t *)m + m->table) + id * m->width;
            else embed(m, id, w->sums, w->inputs + i * m->width);
        }
}

static void recur(const reading *r, int layer, int64_t steps) {
    const layout *m = r->m;
    workspace *w = r->w;
    const int states = m->shape.cell == CHARLOOM_LSTM ? 2 : 1, is_float = m->shape.precision == CHARLOOM_FLOAT32;
    const int64_t pitch = m->gates * LANES, by_block = layer && steps == 1;
    gates_task task = {.rows = r->count, .gates = w->gates, .pitch = m->units, .stride = m->stride};
    float *h = take_state(r, layer * states, w->h), *c = states > 1 ? take_state(r, layer * states + 1, w->c) : NULL;
    take_hidden(r, h);
    for (int64_t step = 0; step < steps; step++) {
        const uint8_t *before = step ? w->above + (step - 1) * r->count * m->stride : w->before;
        task.inputs = w->rows + step * r->count;
        for (int64_t block = 0; block < m->units / LANES; block++) {
            const int64_t first = block * m->gates;
            if (by_block) multiply(m, &m->below[layer], w->hidden, r->count, first, m->gates, w->inputs, pitch);
            multiply(m, &m->recurrent[layer], before, r->count, first, m->gates, w->gates, pitch);
            task.at = by_block ? 0 : block * pitch;
            task.h = h + block * LANES;
            task.c = c ? c + block * LANES : NULL;
            task.hidden = w->above + step * r->count * m->stride + block * LANES * (is_float ? 4 : 1);
            MICRO[m->micro].gates[m->shape.precision](&task, m->shape.cell);
        }
    }
    give_state(r, layer * states, h);
    if (c) give_state(r, layer * states + 1, c);
    uint8_t *below = w->hidden;
    w->hidden = w->above;
    w->above = below;
}

/* Read `steps` steps, steps · count ≤ CHUNK, in some layers; the last one's hidden states are left in the workspace. */
static void read_layers(const reading *r, const int64_t *ids, int64_t steps, int from, int to) {
    for (int layer = from; layer < to; layer++) {
        feed(r, layer, ids, steps);
        recur(r, layer, steps);
    }
}

static void read_chunk(const reading *r, const int64_t *ids, int64_t steps) {
    read_layers(r, ids, steps, 0, r->m->shape.layers);
}

/* The last layer's hidden states of some steps: read, or as `charloom_read` has left them. */
static void find_hidden(const reading *r, const int64_t *ids, int64_t step, int64_t steps, const uint8_t *passed) {
    const int64_t stride = r->m->stride;
    if (passed) memcpy(r->w->hidden, passed + step * r->count * stride, (size_t)(steps * r->count * stride));
    else read_chunk(r, ids + step * r->rows, steps);
}

/* Logits of hidden states `from` to `to` (rows, V), `pitch` numbers apart. */
static void score(const reading *r, int64_t from, int64_t rows, float *to, int64_t pitch) {
    const layout *m = r->m;
    float part[CHUNK * LANES];
    for (int64_t panel = 0; panel * LANES < m->shape.symbols; panel++) {
        multiply(m, &m->output, r->w->hidden + from * m->stride, rows, panel, 1, part, LANES);
        int64_t left = m->shape.symbols - panel * LANES, count = left < LANES ? left : LANES;
        for (int64_t row = 0; row < rows; row++)
            memcpy(to + row * pitch + panel * LANES, part + row * LANES, (size_t)count * sizeof *to);
    }
}

static int ids_fit(const int64_t *ids, int64_t steps, int64_t rows, int64_t begin, int64_t end, int64_t symbols) {
    for (int64_t step = 0; step < steps; step++)
        for (int64_t row = begin; row < end; row++)
            if (ids[step * rows + row] < 0 || ids[step * rows + row] >= symbols) return 0;
    return 1;
}

static int ranges_fit(int64_t steps, int64_t rows, int64_t begin, int64_t end) {
    return steps >= 0 && rows >= 0 && begin >= 0 && begin <= end && end <= rows && steps <= INT32_MAX && rows <= INT32_MAX;
}

static int32_t begin_work(const void *model, int64_t model_bytes, void *work, int64_t work_bytes, workspace *w) {
    const layout *m = laid_out(model, model_bytes);
    if (!m) return CHARLOOM_BAD_MODEL;
    if (!work || (uintptr_t)work % 64 || work_bytes < lay_workspace(m, NULL, NULL)) return CHARLOOM_BAD_SIZE;
    lay_workspace(m, work, w);
    return 0;
}

int32_t charloom_run(const void *model, int64_t model_bytes, void *work, int64_t work_bytes, const int64_t *ids,
                     int64_t steps, int64_t rows, int64_t begin, int64_t end, float *state, float *logits,
                     int64_t first, const uint8_t *passed) {
    workspace w;
    int32_t refused = begin_work(model, model_bytes, work, work_bytes, &w);
    if (refused) return refused;
    const layout *m = model;
    const int64_t symbols = m->shape.symbols;
    if (!ranges_fit(steps, rows, begin, end) || first < 0 || (passed && end - begin > CHUNK)) return CHARLOOM_BAD_RANGE;
    if (!ids_fit(ids, steps, rows, begin, end, symbols)) return CHARLOOM_BAD_ID;
    for (int64_t from = begin; from < end; from += CHUNK) {
        reading r = {m, &w, rows, from, end - from < CHUNK ? end - from : CHUNK, state};
        const int64_t at_once = CHUNK / r.count;
        for (int64_t step = 0; step < steps; step += at_once) {
            int64_t count = steps - step < at_once ? steps - step : at_once;
            find_hidden(&r, ids, step, count, passed);
            int64_t skipped = first > step ? first - step : 0;
            if (r.count == rows && skipped < count) { /* steps follow one another without a gap */
                score(&r, skipped * rows, (count - skipped) * rows, logits + (step + skipped - first) * rows * symbols, symbols);
                continue;
            }
            for (int64_t own = skipped; own < count; own++)
                score(&r, own * r.count, r.count, logits + ((step + own - first) * rows + from) * symbols, symbols);
        }
    }
    return 0;
}

int32_t charloom_read(const void *model, int64_t model_bytes, void *work, int64_t work_bytes, const int64_t *ids,
                      int64_t steps, int64_t rows, float *state, int32_t from, int32_t to, uint8_t *passed,
                      int64_t passed_bytes) {
    workspace w;
    int32_t refused = begin_work(model, model_bytes, work, work_bytes, &w);
    if (refused) return refused;
    const layout *m = model;
    if (!ranges_fit(steps, rows, 0, rows) || rows < 1 || rows > CHUNK || from < 0 || to < from || to > m->shape.layers)
        return CHARLOOM_BAD_RANGE;
    if (passed_bytes / m->stride / rows < steps) return CHARLOOM_BAD_SIZE;
    if (!ids_fit(ids, steps, rows, 0, rows, m->shape.symbols)) return CHARLOOM_BAD_ID;
    reading r = {m, &w, rows, 0, rows, state};
    const int64_t at_once = CHUNK / rows;
    for (int64_t step = 0; step < steps; step += at_once) {
        const int64_t count = steps - step < at_once ? steps - step : at_once;
        uint8_t *own = passed + step * rows * m->stride;
        const size_t bytes = (size_t)(count * rows * m->stride);
        if (from > 0) memcpy(w.hidden, own, bytes);
        read_layers(&r, ids + step * rows, count, from, to);
        memcpy(own, w.hidden, bytes);
    }
    return 0;
}

int64_t charloom_passed_bytes(const void *model, int64_t model_bytes) {
    const layout *m = laid_out(model, model_bytes);
    return m ? m->stride : CHARLOOM_BAD_MODEL;
}

/* ------------------------------------------------------------------ drawing */

static void sink(double *heap, int64_t count, int64_t at) {
    const double value = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && heap[child + 1] > heap[child]) child++;
        if (!(heap[child] > value)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

static double pop_largest(double *heap, int64_t *count) {
    double largest = heap[0];
    heap[0] = heap[--*count];
    if (*count) sink(heap, *count, 0);
    return largest;
}

/* Keep the likeliest symbols: as many as `most`, and no more than reach a share of the whole. Of equals the lowest. */
static void keep_likeliest(double *weights, int64_t symbols, int64_t most, double share, double *heap) {
    double total = 0, reached = 0, least = 0;
    for (int64_t id = 0; id < symbols; id++) total += weights[id];
    memcpy(heap, weights, (size_t)symbols * sizeof *heap);
    for (int64_t at = symbols / 2; at-- > 0;) sink(heap, symbols, at);
    int64_t left = symbols, kept = 0;
    while (kept < most && left && (kept == 0 || reached < share * total)) {
        least = pop_largest(heap, &left);
        reached += least;
        kept++;
    }
    for (int64_t id = 0; id < symbols; id++) kept -= weights[id] > least;
    for (int64_t id = 0; id < symbols; id++) {
        if (weights[id] > least) continue;
        if (weights[id] == least && kept > 0) kept--;
        else weights[id] = 0;
    }
}

/* The likeliest of the symbols that may come; -1 where none may. */
static int64_t likeliest(const float *logits, int64_t symbols, int64_t unknown, const uint8_t *allowed) {
    int64_t best = -1;
    for (int64_t id = 0; id < symbols; id++)
        if (id != unknown && (!allowed || allowed[id]) && (best < 0 || logits[id] > logits[best])) best = id;
    return best;
}

static int are_finite(const float *logits, int64_t symbols) {
    float lost = 0;
    for (int64_t id = 0; id < symbols; id++) lost += logits[id] - logits[id]; /* of infinities and NaN it is NaN */
    return lost == 0;
}

static int64_t draw(const micro_kernel *micro, const float *logits, int64_t symbols, const charloom_sampling *sampling,
                    int64_t unknown, const uint8_t *allowed, double uniform, double *weights, double *ranking) {
    const int64_t best = are_finite(logits, symbols) ? likeliest(logits, symbols, unknown, allowed) : -1;
    if (best < 0) return symbols;
    if (sampling->temperature == 0) return best;
    micro->likelihoods(logits, symbols, logits[best], sampling->temperature, weights);
    for (int64_t id = 0; allowed && id < symbols; id++)
        if (!allowed[id]) weights[id] = 0;
    if (unknown >= 0) weights[unknown] = 0;
    if (sampling->top_k > 0 && sampling->top_k < symbols)
        keep_likeliest(weights, symbols, sampling->top_k, 2, ranking);
    if (sampling->top_p < 1) keep_likeliest(weights, symbols, symbols, sampling->top_p, ranking);
    if (sampling->min_p > 0)
        for (int64_t id = 0; id < symbols; id++)
            if (!(weights[id] >= sampling->min_p)) weights[id] = 0; /* the likeliest has 1 */
    double total = 0, reached = 0;
    for (int64_t id = 0; id < symbols; id++) total += weights[id];
    const double target = uniform * total;
    int64_t last = best;
    for (int64_t id = 0; id < symbols; id++) {
        reached += weights[id];
        if (reached > target) return id;
        if (weights[id] > 0) last = id;
    }
    return last;
}

int64_t charloom_draw(const float *logits, int64_t symbols, const charloom_sampling *sampling, int64_t unknown,
                      const uint8_t *allowed, double uniform, double *weights, double *ranking) {
    return draw(&MICRO[MICROS - 1], logits, symbols, sampling, unknown, allowed, uniform, weights, ranking);
}

int32_t charloom_write(const void *model, int64_t model_bytes, void *work, int64_t work_bytes, int64_t *ids,
                       int64_t steps, int64_t rows, int64_t begin, int64_t end, float *state, const double *uniforms,
                       const charloom_sampling *sampling, int64_t unknown, const uint8_t *allowed, int64_t *written) {
    workspace w;
    int32_t refused = begin_work(model, model_bytes, work, work_bytes, &w);
    if (refused) return refused;
    const layout *m = model;
    const int64_t symbols = m->shape.symbols;
    if (!ranges_fit(steps, rows, begin, end) || unknown < -1 || unknown >= symbols) return CHARLOOM_BAD_RANGE;
    for (int64_t row = begin; row < end; row++)
        if (!(sampling[row].temperature >= 0)) return CHARLOOM_BAD_RANGE;
    if (!ids_fit(ids, 1, rows, begin, end, symbols)) return CHARLOOM_BAD_ID;
    for (int64_t step = 0; step < steps; step++)
        for (int64_t from = begin; from < end; from += CHUNK) {
            reading r = {m, &w, rows, from, end - from < CHUNK ? end - from : CHUNK, state};
            read_chunk(&r, ids, 1);
            for (int64_t slab = 0; slab < r.count; slab += m->slab) {
                int64_t count = r.count - slab < m->slab ? r.count - slab : m->slab;
                score(&r, slab, count, w.logits, symbols);
                for (int64_t i = 0; i < count; i++) {
                    const int64_t row = from + slab + i;
                    const int64_t id = draw(&MICRO[m->micro], w.logits + i * symbols, symbols, &sampling[row], unknown,
                                            allowed ? allowed + row * symbols : NULL, uniforms[step * rows + row],
                                            w.weights, w.ranking);
                    written[step * rows + row] = id;
                    ids[row] = id < symbols ? id : 0; /* a lost row's texts mean nothing; its neighbours go on */
                }
            }
        }
    return 0;
}

/* −ln p of a target by logits (V); NaN where they are not all finite. */
static double nats_of(const micro_kernel *micro, const float *logits, int64_t symbols, int64_t target, double *weights) {
    if (!are_finite(logits, symbols)) return __builtin_nan("");
    const double largest = logits[likeliest(logits, symbols, -1, NULL)];
    double total = 0;
    micro->likelihoods(logits, symbols, largest, 1.0, weights);
    for (int64_t id = 0; id < symbols; id++) total += weights[id];
    return log_of(total) - ((double)logits[target] - largest);
}

int32_t charloom_nats(const void *model, int64_t model_bytes, void *work, int64_t work_bytes, const int64_t *ids,
                      const int64_t *targets, int64_t steps, int64_t rows, int64_t begin, int64_t end, float *state,
                      double *nats, const uint8_t *passed) {
    workspace w;
    int32_t refused = begin_work(model, model_bytes, work, work_bytes, &w);
    if (refused) return refused;
    const layout *m = model;
    const int64_t symbols = m->shape.symbols;
    if (!ranges_fit(steps, rows, begin, end) || (passed && end - begin > CHUNK)) return CHARLOOM_BAD_RANGE;
    if (!ids_fit(ids, steps, rows, begin, end, symbols) || !ids_fit(targets, steps, rows, begin, end, symbols))
        return CHARLOOM_BAD_ID;
    for (int64_t from = begin; from < end; from += CHUNK) {
        reading r = {m, &w, rows, from, end - from < CHUNK ? end - from : CHUNK, state};
        const int64_t at_once = CHUNK / r.count;
        for (int64_t step = 0; step < steps; step += at_once) {
            const int64_t count = (steps - step < at_once ? steps - step : at_once) * r.count;
            find_hidden(&r, ids, step, count / r.count, passed);
            for (int64_t slab = 0; slab < count; slab += m->slab) {
                const int64_t some = count - slab < m->slab ? count - slab : m->slab;
                score(&r, slab, some, w.logits, symbols);
                for (int64_t i = 0; i < some; i++) {
                    const int64_t place = (step + (slab + i) / r.count) * rows + from + (slab + i) % r.count;
                    nats[place] = nats_of(&MICRO[m->micro], w.logits + i * symbols, symbols, targets[place], w.weights);
                }
            }
        }
    }
    return 0;
}
