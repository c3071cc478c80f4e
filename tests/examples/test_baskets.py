"""The commands of docs/examples/next-basket.md and basket-completion.md, on small logs of the same shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.cli import call
from ensue.experiment import read_experiment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Customers buy what they had again, in pairs that belong together, and now and then what everybody buys."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, str, str, int]] = []
    for customer in range(60):
        own = rng.permutation(12)[:3]
        for number in range(6):
            chosen = {f"{kind}{half}" for kind in rng.choice(own, 2, replace=False) for half in "ab"}
            chosen |= {str(rng.choice(["bag", "box"]))}
            moment = 1_700_000_000 + 86_400 * (7 * number + customer % 7)
            rows += [(f"c{customer:02}", f"{customer}-{number}", item, moment) for item in sorted(chosen)]
    path = tmp_path_factory.mktemp("shop") / "baskets.csv"
    pl.DataFrame(rows, schema=["user_id", "basket_id", "item_id", "timestamp"], orient="row").write_csv(path)
    return path


@pytest.fixture(scope="module")
def next_basket(shop: Path) -> Path:
    out = shop.parent / "next-basket"
    words = ["run", str(shop), "--config", str(EXAMPLES / "next-basket.toml"), "--out", str(out)]
    assert call(words) == 0
    return out


@pytest.fixture(scope="module")
def completion(shop: Path) -> Path:
    out = shop.parent / "basket-completion"
    words = ["run", str(shop), "--config", str(EXAMPLES / "basket-completion.toml"), "--out", str(out)]
    assert call(words) == 0
    return out


def test_the_page_of_the_run_has_its_whole_baskets(next_basket: Path) -> None:
    page = (next_basket / "report.html").read_text()
    rows = models_of(next_basket)
    assert 'id="baskets"' in page
    for row in rows.values():
        assert f"{row['baskets']['all']['metrics']['recall@20']['value']:.4f}" in page


def models_of(run: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((run / "run.json").read_text())
    assert found["skipped"] == {}
    return {one["label"]: one for one in found["models"]}


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert call(["recommend", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_next_basket_is_asked_for_with_repeats(next_basket: Path) -> None:
    found = json.loads((next_basket / "run.json").read_text())
    assert found["experiment"]["evaluation"]["exclude_seen"] is False  # the audit says so
    models = models_of(next_basket)
    for label in ("last-seen", "personal", "tifu-knn", "repeats", "mixture"):
        value = models[label]["test"]["all"]["metrics"]["recall@10"]["value"]
        assert value > models["popular"]["test"]["all"]["metrics"]["recall@10"]["value"] + 0.1
    baskets = models["personal"]["baskets"]
    assert baskets["baskets"] == 60
    assert baskets["repeat_share"] > 0.8
    recall = models["personal"]["test"]["all"]["metrics"]["recall@10"]["value"]
    assert baskets["all"]["metrics"]["recall@10"]["value"] == pytest.approx(recall)


def test_a_customer_is_answered_with_what_is_due(
    next_basket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, str(next_basket), "--user", "c00", "-k", "6")
    assert {row["item"] for row in found["items"][:6]} <= set(found["history"]) | {"bag", "box"}


def test_one_item_of_the_last_basket_is_hidden(completion: Path) -> None:
    models = models_of(completion)
    for one in models.values():
        assert one["test"]["counts"]["targets"] == 60
        assert "one hidden item of each last basket" in one["test"]["protocol"]
    together, personal = (
        models[label]["test"]["all"]["metrics"]["ndcg@10"]["value"] for label in ("together", "personal")
    )
    assert together > personal  # the other half of a pair is in the open basket


def test_an_open_basket_is_completed_whatever_its_order(
    completion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(completion / "models" / "together")
    found = answer(capsys, place, "--basket", "3a,7b", "-k", "2")
    assert {row["item"] for row in found["items"]} == {"3b", "7a"}
    again = answer(capsys, place, "--basket", "7b,3a", "-k", "2")
    assert again["items"] == found["items"]
    known = answer(capsys, str(completion), "--user", "c00", "--basket", "bag", "-k", "24")
    assert "bag" not in {row["item"] for row in known["items"]}


@pytest.mark.parametrize("name", ["next-basket", "basket-completion"])
def test_the_page_and_the_file_name_each_other(name: str) -> None:
    page = (ROOT / "docs" / "examples" / f"{name}.md").read_text(encoding="utf-8")
    assert f"--config examples/{name}.toml" in page
    assert f"docs/examples/{name}.md" in (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    assert read_experiment(EXAMPLES / f"{name}.toml").split.rule == "basket"
