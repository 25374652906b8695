"""The end of a run that hangs, beyond what Prefect does at its timeout.

Prefect raises in the main thread of a run whose time is over (by SIGALRM). That ends waits and code
of ours, but no call of a library that never returns, and cleaning up may wait for a thread that is
in one. Its signs of life go on, so nobody else would end it.
"""

import faulthandler
import os
from threading import Timer
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.states import Failed

GRACE_S = 120.0
"""Time that a run has to clean up after its timeout; and then its process, to say that it hangs."""


def end_when_over() -> None:
    """End the process of the current run if it is still there some time after its timeout.

    Its state is then ``TimedOut``, as if Prefect had ended it, and its log says where it hung. A
    process that is not the run's own, such as a command's, is left alone.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return
    limit_s, run = context.flow.timeout_seconds, context.flow_run.id
    if limit_s is None or os.environ.get("PREFECT__FLOW_RUN_ID") != str(run):
        return
    timer = Timer(limit_s + GRACE_S, _end, (run, limit_s))
    timer.daemon = True  # a run that ends does not wait for it
    timer.start()
    # If that thread gets no turn, or no answer of the server.
    faulthandler.dump_traceback_later(limit_s + 2 * GRACE_S, exit=True)


def _end(run: UUID, limit_s: float) -> None:
    faulthandler.dump_traceback()
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
            if state is None or not state.is_final():
                message = f"the run exceeded its timeout of {limit_s:.0f} s, and its process hung"
                client.set_flow_run_state(run, Failed(name="TimedOut", message=message))
    finally:
        os._exit(1)
