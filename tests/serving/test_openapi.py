"""Whatever the description of the service allows, and much that it does not, is answered without a fault of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from tests.serving.service_process import Service, running

EXAMPLES = 12
"""Requests to each route, in each of the two ways."""


@pytest.fixture(scope="module")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, since what is made up may swap and withdraw."""
    folder = tmp_path_factory.mktemp("described")
    with running(shutil.copytree(trained, folder / "run"), folder=folder) as found:
        yield found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nothing_that_is_asked_is_a_fault_of_the_service(service: Service, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{service.client.base_url}/openapi.json")
    asked: dict[str, int] = {}
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url=str(service.client.base_url))
            found = service.client.request(
                sent["method"], sent["url"], params=sent.get("params"), json=sent.get("json"),
                headers={**(sent.get("headers") or {})},
            )  # fmt: skip
            said = (case.method, case.path, found.status_code, found.text[:300])
            assert found.status_code < 500, said
            assert found.status_code < 400 or set(found.json()) == {"error"}, said
            asked[case.path] = asked.get(case.path, 0) + 1

        try:
            ask()
        except Exception as fault:
            if "NoSuchNegative" in type(fault).__name__ or "Unsatisfiable" in type(fault).__name__:
                continue  # a route without parameters cannot be asked wrongly
            raise
    assert len(asked) >= 8
    assert sum(asked.values()) > 50
