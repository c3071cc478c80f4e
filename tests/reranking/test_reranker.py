"""One list asked now is answered as it was measured, and each answer says what it is the sum of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ensue.errors import QueryError
from ensue.questions import Question
from ensue.reranking import Candidate, Fitted, Shown, read_request
from ensue.reranking.features import FAMILIES
from ensue.reranking.fitting import parted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def asked(shown: Shown, q: int) -> tuple[Question, list[Candidate], dict[str, str]]:
    """A list of a log, as it would be asked about when it is shown."""
    ids, events = shown.ids.to_list(), shown.events
    own = slice(int(shown.starts[q]), int(shown.ends[q]))
    question = Question(
        ["" if item < 0 else ids[item] for item in events.items[own]],
        times=[EPOCH + timedelta(microseconds=int(time)) for time in events.time[own]],
        context={"event": events.kinds[own].to_list()},
        at=EPOCH + timedelta(microseconds=int(shown.at[q])),
    )
    here = slice(int(shown.offsets[q]), int(shown.offsets[q + 1]))
    listed = zip(shown.items[here], shown.score[here], shown.price[here], strict=True)
    found = [Candidate(ids[item], float(score), float(price)) for item, score, price in listed]
    return question, found, {name: values[q] for name, values in shown.context.items()}


def test_one_list_at_a_time_is_all_lists_at_once(shown: Shown, fitted: Fitted) -> None:
    test = parted(shown, 0.2).after
    scores = fitted.reranker.scores(test)
    for q in range(0, len(test), 9):
        here = slice(int(test.offsets[q]), int(test.offsets[q + 1]))
        answer = fitted.reranker.rerank(*asked(test, q))
        alone = np.empty(len(answer))
        alone[[one.was - 1 for one in answer]] = [one.score for one in answer]
        assert alone == pytest.approx(scores[here], abs=1e-9)
        assert [one.item for one in answer] == [
            test.ids[int(test.items[here][place])] for place in np.argsort(-scores[here], kind="stable")
        ]


def test_the_parts_of_an_answer_sum_to_its_score_and_its_probabilities_to_one(
    shown: Shown, fitted: Fitted
) -> None:
    answer = fitted.reranker.rerank(*asked(shown, 7))
    for one in answer:
        assert sum(one.parts.values()) == pytest.approx(one.score)
        assert list(one.parts) == list(FAMILIES)
    assert sum(one.probability for one in answer) == pytest.approx(1)
    assert [one.score for one in answer] == sorted((one.score for one in answer), reverse=True)
    assert "parts" not in answer[0].to_json(explain=False)
    json.dumps(answer[0].to_json(), allow_nan=False)


def test_what_was_touched_goes_up(fitted: Fitted) -> None:
    plain = ["h001", "h002", "h003", "h004"]
    untouched = {one.item: one for one in fitted.reranker.rerank([], plain)}
    touched = {one.item: one for one in fitted.reranker.rerank(["h003"], plain)}
    assert touched["h003"].probability > 2 * untouched["h003"].probability
    assert touched["h003"].parts["history"] > 1
    assert untouched["h003"].parts["history"] == pytest.approx(0)


def test_items_and_kinds_that_nobody_knows_are_answered_all_the_same(fitted: Fitted) -> None:
    question = Question(["new", "", "h001"], context={"event": ["odd", None, "view"]})
    answer = fitted.reranker.rerank(
        question, ["new", "h001", Candidate("other", price=-1)], {"colour": "red"}
    )
    assert sorted(one.item for one in answer) == ["h001", "new", "other"]
    assert all(np.isfinite(one.score) for one in answer)
    assert fitted.reranker.rerank([], []) == []


def test_a_request_is_read_from_json(fitted: Fitted) -> None:
    text = json.dumps(
        {
            "candidates": [{"item": "h003", "score": 1.5, "price": 80}, "h001"],
            "shown": {"order": "by price"},
            "history": ["h001"],
            "times": ["2024-01-31T08:00Z"],
            "context": {"event": ["view"]},
            "at": "2024-01-31T08:05Z",
        }
    )
    question, candidates, about = read_request(text, "here")
    assert candidates == [Candidate("h003", 1.5, 80), Candidate("h001")]
    assert about == {"order": "by price"}
    assert list(question.history) == ["h001"]
    assert {one.item for one in fitted.reranker.rerank(question, candidates, about)} == {"h001", "h003"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is no request"),
        ("{", "no request in JSON"),
        ('{"candidates": [1]}', r"candidates\[0\] must be an id"),
        ('{"candidates": [{"item": "a", "prize": 1}]}', "no key 'prize'.*'price'"),
        ('{"candidates": [{"item": "a", "price": "1"}]}', r"candidates\[0\].price must be a number"),
        ('{"candidates": [{"item": "a", "score": NaN}]}', "NaN is no number"),
        ('{"candidates": ["a"], "shown": {"x": 1}}', "shown must be an object of texts"),
        ('{"candidates": ["a"], "histry": []}', "no key 'histry'"),
    ],
)
def test_a_request_that_is_none_is_refused_by_its_key(text: str, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        read_request(text, "here")


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        (["a", "a"], "name 'a' twice"),
        ([""], "empty text"),
        ([Candidate("a", score=float("inf"))], "score of a candidate is inf"),
        ([f"i{n}" for n in range(10_001)], "10,001 candidates"),
    ],
)
def test_candidates_that_cannot_be_are_refused(fitted: Fitted, candidates: list[str], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        fitted.reranker.rerank([], candidates)
