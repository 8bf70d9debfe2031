/* A recurrent layer in training, step by step: forward, and backward through time, in float32; or with bfloat16 read by
   the recurrent products, and all else in float32.

   What is one product for all steps is the caller's: the inputs by their weights before, the gradients of all weights
   after. Nothing here allocates or keeps anything between calls. Every size is checked before it is used.

   Legend: T steps, B rows, H hidden units, G gates; gates in PyTorch's order. A function that can refuse returns one of
   the negative numbers of kernel.h. Rows are independent: threads may share them, each with memory of its own. */

#ifndef CHARLOOM_LAYERS_H
#define CHARLOOM_LAYERS_H

#include "kernel.h"

typedef struct {
    int32_t cell;   /* CHARLOOM_RNN, … */
    int32_t hidden; /* 1 to 16,384 */
    int64_t steps;  /* 0 to 2^24 */
    int64_t rows;   /* 0 to 2^20 */
    int64_t bfloat16; /* 1: the recurrent products round what they read; 0: they do not */
} charloom_layer;

enum { CHARLOOM_FORWARD, CHARLOOM_BACKWARD };

/* The bytes of the recurrent weights, laid out for one direction and micro-kernel. */
CHARLOOM_API int64_t charloom_layer_panel_bytes(const charloom_layer *layer, int32_t direction, int32_t micro);

/* Lay out the recurrent weights (G·H, H). */
CHARLOOM_API int32_t charloom_layer_pack(const charloom_layer *layer, int32_t direction, int32_t micro,
                                         const float *weights, int64_t weights_bytes, float *panels,
                                         int64_t panel_bytes);

/* The bytes of memory that a thread works in for `rows` rows. */
CHARLOOM_API int64_t charloom_layer_work_bytes(const charloom_layer *layer, int32_t direction, int32_t micro,
                                               int64_t rows);

/* Read all steps in rows `begin` to `end`. Tensors and their sizes in bytes, NULL of 0 bytes where there is none:

       0  panels laid out for this direction
       1  below (T, B, G·H): what reaches the gates from the layer's inputs, with all biases but 3;
          or a table of it (V, G·H), if there is 2. It may be tensor 6.
       2  ids (T, B), int64: rows of the table
       3  bias (H) that the new gate of a GRU adds to what comes from before
       4  hidden (T + 1, B, H): the first step is given, the others are written
       5  cells (T + 1, B, H) of an LSTM: likewise
       6  gates (T, B, G·H): written, as activated; not of an RNN
       7  inner (T, B, H), written: of an LSTM tanh of its cells, of a GRU what its new gate gets from before */
CHARLOOM_API int32_t charloom_layer_forward(const charloom_layer *layer, int32_t micro, void *const *tensors,
                                            const int64_t *sizes, int32_t count, int64_t begin, int64_t end,
                                            void *work, int64_t work_bytes);

/* The gradients of rows `begin` to `end`, likewise:

       0  panels laid out for this direction
       1  gradient of hidden (T, B, H)
       2  of the last hidden state (B, H); becomes that of the first
       3  of the last cells (B, H) of an LSTM: likewise
       4  hidden, 5 cells, 6 gates, 7 inner: as the forward pass left them; 6 becomes the gradient of below
       8  of what comes from before (T, B, G·H), written, of a GRU; of others it is that of below */
CHARLOOM_API int32_t charloom_layer_backward(const charloom_layer *layer, int32_t micro, void *const *tensors,
                                             const int64_t *sizes, int32_t count, int64_t begin, int64_t end,
                                             void *work, int64_t work_bytes);

#endif
