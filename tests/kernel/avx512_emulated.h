/* The AVX-512 instructions that the kernel uses, in plain C, for processors that lack them: its code is then tested
   wherever the tests run, though not the gates as AVX-512's compiler vectorizes them. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef int32_t lanes_i __attribute__((vector_size(64)));
typedef float lanes_f __attribute__((vector_size(64)));

#define EMULATED static inline __attribute__((always_inline))

EMULATED __m512i emulated_load(const void *from) { __m512i to; memcpy(&to, from, 64); return to; }
EMULATED __m512 emulated_load_ps(const float *from) { __m512 to; memcpy(&to, from, 64); return to; }
EMULATED void emulated_store_ps(float *to, __m512 value) { memcpy(to, &value, 64); }
EMULATED __m512i emulated_set1(int32_t value) { return (__m512i)((lanes_i){0} + value); }
EMULATED __m512 emulated_set1_ps(float value) { return (__m512)((lanes_f){0} + value); }
EMULATED __m512 emulated_cvt(__m512i value) { return (__m512)__builtin_convertvector((lanes_i)value, lanes_f); }
EMULATED __m512i emulated_add(__m512i a, __m512i b) { return (__m512i)((lanes_i)a + (lanes_i)b); }
EMULATED __m512i emulated_dpbusd(__m512i sums, __m512i a, __m512i w) {
    int32_t to[16];
    uint8_t u[64];
    int8_t s[64];
    memcpy(to, &sums, 64);
    memcpy(u, &a, 64);
    memcpy(s, &w, 64);
    for (int i = 0; i < 64; i++) to[i / 4] += u[i] * s[i];
    memcpy(&sums, to, 64);
    return sums;
}

#undef _mm512_load_si512
#undef _mm512_loadu_si512
#define _mm512_load_si512 emulated_load
#define _mm512_loadu_si512 emulated_load
#define _mm512_load_ps emulated_load_ps
#define _mm512_loadu_ps emulated_load_ps
#define _mm512_storeu_ps emulated_store_ps
#define _mm512_set1_epi32 emulated_set1
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_setzero_si512() emulated_set1(0)
#define _mm512_setzero_ps() emulated_set1_ps(0)
#define _mm512_cvtepi32_ps emulated_cvt
#define _mm512_add_epi32 emulated_add
#define _mm512_add_ps(a, b) ((a) + (b))
#define _mm512_mul_ps(a, b) ((a) * (b))
#define _mm512_fmadd_ps(a, b, c) ((a) * (b) + (c))
#define _mm512_dpbusd_epi32 emulated_dpbusd

/* bfloat16: the upper half of a float, rounded to the nearest, ties to even; what is not normal becomes 0. */
EMULATED uint32_t emulated_round(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return bits >> 16 | 0x40u;
    return (size < 0x00800000u ? bits & 0x80000000u : bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
EMULATED __m512 emulated_cvtne2(__m512 upper, __m512 lower) {
    float from[32];
    uint16_t to[32];
    memcpy(from, &lower, 64);
    memcpy(from + 16, &upper, 64);
    for (int i = 0; i < 32; i++) to[i] = (uint16_t)emulated_round(from[i]);
    memcpy(&lower, to, 64);
    return lower;
}
EMULATED lanes_i emulated_cvtne_wide(__m512 values) {
    float from[16];
    lanes_i to;
    memcpy(from, &values, 64);
    for (int i = 0; i < 16; i++) to[i] = (int32_t)emulated_round(from[i]);
    return to;
}
EMULATED __m512 emulated_dpbf16(__m512 sums, __m512 a, __m512 b) {
    float to[16];
    uint32_t left[16], right[16];
    memcpy(to, &sums, 64);
    memcpy(left, &a, 64);
    memcpy(right, &b, 64);
    for (int i = 0; i < 16; i++)
        for (int half = 2; half-- > 0;) {
            const uint32_t bits[2] = {half ? left[i] & 0xffff0000u : left[i] << 16, half ? right[i] & 0xffff0000u : right[i] << 16};
            float pair[2];
            memcpy(pair, bits, 8);
            to[i] += pair[0] * pair[1];
        }
    memcpy(&sums, to, 64);
    return sums;
}
