/* The network of a character model: ids and state in, logits and state out; and texts drawn from it.

   Nothing here allocates, calls a library or keeps anything between calls: the caller gives the memory. Weights are
   laid out once, by `charloom_prepare`, into one block of bytes that all threads may read; each thread works in a
   block of its own. Every size and every id is checked before it is used.

   Legend: T time, B rows, V symbols, E embedding, H hidden units, L layers, G gates, S states (L, or 2·L of an LSTM).
   A function that can refuse returns one of the negative numbers below. */

#ifndef CHARLOOM_KERNEL_H
#define CHARLOOM_KERNEL_H

#include <stdint.h>

#if defined(_WIN32)
#define CHARLOOM_API __declspec(dllexport)
#else
#define CHARLOOM_API __attribute__((visibility("default")))
#endif

enum { CHARLOOM_RNN, CHARLOOM_GRU, CHARLOOM_LSTM };
enum { CHARLOOM_INT8, CHARLOOM_FLOAT32 };
enum {
    CHARLOOM_BAD_SHAPE = -1,  /* a size of the network is out of its bounds */
    CHARLOOM_BAD_SIZE = -2,   /* a tensor or a block of memory is not as large as the network says */
    CHARLOOM_BAD_ID = -3,     /* an id is that of no symbol */
    CHARLOOM_BAD_RANGE = -4,  /* rows, steps or settings are out of their bounds */
    CHARLOOM_NO_KERNEL = -5,  /* this processor cannot run that micro-kernel */
    CHARLOOM_BAD_MODEL = -6   /* the block was not laid out by charloom_prepare */
};

typedef struct {
    int32_t cell;       /* CHARLOOM_RNN, … */
    int32_t layers;     /* 1 to 32 */
    int32_t hidden;     /* 1 to 16,384 */
    int32_t embedding;  /* 0 (one-hot) to 16,384 */
    int32_t symbols;    /* 2 to 1,200,000 */
    int32_t precision;  /* CHARLOOM_INT8 or CHARLOOM_FLOAT32 */
} charloom_shape;

/* The number of this file's version; a loader refuses another. */
CHARLOOM_API int32_t charloom_version(void);

/* The name of micro-kernel `index`, fastest first; NULL after the last, "" where this processor cannot run it. */
CHARLOOM_API const char *charloom_micro(int32_t index);

/* Rows of float32 weights (rows, columns) as whole numbers from -levels to levels, and a scale for each row. */
CHARLOOM_API int32_t charloom_quantize(const float *values, int64_t rows, int64_t columns, int32_t levels,
                                       int8_t *whole, float *scales);

/* The largest whole number of matrix 0 (the first layer's input), and of all the others. */
enum { CHARLOOM_FIRST_LEVELS = 127, CHARLOOM_LEVELS = 63 };

/* The bytes that `charloom_prepare` fills for such a network. */
CHARLOOM_API int64_t charloom_model_bytes(const charloom_shape *shape);

/* Lay out a network. Tensors are PyTorch's, their sizes in bytes:

       embedding (V, E), or NULL of 0 bytes;
       for each layer weight_ih (G·H, I), its scales (G·H), weight_hh (G·H, H), its scales, bias_ih, bias_hh (G·H);
       output (V, H), its scales (V), its bias (V).

   Matrices but the embedding are int8 with float32 scales from `charloom_quantize`; or float32, with no scales.
   `model` must be aligned to 64 bytes. */
CHARLOOM_API int32_t charloom_prepare(const charloom_shape *shape, int32_t micro, const void *const *tensors,
                                      const int64_t *sizes, int32_t count, void *model, int64_t model_bytes);

/* The bytes of memory that a thread works in. */
CHARLOOM_API int64_t charloom_work_bytes(const void *model, int64_t model_bytes);

/* Read ids (T, B) in rows `begin` to `end` of B, from and to a state (S, B, H); an LSTM's are h and c, layer by layer.
   Logits (T - first, B, V) are written of the steps from `first` on. Other rows are not touched. `passed`: NULL, or
   see `charloom_read`. */
CHARLOOM_API int32_t charloom_run(const void *model, int64_t model_bytes, void *work, int64_t work_bytes,
                                  const int64_t *ids, int64_t steps, int64_t rows, int64_t begin, int64_t end,
                                  float *state, float *logits, int64_t first, const uint8_t *passed);

/* So that layers can be read by several threads, one after another: read only layers `from` to `to` of up to 64 rows.
   What passes between layers is `passed` (T · B · `charloom_passed_bytes`): of the layer below, and afterwards of the
   last one that was read. With all layers read, `charloom_run` and `charloom_nats` take it instead of reading. */
CHARLOOM_API int32_t charloom_read(const void *model, int64_t model_bytes, void *work, int64_t work_bytes,
                                   const int64_t *ids, int64_t steps, int64_t rows, float *state, int32_t from,
                                   int32_t to, uint8_t *passed, int64_t passed_bytes);

/* The bytes of one row's hidden states between two layers. */
CHARLOOM_API int64_t charloom_passed_bytes(const void *model, int64_t model_bytes);

typedef struct {
    double temperature;  /* 0: the likeliest */
    double top_p;        /* 1: off */
    double min_p;        /* 0: off */
    int64_t top_k;       /* 0: off */
} charloom_sampling;

/* Draw an id from logits (V) in the order temperature, top-k, top-p, min-p, draw by a uniform number in [0, 1).
   `unknown` (-1: none) never comes, nor an id whose `allowed` (V, or NULL) is 0. `weights` and `ranking` are memory for
   V doubles each. Returns the id; V where not all logits are finite, or no id may come. */
CHARLOOM_API int64_t charloom_draw(const float *logits, int64_t symbols, const charloom_sampling *sampling,
                                   int64_t unknown, const uint8_t *allowed, double uniform, double *weights,
                                   double *ranking);

/* Write in rows `begin` to `end`: read ids (B), draw the next, and so on for T steps with uniforms (T, B).
   `allowed` (B, V) or NULL holds for all steps. Written ids (T, B); `ids` become the last ones drawn, which are not read
   yet. Of a row without finite logits V is written; what it writes later means nothing. */
CHARLOOM_API int32_t charloom_write(const void *model, int64_t model_bytes, void *work, int64_t work_bytes,
                                    int64_t *ids, int64_t steps, int64_t rows, int64_t begin, int64_t end,
                                    float *state, const double *uniforms, const charloom_sampling *sampling,
                                    int64_t unknown, const uint8_t *allowed, int64_t *written);

/* Read ids (T, B) as `charloom_run` does, and give −ln p of targets (T, B): nats (T, B), NaN where logits are. */
CHARLOOM_API int32_t charloom_nats(const void *model, int64_t model_bytes, void *work, int64_t work_bytes,
                                   const int64_t *ids, const int64_t *targets, int64_t steps, int64_t rows,
                                   int64_t begin, int64_t end, float *state, double *nats, const uint8_t *passed);

#endif
