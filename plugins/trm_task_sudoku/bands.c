/* The search of trm_harness.solvers.sudoku_bands, digit by digit on 128-bit planes: same counts, same order. */
#include <stdint.h>

typedef unsigned __int128 plane;

static const int ALONG[2] = {1, 9}, ACROSS[2] = {9, 1};
/* The order in which ways are tried: parity, and the line of the band that the first box fills. */
static const int ORDER[6][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 0}, {1, 1}};
static plane ALL, TRIADS[2], HEADS[2], UPPER[2], LAST[2], BAND[2][3], CORNERS;

/* What is left, by digit: cells; by direction: triads that may miss the digit, even and odd ways of the bands. */
typedef struct {
    plane cells[9], missing[2][9], ways[2][2][9];
} State;

typedef struct {
    int wanted, most, guesses, found;
    uint8_t *solutions;
} Account;

static plane bit(int place) { return (plane)1 << place; }
static int count(plane set) { return __builtin_popcountll((uint64_t)set) + __builtin_popcountll((uint64_t)(set >> 64)); }

void prepare(void) {
    ALL = bit(81) - 1;
    CORNERS = 0;
    for (int v = 0; v < 2; v++) {
        TRIADS[v] = HEADS[v] = UPPER[v] = LAST[v] = BAND[v][0] = BAND[v][1] = BAND[v][2] = 0;
        for (int line = 0; line < 9; line++) {
            HEADS[v] |= bit(ACROSS[v] * line);
            BAND[v][line / 3] |= bit(ACROSS[v] * line);
            for (int place = 0; place < 9; place++) {
                plane here = bit(ACROSS[v] * line + ALONG[v] * place);
                *(line % 3 < 2 ? &UPPER[v] : &LAST[v]) |= here;
                if (place % 3 == 0) TRIADS[v] |= here;
                if (place % 3 == 0 && line % 3 == 0) CORNERS |= here;
            }
        }
    }
}

static plane turn(int v, plane set) { return (set & UPPER[v]) << ACROSS[v] | (set & LAST[v]) >> 2 * ACROSS[v]; }

static plane held_of(int v, plane even, plane odd) {
    plane even1 = turn(v, even), odd1 = turn(v, odd), even2 = turn(v, even1), odd2 = turn(v, odd1);
    int box = 3 * ALONG[v];
    return even | odd | (even1 | odd2) << box | (even2 | odd1) << 2 * box;
}

static void keep(State *s, int v, int d, plane held, plane missed) {
    plane other = turn(v, held), out = other | turn(v, other) | missed;
    if (!out) return;
    int box = 3 * ALONG[v];
    plane first = out & HEADS[v], second = out >> box & HEADS[v], third = out >> 2 * box & HEADS[v];
    plane second1 = turn(v, second), third1 = turn(v, third), second2 = turn(v, second1), third2 = turn(v, third1);
    s->ways[v][0][d] &= ~(first | second2 | third1);
    s->ways[v][1][d] &= ~(first | second1 | third2);
}

static void bands_to_boxes(State *s) {
    for (int v = 0; v < 2; v++) {
        plane held[9], n1 = 0, n2 = 0, n3 = 0, n4 = 0;
        for (int d = 0; d < 9; d++) {
            plane h = held[d] = held_of(v, s->ways[v][0][d], s->ways[v][1][d]);
            n4 |= n3 & h, n3 |= n2 & h, n2 |= n1 & h, n1 |= h;
        }
        plane three = n3 & ~n4;
        for (int d = 0; d < 9; d++) {
            if (held[d] & three) {
                keep(s, v, d, held[d] & three, 0);
                held[d] = held_of(v, s->ways[v][0][d], s->ways[v][1][d]);
            }
            plane other = turn(v, held[d]);
            s->missing[v][d] &= other | turn(v, other);
            s->cells[d] &= held[d] | held[d] << ALONG[v] | held[d] << 2 * ALONG[v];
        }
    }
}

static void assert_(State *s, plane placed[9], plane missed[2][9]) {
    plane taken = 0;
    for (int d = 0; d < 9; d++) taken |= placed[d];
    for (int d = 0; d < 9; d++) {
        plane p = placed[d];
        plane boxes = (p | p >> 1 | p >> 2) & TRIADS[0];
        boxes = (boxes | boxes >> 9 | boxes >> 18) & CORNERS;
        boxes |= boxes << 1 | boxes << 2;
        boxes |= boxes << 9 | boxes << 18;
        s->cells[d] &= ~(boxes | taken) | p;
        for (int v = 0; v < 2; v++) {
            plane held = (p | p >> ALONG[v] | p >> 2 * ALONG[v]) & TRIADS[v];
            s->missing[v][d] &= ~held;
            keep(s, v, d, held, missed[v][d]);
        }
    }
}

/* Sets only shrink, so that an equal count is an equal state. */
static int left_in(const State *s) {
    const plane *sets = (const plane *)s;
    int left = 0;
    for (unsigned k = 0; k < sizeof *s / sizeof *sets; k++) left += count(sets[k]);
    return left;
}

static int settle(State *s) {
    for (;;) {
        plane placed[9], missed[2][9], once = 0, twice = 0;
        int before = left_in(s);
        bands_to_boxes(s);
        for (int d = 0; d < 9; d++) twice |= once & s->cells[d], once |= s->cells[d];
        if (once != ALL) return 0;
        for (int d = 0; d < 9; d++) placed[d] = s->cells[d] & ~twice;
        for (int v = 0; v < 2; v++) {
            plane n1 = 0, n2 = 0, n3 = 0, n4 = 0;
            for (int d = 0; d < 9; d++) {
                plane h = TRIADS[v] & ~s->missing[v][d];
                n4 |= n3 & h, n3 |= n2 & h, n2 |= n1 & h, n1 |= h;
            }
            if (n4) return 0;
            for (int d = 0; d < 9; d++) {
                plane some = s->missing[v][d], more = 0, part[3];
                for (int k = 0; k < 3; k++) {
                    part[k] = s->cells[d] >> k * ALONG[v] & TRIADS[v];
                    more |= some & part[k], some |= part[k];
                }
                if (some != TRIADS[v]) return 0;
                for (int k = 0; k < 3; k++) placed[d] |= (part[k] & ~more) << k * ALONG[v];
                missed[v][d] = s->missing[v][d] & (~more | n3);
            }
        }
        assert_(s, placed, missed);
        if (left_in(s) == before) return 1;
    }
}

static int over(Account *a) { return a->found == a->wanted || (a->most >= 0 && a->guesses > a->most); }

static int ways_of(State *s, int v, int band, int d, int ways[6]) {
    int n = 0;
    for (int k = 0; k < 6; k++)
        if (s->ways[v][ORDER[k][0]][d] >> ACROSS[v] * (3 * band + ORDER[k][1]) & 1) ways[n++] = k;
    return n;
}

static void rule_out(State *s, int v, int band, int d, const int *ways, int n) {
    for (int k = 0; k < n; k++)
        s->ways[v][ORDER[ways[k]][0]][d] &= ~bit(ACROSS[v] * (3 * band + ORDER[ways[k]][1]));
}

static void search(State *s, Account *a) {
    for (;;) {
        int best = 1 << 20, v = -1, band = 0, d = 0, fewest = 7, ways[6], n;
        for (int w = 0; w < 2; w++)
            for (int b = 0; b < 3; b++) {
                int left = 0;
                for (int e = 0; e < 9; e++) left += count(s->ways[w][0][e] & BAND[w][b]) + count(s->ways[w][1][e] & BAND[w][b]);
                if (left >= 10 && left < best) best = left, v = w, band = b;
            }
        if (v < 0) break;
        for (int e = 0; e < 9; e++) {
            n = ways_of(s, v, band, e, ways);
            if (n > 1 && n < fewest) fewest = n, d = e;
        }
        n = ways_of(s, v, band, d, ways);
        while (n > 1) {
            State tried = *s;
            a->guesses++;
            rule_out(&tried, v, band, d, ways + 1, n - 1);
            if (settle(&tried)) search(&tried, a);
            if (over(a)) return;
            rule_out(s, v, band, d, ways, 1);
            if (!settle(s)) return;
            n = ways_of(s, v, band, d, ways);
        }
    }
    uint8_t *solution = a->solutions + 81 * a->found++;
    for (int d = 0; d < 9; d++)
        for (int c = 0; c < 81; c++)
            if (s->cells[d] >> c & 1) solution[c] = d + 1;
}

/* As explore() there; `ban` is (digit - 1) * 81 + cell of a digit that must not stand there, or -1. Returns how many were found. */
int explore(const uint8_t *grid, int ban, int wanted, int most, uint8_t *solutions, int *guesses) {
    State s;
    Account a = {wanted, most, 0, 0, solutions};
    plane placed[9] = {0}, missed[2][9] = {{0}};
    for (int d = 0; d < 9; d++) {
        s.cells[d] = ALL;
        for (int v = 0; v < 2; v++) s.missing[v][d] = TRIADS[v], s.ways[v][0][d] = s.ways[v][1][d] = HEADS[v];
    }
    for (int c = 0; c < 81; c++)
        if (grid[c]) placed[grid[c] - 1] |= bit(c);
    assert_(&s, placed, missed);
    if (ban >= 0) s.cells[ban / 81] &= ~bit(ban % 81);
    if (settle(&s)) search(&s, &a);
    *guesses = a.guesses;
    return a.found;
}
