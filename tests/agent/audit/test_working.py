"""A worker asks as the cell says, whatever is set where it works."""

from agent_audited import a_cell
from vesalius.agent.audit.working import identity_of, investigated, name_of
from vesalius.agent.runs import RunFolder
from vesalius.agent.settings import Settings
from vesalius.tools import canonical

QUESTION = "Why does the model answer 'Boston' after 'the capital of the state containing Dallas is'?"


def test_controls_of_the_cell_go_before_the_settings_of_the_worker(atlas, tmp_path):
    said = {"refute": "protocol", "refute_attempts": 3, "probes": "llm"}
    cell = a_cell(question=QUESTION, how=canonical(said))
    settings = Settings(
        home=tmp_path, refute="off", planner_url="http://127.0.0.1:9/v1", planner_model="writes", device="cpu"
    )
    report = investigated(cell, atlas, settings, "a", lambda _: None)
    info = RunFolder.open(tmp_path, name_of(cell, identity_of(atlas), "a")).info
    assert (info.planned.refute, info.planned.attempts, info.probes_by) == ("protocol", 3, "writes")
    assert report.premise.holds is False
