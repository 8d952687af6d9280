"""Follow-ups about one finished investigation of the reference model, and what comes of what cannot be understood."""

import json
import re

import pytest
from finished_runs import DALLAS
from scripted_endpoint import says, serving
from vesalius.agent.asking import Where, desk_for
from vesalius.agent.chat.turns import Reply, Turn
from vesalius.agent.intake import take_in
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import RunFolder

OAKLAND = "Why does the model answer 'Sacramento' after 'the capital of the state containing Oakland is'?"


def cited(text):
    return set(re.findall(r"m-[0-9a-f]{8}", text))


def ids_of(report):
    return {record.measurement.id for record in report.measurements}


def add_run(chat, question, second=9):
    """A run of this chat that was stopped before it measured anything."""
    info = RunFolder.open(chat.lab.settings.home, "last").info
    stamp = f"2026-01-01T00:00:0{second}+00:00"
    folder = RunFolder.create(chat.lab.settings.home, info.model_copy(update={"question": question, "created": stamp}))
    chat.history.close(Turn(said=question, reply=Reply(kind="stopped", understood=question, run=folder.name)))
    return folder


@pytest.fixture
def no_runs(monkeypatch):
    """Investigations that begin and end at once, with what they were asked."""
    begun = []

    def end(lab, folder, earlier):
        begun.append(folder.info.question)
        raise KeyboardInterrupt

    monkeypatch.setattr("vesalius.agent.chat.investigating.Lab.run", end)
    return begun


@pytest.mark.parametrize(
    "said",
    [
        *("why?", "how sure are you?", "where is the state held?", "what did you measure?", "what about layer 1?"),
        *("show me c2", "why c1?", "what about head.2.0?", "what would prompting alone have told?"),
    ],
)
def test_a_follow_up_is_answered_from_the_report_with_ids_that_it_holds(about_dallas, dallas, said):
    reply = about_dallas.say(said)
    text = "\n".join(line.text for line in reply.lines)
    assert reply.kind == "answered"
    assert reply.run == dallas.folder.name
    assert cited(text)
    assert cited(text) <= ids_of(dallas.report)
    assert set(reply.ids) == cited(text)


def test_where_the_state_is_held_is_told_by_the_claims_that_say_so(about_dallas, dallas):
    text = about_dallas.text("and where is the state held?")
    holding = [c.id for c in dallas.report.claims if c.hypothesis.kind == "variable"]
    assert holding
    assert re.findall(r"^(c\d+) supported", text, re.MULTILINE)[: len(holding)] == holding
    assert "No claim says that a place holds 'capital'" in about_dallas.text("where is the capital held?")
    assert "No claim of run" in about_dallas.text("where is the weather held?")


def test_how_sure_names_every_claim_and_each_condition_that_was_not_met(about_dallas, dallas):
    text = about_dallas.text("how sure are you?")
    for claim in dallas.report.claims:
        assert f"{claim.id} {claim.judgement.verdict}, {claim.judgement.tier}" in text
        for gate in claim.judgement.gates:
            assert (gate.outcome == "pass") or gate.reason in text


def test_everything_that_was_measured_is_listed(about_dallas, dallas):
    assert cited(about_dallas.text("what did you measure?")) == ids_of(dallas.report)


def test_what_the_report_lacks_is_an_error_with_what_there_is(about_dallas):
    assert "Claims: c1, c2" in about_dallas.text("show me c99")
    assert "What did you measure?" in about_dallas.text("show me m-00000000")
    assert "Layers: 0..3" in about_dallas.text("what about layer 7?")


def test_a_feature_that_was_not_looked_at_is_offered_as_a_question(about_dallas, no_runs):
    reply = about_dallas.say("what about feature 1/383?")
    assert reply.kind == "asked_back"
    assert [option.label for option in reply.options] == ["What does feature 1/383 stand for?"]
    assert about_dallas.say("yes").kind == "stopped"
    assert no_runs == ["What does feature 1/383 stand for?"]


def test_a_feature_that_was_looked_at_is_told(about_dallas, dallas):
    read = next(r.measurement for r in dallas.report.measurements if r.measurement.tool == "feature_activations")
    feature = read.result["features"][0]
    text = about_dallas.text(f"what about feature {feature['layer']}/{feature['feature']}?")
    assert f"{feature['peak']:.2f} [{read.id}]" in text


def test_the_same_question_for_another_city_is_investigated_and_said_first(about_dallas, no_runs):
    reply = about_dallas.say("and for Oakland?")
    assert (reply.kind, reply.understood) == ("stopped", OAKLAND)
    assert no_runs == [OAKLAND]
    assert about_dallas.told[0].text == OAKLAND
    assert "city Oakland for Dallas" in about_dallas.told[1].text
    assert "/resume" in reply.lines[0].text


def test_a_stopped_run_is_taken_up_again(about_dallas, no_runs):
    run = about_dallas.say("and for Oakland?").run
    assert about_dallas.say("/resume").run == run
    assert no_runs == [OAKLAND, OAKLAND]


def test_a_word_of_another_kind_is_asked_back_before_anything_runs(about_dallas, no_runs):
    reply = about_dallas.say("and for Texas?")
    assert reply.kind == "asked_back"
    assert about_dallas.say("no").kind == "answered"
    assert no_runs == []


def test_a_city_of_two_families_is_asked_back_and_chosen_by_number_or_word(open_chat, no_runs):
    chat = open_chat()
    reply = chat.say("and for Oakland?")
    assert reply.kind == "asked_back"
    assert len(reply.options) == 2
    assert "Give 1..2" in chat.text("5")
    chat.say("California")
    assert no_runs == ["Why does the model answer 'California' after 'the state containing Oakland is'?"]
    chat.say("/undo")
    chat.say("and for Oakland?")
    chat.say("e")  # stands in each label, and is no word of one
    assert len(no_runs) == 1
    chat.say("and for Oakland?")
    chat.say("1")
    assert no_runs[1] == reply.options[0].action.question


def test_a_word_that_no_data_have_is_refused_with_the_mend(about_dallas, no_runs):
    reply = about_dallas.say("and for Mordor?")
    assert reply.kind == "refused"
    assert "'Mordor'" in reply.lines[0].text
    assert "/help" in reply.lines[0].text
    assert no_runs == []


def test_a_question_that_this_chat_has_answered_is_not_measured_again_unless_asked_to(about_dallas, no_runs):
    reply = about_dallas.say(DALLAS)
    assert reply.kind == "answered"
    assert "/again" in "\n".join(line.text for line in reply.lines)
    assert no_runs == []
    assert about_dallas.say("/again").kind == "stopped"
    assert no_runs == [DALLAS]


def test_the_last_one_is_asked_back_where_another_run_is_talked_about(about_dallas, dallas):
    later = add_run(about_dallas, OAKLAND)
    about_dallas.say("how sure are you in the first run?")
    reply = about_dallas.say("show me c1 of the last one")
    assert reply.kind == "asked_back"
    assert [option.action.run for option in reply.options] == [later.name, dallas.folder.name]
    assert about_dallas.say("2").run == dallas.folder.name


def test_a_run_is_meant_by_a_word_of_its_question(about_dallas, dallas):
    add_run(about_dallas, OAKLAND)
    assert about_dallas.say("show me c1 of the dallas one").run == dallas.folder.name
    assert "has not ended" in about_dallas.text("show me c1 of the oakland one")
    assert about_dallas.say("show me c1 of the state one").kind == "asked_back"
    assert "There is no run 'houston'" in about_dallas.text("show me c1 of the houston one")


def test_a_report_about_other_weights_is_said_to_be_about_others(about_dallas, atlas, open_chat, home):
    other = open_chat(home, "other", atlas.twin(1))
    other.lab.subject.key.__dict__["fingerprint"] = "0" * 64
    for turn in about_dallas.history.turns:
        other.history.close(turn)
    assert "says nothing of these" in other.text("why?")


def test_what_is_remembered_is_a_hint_with_its_run_and_stale_findings_are_only_counted(about_dallas, dallas, home):
    assert "switched off" in about_dallas.text("what do you remember about the state?")
    about_dallas.lab.where = Where(home)
    said = "what do you remember about which site holds the state?"
    text = about_dallas.text(said)
    assert "none is evidence" in text
    assert f"run {dallas.folder.name} found: supported, replicated" in text
    card = about_dallas.lab.card
    key = card.key.model_copy(update={"fingerprint": "0" * 64})
    about_dallas.lab._card = card.model_copy(update={"key": key})
    text = about_dallas.text(said)
    assert "found:" not in text
    assert f"have changed since: findings of {dallas.folder.name}" in text


def test_what_fits_no_form_is_told_what_does(open_chat):
    reply = open_chat().say("tell me a story")
    assert reply.kind == "not_understood"
    assert any("And for WORD?" in line.text for line in reply.lines)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("why?", "Ask a question first"),
        ("/undo", "Ask a question"),
        ("/resume", "No run of this chat was stopped"),
        ("/bugdet", "Did you mean /budget?"),
        ("/help me", "Say /help"),
        ("/report nothing", "There is no run"),
        ("/budget soon", "Write NAME=NUMBER"),
        (DALLAS.replace("Dallas", "Provo"), "as city Dallas"),
        ("Where is the opposite computed? --pairs /nowhere.json", "/nowhere.json"),
        ("x" * 20_000, "20000 characters"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_mend(open_chat, said, told):
    reply = open_chat().say(said)
    assert reply.kind == "refused"
    assert told in reply.lines[0].text


def test_pairs_are_asked_for_and_a_path_is_the_answer(open_chat, pairs_file, no_runs):
    chat = open_chat()
    assert chat.say("Where is the opposite computed?").kind == "asked_back"
    assert chat.say(str(pairs_file)).kind == "stopped"
    assert no_runs == ["Where is the opposite computed?"]


@pytest.mark.parametrize("said", ["~nosuch/pairs", "~nosuch", "~nosuch/pairs.json", "/nowhere/pairs", "data/pairs"])
def test_a_path_that_leads_nowhere_is_refused_and_the_question_stays_open(open_chat, pairs_file, no_runs, said):
    chat = open_chat()
    chat.say("Where is the opposite computed?")
    reply = chat.say(said)
    assert (reply.kind, no_runs) == ("refused", [])
    assert f"{said} cannot be read" in reply.lines[0].text
    assert chat.say(str(pairs_file)).kind == "stopped"


def test_a_home_that_is_nowhere_does_not_end_the_chat(open_chat):
    reply = open_chat().say("Where is the opposite computed? with pairs ~nosuch/pairs.json")
    assert reply.kind == "refused"
    assert "~nosuch/pairs.json cannot be read" in reply.lines[0].text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/help", "Understood"),
        ("/plan Why does the model answer 'a/b' after 'c/d'?", "Plan for"),
        ("/help?", "There is no command /help?. Did you mean /help?"),
        ("/budget=5", "There is no command /budget=5."),
        ("/nosuch and/or more", "There is no command /nosuch"),
        ("What does feature 1/383 stand for?", "/resume"),
        ("what about feature 1/383?", "No run has looked at it."),
        ("Where is agreement computed? with pairs /nowhere.json", "/nowhere.json cannot be read"),
        ("who rules Texas and/or Ohio", "This fits none of the forms"),
        ("x" * 2000, "This fits none of the forms"),
    ],
)
def test_what_is_no_path_is_understood_although_pairs_were_asked_for(open_chat, no_runs, said, told):
    chat = open_chat()
    assert chat.say("Where is the opposite computed?").wants_pairs
    assert told in chat.text(said)
    assert "Where is the opposite computed?" not in no_runs


def test_a_file_at_the_root_with_a_blank_in_its_name_is_no_command(open_chat, monkeypatch):
    chat = open_chat()
    monkeypatch.setattr("os.path.isfile", lambda path: path in ("/my pairs", "/help"))
    chat.say("Where is the opposite computed?")
    assert "/my pairs cannot be read" in chat.text("/my pairs")
    assert "Understood" in chat.text("/help")  # what is a command is one whatever lies at the root


def test_undo_forgets_the_turn_and_deletes_no_run(about_dallas, dallas):
    assert "Forgotten" in about_dallas.text("/undo")
    assert "No run has been talked about" in about_dallas.text("why?")
    assert (dallas.folder.path / "report.json").is_file()


def test_a_look_at_budget_plan_and_help_is_no_part_of_the_conversation(about_dallas):
    before = len(about_dallas.history.turns)
    assert "60" in about_dallas.text("/budget")
    assert "requests" not in about_dallas.text("/budget seconds=90")
    assert about_dallas.lab.settings.budget == "seconds=90"
    assert "measured before" in about_dallas.text("/plan")
    assert "/quit" in about_dallas.text("/help")
    assert "1  " in about_dallas.text("/runs")
    assert len(about_dallas.history.turns) == before


def test_a_plan_tells_what_is_measured_already_what_would_be_sealed_and_measures_nothing(about_dallas, dallas):
    known = about_dallas.text("/plan")
    assert {r.measurement.id for r in dallas.report.measurements if r.phase == "explore"} >= cited(known)
    assert "p1, to be sealed and measured anew" in known
    new = about_dallas.text(f"/plan {OAKLAND}")
    assert "(to be measured)" in new
    assert "What follows hangs on" in new
    assert not (about_dallas.lab.settings.home / "runs" / "oakland").exists()


def test_a_language_models_reading_runs_only_after_a_yes_and_is_shown_whole(open_chat, no_runs):
    form = {"kind": "why", "prompt": "the capital of Texas is", "answer": "Austin"}
    with serving(says(form)) as played:
        chat = open_chat(planner="llm", planner_url=played.url, planner_model="tiny")
        reply = chat.say("who rules texas, and how does it know")
        assert reply.kind == "asked_back"
        assert "'Austin' after 'the capital of Texas is'" in reply.lines[1].text
        assert no_runs == []
        chat.say("yes")
    assert no_runs == ["Why does the model answer 'Austin' after 'the capital of Texas is'?"]
    assert reply.calls == 1
    put = RunFolder.open(chat.lab.settings.home, "last").info.put
    assert put is not None
    assert (put.words, put.by, put.agreed) == ("who rules texas, and how does it know", "tiny", True)
    assert [turn.content for turn in put.turns] == [json.dumps(form)]
    assert "as tiny read it" in chat.told[1].text
    chat.say("/again")
    again = RunFolder.open(chat.lab.settings.home, "last").info.put
    assert again == put.model_copy(update={"turns": ()})  # they were paid for once


def test_a_language_model_that_talks_nonsense_leaves_what_can_be_understood(open_chat):
    with serving(says("I refuse")) as played:
        chat = open_chat(planner="llm", planner_url=played.url, planner_model="tiny")
        reply = chat.say("who rules texas")
        assert chat.say("how sure are you?").kind == "refused"
    assert reply.kind == "not_understood"
    assert len(played.asked) == reply.calls == 2


def test_what_was_said_to_understand_a_message_is_not_counted_twice(open_chat, no_runs):
    form = {"kind": "why", "prompt": "the capital of Texas is", "answer": "Austin"}
    with serving(says(form)) as played:
        chat = open_chat(planner="llm", planner_url=played.url, planner_model="tiny")
        run = chat.say("who rules texas").run or chat.say("yes").run
        folder = RunFolder.open(chat.lab.settings.home, run)
        with desk_for(chat.lab.where, chat.lab.subject, folder) as desk:
            take_in(desk, folder.info.question)
        assert [turn.role for turn in desk.advice.turns] == ["reader"]
        assert "0 requests to plan (0 tokens), 1 to understand messages" in chat.text("/budget")


def test_a_report_is_measured_again_in_the_chat_and_its_figures_are_counted(open_chat, pairs_file):
    chat = open_chat()
    assert "No run has been talked about" in chat.text("/verify")
    run = chat.say(f"Where is the opposite computed? with pairs {pairs_file}").run
    reply = chat.say("/verify")
    report = read_report(chat.lab.settings.home / "runs" / run / "report.json")
    text = "\n".join(line.text for line in reply.lines)
    assert (reply.kind, reply.run) == ("answered", run)
    assert f"measurements: {len(report.measurements)}, claims: {len(report.claims)}" in text
    assert re.search(rf"reproduced +{len(report.measurements) + len(report.claims)} ", text)
    assert re.search(r"drifted +0", text)
    path = chat.lab.settings.home / "runs" / run / "report.md"
    path.write_text(path.read_text() + "more")
    assert re.search(r"drifted +1\n +report\.md", chat.text(f"/verify {run}"))
    assert "There is no run" in chat.text("/verify nothing")


def test_a_report_about_other_weights_is_not_said_to_reproduce(open_chat, pairs_file):
    chat = open_chat()
    run = chat.say(f"Where is the opposite computed? with pairs {pairs_file}").run
    other = open_chat(name="other", subject=chat.lab.subject.twin(1))
    other.lab.subject.key.__dict__["fingerprint"] = "0" * 64
    text = other.text(f"/verify {run}")
    assert re.search(r"reproduced +0 ", text)
    assert "has other weights than were measured" in text


def test_what_a_terminal_would_obey_is_shown_and_not_obeyed(open_chat):
    reply = open_chat().say("and for \x1b[31mred\u202e?")
    assert all(line.text.isprintable() for line in reply.lines)
