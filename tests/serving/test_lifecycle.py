"""Models that take each other's place while the service answers, and items that are withdrawn."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from tests.serving.service_process import Service, problem, running

from ensue import artifacts, ladder
from ensue.ranking import Parts, Scores
from ensue.sequences import Queries
from ensue.serving.host import place_of


@pytest.fixture(scope="module")
def own(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose models the tests change; each puts markov back first."""
    folder = tmp_path_factory.mktemp("lifecycle")
    run = shutil.copytree(trained, folder / "run")
    with running(run, "--request-log", folder / "requests.jsonl", folder=folder) as found:
        yield found


@pytest.fixture
def swapped(own: Service) -> Service:
    own.answer("admin/beside", shadow="", split="")
    own.answer("admin/swap", folder="markov")
    return own


def models_of(service: Service) -> Path:
    return service.folder / "run" / "models"


def name_of(service: Service, **body: Any) -> str:
    body = body or {"history": ["A"]}
    return str(service.answer("recommend", k=1, **body)["model"]["name"])


def logged(service: Service) -> list[Any]:
    return [json.loads(line) for line in (service.folder / "requests.jsonl").read_text().splitlines()]


def test_a_model_takes_the_place_of_another_and_gives_it_back(swapped: Service) -> None:
    fresh = swapped.answer("admin/swap", folder="rules")["model"]
    assert (fresh["name"], fresh["folder"], fresh["items"]) == ("rules", "rules", 10)
    assert name_of(swapped) == "rules"
    assert swapped.get("/v1/admin/models")["folders"] == ["lstm", "markov", "popular", "rules"]
    assert swapped.answer("admin/rollback")["model"]["name"] == "markov"
    assert name_of(swapped) == "markov"
    assert swapped.answer("admin/rollback")["model"]["name"] == "rules"


def test_a_network_takes_the_place_of_a_counting_model(swapped: Service) -> None:
    swapped.answer("events", user="stays", item="D")
    swapped.answer("admin/swap", folder="lstm")
    assert swapped.answer("recommend", user="stays", k=1)["model"]["name"] == "lstm"
    assert swapped.items(user="stays", k=1) == ["E"]  # the live history is still there


@pytest.mark.parametrize(
    "folder",
    [
        "nope", "..", "../..", ".", "../models/../../run", "/etc", "markov/../../..", "x" * 500, "\0", "a\nb",
        "~", "markov/model.json",
    ],
)  # fmt: skip
def test_a_model_elsewhere_is_refused_and_the_old_one_answers(swapped: Service, folder: str) -> None:
    for sent in (
        swapped.ask("admin/swap", folder=folder),
        swapped.ask("admin/beside", shadow=folder),
        swapped.ask("admin/beside", split=folder, share=0.5),
    ):
        assert problem(sent) == (422, "model-refused")
        assert str(swapped.folder) not in sent.text
    assert name_of(swapped) == "markov"


def test_a_link_that_leads_out_of_the_models_is_refused(swapped: Service, trained: Path) -> None:
    link = models_of(swapped) / "linked"
    link.symlink_to(trained / "models" / "rules")
    assert problem(swapped.ask("admin/swap", folder="linked")) == (422, "model-refused")
    inner = models_of(swapped) / "inner"
    shutil.copytree(trained / "models" / "rules", inner)
    (inner / "catalogue.parquet").unlink()
    (inner / "catalogue.parquet").symlink_to(trained / "models" / "rules" / "catalogue.parquet")
    refused = swapped.ask("admin/swap", folder="inner")
    assert problem(refused) == (422, "model-refused")
    assert "no plain file" in refused.text
    assert name_of(swapped) == "markov"


def test_a_broken_model_is_refused_with_the_reason_and_the_old_one_answers(
    swapped: Service, trained: Path
) -> None:
    for place, name in enumerate(("model.json", "weights.safetensors", "catalogue.parquet", "network.onnx")):
        broken = shutil.copytree(trained / "models" / "lstm", models_of(swapped) / f"broken{place}")
        content = bytearray((broken / name).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (broken / name).write_bytes(content)
        refused = swapped.ask("admin/swap", folder=f"broken{place}")
        assert problem(refused) == (422, "model-refused")
        assert name in refused.text
        assert name_of(swapped) == "markov"
    (models_of(swapped) / "empty").mkdir()
    assert "no model.json" in swapped.ask("admin/swap", folder="empty").text
    assert name_of(swapped) == "markov"


def test_a_model_that_loads_and_cannot_answer_is_refused(swapped: Service) -> None:
    whole = artifacts.read(models_of(swapped) / "lstm")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [None] * axes)
        for name, axes in (("items", 2), ("asked", 2), ("places", 1))
    ]
    three = helper.make_tensor("three", TensorProto.FLOAT, [1, 3], [1.0, 2.0, 3.0])  # scores, of ten items
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    nodes = [helper.make_node("Constant", [], ["scores"], value=three)]
    graph = helper.make_model(
        helper.make_graph(nodes, "mute", inputs, [output]), opset_imports=[helper.make_opsetid("", 20)]
    )
    graph.ir_version = 10

    class Mute:
        def score(self, queries: Queries) -> Scores:
            raise AssertionError("it is saved, and asked by nobody here")

        def parts(self) -> Parts:
            return Parts(whole.description["scoring"], whole.arrays, graph.SerializeToString(), whole.tables)

    good = ladder.load(models_of(swapped) / "lstm")
    artifacts.save(replace(good, scoring=Mute()), models_of(swapped) / "mute")
    refused = swapped.ask("admin/swap", folder="mute")
    assert problem(refused) == (422, "model-refused")
    assert "can be loaded and cannot answer" in refused.text
    assert name_of(swapped) == "markov"


def test_files_that_are_overwritten_in_place_do_not_reach_what_answers(
    swapped: Service, trained: Path
) -> None:
    place = models_of(swapped) / "inplace"
    shutil.copytree(trained / "models" / "markov", place)
    swapped.answer("admin/swap", folder="inplace")
    before = swapped.answer("recommend", history=["A"], k=5)
    for path in place.iterdir():
        path.write_bytes(b"\0" * path.stat().st_size)
    assert swapped.answer("recommend", history=["A"], k=5) == before
    swapped.answer("admin/swap", folder="rules")
    assert problem(swapped.ask("admin/rollback")) == (422, "model-refused")
    assert name_of(swapped) == "rules"


def test_going_back_never_brings_another_model_of_the_same_folder(swapped: Service, trained: Path) -> None:
    place = models_of(swapped) / "renewed"
    shutil.copytree(trained / "models" / "markov", place)
    swapped.answer("admin/swap", folder="renewed")
    swapped.answer("admin/swap", folder="rules")
    shutil.rmtree(place)
    shutil.copytree(trained / "models" / "popular", place)
    refused = swapped.ask("admin/rollback")
    assert problem(refused) == (422, "model-refused")
    assert "another model now" in refused.text
    assert swapped.answer("admin/swap", folder="renewed")["model"]["name"] == "popular"


def test_eight_clients_see_one_model_or_the_other_and_no_failure(swapped: Service) -> None:
    versions = {
        swapped.answer("admin/swap", folder=name)["model"]["version"]: next_item
        for name, next_item in (("popular", "A"), ("markov", "B"))
    }
    wrong: list[Any] = []
    count = [0] * 8
    ended = threading.Event()

    def ask(place: int) -> None:
        with swapped.fresh() as client:
            while not ended.is_set():
                found = client.post("/v1/recommend", json={"history": ["A"], "k": 1, "exclude_seen": False})
                given = found.json() if found.status_code == 200 else {}
                item = given["items"][0]["item"] if given else None
                if item is None or versions[given["model"]["version"]] != item:
                    wrong.append((found.status_code, found.text))
                count[place] += 1

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        swapped.answer("admin/swap", folder="popular")
        swapped.answer("admin/rollback")
        swapped.ask("admin/swap", folder="broken0")
    ended.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert min(count) > 0


def test_a_split_answers_its_share_and_always_the_same_ones(swapped: Service) -> None:
    swapped.answer("admin/beside", split="popular", share=0.4)
    users = [f"visitor-{number}" for number in range(60)]
    first = {user: name_of(swapped, user=user) for user in users}
    assert first == {user: name_of(swapped, user=user) for user in users}
    assert first == {user: "popular" if place_of(user) < 0.4 else "markov" for user in users}
    assert set(first.values()) == {"popular", "markov"}
    assert name_of(swapped) == "markov"  # nobody who is known
    assert swapped.get("/v1/admin/models")["split"]["share"] == 0.4
    parts = {(line["part"], line["model"]["name"]) for line in logged(swapped)[-60:]}
    assert parts == {("split", "popular"), ("current", "markov")}
    swapped.answer("admin/beside", split="")
    assert {name_of(swapped, user=user) for user in users[:20]} == {"markov"}
    assert problem(swapped.ask("admin/beside", share=0.4)) == (422, "invalid")


def test_a_stable_hash_spreads_evenly() -> None:
    places = [place_of(f"user{number}") for number in range(4_000)]
    tenths = [sum(int(10 * place) == tenth for place in places) for tenth in range(10)]
    # of 4,000 users 400 in each tenth, give or take 5 standard deviations of sqrt(4000 x 0.1 x 0.9) = 19
    assert all(abs(count - 400) < 5 * 19 for count in tenths)


def test_a_shadow_is_asked_logged_and_never_answers(swapped: Service) -> None:
    swapped.answer("admin/beside", shadow="popular")
    for _ in range(3):
        assert name_of(swapped, history=["A"], user="shadowed") == "markov"
        time.sleep(0.1)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        last = [line for line in logged(swapped)[-6:] if line["part"] == "shadow"]
        if last:
            break
        time.sleep(0.05)
    assert last[-1]["model"]["name"] == "popular"
    assert last[-1]["shared"] == 0.0  # markov says B, popularity says A or what is like it
    page = swapped.client.get("/metrics").text
    assert 'ensue_shadow_total{end="asked"}' in page
    assert "shadowed" not in (swapped.folder / "requests.jsonl").read_text()


def test_who_is_erased_is_gone_from_the_request_log_too(swapped: Service) -> None:
    swapped.answer("events", user="gone", item="A")
    swapped.answer("recommend", user="gone")
    who = logged(swapped)[-1]["who"]
    assert sum(line["who"] == who for line in logged(swapped)) == 1
    assert swapped.client.delete("/v1/users/gone").json()["erased"]["logged"] == 1
    assert sum(line["who"] == who for line in logged(swapped)) == 0
    assert len(logged(swapped)) > 0


def test_withdrawn_items_are_in_no_answer_until_they_are_restored(swapped: Service) -> None:
    first = swapped.answer("admin/items", items=["B", "not yet known"], state="withdrawn")
    assert first == {"withdrawn": 2, "unknown": ["not yet known"]}
    assert "B" not in swapped.items(history=["A"], k=10, exclude_seen=False)
    assert "B" not in {row["item"] for row in swapped.answer("similar", items=["A"])["items"]}
    assert "B" not in {row["item"] for row in swapped.answer("basket", basket=["A"])["items"]}
    ordered = swapped.answer("rerank", history=["A"], candidates=["B", "C"])
    assert ([row["item"] for row in ordered["items"]], ordered["withdrawn"]) == (["C"], ["B"])
    assert "withdrawn" in swapped.answer("explain", history=["A"], item="B")["notes"][0]
    assert swapped.get("/v1/items/B")["withdrawn"] is True
    swapped.answer("admin/swap", folder="lstm")
    assert "B" not in swapped.items(history=["A"], k=10)
    swapped.answer("admin/swap", folder="markov")
    assert swapped.answer("admin/items", items=["B", "not yet known"], state="restored")["withdrawn"] == 0
    assert swapped.items(history=["A"], k=1) == ["B"]


def test_an_item_that_no_model_knows_cannot_be_scored_and_it_says_what_can_be_done(swapped: Service) -> None:
    refused = swapped.ask("admin/items", items=["new"], state="added")
    assert problem(refused) == (422, "needs-update")
    assert "ensue update" in refused.text


def test_what_was_swapped_in_and_withdrawn_holds_after_a_restart(run: Path, tmp_path: Path) -> None:
    with running(run, folder=tmp_path) as service:
        assert name_of(service) == "markov"
        service.answer("admin/swap", folder="rules")
        service.answer("admin/items", items=["B"], state="withdrawn")
        service.answer("events", user="u", item="A")
        version = service.get("/readyz")["model"]["version"]
    with running(run, folder=tmp_path) as service:
        assert service.get("/readyz")["model"] == {"name": "rules", "version": version}
        assert service.items(user="u", k=1) != ["B"]
        assert "which was swapped in last" in service.log
    shutil.rmtree(run / "models" / "rules")
    with running(run, folder=tmp_path) as service:
        assert name_of(service) == "markov"
        assert "cannot be loaded" in service.log
