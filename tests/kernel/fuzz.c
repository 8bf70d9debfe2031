/* Random networks, ids, states and sizes, good and bad, under AddressSanitizer and UBSan: fuzz SEED COUNT.
   Every block has exactly the size that the kernel is told. */

#include "../../src/charloom/kernel/kernel.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed;
static uint32_t below(uint32_t bound) { /* xorshift64* */
    seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
    return (uint32_t)(((seed * 2685821657736338717u) >> 33) % bound);
}

static void *block(int64_t bytes) {
    void *made = aligned_alloc(64, (size_t)(bytes ? padded(bytes, 64) : 64));
    if (!made) abort();
    memset(made, 0xa5, (size_t)bytes);
    return made;
}

static float *floats_of(int64_t count, int wild) {
    static const float strange[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f, -0.0f, 1000.0f};
    float *made = malloc((size_t)count * 4 + 1);
    for (int64_t i = 0; i < count; i++)
        made[i] = wild && below(8) == 0 ? strange[below(9)] : (float)below(2001) / 1000.0f - 1.0f;
    return made;
}

static void one_network(void) {
    charloom_shape shape = {(int32_t)below(3), 1 + (int32_t)below(3), 1 + (int32_t)below(70), (int32_t)(below(2) * below(20)),
                            2 + (int32_t)(below(10) ? below(100) : below(9000)), (int32_t)below(2)};
    layout plan;
    if (!lay_out(&shape, &plan)) abort();
    const int is_float = shape.precision, count = 4 + 6 * shape.layers, wild = below(2);
    void *tensors[4 + 6 * 32] = {0};
    int64_t sizes[4 + 6 * 32] = {0}, rows = (int64_t)plan.gates * shape.hidden, inputs = plan.inputs;
    if (shape.embedding) tensors[0] = floats_of(sizes[0] = (int64_t)shape.symbols * shape.embedding, wild), sizes[0] *= 4;
    for (int i = 1; i < count; i++) {
        const int last = i >= count - 3, which = last ? i - (count - 3) : (i - 1) % 6;
        const int64_t own = last ? shape.symbols : rows;
        int64_t columns = last || which == 2 ? shape.hidden : i < 7 ? inputs : shape.hidden;
        if (which == (last ? 0 : 0) || (!last && which == 2)) {
            float *values = floats_of(own * columns, wild && is_float);
            sizes[i] = own * columns * (is_float ? 4 : 1);
            if (is_float) { tensors[i] = values; continue; }
            tensors[i] = malloc((size_t)sizes[i]);
            tensors[i + 1] = malloc((size_t)own * 4);
            sizes[i + 1] = own * 4;
            if (charloom_quantize(values, own, columns, below(2) ? 63 : 127, tensors[i], tensors[i + 1])) abort();
            free(values);
        } else if (!tensors[i] && !(is_float && (last ? which == 1 : which == 1 || which == 3))) {
            tensors[i] = floats_of(own, wild);
            sizes[i] = own * 4;
        }
    }
    int32_t micro = (int32_t)below(MICROS);
    if (!MICRO[micro].runs_here()) micro = MICROS - 1;
    const int64_t bytes = charloom_model_bytes(&shape);
    void *model = block(bytes);
    const int damaged = (int)below((uint32_t)count); /* one tensor too short: refused before it is read */
    if (sizes[damaged]) {
        sizes[damaged] -= 1;
        if (charloom_prepare(&shape, micro, (const void *const *)tensors, sizes, count, model, bytes) != CHARLOOM_BAD_SIZE) abort();
        sizes[damaged] += 1;
    }
    if (charloom_prepare(&shape, micro, (const void *const *)tensors, sizes, count, model, bytes)) abort();
    for (int i = 0; i < count; i++) free(tensors[i]);
    const int64_t work_bytes = charloom_work_bytes(model, bytes);
    void *work = block(work_bytes);
    for (int turn = 0; turn < 3; turn++) {
        const int64_t b = below(70), t = below(b > 8 ? 5 : 70), states = shape.layers * (shape.cell == CHARLOOM_LSTM ? 2 : 1);
        const int64_t begin = b ? below((uint32_t)b) : 0, end = begin + (b ? below((uint32_t)(b - begin) + 1) : 0), first = below(72);
        float *state = floats_of(states * b * shape.hidden, wild);
        int64_t *ids = malloc((size_t)(b * t + b) * 8 + 8), *written = malloc((size_t)(b * t) * 8 + 8);
        float *logits = malloc((size_t)((t > first ? t - first : 0) * b * shape.symbols) * 4 + 4);
        double *uniforms = malloc((size_t)(b * t) * 8 + 8);
        charloom_sampling *sampling = malloc((size_t)(b + 1) * sizeof *sampling);
        uint8_t *allowed = malloc((size_t)(b * shape.symbols) + 1);
        double *nats = malloc((size_t)(b * t) * 8 + 8);
        int bad = 0;
        for (int64_t i = 0; i < b * t + b; i++) {
            static const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, 1 << 30};
            ids[i] = below(2000) ? below((uint32_t)shape.symbols) : wrong[below(4)];
        }
        for (int64_t i = 0; i < b * t; i++) {
            bad |= (ids[i] < 0 || ids[i] >= shape.symbols) && i % b >= begin && i % b < end;
            uniforms[i] = below(20) ? below(1000) / 1000.0 : wild ? (below(2) ? NAN : 2) : 0;
        }
        for (int64_t i = 0; i < b; i++)
            sampling[i] = (charloom_sampling){below(3) ? below(40) / 10.0 : 1e-300, below(2) ? 1 : below(11) / 10.0,
                                              below(2) ? 0 : below(11) / 10.0, below(2) ? 0 : below(200)};
        if (wild && b) sampling[below((uint32_t)b)].top_p = NAN;
        for (int64_t i = 0; i < b * shape.symbols; i++) allowed[i] = below(3) == 0;
        int32_t result = charloom_run(model, bytes, work, work_bytes, ids, t, b, begin, end, state, logits, first, NULL);
        if (result != (bad ? CHARLOOM_BAD_ID : 0)) abort();
        result = charloom_nats(model, bytes, work, work_bytes, ids, ids, t, b, begin, end, state, nats, NULL);
        if (result != (bad ? CHARLOOM_BAD_ID : 0)) abort();
        const int64_t passed_bytes = t * b * charloom_passed_bytes(model, bytes);
        uint8_t *passed = malloc((size_t)passed_bytes + 1);
        int any_bad = 0;
        for (int64_t i = 0; i < b * t; i++) any_bad |= ids[i] < 0 || ids[i] >= shape.symbols;
        const int32_t middle = (int32_t)below((uint32_t)shape.layers + 1);
        result = charloom_read(model, bytes, work, work_bytes, ids, t, b, state, 0, middle, passed, passed_bytes);
        if (result != (b < 1 || b > CHUNK ? CHARLOOM_BAD_RANGE : any_bad ? CHARLOOM_BAD_ID : 0)) abort();
        if (!result) {
            if (t && charloom_read(model, bytes, work, work_bytes, ids, t, b, state, 0, middle, passed, passed_bytes - 1) !=
                         CHARLOOM_BAD_SIZE) abort();
            if (charloom_read(model, bytes, work, work_bytes, ids, t, b, state, middle, shape.layers, passed, passed_bytes)) abort();
            if (charloom_run(model, bytes, work, work_bytes, ids, t, b, 0, b, state, logits, first, passed)) abort();
            if (charloom_nats(model, bytes, work, work_bytes, ids, ids, t, b, 0, b, state, nats, passed)) abort();
        }
        free(passed);
        int32_t done = charloom_write(model, bytes, work, work_bytes, ids + b * t, t, b, begin, end, state, uniforms, sampling,
                                      (int64_t)below((uint32_t)shape.symbols + 1) - 1, below(2) ? allowed : NULL, written);
        if (done != 0 && done != CHARLOOM_BAD_ID) abort();
        for (int64_t i = 0; done == 0 && i < t * b; i++)
            if (i % b >= begin && i % b < end && (written[i] < 0 || written[i] > shape.symbols)) abort();
        free(state); free(ids); free(written); free(logits); free(uniforms); free(sampling); free(allowed); free(nats);
    }
    free(work);
    free(model);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    seed = strtoull(arguments[1], NULL, 10) * 2 + 1;
    for (long n = strtol(arguments[2], NULL, 10); n > 0; n--) one_network();
    puts("sound");
    return 0;
}
