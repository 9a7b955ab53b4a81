"""A surrogate is packaged only where it is another classifier for the pair's task."""

from __future__ import annotations

from typing import Any

import pytest

from capgan_benchmarks.make_surrogate import require_another
from capgan_edge import zoo
from capgan_edge.errors import ConfigError


def state(**changes: Any) -> dict[str, Any]:
    card = zoo.card("signs-nano")
    return {"source": card["data"], "class_names": card["labels"], "config": {"seed": 1}, **changes}


def test_a_run_from_another_seed_on_the_same_data_is_taken() -> None:
    require_another(zoo.card("signs-nano"), state())


@pytest.mark.parametrize(("changes", "said"), [
    ({"config": {"seed": 0}}, "another seed"), ({"source": "signs:64"}, "got one on signs:64"),
    ({"class_names": ["a", "b"]}, "with 2;"),
])  # fmt: skip
def test_a_run_that_is_no_surrogate_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        require_another(zoo.card("signs-nano"), state(**changes))
