"""Serve the flows to Prefect's server: each becomes a deployment that can be started from the UI, with a form.

python -m flows.serve    needs PREFECT_API_URL; `make up` runs it
"""

from datetime import timedelta

from prefect import serve
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.states import StateType

from flows.pipeline import FLOWS
from flows.promote import promote
from flows.server import warm

SILENCE = timedelta(seconds=70)  # two heartbeats of a flow, and some
CRASHED = "a run whose process is gone is marked Crashed"


def main() -> None:
    """Serve until told to stop. Runs that are under way then are cancelled, and can be taken up again."""
    watch_for_crashes()
    with warm():
        serve(*[each.to_deployment(each.name) for each in (*FLOWS.values(), promote)], pause_on_shutdown=False)


def watch_for_crashes() -> None:
    """Have the server mark a run as crashed that neither beats nor ends: its process and ours died together."""
    with get_client(sync_client=True) as client:
        if client.read_automations_by_name(CRASHED):
            return
    Automation(
        name=CRASHED,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
            },
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message="its process is gone; Retry takes it up where its stages were",
            )
        ],
    ).create()


if __name__ == "__main__":
    main()
