/* Runs a compiled kernel on another processor, C library or system, in a folder that has `kernel.bin` and `input`.

   `input` is as `tests/kernel/test_elsewhere.py` writes it: the number of parts, the place and size of each, the parts.
   It writes `output`: the micro-kernel's name in 16 bytes, what was written, the logits of what was read, and the state
   after it. `elsewhere.mjs` does the same in WebAssembly. */

#include <stdint.h>

#define INPUT (1 << 26)

#ifdef _WIN32 /* without a C library, which takes minutes to compile */
#define API __declspec(dllimport)
API void *LoadLibraryA(const char *);
API void *GetProcAddress(void *, const char *);
API void *CreateFileA(const char *, uint32_t, uint32_t, void *, uint32_t, uint32_t, void *);
API int ReadFile(void *, void *, uint32_t, uint32_t *, void *);
API int WriteFile(void *, const void *, uint32_t, uint32_t *, void *);
API void *VirtualAlloc(void *, uint64_t, uint32_t, uint32_t);
API void ExitProcess(uint32_t);
static void *library, *output;
static void stop(int status) { ExitProcess((uint32_t)status); }
static void *find(const char *name) { return GetProcAddress(library, name); }
static void *memory(int64_t size) { return VirtualAlloc(0, (uint64_t)size, 0x3000, 4); }
static void put(const void *from, int64_t size) { WriteFile(output, from, (uint32_t)size, (uint32_t[1]){0}, 0); }
static void *begin(void) {
    library = LoadLibraryA("kernel.bin");
    output = CreateFileA("output", 0x40000000, 0, 0, 2, 0, 0);
    void *input = memory(INPUT), *file = CreateFileA("input", 0x80000000, 1, 0, 3, 0, 0);
    return library && ReadFile(file, input, INPUT, (uint32_t[1]){0}, 0) ? input : 0;
}
#else
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
static void *library;
static FILE *output;
static void stop(int status) { exit(output && fclose(output) ? 9 : status); }
static void *find(const char *name) { return dlsym(library, name); }
static void *memory(int64_t size) { return calloc(1, (size_t)size); }
static void put(const void *from, int64_t size) { fwrite(from, 1, (size_t)size, output); }
static void *begin(void) {
    library = dlopen("./kernel.bin", RTLD_NOW);
    output = fopen("output", "wb");
    void *input = memory(INPUT);
    FILE *file = fopen("input", "rb");
    return library && output && file && fread(input, 1, INPUT, file) ? input : 0;
}
#endif

#define FIND(name, result, ...) result (*name)(__VA_ARGS__) = (result (*)(__VA_ARGS__))find("charloom_" #name)

static void *aligned(int64_t size) {
    if (size < 0) stop(2);
    return (void *)(((uintptr_t)memory(size + 64) + 63) / 64 * 64);
}

static void check(int32_t result, int status) {
    if (result < 0) stop(status);
}

int main(void) {
    char *input = begin();
    if (!input) stop(1);
    FIND(micro, const char *, int32_t);
    FIND(model_bytes, int64_t, const void *);
    FIND(prepare, int32_t, const void *, int32_t, const void *const *, const int64_t *, int32_t, void *, int64_t);
    FIND(work_bytes, int64_t, const void *, int64_t);
    FIND(write, int32_t, const void *, int64_t, void *, int64_t, int64_t *, int64_t, int64_t, int64_t, int64_t, float *,
         const double *, const void *, int64_t, const uint8_t *, int64_t *);
    FIND(run, int32_t, const void *, int64_t, void *, int64_t, const int64_t *, int64_t, int64_t, int64_t, int64_t, float *,
         float *, int64_t, const uint8_t *);
    int64_t *places = (int64_t *)input + 1, parts = *(int64_t *)input, sizes[64];
    const void *tensors[64];
    for (int64_t k = 0; k < parts; k++) tensors[k] = (sizes[k] = places[2 * k + 1]) ? input + places[2 * k] : 0;
    const void *shape = tensors[parts - 5], *ids = tensors[parts - 4], *uniforms = tensors[parts - 3];
    int64_t rows = sizes[parts - 2] / 32, steps = sizes[parts - 3] / 8 / rows, read = sizes[parts - 4] / 8 / rows;
    int64_t symbols = ((const int32_t *)shape)[4];

    int32_t chosen = 0, letter = 0;
    while (micro(chosen) && !*micro(chosen)) chosen++;
    char name[16] = {0};
    for (; micro(chosen)[letter] && letter < 15; letter++) name[letter] = micro(chosen)[letter];
    put(name, sizeof name);
    int64_t model_size = model_bytes(shape);
    void *model = aligned(model_size);
    check(prepare(shape, chosen, tensors, sizes, (int32_t)parts - 5, model, model_size), 3);
    int64_t work_size = work_bytes(model, model_size);
    void *work = aligned(work_size);
    float *state = aligned(sizes[parts - 1]), *logits = aligned(4 * read * rows * symbols);
    int64_t *last = aligned(8 * rows), *written = aligned(8 * steps * rows);
    for (int64_t row = 0; row < rows; row++) last[row] = 1 + row;
    check(write(model, model_size, work, work_size, last, steps, rows, 0, rows, state, uniforms, tensors[parts - 2], -1, 0,
                written), 4);
    check(run(model, model_size, work, work_size, ids, read, rows, 0, rows, state, logits, 0, 0), 5);
    put(written, 8 * steps * rows);
    put(logits, 4 * read * rows * symbols);
    put(state, sizes[parts - 1]);
    stop(0);
    return 0;
}
