/* Sends a text to the function `echo` and prints what comes back.
 *
 *     cc -std=c11 echo.c $(pkg-config --cflags --libs gpumux) -o echo
 *     ./echo /run/gpumux/gpumuxd.sock "some text"
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <gpumux.h>

/* What failed, and why: gpumux_last_error has the words. */
static int failed(const char *step, gpumux_code code) {
    fprintf(stderr, "could not %s: %s (%s)\n", step, gpumux_last_error(), gpumux_error_text(code));
    return 1;
}

static void print_tensor(const char *side, const gpumux_tensor *tensor) {
    printf("%s %s: %" PRIu64 " bytes, dimensions", side, tensor->name, tensor->bytes);
    for (uint32_t index = 0; index < tensor->rank; index++) {
        printf(" %" PRIu32 "%s", tensor->dims[index], (tensor->varies >> index) & 1 ? "*" : "");
    }
    printf("\n");
}

static int describe(const gpumux_function *function) {
    size_t inputs = 0, outputs = 0;
    uint32_t longest = 0;
    gpumux_code code = gpumux_function_signature(function, &inputs, &outputs, &longest);
    if (code != GPUMUX_OK) return failed("read the signature", code);
    printf("lengths up to %" PRIu32 "; at length 1 (* is the length):\n", longest);
    gpumux_tensor tensor = {.struct_size = sizeof tensor};
    for (size_t index = 0; index < inputs; index++) {
        code = gpumux_function_input(function, index, 1, &tensor);
        if (code != GPUMUX_OK) return failed("read an input", code);
        print_tensor("  input", &tensor);
    }
    for (size_t index = 0; index < outputs; index++) {
        code = gpumux_function_output(function, index, 1, &tensor);
        if (code != GPUMUX_OK) return failed("read an output", code);
        print_tensor("  output", &tensor);
    }
    return 0;
}

/* The tensors are written and read where the daemon reads and writes them. */
static int send_text(gpumux_request *request, const char *text, gpumux_reply **reply) {
    void *data = NULL;
    size_t bytes = 0;
    gpumux_code code = gpumux_request_input(request, 0, &data, &bytes);
    if (code != GPUMUX_OK) return failed("reach the input", code);
    memcpy(data, text, bytes);

    gpumux_submit_options options = {.struct_size = sizeof options, .budget_us = 10000000};
    gpumux_pending *pending = NULL;
    code = gpumux_submit(request, &options, &pending);
    if (code != GPUMUX_OK) return failed("submit", code);
    code = gpumux_pending_wait(pending, GPUMUX_FOREVER, reply);
    gpumux_pending_free(pending);
    return code == GPUMUX_OK ? 0 : failed("wait for the reply", code);
}

static int print_reply(const gpumux_reply *reply) {
    gpumux_result result = {.struct_size = sizeof result};
    gpumux_code code = gpumux_reply_result(reply, &result);
    if (code != GPUMUX_OK) return failed("read the result", code);
    if (result.outcome != GPUMUX_OUTCOME_DONE) {
        fprintf(stderr, "no result: %s %s: %s\n", gpumux_outcome_label(result.outcome),
                gpumux_reason_label(result.reason), gpumux_reason_advice(result.reason));
        if (result.retry_after_us != 0) {
            fprintf(stderr, "try again in %" PRIu64 " us\n", result.retry_after_us);
        }
        return 1;
    }
    const void *data = NULL;
    size_t bytes = 0;
    code = gpumux_reply_output(reply, 0, &data, &bytes);
    if (code != GPUMUX_OK) return failed("reach the output", code);
    printf("echo: %.*s\n", (int)bytes, (const char *)data);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3 || argv[2][0] == '\0') {
        fprintf(stderr, "usage: %s SOCKET TEXT\n", argv[0]);
        return 2;
    }
    if (gpumux_abi_version() != GPUMUX_ABI_VERSION) {
        fprintf(stderr, "libgpumux is of another version than the header\n");
        return 2;
    }
    gpumux_session *session = NULL;
    gpumux_function *function = NULL;
    gpumux_request *request = NULL;
    gpumux_reply *reply = NULL;
    int status = 1;

    gpumux_code code = gpumux_connect(argv[1], NULL, &session);
    if (code != GPUMUX_OK) {
        failed("connect", code);
        goto cleanup;
    }
    gpumux_open_options options = {.struct_size = sizeof options, .arena_bytes = 1 << 20};
    code = gpumux_open(session, "echo", &options, &function);
    if (code != GPUMUX_OK) {
        failed("open `echo`", code);
        goto cleanup;
    }
    if (describe(function) != 0) goto cleanup;
    code = gpumux_request_new(function, (uint32_t)strlen(argv[2]), &request);
    if (code != GPUMUX_OK) {
        failed("make a request", code);
        goto cleanup;
    }
    if (send_text(request, argv[2], &reply) != 0) goto cleanup;
    status = print_reply(reply);

cleanup:
    gpumux_reply_free(reply);
    gpumux_request_free(request);
    gpumux_function_free(function);
    gpumux_session_free(session);
    return status;
}
