/* Random layers in training, good and bad, under AddressSanitizer and UBSan: fuzz_layers SEED COUNT.
   Every block has exactly the size that the kernel is given. It is linked with kernel.c. */

#include "../../src/charloom/kernel/layers.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed;
static uint32_t below(uint32_t bound) { /* xorshift64* */
    seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
    return (uint32_t)(((seed * 2685821657736338717u) >> 33) % bound);
}

static float *numbers(int64_t bytes, int wild) {
    static const float strange[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f, -0.0f, 1000.0f};
    float *made = malloc(bytes ? (size_t)bytes : 1);
    for (int64_t i = 0; i < bytes / 4; i++)
        made[i] = wild && below(8) == 0 ? strange[below(9)] : (float)below(2001) / 1000.0f - 1.0f;
    return made;
}

typedef int32_t (*function)(const charloom_layer *, int32_t, void *const *, const int64_t *, int32_t, int64_t, int64_t,
                            void *, int64_t);

/* A call with one thing wrong, then the call itself. */
static void call(function f, const charloom_layer *layer, int32_t micro, void **tensors, int64_t *sizes, int32_t count,
                 int64_t begin, int64_t end, int64_t needed, int32_t expected) {
    void *work = malloc(needed ? (size_t)needed : 1);
    const int damaged = (int)below((uint32_t)count);
    sizes[damaged] += below(2) ? -2 : 2;
    if (f(layer, micro, tensors, sizes, count, begin, end, work, needed) != CHARLOOM_BAD_SIZE) abort();
    for (int i = 0; i < count; i++) sizes[i] = tensors[i] ? ((int64_t *)tensors[i])[-2] : 0;
    if (needed && f(layer, micro, tensors, sizes, count, begin, end, work, needed - 4) != CHARLOOM_BAD_SIZE) abort();
    if (f(layer, micro, tensors, sizes, count - 1, begin, end, work, needed) != CHARLOOM_BAD_SIZE) abort();
    if (f(layer, micro, tensors, sizes, count, begin, layer->rows + 1, work, needed) != CHARLOOM_BAD_RANGE) abort();
    if (f(layer, micro, tensors, sizes, count, begin, end, work, needed) != expected) abort();
    free(work);
}

/* A block whose size is kept 16 bytes before it. */
static void *block(int64_t bytes, int wild) {
    if (!bytes) return NULL;
    float *from = numbers(bytes, wild);
    uint8_t *made = malloc((size_t)bytes + 16);
    memcpy(made, &bytes, sizeof bytes);
    memcpy(made + 16, from, (size_t)bytes);
    free(from);
    return made + 16;
}

static void *panels_of(const charloom_layer *layer, int direction, int micro, const float *weights, int64_t bytes) {
    const int64_t needed = charloom_layer_panel_bytes(layer, direction, micro);
    void *panels = block(needed, 0);
    if (charloom_layer_pack(layer, direction, micro, weights, bytes - 4, panels, needed) != CHARLOOM_BAD_SIZE) abort();
    if (charloom_layer_pack(layer, direction, micro, weights, bytes, panels, needed)) abort();
    return panels;
}

static void one_layer(void) {
    charloom_layer layer = {(int32_t)below(3), 1 + (int32_t)below(below(4) ? 60 : 300), below(6), 1 + below(20), below(2)};
    const int64_t hidden = layer.hidden, rows = layer.rows, width = gates_of_cell(&layer) * hidden;
    const int64_t states = 4 * rows * hidden, all = layer.steps * states, gates = 4 * layer.steps * rows * width;
    const int is_lstm = layer.cell == CHARLOOM_LSTM, is_gru = layer.cell == CHARLOOM_GRU, is_gated = is_lstm || is_gru;
    const int wild = below(2), by_ids = layer.steps && below(2), symbols = 1 + (int)below(9);
    const int64_t begin = below((uint32_t)rows), end = begin + below((uint32_t)(rows - begin) + 1);
    int32_t micro = (int32_t)below(3);
    if (!kernel_of(&layer, micro)) layer.bfloat16 = 0;
    while (!kernel_of(&layer, micro)) micro = micro ? micro - 1 : 2;
    float *weights = numbers(4 * width * hidden, wild);
    void *forward[] = {
        panels_of(&layer, CHARLOOM_FORWARD, micro, weights, 4 * width * hidden),
        block(by_ids ? 4 * symbols * width : gates, wild), block(by_ids ? 8 * layer.steps * rows : 0, 0),
        block(is_gru ? 4 * hidden : 0, wild), block(all + states, wild), block(is_lstm ? all + states : 0, wild),
        block(is_gated ? gates : 0, wild), block(is_gated ? all : 0, wild)};
    int bad = 0;
    for (int64_t i = 0; by_ids && i < layer.steps * rows; i++) {
        static const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, 1 << 30};
        ((int64_t *)forward[2])[i] = below(300) ? below((uint32_t)symbols) : wrong[below(4)];
        bad |= ((uint64_t)((int64_t *)forward[2])[i] >= (uint64_t)symbols) && i % rows >= begin && i % rows < end;
    }
    int64_t sizes[9];
    for (int i = 0; i < 8; i++) sizes[i] = forward[i] ? ((int64_t *)forward[i])[-2] : 0;
    call(charloom_layer_forward, &layer, micro, forward, sizes, 8, begin, end,
         charloom_layer_work_bytes(&layer, CHARLOOM_FORWARD, micro, end - begin), bad ? CHARLOOM_BAD_ID : 0);
    void *backward[] = {
        panels_of(&layer, CHARLOOM_BACKWARD, micro, weights, 4 * width * hidden),
        block(all, wild), block(states, wild), block(is_lstm ? states : 0, wild), forward[4], forward[5],
        is_gated ? forward[6] : block(gates, wild), forward[7], block(is_gru ? gates : 0, wild)};
    for (int i = 0; i < 9; i++) sizes[i] = backward[i] ? ((int64_t *)backward[i])[-2] : 0;
    call(charloom_layer_backward, &layer, micro, backward, sizes, 9, begin, end,
         charloom_layer_work_bytes(&layer, CHARLOOM_BACKWARD, micro, end - begin), 0);
    for (int i = 0; i < 8; i++) free(forward[i] ? (uint8_t *)forward[i] - 16 : NULL);
    for (int i = 0; i < 9; i++)
        if (i < 4 || i == 8 || (i == 6 && !is_gated)) free(backward[i] ? (uint8_t *)backward[i] - 16 : NULL);
    free(weights);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    seed = strtoull(arguments[1], NULL, 10) * 2 + 1;
    for (long n = strtol(arguments[2], NULL, 10); n > 0; n--) one_layer();
    puts("sound");
    return 0;
}
