"""The other end: all that it is given is a pickle, all that it leaves is at the step's URI."""

import pickle
import sys

import attrs
from rv_pipeline.runners.local import RunOptions, try_step

from rv_core import Kernel, RVError


def main():
    step, spec, rerun = pickle.load(sys.stdin.buffer)
    report = try_step(step, Kernel.from_spec(spec), RunOptions(rerun=rerun, wait=True))
    if not isinstance(report.error, RVError | None):  # a third party's error may not be picklable
        report = attrs.evolve(report, error=RuntimeError(report.reason))
    sys.stdout.buffer.write(pickle.dumps(report))


if __name__ == "__main__":
    main()
