/* test_frame.c: several samples in one message, and the way back. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/frame.h"
#include "check.h"

static struct frame frame;

/* Put the text into the frame as its next sample. Returns whether it went in. */
static int add(const char *text, uint64_t time_ns)
{
    size_t room;
    void *to = frame_room(&frame, &room);

    if (!to || strlen(text) > room)
        return 0;
    memcpy(to, text, strlen(text));
    return frame_add(&frame, strlen(text), time_ns);
}

/* Begin a frame, with room for the usual. */
static int begin(enum frame_format format, uint64_t sequence)
{
    int rc = frame_reserve(&frame, 0);

    frame_begin(&frame, format, sequence);
    return rc;
}

/* The bytes are those that the header file documents: a subscriber in any language can count on them. */
static void test_frame_bytes_are_as_documented(void)
{
    static const unsigned char expected[] = {'S', 'G', 'F', '1', 2, 0, 0,    0, 8, 7, 6, 5, 4, 3,
                                             2,   1,   2,   0,   0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0,
                                             'a', 'b', 0,   0,   0, 0, 1,    0, 0, 0, 0, 0, 0, 0x80};

    CHECK_EQUAL(begin(FRAME_BINARY, UINT64_C(0x0102030405060708)), 0);
    CHECK(add("ab", 255) && add("", UINT64_C(0x8000000000000001)));
    frame_end(&frame);
    CHECK_EQUAL(frame.size, sizeof(expected));
    CHECK(memcmp(frame.bytes, expected, sizeof(expected)) == 0);
}

/* What was put in comes out, in order, with its time. */
static void test_samples_come_back(void)
{
    static const char *const texts[] = {"", "a", "two\nlines", "x"};
    struct frame_reader reader;
    struct frame_sample sample;

    CHECK_EQUAL(begin(FRAME_BINARY, 1), 0);
    for (uint64_t i = 0; i < 4; i++)
        CHECK(add(texts[i], i * 1000));
    frame_end(&frame);
    CHECK_EQUAL(frame_open(&reader, FRAME_BINARY, frame.bytes, frame.size), 0);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_EQUAL(frame_next(&reader, &sample), 1);
        CHECK_EQUAL(sample.time_ns, i * 1000);
        CHECK(sample.size == strlen(texts[i]) && memcmp(sample.payload, texts[i], sample.size) == 0);
    }
    CHECK_EQUAL(frame_next(&reader, &sample), 0);
}

/* A frame that is cut off anywhere, or has anything behind it, or another number of samples, or a wrong first byte, is
 * none. */
static void test_damaged_frame_is_none(void)
{
    struct frame_reader reader;
    unsigned char copy[128];

    CHECK_EQUAL(begin(FRAME_BINARY, 1), 0);
    CHECK(add("abc", 1) && add("d", 2));
    frame_end(&frame);
    memcpy(copy, frame.bytes, frame.size);
    copy[frame.size] = 0;
    for (size_t size = 0; size <= frame.size + 1; size++)
        CHECK_EQUAL(frame_open(&reader, FRAME_BINARY, copy, size), size == frame.size ? 0 : -EBADMSG);
    for (int count = 0; count < 256; count++) {
        copy[4] = (unsigned char)count;
        CHECK_EQUAL(frame_open(&reader, FRAME_BINARY, copy, frame.size), count == 2 ? 0 : -EBADMSG);
    }
    copy[4] = 2;
    copy[FRAME_HEADER_SIZE + 3] = 0xff;
    CHECK_EQUAL(frame_open(&reader, FRAME_BINARY, copy, frame.size), -EBADMSG);
    copy[FRAME_HEADER_SIZE + 3] = 0;
    copy[0] = 's';
    CHECK_EQUAL(frame_open(&reader, FRAME_BINARY, copy, frame.size), -EBADMSG);
}

/* Lines stand one behind the other; a sample that would be taken for two, or for none, has a message of its own. */
static void test_lines_hold_only_what_comes_back_as_it_was(void)
{
    CHECK_EQUAL(begin(FRAME_LINES, 1), 0);
    CHECK(add("one", 1) && add("two", 2));
    CHECK(!add("a\nb", 3) && !add("", 3));
    CHECK(add("three", 3));
    frame_end(&frame);
    CHECK(frame.size == 13 && memcmp(frame.bytes, "one\ntwo\nthree", 13) == 0);
    CHECK_EQUAL(begin(FRAME_LINES, 1), 0);
    CHECK(add("a\nb", 1));
    CHECK(!add("c", 2));
    CHECK_EQUAL(frame.count, 1);
}

/* A frame grows to its limit and no further; a single sample may be larger. */
static void test_frame_size_is_bounded(void)
{
    const size_t big = 3 * FRAME_BYTES;
    size_t room;

    CHECK_EQUAL(begin(FRAME_BINARY, 1), 0);
    while (add("0123456789012345678901234567890123456789", 1))
        ;
    CHECK(frame.size <= FRAME_BYTES && frame.size > FRAME_BYTES - 100);
    CHECK_EQUAL(frame_reserve(&frame, big), 0);
    frame_begin(&frame, FRAME_BINARY, 1);
    memset(frame_room(&frame, &room), 'x', big);
    CHECK(room >= big);
    CHECK(frame_add(&frame, big, 1));
    CHECK(!frame_room(&frame, &room));
}

/* Without a format a message is a sample, byte for byte. */
static void test_message_without_format_is_a_sample(void)
{
    struct frame_reader reader;
    struct frame_sample sample;

    CHECK_EQUAL(begin(FRAME_NONE, 1), 0);
    CHECK(add("SGF1\n", 1));
    CHECK(!add("x", 1));
    frame_end(&frame);
    CHECK(frame.size == 5 && memcmp(frame.bytes, "SGF1\n", 5) == 0);
    CHECK_EQUAL(frame_open(&reader, FRAME_NONE, frame.bytes, frame.size), 0);
    CHECK_EQUAL(frame_next(&reader, &sample), 1);
    CHECK_EQUAL(sample.size, 5);
    CHECK_EQUAL(frame_next(&reader, &sample), 0);
}

static const struct check_test tests[] = {
    {"test_frame_bytes_are_as_documented", test_frame_bytes_are_as_documented},
    {"test_samples_come_back", test_samples_come_back},
    {"test_damaged_frame_is_none", test_damaged_frame_is_none},
    {"test_lines_hold_only_what_comes_back_as_it_was", test_lines_hold_only_what_comes_back_as_it_was},
    {"test_frame_size_is_bounded", test_frame_size_is_bounded},
    {"test_message_without_format_is_a_sample", test_message_without_format_is_a_sample},
};

int main(int argc, char **argv)
{
    int code = check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    frame_free(&frame);
    return code;
}
