/* Runs a compiled kernel on another processor or C library: elsewhere KERNEL.so INPUT > OUTPUT.

   INPUT is as `tests/kernel/test_elsewhere.py` writes it: the number of parts, the place and size of each, the parts.
   OUTPUT is what was written, the logits of what was read, and the state after it. stderr gets the micro-kernel's name.
   `elsewhere.mjs` does the same in WebAssembly. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIND(name, result, ...) result (*name)(__VA_ARGS__) = (result (*)(__VA_ARGS__))dlsym(library, "charloom_" #name)

static void stop(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void *memory(int64_t size) {
    void *found = size < 0 ? NULL : aligned_alloc(64, (size_t)(size + 63) / 64 * 64);
    if (!found) stop("no memory, or a refusal");
    return memset(found, 0, (size_t)size);
}

int main(int count, char **words) {
    void *library = count == 3 ? dlopen(words[1], RTLD_NOW) : NULL;
    if (!library) stop(count == 3 ? dlerror() : "elsewhere KERNEL.so INPUT");
    FIND(micro, const char *, int32_t);
    FIND(model_bytes, int64_t, const void *);
    FIND(prepare, int32_t, const void *, int32_t, const void *const *, const int64_t *, int32_t, void *, int64_t);
    FIND(work_bytes, int64_t, const void *, int64_t);
    FIND(write, int32_t, const void *, int64_t, void *, int64_t, int64_t *, int64_t, int64_t, int64_t, int64_t, float *,
         const double *, const void *, int64_t, const uint8_t *, int64_t *);
    FIND(run, int32_t, const void *, int64_t, void *, int64_t, const int64_t *, int64_t, int64_t, int64_t, int64_t, float *,
         float *, int64_t);
    FILE *file = fopen(words[2], "rb");
    char *input = memory(1 << 26);
    if (!file || !fread(input, 1, 1 << 26, file)) stop("no input");
    int64_t *places = (int64_t *)input + 1, parts = *(int64_t *)input, sizes[256];
    const void *tensors[256];
    for (int64_t k = 0; k < parts; k++) tensors[k] = (sizes[k] = places[2 * k + 1]) ? input + places[2 * k] : NULL;
    const void *shape = tensors[parts - 5], *ids = tensors[parts - 4], *uniforms = tensors[parts - 3];
    int64_t steps = sizes[parts - 3] / 8, rows = sizes[parts - 2] / 32, symbols = ((const int32_t *)shape)[4];
    int64_t read = sizes[parts - 4] / 8 / rows;

    int32_t chosen = 0;
    while (micro(chosen) && !*micro(chosen)) chosen++;
    fprintf(stderr, "%s\n", micro(chosen));
    int64_t model_size = model_bytes(shape);
    void *model = memory(model_size);
    if (prepare(shape, chosen, tensors, sizes, (int32_t)parts - 5, model, model_size)) stop("prepare refuses");
    int64_t work_size = work_bytes(model, model_size);
    void *work = memory(work_size);
    float *state = memory(sizes[parts - 1]), *logits = memory(4 * read * rows * symbols);
    int64_t *last = memory(8 * rows), *written = memory(8 * steps);
    steps /= rows;
    for (int64_t row = 0; row < rows; row++) last[row] = 1 + row;
    if (write(model, model_size, work, work_size, last, steps, rows, 0, rows, state, uniforms, tensors[parts - 2], -1, NULL,
              written) < 0)
        stop("write refuses");
    if (run(model, model_size, work, work_size, ids, read, rows, 0, rows, state, logits, 0) < 0) stop("run refuses");
    fwrite(written, 8, (size_t)(steps * rows), stdout);
    fwrite(logits, 4, (size_t)(read * rows * symbols), stdout);
    fwrite(state, 1, (size_t)sizes[parts - 1], stdout);
    return fflush(stdout);
}
