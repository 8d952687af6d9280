"""The instruments as the interface lists them: those of the registry, with the schema that their arguments have."""

from vesalius.tools import load_tools


def test_every_instrument_is_listed_with_the_schema_of_its_arguments(page):
    listed = page.get("/api/tools")["tools"]
    assert [one["name"] for one in listed] == list(load_tools())
    for one in listed:
        tool = load_tools()[one["name"]]
        assert one["arguments"] == tool.args_model.model_json_schema()
        assert one["summary"] == tool.description.splitlines()[0]
        assert one["description"].startswith(one["summary"])


def test_defaults_that_are_listed_are_those_that_a_request_gets(page):
    (lens,) = [one for one in page.get("/api/tools")["tools"] if one["name"] == "logit_lens"]
    properties = lens["arguments"]["properties"]
    told = {name: about["default"] for name, about in properties.items() if "default" in about}
    parsed = load_tools()["logit_lens"].parse({"prompts": ["x"]}).model_dump(mode="json")
    assert {"prompts": ["x"]} | told == parsed
    assert lens["arguments"]["required"] == ["prompts"]


def test_nothing_is_listed_to_who_may_not_ask(page):
    assert page.client.post("/api/tools").status_code in (403, 405)
    assert page.client.get("/api/tools", headers={"host": "elsewhere.example"}).status_code == 421
