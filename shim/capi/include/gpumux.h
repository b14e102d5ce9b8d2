/* libgpumux: requests to the functions that gpumuxd serves.
 *
 * Every function that can fail returns a gpumux_code; gpumux_last_error says what was wrong, in this
 * thread, in words. Handles come through the last argument of a call, and each is freed once by the
 * function that is named after it, which ignores NULL. Structures begin with their own size, which
 * the caller sets; what is zero has its default. No function unwinds or exits.
 *
 * Made by `cargo xtask header` from shim/capi/src: change it there. */

#ifndef GPUMUX_H
#define GPUMUX_H

#include <stddef.h>
#include <stdint.h>

// The version of the ABI: programs that were compiled for one run with every library of the same.
#define GPUMUX_ABI_VERSION 1

// In `reconnect_for_ms`: a daemon that dies is not waited for.
#define GPUMUX_NO_RECONNECT UINT64_MAX

// Dimensions that a tensor has at most.
#define GPUMUX_RANK_MAX 6

// In place of a time limit: wait until the request has ended.
#define GPUMUX_FOREVER UINT64_MAX

// What a function of this library returns.
typedef enum gpumux_code {
  // It was done.
  GPUMUX_OK = 0,
  // A pointer that must not be NULL is NULL.
  GPUMUX_ERROR_NULL = 1,
  // An argument has a value that it cannot have.
  GPUMUX_ERROR_ARGUMENT = 2,
  // No daemon listens at the path.
  GPUMUX_ERROR_DAEMON_ABSENT = 3,
  // The daemon is of another release than this library.
  GPUMUX_ERROR_VERSION = 4,
  // The daemon refused the session.
  GPUMUX_ERROR_SESSION_REFUSED = 5,
  // The kernel refused: out of memory, descriptors or threads.
  GPUMUX_ERROR_OS = 6,
  // The daemon serves no such function, or not to this peer.
  GPUMUX_ERROR_UNKNOWN_FUNCTION = 7,
  // The daemon did not open the function, for another reason.
  GPUMUX_ERROR_OPEN_REFUSED = 8,
  // The session is over; connect again.
  GPUMUX_ERROR_SESSION_OVER = 9,
  // The daemon was restarted or reloaded and does not take this function's handle again; open it
  // again.
  GPUMUX_ERROR_RESTARTED = 10,
  // Nobody serves the function any more; connect again.
  GPUMUX_ERROR_LOST = 11,
  // The handle was made before a fork, by the parent process.
  GPUMUX_ERROR_FORKED = 12,
  // The function takes no request of this length.
  GPUMUX_ERROR_LENGTH = 13,
  // All slots, or all bytes, are in use: free a reply, or open with more.
  GPUMUX_ERROR_FULL = 14,
  // The function has no tensor of that index.
  GPUMUX_ERROR_NO_TENSOR = 15,
  // A tensor has another type or shape.
  GPUMUX_ERROR_SHAPE = 16,
  // An input was not written.
  GPUMUX_ERROR_MISSING_INPUT = 17,
  // The request did not end with a result, so there are no outputs.
  GPUMUX_ERROR_NO_RESULT = 18,
  // The request has not ended yet.
  GPUMUX_ERROR_NOT_YET = 19,
  // The handle is spent: the request was submitted, or its reply was taken.
  GPUMUX_ERROR_SPENT = 20,
  // A bug in this library; please report it with the message.
  GPUMUX_ERROR_INTERNAL = 99,
} gpumux_code;

// How a request ended.
typedef enum gpumux_outcome {
  // Its outputs can be read.
  GPUMUX_OUTCOME_DONE = 1,
  // It did not run, or its result is withheld; the reason says why.
  GPUMUX_OUTCOME_REFUSED = 2,
  // Its time limit passed before it ran.
  GPUMUX_OUTCOME_DEADLINE_MISSED = 3,
  // It was cancelled.
  GPUMUX_OUTCOME_CANCELLED = 4,
} gpumux_outcome;

// Why a request was refused. A daemon of a later release may have others:
// gpumux_reason_label says what this library knows.
typedef enum gpumux_reason {
  // It was not refused.
  GPUMUX_REASON_NONE = 0,
  // The function's queue is full.
  GPUMUX_REASON_QUEUE_FULL = 1,
  // The length is above the function's limit.
  GPUMUX_REASON_TOO_LONG = 2,
  // An input has another element type than the signature says.
  GPUMUX_REASON_WRONG_TYPE = 3,
  // An input has another shape than the signature says.
  GPUMUX_REASON_WRONG_SHAPE = 4,
  // The number of inputs or outputs is not the signature's.
  GPUMUX_REASON_WRONG_COUNT = 5,
  // An output has less room than its result needs.
  GPUMUX_REASON_OUTPUT_TOO_SMALL = 6,
  // A value would have been an address outside its table.
  GPUMUX_REASON_BAD_VALUE = 7,
  // The daemon is stopping.
  GPUMUX_REASON_DRAINING = 8,
  // The device's worker died before it answered.
  GPUMUX_REASON_WORKER_LOST = 9,
  // The daemon went away before it answered.
  GPUMUX_REASON_DAEMON_LOST = 10,
  // The device could not run the batch.
  GPUMUX_REASON_DEVICE_FAILED = 11,
  // The request has killed the device's worker, running alone.
  GPUMUX_REASON_POISON = 12,
  // The function is served no more until an operator clears it.
  GPUMUX_REASON_QUARANTINED = 13,
  // The daemon was restarted or reloaded and does not take the function's handle again.
  GPUMUX_REASON_RESTARTED = 14,
  // The tenant has as many requests on the device as it may have.
  GPUMUX_REASON_TENANT_QUEUE_FULL = 15,
  // The tenant submits more requests a second than it may.
  GPUMUX_REASON_RATE_LIMITED = 16,
} gpumux_reason;

// The type of a tensor's elements.
typedef enum gpumux_element {
  // Unsigned 8-bit.
  GPUMUX_ELEMENT_U8 = 1,
  // Signed 32-bit.
  GPUMUX_ELEMENT_I32 = 2,
  // Signed 64-bit.
  GPUMUX_ELEMENT_I64 = 3,
  // IEEE binary32.
  GPUMUX_ELEMENT_F32 = 4,
  // One byte, 0 or 1.
  GPUMUX_ELEMENT_BOOL = 5,
} gpumux_element;

// An open function. Any number of threads may use it at once; it is freed once, when no call uses
// it. Requests that were made for it live on without it.
typedef struct gpumux_function gpumux_function;

// A request in flight. One thread at a time may use it, not always the same one.
typedef struct gpumux_pending gpumux_pending;

// A descriptor for poll, epoll and the loops that are built on them: it is readable when requests
// of its function may have ended. A loop calls gpumux_readiness_arm, then looks at each request that
// it waits for by gpumux_pending_wait with a limit of 0, and then sleeps until the descriptor is
// readable. It stays the same over the daemon's restarts. Any number of threads may use it at once;
// it is freed once, when no call uses it.
typedef struct gpumux_readiness gpumux_readiness;

// How a request ended. Any number of threads may read it at once; it is freed once, when no call
// and nobody who has its outputs' pointers uses it. Until then it takes a slot of its function.
typedef struct gpumux_reply gpumux_reply;

// A request that is being filled. One thread at a time may use it, not always the same one.
typedef struct gpumux_request gpumux_request;

// A connection to the daemon. It outlives the daemon's restarts. Any number of threads may use it at
// once; it is freed once, when no call uses it. What was opened over it stays open without it.
//
// After fork, all handles belong to the parent: in the child every function answers
// GPUMUX_ERROR_FORKED, and freeing them is allowed and does nothing to the parent.
typedef struct gpumux_session gpumux_session;

// How a session is kept.
typedef struct gpumux_connect_options {
  // sizeof(gpumux_connect_options).
  size_t struct_size;
  // How long the successor of a daemon that died is waited for, in milliseconds. 0 is 30000;
  // GPUMUX_NO_RECONNECT waits for none.
  uint64_t reconnect_for_ms;
} gpumux_connect_options;

// How large a function's shared memory is.
typedef struct gpumux_open_options {
  // sizeof(gpumux_open_options).
  size_t struct_size;
  // Bytes for the tensors of requests and replies. 0 is 8 MiB.
  uint64_t arena_bytes;
  // Requests and replies that may exist at once, a power of two. 0 is 64.
  uint32_t slots;
  // Must be 0.
  uint32_t reserved;
} gpumux_open_options;

// A tensor of one request.
typedef struct gpumux_tensor {
  // sizeof(gpumux_tensor), set by the caller.
  size_t struct_size;
  // The model's name for it; valid until the function is freed.
  const char *name;
  // Bytes that it takes.
  uint64_t bytes;
  // The type of its elements, a gpumux_element.
  int32_t element;
  // Dimensions that it has.
  uint32_t rank;
  // Its dimensions, outermost first; those beyond its rank are 0.
  uint32_t dims[GPUMUX_RANK_MAX];
  // A bit for each dimension, the lowest for the outermost: set where it is the request's length.
  uint32_t varies;
  // 0.
  uint32_t reserved;
} gpumux_tensor;

// How a request is to be treated.
typedef struct gpumux_submit_options {
  // sizeof(gpumux_submit_options).
  size_t struct_size;
  // How long it may wait for its batch to begin, in microseconds. 0 is no limit.
  uint64_t budget_us;
} gpumux_submit_options;

// What a reply says beside its outputs.
typedef struct gpumux_result {
  // sizeof(gpumux_result), set by the caller.
  size_t struct_size;
  // How it ended, a gpumux_outcome.
  int32_t outcome;
  // Why it was refused, a gpumux_reason; 0 when it was not.
  int32_t reason;
  // Which input or output the reason speaks of, where it speaks of one.
  uint32_t subject;
  // Requests in its batch; 0 when it did not run.
  uint32_t batch;
  // The limit that the reason speaks of, where it speaks of one.
  uint64_t limit;
  // When trying again may help, in microseconds; 0 says nothing.
  uint64_t retry_after_us;
  // From being read by the worker until its batch began, in microseconds.
  uint64_t queued_us;
  // From there until its batch ended, in microseconds.
  uint64_t ran_us;
} gpumux_result;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What was wrong when a function of this library failed last in this thread, and what to do about
// it; an empty string before the first failure. The text is valid until the next failure in this
// thread.
const char *gpumux_last_error(void);

// What a code says, in short; valid for ever. gpumux_last_error says more.
const char *gpumux_error_text(int32_t code);

// The word for an outcome in metrics and logs, as "done"; valid for ever. "unknown" for a number
// that this library does not have.
const char *gpumux_outcome_label(int32_t outcome);

// The word for a reason in metrics and logs, as "queue_full"; valid for ever. Empty for none, and
// for a number that this library does not have.
const char *gpumux_reason_label(int32_t code);

// What can be done about a reason; valid for ever. Empty where the label is.
const char *gpumux_reason_advice(int32_t code);

// The library's GPUMUX_ABI_VERSION, to be compared with the header's.
uint32_t gpumux_abi_version(void);

// Connects to the daemon's socket at `path`. `options` may be NULL. Free `*session` with
// gpumux_session_free.
//
// `path` is a C string; `options` is NULL or has the size that it says; `session` is a place for a
// pointer.
enum gpumux_code gpumux_connect(const char *path,
                                const struct gpumux_connect_options *options,
                                struct gpumux_session **session);

// Frees a session; NULL is ignored.
//
// `session` is NULL or was not freed before, and is not used again.
void gpumux_session_free(struct gpumux_session *session);

// Opens a function by its name. `options` may be NULL. Free `*function` with gpumux_function_free.
//
// `session` is NULL or a session; `name` is a C string; `options` is NULL or has the size that it
// says; `function` is a place for a pointer.
enum gpumux_code gpumux_open(const struct gpumux_session *session,
                             const char *name,
                             const struct gpumux_open_options *options,
                             struct gpumux_function **function);

// Frees a function's handle; NULL is ignored. The function is closed when its requests, pending
// requests, replies and readiness descriptors are freed too.
//
// `function` is NULL or was not freed before, and is not used again.
void gpumux_function_free(struct gpumux_function *function);

// How many inputs the function takes, how many outputs it gives, and the longest length that it
// serves, 1 where no dimension varies. Each place may be NULL.
//
// `function` is NULL or a function; the others are NULL or places for what they are named after.
enum gpumux_code gpumux_function_signature(const struct gpumux_function *function,
                                           size_t *inputs,
                                           size_t *outputs,
                                           uint32_t *length_max);

// Describes an input as a request of `length` has it. Set `tensor->struct_size` before.
//
// `function` is NULL or a function; `tensor` is NULL or has the size that it says.
enum gpumux_code gpumux_function_input(const struct gpumux_function *function,
                                       size_t index,
                                       uint32_t length,
                                       struct gpumux_tensor *tensor);

// Describes an output as a request of `length` has it. Set `tensor->struct_size` before.
//
// `function` is NULL or a function; `tensor` is NULL or has the size that it says.
enum gpumux_code gpumux_function_output(const struct gpumux_function *function,
                                        size_t index,
                                        uint32_t length,
                                        struct gpumux_tensor *tensor);

// Makes a request of `length`: its size along the model's variable dimension, 1 where none varies.
// Free `*request` with gpumux_request_free.
//
// `function` is NULL or a function; `request` is a place for a pointer.
enum gpumux_code gpumux_request_new(const struct gpumux_function *function,
                                    uint32_t length,
                                    struct gpumux_request **request);

// Frees a request's handle; NULL is ignored. One that was not submitted gives its room back; one
// that was goes on.
//
// `request` is NULL or was not freed before, and is not used again.
void gpumux_request_free(struct gpumux_request *request);

// Where an input's bytes are to be written, and how many. It counts as written from now on. The
// place is aligned to 64 bytes and valid until the request is submitted or freed.
//
// `request` is NULL or a request that no other thread uses; `data` and `bytes` are places for what
// they are named after; `bytes` may be NULL.
enum gpumux_code gpumux_request_input(struct gpumux_request *request,
                                      size_t index,
                                      void **data,
                                      size_t *bytes);

// Submits a request. `options` may be NULL. The request is spent, also when this fails, unless
// `request`, `options` or `pending` was wrong; its handle is still to be freed. Free `*pending`
// with gpumux_pending_free.
//
// `request` is NULL or a request that no other thread uses; `options` is NULL or has the size that
// it says; `pending` is a place for a pointer.
enum gpumux_code gpumux_submit(struct gpumux_request *request,
                               const struct gpumux_submit_options *options,
                               struct gpumux_pending **pending);

// Frees a pending request's handle; NULL is ignored. A request that has not ended is cancelled.
//
// `pending` is NULL or was not freed before, and is not used again.
void gpumux_pending_free(struct gpumux_pending *pending);

// Waits until the request has ended, for at most `timeout_us` microseconds: 0 does not wait,
// GPUMUX_FOREVER waits for as long as it takes. GPUMUX_ERROR_NOT_YET leaves it in flight. After
// GPUMUX_OK the handle is spent, and still to be freed. Free `*reply` with gpumux_reply_free. That
// the request was refused, say, is an outcome of the reply, not an error.
//
// `pending` is NULL or a pending request that no other thread uses; `reply` is a place for a
// pointer.
enum gpumux_code gpumux_pending_wait(struct gpumux_pending *pending,
                                     uint64_t timeout_us,
                                     struct gpumux_reply **reply);

// Asks that the request be left off. What is queued ends at once, what runs is discarded at its
// end; the outcome is still to be waited for.
//
// `pending` is NULL or a pending request that no other thread uses.
enum gpumux_code gpumux_pending_cancel(struct gpumux_pending *pending);

// Makes a readiness descriptor of a function. Free `*readiness` with gpumux_readiness_free.
//
// `function` is NULL or a function; `readiness` is a place for a pointer.
enum gpumux_code gpumux_readiness_new(const struct gpumux_function *function,
                                      struct gpumux_readiness **readiness);

// The descriptor. It is the handle's: it is not to be closed, read from or written to.
//
// `readiness` is NULL or a readiness descriptor; `fd` is a place for an int.
enum gpumux_code gpumux_readiness_fd(const struct gpumux_readiness *readiness, int *fd);

// Makes the descriptor unreadable until requests end after this. Look at what is waited for once
// more before sleeping.
//
// `readiness` is NULL or a readiness descriptor.
enum gpumux_code gpumux_readiness_arm(const struct gpumux_readiness *readiness);

// Frees a readiness descriptor; NULL is ignored. A loop forgets the descriptor before.
//
// `readiness` is NULL or was not freed before, and is not used again.
void gpumux_readiness_free(struct gpumux_readiness *readiness);

// Says how a request ended. Set `result->struct_size` before.
//
// `reply` is NULL or a reply; `result` is NULL or has the size that it says.
enum gpumux_code gpumux_reply_result(const struct gpumux_reply *reply,
                                     struct gpumux_result *result);

// Where an output's bytes are to be read, and how many. The place is aligned to 64 bytes and valid
// until the reply is freed.
//
// `reply` is NULL or a reply; `data` and `bytes` are places for what they are named after; `bytes`
// may be NULL.
enum gpumux_code gpumux_reply_output(const struct gpumux_reply *reply,
                                     size_t index,
                                     const void **data,
                                     size_t *bytes);

// Frees a reply; NULL is ignored.
//
// `reply` is NULL or was not freed before, and is not used again.
void gpumux_reply_free(struct gpumux_reply *reply);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GPUMUX_H */
