/* What a core can do at best: the rate at which bytes are read, and at which int8 products are added up. */

#define _POSIX_C_SOURCE 200809L /* for the clock */

#include <immintrin.h>
#include <stdint.h>
#include <time.h>

#if defined(_WIN32)
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif
#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512vnni")))

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* Bytes a second, of `size` (a multiple of 128) read `times` over. */
API AVX2 double read_rate(const uint8_t *bytes, int64_t size, int64_t times) {
    __m256i kept[4];
    for (int k = 0; k < 4; k++) kept[k] = _mm256_setzero_si256();
    double started = now();
    for (int64_t turn = 0; turn < times; turn++)
        for (int64_t at = 0; at < size; at += 128)
            for (int k = 0; k < 4; k++)
                kept[k] = _mm256_xor_si256(kept[k], _mm256_loadu_si256((const __m256i *)(bytes + at + 32 * k)));
    double took = now() - started;
    for (int k = 0; k < 4; k++) __asm__ volatile("" : : "x"(kept[k]));
    return (double)(size * times) / took;
}

/* Products a second by AVX2: of pairs in 16 bits, of those in 32. Operands are in registers. */
API AVX2 double avx2_rate(int64_t turns) {
    __m256i sums[6], a = _mm256_set1_epi8(3), w = _mm256_set1_epi8(5), one = _mm256_set1_epi16(1);
    for (int k = 0; k < 6; k++) sums[k] = _mm256_setzero_si256();
    double started = now();
    for (int64_t turn = 0; turn < turns; turn++)
        for (int k = 0; k < 6; k++) {
            __m256i pairs;
            __asm__ volatile("vpmaddubsw %1, %2, %0" : "=x"(pairs) : "x"(w), "x"(a));
            __asm__ volatile("vpmaddwd %1, %0, %0" : "+x"(pairs) : "x"(one));
            __asm__ volatile("vpaddd %1, %0, %0" : "+x"(sums[k]) : "x"(pairs));
        }
    return (double)(turns * 6 * 32) / (now() - started);
}

/* Products a second by AVX-512 VNNI. */
API VNNI double vnni_rate(int64_t turns) {
    __m512i sums[12], a = _mm512_set1_epi8(3), w = _mm512_set1_epi8(5);
    for (int k = 0; k < 12; k++) sums[k] = _mm512_setzero_si512();
    double started = now();
    for (int64_t turn = 0; turn < turns; turn++)
        for (int k = 0; k < 12; k++) __asm__ volatile("vpdpbusd %1, %2, %0" : "+v"(sums[k]) : "v"(w), "v"(a));
    return (double)(turns * 12 * 64) / (now() - started);
}
