"""The metrics on any scores: against brute force and two other libraries, and by their laws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_metrics import EVERY, Floats, ranked, ranked_by

from ensue.metrics import AUC, F1, MAP, MRR, NDCG, Accuracy, GlobalAUC, HitRate, Metric, Precision, Recall

# ----------------------------------------------------------------------------------------- brute force


def brute(found: Metric, scores: Sequence[float], relevant: set[int]) -> float:
    """A metric by walking down the sorted list, for scores without ties."""
    order = sorted(range(len(scores)), key=lambda item: -scores[item])
    marks = [item in relevant for item in order]
    k = getattr(found, "k", None) or len(marks)
    hits = sum(marks[:k])
    match found:
        case Accuracy():
            return float(marks[0])
        case HitRate():
            return float(any(marks[:k]))
        case Recall():
            return hits / len(relevant)
        case Precision():
            return hits / k
        case F1():
            precision, recall = hits / k, hits / len(relevant)
            return 2 * precision * recall / (precision + recall) if hits else 0.0
        case NDCG():
            gained = sum(1 / log2(place + 2) for place, mark in enumerate(marks[:k]) if mark)
            return gained / sum(1 / log2(place + 2) for place in range(min(len(relevant), k)))
        case MRR():
            return max((1 / (place + 1) for place, mark in enumerate(marks[:k]) if mark), default=0.0)
        case MAP():
            precisions = [
                sum(marks[: place + 1]) / (place + 1) for place, mark in enumerate(marks[:k]) if mark
            ]
            return sum(precisions) / min(len(relevant), k)
        case AUC():
            rivals = [item for item in range(len(scores)) if item not in relevant]
            pairs = [(scores[a] > scores[b]) + (scores[a] == scores[b]) / 2 for a in relevant for b in rivals]
            return sum(pairs) / len(pairs) if pairs else 1.0
    raise AssertionError(found)


@st.composite
def cases(draw: st.DrawFn, ties: bool) -> tuple[Floats, list[list[int]]]:
    """Scores of a few queries over a few items, and the relevant items of each."""
    n_items, n_queries = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    values = st.integers(0, 3 if ties else 10**6)
    row = st.lists(values, min_size=n_items, max_size=n_items, unique=not ties)
    scores = np.array(draw(st.lists(row, min_size=n_queries, max_size=n_queries)), dtype=np.float64)
    some = st.lists(st.integers(0, n_items - 1), min_size=1, max_size=n_items, unique=True)
    return scores, draw(st.lists(some, min_size=n_queries, max_size=n_queries))


@given(cases(ties=False))
def test_every_metric_is_what_walking_down_the_list_gives(case: tuple[Floats, list[list[int]]]) -> None:
    scores, relevant = case
    table = ranked_by(scores, relevant)
    for found in EVERY:
        expected = [
            brute(found, row.tolist(), set(items)) for row, items in zip(scores, relevant, strict=True)
        ]
        assert found.per_query(table).tolist() == pytest.approx(expected, abs=1e-12), found.name


@given(cases(ties=True))
def test_auc_counts_tied_pairs_half(case: tuple[Floats, list[list[int]]]) -> None:
    scores, relevant = case
    expected = [brute(AUC(), row.tolist(), set(items)) for row, items in zip(scores, relevant, strict=True)]
    assert AUC().per_query(ranked_by(scores, relevant)).tolist() == pytest.approx(expected, abs=1e-12)


@given(cases(ties=True))
def test_global_auc_is_the_share_of_all_pairs_of_all_queries(case: tuple[Floats, list[list[int]]]) -> None:
    scores, relevant = case
    table = ranked_by(scores, relevant)
    weights, right, all_pairs = GlobalAUC().weights(table), 0.0, 0
    for row, items in zip(scores.tolist(), relevant, strict=True):
        rivals = [item for item in range(len(row)) if item not in items]
        right += sum((row[a] > row[b]) + (row[a] == row[b]) / 2 for a in items for b in rivals)
        all_pairs += len(items) * len(rivals)
    assert weights.sum() == all_pairs
    assert (GlobalAUC().per_query(table) * weights).sum() == pytest.approx(right, abs=1e-9)


# ------------------------------------------------------------------------------------------------ laws


@given(cases(ties=True))
def test_every_value_is_between_nought_and_one(case: tuple[Floats, list[list[int]]]) -> None:
    table = ranked_by(*case)
    for found in EVERY:
        values = found.per_query(table)
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), found.name


@given(cases(ties=True), st.randoms(use_true_random=False))
def test_the_order_of_the_items_changes_no_metric(
    case: tuple[Floats, list[list[int]]], random: object
) -> None:
    scores, relevant = case
    places = list(range(scores.shape[1]))
    random.shuffle(places)  # type: ignore[attr-defined]
    moved = np.empty_like(scores)
    moved[:, places] = scores
    table = ranked_by(scores, relevant)
    other = ranked_by(moved, [[places[item] for item in items] for items in relevant])
    for found in EVERY:
        assert found.per_query(table).tolist() == found.per_query(other).tolist(), found.name


@given(cases(ties=True), st.integers(1, 5))
def test_worse_items_at_the_end_change_nothing_but_auc(
    case: tuple[Floats, list[list[int]]], extra: int
) -> None:
    scores, relevant = case
    longer = np.hstack([scores, np.full((len(scores), extra), -1.0)])
    for found in EVERY:
        before = found.per_query(ranked_by(scores, relevant))
        after = found.per_query(ranked_by(longer, relevant))
        if isinstance(found, AUC):
            assert (after >= before - 1e-12).all()
        else:
            assert after.tolist() == before.tolist(), found.name


@given(cases(ties=True))
def test_a_query_alone_scores_what_it_scores_among_others(case: tuple[Floats, list[list[int]]]) -> None:
    scores, relevant = case
    table = ranked_by(scores, relevant)
    for found in EVERY:
        alone = [
            found.per_query(ranked_by(scores[q : q + 1], relevant[q : q + 1]))[0] for q in range(len(scores))
        ]
        assert found.per_query(table).tolist() == alone, found.name


@given(st.lists(st.integers(2, 60).map(lambda doubled: doubled / 2), min_size=2, max_size=8))
def test_a_better_rank_is_never_worth_less(ranks: list[float]) -> None:
    table = ranked([[rank] for rank in sorted(ranks)])
    for found in EVERY:
        assert (np.diff(found.per_query(table)) <= 0).all(), found.name


@given(cases(ties=True))
def test_recall_of_one_target_is_the_hit_rate_and_map_its_reciprocal_rank(
    case: tuple[Floats, list[list[int]]],
) -> None:
    scores, relevant = case
    table = ranked_by(scores, [items[:1] for items in relevant])
    assert Recall(3).per_query(table).tolist() == HitRate(3).per_query(table).tolist()
    assert MAP(3).per_query(table).tolist() == MRR(3).per_query(table).tolist()
    assert Accuracy().per_query(table).tolist() == Recall(1).per_query(table).tolist()


# ------------------------------------------------------------------------------------- other libraries


@pytest.fixture(scope="module")
def random_case() -> tuple[Floats, list[list[int]]]:
    """40 rankings of 50 items without ties, with 1 to 15 relevant items each."""
    rng = np.random.default_rng(5)
    scores = np.stack([rng.permutation(50) for _ in range(40)]).astype(np.float64)
    relevant = [rng.choice(50, rng.integers(1, 16), replace=False).tolist() for _ in range(40)]
    return scores, relevant


def test_ranx_agrees(random_case: tuple[Floats, list[list[int]]], monkeypatch: pytest.MonkeyPatch) -> None:
    scores, relevant = random_case
    asked = [HitRate(5), Recall(5), Precision(5), F1(5), NDCG(5), MRR(5), MRR(), MAP(5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of what ranx imports
        import numba

        monkeypatch.setattr(numba.config, "DISABLE_JIT", True)  # compiling takes minutes, running no time
        import ranx

        truth = ranx.Qrels({f"q{q:02}": {str(i): 1 for i in items} for q, items in enumerate(relevant)})
        lists = {f"q{q:02}": {str(i): float(s) for i, s in enumerate(row)} for q, row in enumerate(scores)}
        names = [found.name.replace("hit@", "hit_rate@") for found in asked]
        theirs = ranx.evaluate(truth, ranx.Run(lists), names, return_mean=False)
    table = ranked_by(scores, relevant)
    # ranx divides MAP by the number of relevant items, ensue by min(relevant, k)
    theirs["map@5"] *= table.relevant / np.minimum(table.relevant, 5)
    for name, found in zip(names, asked, strict=True):
        assert found.per_query(table) == pytest.approx(theirs[name], abs=1e-12), name


def test_scikit_learn_agrees(random_case: tuple[Floats, list[list[int]]]) -> None:
    from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

    scores, relevant = random_case
    marks = np.zeros_like(scores)
    for row, items in enumerate(relevant):
        marks[row, items] = 1
    table = ranked_by(scores, relevant)
    pairs = list(zip(marks, scores, strict=True))
    for k in (1, 5, 50):
        expected = [ndcg_score(m[None], s[None], k=k) for m, s in pairs]
        assert NDCG(k).per_query(table) == pytest.approx(expected, abs=1e-12)
    assert AUC().per_query(table) == pytest.approx([roc_auc_score(m, s) for m, s in pairs], abs=1e-12)
    assert MAP(50).per_query(table) == pytest.approx(
        [average_precision_score(m, s) for m, s in pairs], abs=1e-12
    )
    tied = np.floor(scores / 10)
    expected = [roc_auc_score(m, s) for m, s in zip(marks, tied, strict=True)]
    assert AUC().per_query(ranked_by(tied, relevant)) == pytest.approx(expected, abs=1e-12)
