"""Runs the tests of one module of numba-cuda and notes what becomes of each.

    numba_run.py MODULE LOG SECONDS

LOG is read and appended to, one line a step: `start`, `ok`, `skip` or `fail`, the test's name, and
for the last two why, all separated by tabs. Tests that LOG names already are not run again. After a
failure the process ends with status 3, so that the next test has a device of its own; a test that
takes longer than SECONDS ends the process as well. Whoever calls this calls it again until it ends
with status 0.
"""

import faulthandler
import os
import sys
import unittest


def tests_of(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from tests_of(part)
        else:
            yield part


def last_line(error):
    kind, value, _ = error
    text = str(value).strip().splitlines() or [""]
    # Typing errors of numba begin with a heading and end with a hint; the middle says what failed.
    line = next((line for line in text if "CUDA_ERROR" in line or "ptxas" in line), text[-1])
    return f"{kind.__name__}: {line}".replace("\t", " ")[:300]


class Result(unittest.TestResult):
    """Notes the outcome of one test, in which the worst of its parts decides."""

    def __init__(self):
        super().__init__()
        self.outcome = ("ok", "")

    def addSkip(self, test, reason):
        if self.outcome[0] == "ok":
            self.outcome = ("skip", reason)

    def addError(self, test, error):
        # What pytest raises to skip a test is an error to unittest.
        if error[0].__name__ == "Skipped":
            self.addSkip(test, str(error[1]))
        else:
            self.outcome = ("fail", last_line(error))

    addFailure = addError

    def addSubTest(self, test, subtest, error):
        if error is not None and self.outcome[0] != "fail":
            self.addError(test, error)

    def addExpectedFailure(self, test, error):
        self.outcome = ("skip", "numba expects it to fail")

    def addUnexpectedSuccess(self, test):
        self.outcome = ("fail", "numba expects it to fail, and it passed")


def main():
    module, log, seconds = sys.argv[1:]
    names = set()
    if os.path.exists(log):
        with open(log) as lines:
            names = {line.split("\t")[1].rstrip("\n") for line in lines}
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(module)
    except BaseException as error:
        # A module that pytest would skip as a whole.
        if type(error).__name__ != "Skipped":
            raise
        with open(log, "a") as out:
            out.write(f"skip\t{module}\t{error}\n")
        return
    with open(log, "a", buffering=1) as out:
        for test in tests_of(suite):
            name = test.id()
            if name in names:
                continue
            out.write(f"start\t{name}\n")
            faulthandler.dump_traceback_later(float(seconds), exit=True)
            result = Result()
            # As a suite of one, so that the fixtures of its class and module run, too.
            unittest.TestSuite([test]).run(result)
            faulthandler.cancel_dump_traceback_later()
            kind, why = result.outcome
            out.write(f"{kind}\t{name}\t{why}\n")
            if kind == "fail":
                os._exit(3)


# Tests that start processes have them load this file again.
if __name__ == "__main__":
    main()
