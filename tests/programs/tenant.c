/* A tenant's program in C99; tenant.py and gpumux-test-tenant are the same in Python and Rust.
 *
 *     tenant SOCKET FUNCTION STRANGERS_SOCKET OTHER...
 *
 * It opens its FUNCTION over its SOCKET and sees one request through. Then it tries what it may not:
 * each OTHER function, a session where it is nobody's peer, and a second session where it has one.
 * Each refusal is a line. After `serving` it sends requests, eight at a time, and checks each result;
 * a line on its input is answered with how many there were, and the end of its input ends it. */

#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gpumux.h>

enum { IN_FLIGHT = 8 };

static void fail(const char *step) {
    fprintf(stderr, "%s: %s\n", step, gpumux_last_error());
    exit(EXIT_FAILURE);
}

static void must(const char *step, gpumux_code code) {
    if (code != GPUMUX_OK) fail(step);
}

/* What a request holds is told by its number and the function's name: nobody else's is the same. */
static uint32_t length_of(uint64_t number) {
    return 1 + (uint32_t)(number % 1000);
}

static unsigned char byte_of(const char *name, uint64_t number, uint32_t index) {
    size_t letter = index % strlen(name);
    return (unsigned char)(number * 31 + (uint64_t)index * 7 + (unsigned char)name[letter]);
}

static gpumux_pending *submit(const gpumux_function *function, const char *name, uint64_t number) {
    gpumux_request *request = NULL;
    must("make a request", gpumux_request_new(function, length_of(number), &request));
    void *data = NULL;
    must("reach the input", gpumux_request_input(request, 0, &data, NULL));
    for (uint32_t index = 0; index < length_of(number); index++) {
        ((unsigned char *)data)[index] = byte_of(name, number, index);
    }
    gpumux_pending *pending = NULL;
    must("submit", gpumux_submit(request, NULL, &pending));
    gpumux_request_free(request);
    return pending;
}

static void check(gpumux_pending *pending, const char *name, uint64_t number) {
    gpumux_reply *reply = NULL;
    must("wait", gpumux_pending_wait(pending, GPUMUX_FOREVER, &reply));
    gpumux_pending_free(pending);
    const void *data = NULL;
    size_t bytes = 0;
    must("read the result", gpumux_reply_output(reply, 0, &data, &bytes));
    int same = bytes == length_of(number);
    for (uint32_t index = 0; same && index < length_of(number); index++) {
        same = ((const unsigned char *)data)[index] == byte_of(name, number, index);
    }
    if (!same) {
        fprintf(stderr, "request %" PRIu64 " came back changed\n", number);
        exit(EXIT_FAILURE);
    }
    gpumux_reply_free(reply);
}

static void not_opened(const gpumux_session *session, const char *other) {
    gpumux_function *function = NULL;
    gpumux_code code = gpumux_open(session, other, NULL, &function);
    if (code != GPUMUX_ERROR_UNKNOWN_FUNCTION) fail("be refused a function");
    printf("not opened: %s\n", gpumux_last_error());
}

static void turned_away(const char *path) {
    gpumux_session *session = NULL;
    gpumux_code code = gpumux_connect(path, NULL, &session);
    if (code != GPUMUX_ERROR_SESSION_REFUSED) fail("be refused a session");
    printf("turned away: %s\n", gpumux_last_error());
}

static int is_told(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) == 1;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s SOCKET FUNCTION STRANGERS_SOCKET OTHER...\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    const char *path = argv[1], *name = argv[2];
    gpumux_session *session = NULL;
    must("connect", gpumux_connect(path, NULL, &session));
    gpumux_function *function = NULL;
    must("open its function", gpumux_open(session, name, NULL, &function));
    check(submit(function, name, 0), name, 0);
    for (int other = 4; other < argc; other++) not_opened(session, argv[other]);
    turned_away(argv[3]);
    turned_away(path);
    printf("serving\n");

    uint64_t served = 1;
    for (;;) {
        gpumux_pending *pending[IN_FLIGHT];
        for (int at = 0; at < IN_FLIGHT; at++) {
            pending[at] = submit(function, name, served + (uint64_t)at);
        }
        for (int at = 0; at < IN_FLIGHT; at++) check(pending[at], name, served++);
        if (is_told()) {
            char line[16];
            if (read(STDIN_FILENO, line, sizeof line) <= 0) break;
            printf("%" PRIu64 "\n", served);
        }
    }
    gpumux_function_free(function);
    gpumux_session_free(session);
    printf("done %" PRIu64 "\n", served);
    return 0;
}
