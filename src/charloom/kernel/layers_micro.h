/* The steps of a layer for one kind of processor. layers.c includes this file once for each, having defined

       NAME(it)           the name of `it` for this processor
       TARGET             what the compiler may use
       WIDE               floats in a register
       TALL               rows of a tile, 4 or 8; its columns are 3 registers
       FUSED(a, b, c)     a · b + c
       INPUTS             inputs in a word of 32 bits: 1 in float32, 2 in bfloat16
       PRODUCT(a, b, c)   the same for words: all inputs of a by those of b, and c
       ROUND(lower, upper) two registers of floats as one of bfloat16, if a word has 2
       ROUND_WIDE(values)  a register of floats, each as bfloat16 in the lower half of a word */

#define COLUMNS (3 * WIDE)
#define floats NAME(floats)
#define ints NAME(ints)
#define HERE INLINE TARGET

typedef float floats __attribute__((vector_size(4 * WIDE)));
typedef int32_t ints __attribute__((vector_size(4 * WIDE)));

/* `count` numbers, at most WIDE; the rest of a register is 0, and is not stored. */
HERE floats NAME(load)(const float *from, int64_t count) {
    floats values = {0};
    if (count == WIDE) memcpy(&values, from, sizeof values);
    else memcpy(&values, from, (size_t)count * sizeof *from);
    return values;
}
HERE void NAME(store)(float *to, floats values, int64_t count) {
    if (count == WIDE) memcpy(to, &values, sizeof values);
    else memcpy(to, &values, (size_t)count * sizeof *to);
}
#define LOAD(from) NAME(load)((from), count)
#define STORE(to, values) NAME(store)((to), (values), count)
HERE floats NAME(all)(float value) { return value - (floats){0}; }
#define ALL(value) NAME(all)(value)

/* 2^y = scale + scale · part, for y brought to -60 … 60; NaN stays. */
HERE floats NAME(power)(floats y, floats *scale) {
    ints above = y > 60.0f, below = y < -60.0f;
    y = (floats)((above & (ints)ALL(60.0f)) | (~above & (ints)y));
    y = (floats)((below & (ints)ALL(-60.0f)) | (~below & (ints)y));
    const floats shifted = y + 12582912.0f; /* 1.5 · 2^23: rounded to a whole number */
    const floats f = y - (shifted - 12582912.0f);
    const floats square = f * f;
    const floats low = FUSED(f, ALL(2.4022649228572845e-01f), ALL(6.931471824645996e-01f));
    const floats middle = FUSED(f, ALL(9.618237614631653e-03f), ALL(5.550357326865196e-02f));
    const floats high = FUSED(f, ALL(1.5403512225020677e-04f), ALL(1.3390735257416964e-03f));
    *scale = (floats)(((ints)shifted << 23) + 0x3f800000);
    return f * FUSED(FUSED(high, square, middle), square, low);
}

HERE floats NAME(sigmoid)(floats x) {
    floats scale, part = NAME(power)(x * -1.4426950408889634f, &scale);
    return 1.0f / FUSED(scale, part, scale + 1.0f);
}

HERE floats NAME(tanh)(floats x) {
    floats scale, part = NAME(power)(x * 2.8853900817779268f, &scale);
    const floats less = FUSED(scale, part, scale - 1.0f); /* e^2x - 1, exact near 0 as well */
    return less / (less + 2.0f);
}

/* ------------------------------------------------------------------ products */

HERE floats NAME(word)(const float *from) {
    int32_t bits;
    memcpy(&bits, from, sizeof bits);
    return (floats)(bits + (ints){0});
}

/* `count` inputs as words; the last one is filled up with 0. */
HERE void NAME(take)(float *words, const float *from, int64_t count) {
#if INPUTS == 1
    memcpy(words, from, (size_t)count * sizeof *words);
#else
    for (int64_t k = 0; k < count; k += 2 * WIDE) {
        const int64_t rest = count - k, lower = rest < WIDE ? rest : WIDE, upper = rest < 2 * WIDE ? rest - lower : WIDE;
        const floats rounded = ROUND(NAME(load)(from + k, lower), NAME(load)(from + k + lower, upper));
        NAME(store)(words + k / 2, rounded, rest < 2 * WIDE ? (rest + 1) / 2 : WIDE);
    }
#endif
}

/* `count` columns of words from the inputs `first` and `second`, whose weights are beside each other. */
HERE void NAME(join)(float *words, const float *first, const float *second, int64_t count) {
#if INPUTS == 1
    memcpy(words, first, (size_t)count * sizeof *words);
    (void)second;
#else
    for (int64_t j = 0; j < count; j += WIDE) {
        const int64_t some = count - j < WIDE ? count - j : WIDE;
        const ints lower = ROUND_WIDE(NAME(load)(first + j, some)), upper = ROUND_WIDE(NAME(load)(second + j, some));
        NAME(store)(words + j, (floats)(lower | upper << 16), some);
    }
#endif
}

/* The weights as panels: (outputs, inputs), or the other way round where they are read backward. */
static TARGET void NAME(pack)(const float *weights, int64_t inputs, int64_t outputs, int backward, float *panels) {
    static const float nothing[COLUMNS];
    float words[DEPTH];
    const int64_t most = DEPTH * INPUTS;
    for (int64_t first = 0; first < inputs; first += most) {
        const int64_t taken = inputs - first < most ? inputs - first : most, depth = (taken + INPUTS - 1) / INPUTS;
        for (int64_t column = 0; column < outputs; column += COLUMNS, panels += depth * COLUMNS) {
            const int64_t count = outputs - column < COLUMNS ? outputs - column : COLUMNS;
            if (count < COLUMNS) memset(panels, 0, (size_t)(depth * COLUMNS) * sizeof *panels);
            for (int64_t k = 0; backward && k < depth; k++) {
                const float *lower = weights + (first + k * INPUTS) * outputs + column;
                NAME(join)(panels + k * COLUMNS, lower, k * INPUTS + 1 < taken ? lower + outputs : nothing, count);
            }
            for (int64_t j = 0; !backward && j < count; j++) {
                NAME(take)(words, weights + (column + j) * inputs + first, taken);
                for (int64_t k = 0; k < depth; k++) panels[k * COLUMNS + j] = words[k];
            }
        }
    }
}

/* `rows` rows of `left`, DEPTH + GAP words apart, by a panel; `ahead` is what will be read next. */
HERE void NAME(tile)(const float *left, const float *panel, int64_t depth, float *to, int64_t pitch, int adds,
                     const float *ahead, int64_t stride, const int rows) {
    floats sums[TALL][3];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 3; v++) sums[r][v] = adds ? NAME(load)(to + r * pitch + v * WIDE, WIDE) : ALL(0);
    for (int64_t k = 0; k < depth; k++, panel += COLUMNS, ahead += stride) {
        __builtin_prefetch(ahead, 0, 3);
        floats columns[3];
        for (int v = 0; v < 3; v++) memcpy(&columns[v], panel + v * WIDE, sizeof columns[v]);
        for (int r = 0; r < rows; r++) {
            const floats value = NAME(word)(left + r * (DEPTH + GAP) + k);
            for (int v = 0; v < 3; v++) sums[r][v] = PRODUCT(value, columns[v], sums[r][v]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 3; v++) NAME(store)(to + r * pitch + v * WIDE, sums[r][v], WIDE);
}

/* Rows (rows, inputs), `apart` numbers from one to the next, by panels of weights: to (rows, panels · COLUMNS). */
static TARGET void NAME(multiply)(const float *from, int64_t apart, int64_t rows, int64_t inputs, int64_t panels,
                                  const float *weights, float *left, float *to) {
    const int64_t pitch = panels * COLUMNS, tiles = (rows + TALL - 1) / TALL, words = (inputs + INPUTS - 1) / INPUTS;
    for (int64_t first = 0; first < words; first += DEPTH) {
        const int64_t depth = words - first < DEPTH ? words - first : DEPTH, chunk = depth * COLUMNS;
        const int64_t left_inputs = inputs - first * INPUTS, taken = left_inputs < DEPTH * INPUTS ? left_inputs : DEPTH * INPUTS;
        for (int64_t row = 0; row < rows; row++)
            NAME(take)(left + row * (DEPTH + GAP), from + row * apart + first * INPUTS, taken);
        for (int64_t panel = 0; panel < panels; panel++, weights += chunk) {
            const float *ahead = weights + chunk; /* a hint: behind the last panel it loads nothing of use */
            for (int64_t row = 0, tile = 0; row < rows; tile++) {
                const float *own = left + row * (DEPTH + GAP), *soon = ahead + tile * (chunk / tiles);
                float *sums = to + row * pitch + panel * COLUMNS;
                const int64_t stride = COLUMNS / tiles, rest = rows - row;
#define TILE(count) { NAME(tile)(own, weights, depth, sums, pitch, first > 0, soon, stride, count); row += count; }
                if (rest >= TALL) TILE(TALL)
                else if (TALL > 4 && rest >= 4) TILE(TALL > 4 ? 4 : 1)
                else if (rest >= 2) TILE(2)
                else TILE(1)
#undef TILE
            }
        }
    }
}

/* ------------------------------------------------------------------ units of one row: forward */

HERE void NAME(forward_units)(const pass *p, const place *at, int64_t u, const int64_t count, const int cell) {
    const int64_t units = p->hidden;
    const float *x = at->below + u, *z = at->product + u;
    float *gates = at->gates + u;
    if (cell == CHARLOOM_RNN) {
        STORE(at->after + u, NAME(tanh)(LOAD(x) + LOAD(z)));
        return;
    }
    const floats first = NAME(sigmoid)(LOAD(x) + LOAD(z)), second = NAME(sigmoid)(LOAD(x + units) + LOAD(z + units));
    STORE(gates, first);
    STORE(gates + units, second);
    if (cell == CHARLOOM_GRU) { /* r, u; n = tanh(xₙ + r·m), h' = n + u·(h - n) */
        const floats inner = LOAD(z + 2 * units) + LOAD(p->bias + u);
        const floats n = NAME(tanh)(FUSED(first, inner, LOAD(x + 2 * units)));
        STORE(gates + 2 * units, n);
        STORE(at->inner + u, inner);
        STORE(at->after + u, FUSED(second, LOAD(at->before + u) - n, n));
        return;
    }
    const floats g = NAME(tanh)(LOAD(x + 2 * units) + LOAD(z + 2 * units)); /* i, f, g, o */
    const floats o = NAME(sigmoid)(LOAD(x + 3 * units) + LOAD(z + 3 * units));
    const floats c = FUSED(second, LOAD(at->cells_before + u), first * g), curved = NAME(tanh)(c);
    STORE(gates + 2 * units, g);
    STORE(gates + 3 * units, o);
    STORE(at->cells + u, c);
    STORE(at->inner + u, curved);
    STORE(at->after + u, o * curved);
}

/* ------------------------------------------------------------------ units of one row: backward */

HERE void NAME(backward_units)(const pass *p, const place *at, int64_t u, const int64_t count, const int cell) {
    const int64_t units = p->hidden;
    const floats dh = LOAD(at->of_after + u) + (LOAD(at->of_state + u) + LOAD(at->product + u));
    float *gates = at->gates + u; /* become their gradients */
    if (cell == CHARLOOM_RNN) {
        const floats h = LOAD(at->after + u);
        STORE(gates, dh * (1.0f - h * h));
        STORE(at->of_state + u, ALL(0));
        return;
    }
    const floats first = LOAD(gates), second = LOAD(gates + units), third = LOAD(gates + 2 * units);
    const floats inner = LOAD(at->inner + u);
    if (cell == CHARLOOM_GRU) {
        const floats dn = dh * (1.0f - second) * (1.0f - third * third);
        const floats dr = dn * inner * first * (1.0f - first);
        const floats du = dh * (LOAD(at->before + u) - third) * second * (1.0f - second);
        float *recurrent = at->of_recurrent + u;
        STORE(gates, dr);
        STORE(gates + units, du);
        STORE(gates + 2 * units, dn);
        STORE(recurrent, dr);
        STORE(recurrent + units, du);
        STORE(recurrent + 2 * units, dn * first);
        STORE(at->of_state + u, dh * second);
        return;
    }
    const floats o = LOAD(gates + 3 * units);
    const floats dc = FUSED(dh * o, 1.0f - inner * inner, LOAD(at->of_cells + u));
    STORE(gates, dc * third * first * (1.0f - first));
    STORE(gates + units, dc * LOAD(at->cells_before + u) * second * (1.0f - second));
    STORE(gates + 2 * units, dc * first * (1.0f - third * third));
    STORE(gates + 3 * units, dh * inner * o * (1.0f - o));
    STORE(at->of_cells + u, dc * second);
    STORE(at->of_state + u, ALL(0));
}

/* ------------------------------------------------------------------ all steps */

HERE void NAME(all_units)(const pass *p, const place *at, const int backward, const int cell) {
    const int64_t whole = p->hidden / WIDE * WIDE;
    for (int64_t u = 0; u < whole; u += WIDE) {
        if (backward) NAME(backward_units)(p, at, u, WIDE, cell);
        else NAME(forward_units)(p, at, u, WIDE, cell);
    }
    if (whole == p->hidden) return;
    if (backward) NAME(backward_units)(p, at, whole, p->hidden - whole, cell);
    else NAME(forward_units)(p, at, whole, p->hidden - whole, cell);
}

static TARGET void NAME(units)(const pass *p, const place *at, int backward) {
    if (backward) {
        if (p->cell == CHARLOOM_LSTM) NAME(all_units)(p, at, 1, CHARLOOM_LSTM);
        else if (p->cell == CHARLOOM_GRU) NAME(all_units)(p, at, 1, CHARLOOM_GRU);
        else NAME(all_units)(p, at, 1, CHARLOOM_RNN);
    } else {
        if (p->cell == CHARLOOM_LSTM) NAME(all_units)(p, at, 0, CHARLOOM_LSTM);
        else if (p->cell == CHARLOOM_GRU) NAME(all_units)(p, at, 0, CHARLOOM_GRU);
        else NAME(all_units)(p, at, 0, CHARLOOM_RNN);
    }
}

#undef COLUMNS
#undef floats
#undef ints
#undef HERE
#undef LOAD
#undef STORE
#undef ALL
#undef NAME
#undef TARGET
#undef WIDE
#undef TALL
#undef FUSED
#undef INPUTS
#undef PRODUCT
#undef ROUND
#undef ROUND_WIDE
