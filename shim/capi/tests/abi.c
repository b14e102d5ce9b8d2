/* What the C ABI promises, held to it by a C program: `abi SOCKET`, beside a daemon that serves
 * `echo`. It says `filled` when requests are in flight and waits for a line; the daemon may be
 * restarted in between. */

#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gpumux.h>

#define COUNT 16

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,             \
                    gpumux_last_error());                                                   \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#define EXPECT(expected, call) CHECK((call) == (expected))

static void no_daemon_and_bad_arguments(const char *path) {
    gpumux_session *session = NULL;
    EXPECT(GPUMUX_ERROR_DAEMON_ABSENT, gpumux_connect("/nowhere/gpumuxd.sock", NULL, &session));
    CHECK(session == NULL && strstr(gpumux_last_error(), "/nowhere/gpumuxd.sock") != NULL);
    EXPECT(GPUMUX_ERROR_NULL, gpumux_connect(NULL, NULL, &session));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_connect(path, NULL, NULL));
    EXPECT(GPUMUX_ERROR_ARGUMENT, gpumux_connect("\xff", NULL, &session));
    gpumux_connect_options options = {0, 0};
    EXPECT(GPUMUX_ERROR_ARGUMENT, gpumux_connect(path, &options, &session));
    CHECK(strstr(gpumux_last_error(), "struct_size") != NULL);
    struct {
        gpumux_connect_options known;
        uint64_t unknown;
    } later = {{sizeof later, GPUMUX_NO_RECONNECT}, 1};
    EXPECT(GPUMUX_ERROR_ARGUMENT, gpumux_connect(path, &later.known, &session));
    later.unknown = 0;
    EXPECT(GPUMUX_OK, gpumux_connect(path, &later.known, &session));
    gpumux_session_free(session);
}

static void nulls(void) {
    void *data;
    const void *output;
    int fd;
    gpumux_function *function;
    gpumux_request *request;
    gpumux_pending *pending;
    gpumux_readiness *readiness;
    gpumux_reply *reply;
    gpumux_tensor tensor = {.struct_size = sizeof tensor};
    gpumux_result result = {.struct_size = sizeof result};
    EXPECT(GPUMUX_ERROR_NULL, gpumux_open(NULL, "echo", NULL, &function));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_function_signature(NULL, NULL, NULL, NULL));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_function_input(NULL, 0, 1, &tensor));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_function_output(NULL, 0, 1, &tensor));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_request_new(NULL, 1, &request));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_request_input(NULL, 0, &data, NULL));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_submit(NULL, NULL, &pending));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_pending_wait(NULL, 0, &reply));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_pending_cancel(NULL));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_readiness_new(NULL, &readiness));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_readiness_fd(NULL, &fd));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_readiness_arm(NULL));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_reply_result(NULL, &result));
    EXPECT(GPUMUX_ERROR_NULL, gpumux_reply_output(NULL, 0, &output, NULL));
    gpumux_session_free(NULL);
    gpumux_function_free(NULL);
    gpumux_request_free(NULL);
    gpumux_pending_free(NULL);
    gpumux_readiness_free(NULL);
    gpumux_reply_free(NULL);
    CHECK(strcmp(gpumux_error_text(GPUMUX_ERROR_NOT_YET), "the request has not ended yet") == 0);
}

static gpumux_request *filled(const gpumux_function *function, unsigned char mark) {
    gpumux_request *request = NULL;
    void *data = NULL;
    size_t bytes = 0;
    EXPECT(GPUMUX_OK, gpumux_request_new(function, 1u + mark, &request));
    EXPECT(GPUMUX_OK, gpumux_request_input(request, 0, &data, &bytes));
    CHECK(bytes == 1u + mark && (uintptr_t)data % 64 == 0);
    memset(data, mark, bytes);
    return request;
}

static gpumux_pending *submitted(const gpumux_function *function, unsigned char mark) {
    gpumux_request *request = filled(function, mark);
    gpumux_pending *pending = NULL;
    EXPECT(GPUMUX_OK, gpumux_submit(request, NULL, &pending));
    gpumux_request_free(request);
    return pending;
}

static void expect_echo(gpumux_reply *reply, unsigned char mark) {
    gpumux_result result = {.struct_size = sizeof result};
    const unsigned char *bytes = NULL;
    const void *data = NULL;
    size_t count = 0;
    EXPECT(GPUMUX_OK, gpumux_reply_result(reply, &result));
    CHECK(result.outcome == GPUMUX_OUTCOME_DONE && result.reason == GPUMUX_REASON_NONE);
    CHECK(result.batch > 0);
    EXPECT(GPUMUX_OK, gpumux_reply_output(reply, 0, &data, &count));
    EXPECT(GPUMUX_ERROR_NO_TENSOR, gpumux_reply_output(reply, 1, &data, NULL));
    CHECK(count == 1u + mark);
    bytes = data;
    for (size_t index = 0; index < count; index++) CHECK(bytes[index] == mark);
    gpumux_reply_free(reply);
}

static void wrong_requests(const gpumux_session *session, const gpumux_function *function) {
    gpumux_function *other = NULL;
    EXPECT(GPUMUX_ERROR_UNKNOWN_FUNCTION, gpumux_open(session, "ecko", NULL, &other));
    CHECK(strstr(gpumux_last_error(), "`echo`") != NULL);
    gpumux_open_options options = {.struct_size = sizeof options, .slots = 3};
    EXPECT(GPUMUX_ERROR_ARGUMENT, gpumux_open(session, "echo", &options, &other));

    size_t inputs = 0, outputs = 0;
    uint32_t longest = 0;
    EXPECT(GPUMUX_OK, gpumux_function_signature(function, &inputs, &outputs, &longest));
    CHECK(inputs == 1 && outputs == 1 && longest == 1024);
    gpumux_tensor tensor = {.struct_size = sizeof tensor};
    EXPECT(GPUMUX_OK, gpumux_function_input(function, 0, 77, &tensor));
    CHECK(strcmp(tensor.name, "data") == 0 && tensor.bytes == 77);
    CHECK(tensor.element == GPUMUX_ELEMENT_U8 && tensor.rank == 1);
    CHECK(tensor.dims[0] == 77 && tensor.dims[1] == 0 && tensor.varies == 1);
    EXPECT(GPUMUX_ERROR_NO_TENSOR, gpumux_function_output(function, 1, 1, &tensor));
    EXPECT(GPUMUX_ERROR_LENGTH, gpumux_function_output(function, 0, 1025, &tensor));
    tensor.struct_size = 0;
    EXPECT(GPUMUX_ERROR_ARGUMENT, gpumux_function_output(function, 0, 1, &tensor));

    gpumux_request *request = NULL;
    gpumux_pending *pending = NULL;
    void *data = NULL;
    EXPECT(GPUMUX_ERROR_LENGTH, gpumux_request_new(function, 0, &request));
    EXPECT(GPUMUX_ERROR_LENGTH, gpumux_request_new(function, 1025, &request));
    EXPECT(GPUMUX_OK, gpumux_request_new(function, 1, &request));
    EXPECT(GPUMUX_ERROR_NO_TENSOR, gpumux_request_input(request, 1, &data, NULL));
    EXPECT(GPUMUX_ERROR_MISSING_INPUT, gpumux_submit(request, NULL, &pending));
    EXPECT(GPUMUX_ERROR_SPENT, gpumux_submit(request, NULL, &pending));
    EXPECT(GPUMUX_ERROR_SPENT, gpumux_request_input(request, 0, &data, NULL));
    gpumux_request_free(request);
}

static void one_reply_each(const gpumux_function *function) {
    gpumux_pending *pending = submitted(function, 9);
    gpumux_reply *reply = NULL, *none = NULL;
    EXPECT(GPUMUX_OK, gpumux_pending_wait(pending, GPUMUX_FOREVER, &reply));
    EXPECT(GPUMUX_ERROR_SPENT, gpumux_pending_wait(pending, 0, &none));
    CHECK(none == NULL);
    gpumux_pending_free(pending);
    expect_echo(reply, 9);
}

static void *wait_in_a_thread(void *pending) {
    gpumux_reply *reply = NULL;
    gpumux_code code;
    do {
        code = gpumux_pending_wait(pending, 1000, &reply);
    } while (code == GPUMUX_ERROR_NOT_YET);
    CHECK(code == GPUMUX_OK);
    gpumux_pending_free(pending);
    return reply;
}

/* The child's handles answer, and free, and leave the parent's alone. */
static void fork_rule(gpumux_session *session, gpumux_function *function) {
    gpumux_pending *pending = submitted(function, 5);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        gpumux_reply *reply = NULL;
        gpumux_request *request = NULL;
        EXPECT(GPUMUX_ERROR_FORKED, gpumux_pending_wait(pending, GPUMUX_FOREVER, &reply));
        EXPECT(GPUMUX_ERROR_FORKED, gpumux_request_new(function, 1, &request));
        gpumux_pending_free(pending);
        gpumux_function_free(function);
        gpumux_session_free(session);
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    expect_echo(wait_in_a_thread(pending), 5);
}

/* Waits as an event loop does, for what threads wait for too. */
static void loop(const gpumux_function *function, gpumux_pending **pending) {
    gpumux_readiness *readiness = NULL;
    struct pollfd end = {.fd = -1, .events = POLLIN};
    EXPECT(GPUMUX_OK, gpumux_readiness_new(function, &readiness));
    EXPECT(GPUMUX_OK, gpumux_readiness_fd(readiness, &end.fd));
    for (int left = COUNT; left > 0;) {
        EXPECT(GPUMUX_OK, gpumux_readiness_arm(readiness));
        for (int index = 0; index < COUNT; index++) {
            gpumux_reply *reply = NULL;
            if (pending[index] == NULL) continue;
            gpumux_code code = gpumux_pending_wait(pending[index], 0, &reply);
            if (code == GPUMUX_ERROR_NOT_YET) continue;
            CHECK(code == GPUMUX_OK);
            expect_echo(reply, (unsigned char)(100 + index));
            gpumux_pending_free(pending[index]);
            pending[index] = NULL;
            left--;
        }
        if (left > 0) CHECK(poll(&end, 1, -1) == 1);
    }
    gpumux_readiness_free(readiness);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(gpumux_abi_version() == GPUMUX_ABI_VERSION);
    no_daemon_and_bad_arguments(argv[1]);
    nulls();
    gpumux_session *session = NULL;
    gpumux_function *function = NULL;
    EXPECT(GPUMUX_OK, gpumux_connect(argv[1], NULL, &session));
    EXPECT(GPUMUX_OK, gpumux_open(session, "echo", NULL, &function));
    wrong_requests(session, function);
    one_reply_each(function);
    fork_rule(session, function);

    printf("ready\n");
    fflush(stdout);
    CHECK(getchar() == '\n');
    gpumux_pending *pending[COUNT];
    pthread_t threads[COUNT];
    for (int index = 0; index < COUNT; index++) {
        gpumux_pending *waited = submitted(function, (unsigned char)(1 + index));
        CHECK(pthread_create(&threads[index], NULL, wait_in_a_thread, waited) == 0);
        pending[index] = submitted(function, (unsigned char)(100 + index));
    }
    gpumux_pending *cancelled = submitted(function, 3), *dropped = submitted(function, 4);
    EXPECT(GPUMUX_OK, gpumux_pending_cancel(cancelled));
    gpumux_pending_free(dropped);
    printf("filled\n");
    fflush(stdout);
    loop(function, pending);
    for (int index = 0; index < COUNT; index++) {
        void *reply = NULL;
        CHECK(pthread_join(threads[index], &reply) == 0);
        expect_echo(reply, (unsigned char)(1 + index));
    }
    gpumux_reply *reply = wait_in_a_thread(cancelled);
    gpumux_result result = {.struct_size = sizeof result};
    EXPECT(GPUMUX_OK, gpumux_reply_result(reply, &result));
    CHECK(result.outcome == GPUMUX_OUTCOME_CANCELLED);
    const void *data = NULL;
    EXPECT(GPUMUX_ERROR_NO_RESULT, gpumux_reply_output(reply, 0, &data, NULL));
    gpumux_reply_free(reply);
    gpumux_function_free(function);
    gpumux_session_free(session);
    printf("held\n");
    return 0;
}
