/* nearest.c: which of some words a mistyped one was probably meant to be. See nearest.h. */
#include "nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 64 /* letters of the longest word that is compared: a channel's name has at most 63 */

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

typedef size_t costs[WORD_MAX + 1][WORD_MAX + 1];

/* From the first i letters of `a` to the first j of `b`, when all shorter beginnings are known. */
static size_t cost_of(costs cost, const char *a, const char *b, size_t i, size_t j)
{
    size_t best;

    if (i == 0 || j == 0)
        return i + j;
    best = cost[i - 1][j - 1] + !same(a[i - 1], b[j - 1]);
    if (cost[i - 1][j] + 1 < best)
        best = cost[i - 1][j] + 1;
    if (cost[i][j - 1] + 1 < best)
        best = cost[i][j - 1] + 1;
    if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) && cost[i - 2][j - 2] + 1 < best)
        best = cost[i - 2][j - 2] + 1;
    return best;
}

/* The number of edits; only words of at most WORD_MAX letters are compared, others are far. */
static size_t edits(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    costs cost;

    if (rows > WORD_MAX || columns > WORD_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= rows; i++)
        for (size_t j = 0; j <= columns; j++)
            cost[i][j] = cost_of(cost, a, b, i, j);
    return cost[rows][columns];
}

size_t nearest_distance(const char *word, const char *valid)
{
    size_t word_size = strlen(word), valid_size = strlen(valid);
    size_t shorter = word_size < valid_size ? word_size : valid_size;
    size_t distance = edits(word, valid);

    if (distance != SIZE_MAX &&
        (distance <= 1 + shorter / 3 || (shorter >= 3 && strncasecmp(word, valid, shorter) == 0)))
        return distance;
    return SIZE_MAX;
}
