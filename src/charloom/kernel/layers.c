/* See layers.h. How it is fast:

   - Weights lie in panels of as many columns as a tile of sums in registers has, so that each is read once a step for
     all rows, in the order in which it lies; while one panel is multiplied, the next one is on its way.
   - A panel is cut into pieces of DEPTH words, which stay in the nearest cache while all rows meet them. A word is one
     input in float32, or two in bfloat16, which one instruction multiplies and adds.
   - What follows a product is done in registers: gates of as many units as fit, of one row after another. */

#include "layers.h"

#include <stddef.h>

#define memcpy __builtin_memcpy
#define memset __builtin_memset

#if defined(__x86_64__) && !defined(CHARLOOM_PORTABLE)
#define X86 1
#include <cpuid.h>
#include <immintrin.h>
#if __GNUC__ >= 10 || __clang_major__ >= 9
#define BFLOAT16 1
#endif
#endif
#if defined(__aarch64__) && !defined(CHARLOOM_PORTABLE)
#define NEON 1
#include <arm_neon.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* of vectors as arguments, which are all inlined here */
#endif

#define INLINE static inline __attribute__((always_inline))
#define DEPTH 128 /* words of inputs that are multiplied at a time */
#define GAP 16    /* words between two rows of them, so that rows do not fall on the same lines of a cache */

/* All of a call that its steps read. */
typedef struct {
    int32_t cell;
    int64_t hidden;
    const float *bias; /* of a GRU's new gate */
} pass;

/* One row at one step. */
typedef struct {
    const float *below, *product, *before, *cells_before, *of_after;
    float *after, *cells, *gates, *inner, *of_state, *of_cells, *of_recurrent;
} place;

#ifdef X86
#define NAME(it) it##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,fma")))
#define WIDE 16
#define TALL 8
#define FUSED(a, b, c) (floats)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#define INPUTS 1
#define PRODUCT FUSED
#include "layers_micro.h"
#ifdef BFLOAT16
#define NAME(it) it##_bfloat16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,fma")))
#define WIDE 16
#define TALL 8
#define FUSED(a, b, c) (floats)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#define INPUTS 2
#define PRODUCT(a, b, c) (floats)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b))
#define ROUND(lower, upper) (floats)_mm512_cvtne2ps_pbh((__m512)(upper), (__m512)(lower))
#define ROUND_WIDE(values) (ints)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)(values)))
#include "layers_micro.h"
static int has_bfloat16(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}
#endif
#define NAME(it) it##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define WIDE 8
#define TALL 4
#define FUSED(a, b, c) (floats)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#define INPUTS 1
#define PRODUCT FUSED
#include "layers_micro.h"
#endif

#define NAME(it) it##_portable
#define TARGET
#define WIDE 4
#ifdef NEON
#define TALL 8
#define FUSED(a, b, c) (floats)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#else
#define TALL 4
#define FUSED(a, b, c) ((a) * (b) + (c))
#endif
#define INPUTS 1
#define PRODUCT FUSED
#include "layers_micro.h"

typedef struct {
    const char *name; /* of kernel.c's micro-kernel that runs on the same processors */
    int columns, inputs; /* inputs in a word */
    int (*runs_here)(void); /* NULL where the micro-kernel does */
    void (*pack)(const float *weights, int64_t inputs, int64_t outputs, int backward, float *panels);
    void (*multiply)(const float *from, int64_t apart, int64_t rows, int64_t inputs, int64_t panels,
                     const float *weights, float *left, float *to);
    void (*units)(const pass *p, const place *at, int backward);
} steps_kernel;

static const steps_kernel KERNELS[] = {
#ifdef X86
    {"avx512vnni", 48, 1, NULL, pack_avx512, multiply_avx512, units_avx512},
#ifdef BFLOAT16
    {"avx512vnni", 48, 2, has_bfloat16, pack_bfloat16, multiply_bfloat16, units_bfloat16},
#endif
    {"avx2", 24, 1, NULL, pack_avx2, multiply_avx2, units_avx2},
#endif
#ifdef NEON
    {"neon", 12, 1, NULL, pack_portable, multiply_portable, units_portable},
#endif
    {"portable", 12, 1, NULL, pack_portable, multiply_portable, units_portable},
};

static int is_same(const char *name, const char *other) {
    while (*name && *name == *other) name++, other++;
    return *name == *other;
}

static const steps_kernel *kernel_of(const charloom_layer *layer, int32_t micro) {
    const char *name = charloom_micro(micro);
    const int inputs = layer->bfloat16 ? 2 : 1;
    for (size_t i = 0; name && i < sizeof KERNELS / sizeof *KERNELS; i++) {
        const steps_kernel *kernel = &KERNELS[i];
        if (is_same(name, kernel->name) && kernel->inputs == inputs && (!kernel->runs_here || kernel->runs_here())) return kernel;
    }
    return NULL;
}

static int64_t whole(int64_t count, int64_t of) { return (count + of - 1) / of * of; }

static int gates_of_cell(const charloom_layer *layer) { return layer->cell == CHARLOOM_LSTM ? 4 : layer->cell == CHARLOOM_GRU ? 3 : 1; }

static int32_t check_layer(const charloom_layer *layer, int32_t direction, int32_t micro) {
    if (layer->cell < 0 || layer->cell > 2 || layer->hidden < 1 || layer->hidden > 16384) return CHARLOOM_BAD_SHAPE;
    if (layer->steps < 0 || layer->steps > 1 << 24 || layer->rows < 0 || layer->rows > 1 << 20 || direction < 0 || direction > 1)
        return CHARLOOM_BAD_RANGE;
    if (layer->bfloat16 < 0 || layer->bfloat16 > 1) return CHARLOOM_BAD_RANGE;
    return kernel_of(layer, micro) ? 0 : CHARLOOM_NO_KERNEL;
}

static int64_t inputs_of(const charloom_layer *layer, int32_t direction) {
    return (int64_t)layer->hidden * (direction == CHARLOOM_FORWARD ? 1 : gates_of_cell(layer));
}

static int64_t outputs_of(const charloom_layer *layer, int32_t direction) {
    return (int64_t)layer->hidden * (direction == CHARLOOM_FORWARD ? gates_of_cell(layer) : 1);
}

int64_t charloom_layer_panel_bytes(const charloom_layer *layer, int32_t direction, int32_t micro) {
    const int32_t refused = check_layer(layer, direction, micro);
    if (refused) return refused;
    const steps_kernel *kernel = kernel_of(layer, micro);
    return 4 * whole(inputs_of(layer, direction), kernel->inputs) / kernel->inputs * whole(outputs_of(layer, direction), kernel->columns);
}

int64_t charloom_layer_work_bytes(const charloom_layer *layer, int32_t direction, int32_t micro, int64_t rows) {
    const int32_t refused = check_layer(layer, direction, micro);
    if (refused) return refused;
    if (rows < 0 || rows > layer->rows) return CHARLOOM_BAD_RANGE;
    return 4 * rows * (DEPTH + GAP + whole(outputs_of(layer, direction), kernel_of(layer, micro)->columns));
}

int32_t charloom_layer_pack(const charloom_layer *layer, int32_t direction, int32_t micro, const float *weights,
                            int64_t weights_bytes, float *panels, int64_t panel_bytes) {
    const int64_t needed = charloom_layer_panel_bytes(layer, direction, micro);
    if (needed < 0) return (int32_t)needed;
    const int64_t inputs = inputs_of(layer, direction), outputs = outputs_of(layer, direction);
    if (!weights || !panels || panel_bytes != needed || weights_bytes != 4 * inputs * outputs) return CHARLOOM_BAD_SIZE;
    kernel_of(layer, micro)->pack(weights, inputs, outputs, direction == CHARLOOM_BACKWARD, panels);
    return 0;
}

/* ------------------------------------------------------------------ passes */

/* The sizes of a call, in numbers: of one row, of all rows of a step, of all steps. */
typedef struct {
    int64_t hidden, width, states, all, gates, panels;
    int is_lstm, is_gru, is_gated;
} sizes_of_call;

static sizes_of_call measure(const charloom_layer *layer, int32_t direction, int32_t micro) {
    const int64_t gates = gates_of_cell(layer), states = layer->rows * layer->hidden, all = states * layer->steps;
    return (sizes_of_call){.hidden = layer->hidden, .width = gates * layer->hidden, .states = states, .all = all,
                           .gates = gates * all, .panels = charloom_layer_panel_bytes(layer, direction, micro) / 4,
                           .is_lstm = layer->cell == CHARLOOM_LSTM, .is_gru = layer->cell == CHARLOOM_GRU,
                           .is_gated = layer->cell != CHARLOOM_RNN};
}

/* Whether each tensor is there and has so many float32 numbers. */
static int are_whole(void *const *tensors, const int64_t *sizes, const int64_t *expected, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (sizes[i] != 4 * expected[i] || (expected[i] && !tensors[i])) return 0;
    return 1;
}

static int32_t check_call(const charloom_layer *layer, int32_t direction, int32_t micro, int64_t begin, int64_t end,
                          const void *work, int64_t work_bytes) {
    const int32_t refused = check_layer(layer, direction, micro);
    if (refused) return refused;
    if (begin < 0 || begin > end || end > layer->rows) return CHARLOOM_BAD_RANGE;
    const int64_t needed = charloom_layer_work_bytes(layer, direction, micro, end - begin);
    return work_bytes < needed || (needed && !work) ? CHARLOOM_BAD_SIZE : 0;
}

static int32_t check_ids(const charloom_layer *layer, const int64_t *ids, int64_t symbols, int64_t begin, int64_t end) {
    for (int64_t step = 0; step < layer->steps; step++)
        for (int64_t row = begin; row < end; row++)
            if (ids[step * layer->rows + row] < 0 || ids[step * layer->rows + row] >= symbols) return CHARLOOM_BAD_ID;
    return 0;
}

/* Row `row` of step `step` of a tensor (T, B, width), if there is one. */
#define AT(tensor, step, width) ((tensor) ? (float *)(tensor) + ((step) * layer->rows + row) * (width) : NULL)

int32_t charloom_layer_forward(const charloom_layer *layer, int32_t micro, void *const *tensors, const int64_t *sizes,
                               int32_t count, int64_t begin, int64_t end, void *work, int64_t work_bytes) {
    int32_t refused = check_call(layer, CHARLOOM_FORWARD, micro, begin, end, work, work_bytes);
    if (refused) return refused;
    const sizes_of_call of = measure(layer, CHARLOOM_FORWARD, micro);
    if (count != 8) return CHARLOOM_BAD_SIZE;
    const int64_t *ids = sizes[2] ? tensors[2] : NULL, symbols = sizes[1] / (4 * of.width);
    const int64_t expected[] = {of.panels, ids ? symbols * of.width : of.gates, ids ? 2 * of.all / of.hidden : 0,
                                of.is_gru ? of.hidden : 0, of.all + of.states, of.is_lstm ? of.all + of.states : 0,
                                of.is_gated ? of.gates : 0, of.is_gated ? of.all : 0};
    if (!are_whole(tensors, sizes, expected, count)) return CHARLOOM_BAD_SIZE;
    if (ids && (refused = check_ids(layer, ids, symbols, begin, end))) return refused;
    const steps_kernel *kernel = kernel_of(layer, micro);
    const pass p = {layer->cell, of.hidden, tensors[3]};
    const int64_t rows = end - begin, pitch = whole(of.width, kernel->columns);
    float *left = work, *product = left + rows * (DEPTH + GAP);
    for (int64_t step = 0; step < layer->steps; step++) {
        const float *before = (float *)tensors[4] + (step * layer->rows + begin) * of.hidden;
        kernel->multiply(before, of.hidden, rows, of.hidden, pitch / kernel->columns, tensors[0], left, product);
        for (int64_t row = begin; row < end; row++) {
            const place at = {
                .below = ids ? (float *)tensors[1] + ids[step * layer->rows + row] * of.width : AT(tensors[1], step, of.width),
                .product = product + (row - begin) * pitch,
                .before = AT(tensors[4], step, of.hidden),
                .after = AT(tensors[4], step + 1, of.hidden),
                .cells_before = AT(tensors[5], step, of.hidden),
                .cells = AT(tensors[5], step + 1, of.hidden),
                .gates = AT(tensors[6], step, of.width),
                .inner = AT(tensors[7], step, of.hidden),
            };
            kernel->units(&p, &at, 0);
        }
    }
    return 0;
}

int32_t charloom_layer_backward(const charloom_layer *layer, int32_t micro, void *const *tensors, const int64_t *sizes,
                                int32_t count, int64_t begin, int64_t end, void *work, int64_t work_bytes) {
    const int32_t refused = check_call(layer, CHARLOOM_BACKWARD, micro, begin, end, work, work_bytes);
    if (refused) return refused;
    const sizes_of_call of = measure(layer, CHARLOOM_BACKWARD, micro);
    const int64_t expected[] = {of.panels, of.all, of.states, of.is_lstm ? of.states : 0, of.all + of.states,
                                of.is_lstm ? of.all + of.states : 0, of.gates, of.is_gated ? of.all : 0,
                                of.is_gru ? of.gates : 0};
    if (count != 9 || !are_whole(tensors, sizes, expected, count)) return CHARLOOM_BAD_SIZE;
    const steps_kernel *kernel = kernel_of(layer, micro);
    const pass p = {layer->cell, of.hidden, NULL};
    const int64_t rows = end - begin, pitch = whole(of.hidden, kernel->columns);
    float *left = work, *product = left + rows * (DEPTH + GAP), *recurrent = of.is_gru ? tensors[8] : tensors[6];
    if (rows) memset(product, 0, (size_t)(rows * pitch) * sizeof *product);
    for (int64_t step = layer->steps; step-- > 0;) {
        for (int64_t row = begin; row < end; row++) {
            const place at = {
                .of_after = AT(tensors[1], step, of.hidden),
                .of_state = AT(tensors[2], 0, of.hidden),
                .of_cells = AT(tensors[3], 0, of.hidden),
                .product = product + (row - begin) * pitch,
                .before = AT(tensors[4], step, of.hidden),
                .after = AT(tensors[4], step + 1, of.hidden),
                .cells_before = AT(tensors[5], step, of.hidden),
                .gates = AT(tensors[6], step, of.width),
                .inner = AT(tensors[7], step, of.hidden),
                .of_recurrent = AT(tensors[8], step, of.width),
            };
            kernel->units(&p, &at, 1);
        }
        kernel->multiply(recurrent + (step * layer->rows + begin) * of.width, of.width, rows, of.width, pitch / kernel->columns,
                         tensors[0], left, product);
    }
    for (int64_t row = begin; row < end; row++)
        for (int64_t u = 0; u < of.hidden; u++) ((float *)tensors[2])[row * of.hidden + u] += product[(row - begin) * pitch + u];
    return 0;
}
