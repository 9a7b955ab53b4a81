"""Square: every query counted, a square and a colour for each image, sizes by the paper's schedule."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_models import NUM_CLASSES, convolutional_model, linear_model, mild_images
from torch import Tensor

from capgan_edge.attacks import Square
from capgan_edge.errors import ConfigError


def stubborn(x_BCHW: Tensor) -> Tensor:
    """Class 0 always wins, and the darker the image the less."""
    dark_B = -x_BCHW.flatten(1).mean(1)
    return torch.stack([torch.full_like(dark_B, 9.0), dark_B], dim=1)


@pytest.mark.parametrize(("queries", "restarts"), [(1, 1), (30, 1), (30, 3)])
def test_an_image_that_holds_costs_each_starts_queries_and_one_more(queries: int, restarts: int) -> None:
    attack = Square(epsilon=0.1, queries=queries, restarts=restarts)
    attacked = attack(stubborn, mild_images(4), torch.zeros(4, dtype=torch.int64))
    assert attacked.queries_B.tolist() == [1 + restarts * queries] * 4
    assert attacked.num_gradients == 0


def test_an_image_is_left_as_soon_as_it_fools() -> None:
    model, x_BCHW = convolutional_model(), mild_images(24)
    attacked = Square(epsilon=0.04, queries=100)(model, x_BCHW, model(x_BCHW).argmax(1))
    assert 0 < int(attacked.is_fooled_B.sum()) < 24
    assert (attacked.queries_B[attacked.is_fooled_B] < 101).any()
    assert (attacked.queries_B[~attacked.is_fooled_B] == 101).all()


def test_the_margin_never_gets_worse_with_more_queries() -> None:
    y_B = torch.zeros(6, dtype=torch.int64)
    darkness = [
        stubborn(Square(epsilon=0.1, queries=queries, scales_schedule=False)(stubborn, mild_images(6), y_B).images_BCHW)
        for queries in (1, 10, 40, 160)
    ]
    for fewer, more in itertools.pairwise(darkness):
        assert (more[:, 1] >= fewer[:, 1]).all()
    assert (darkness[-1][:, 1] > darkness[0][:, 1]).all()


def test_every_pixel_is_moved_by_the_whole_of_epsilon() -> None:
    x_BCHW = mild_images(3)
    images_BCHW = Square(epsilon=0.1, queries=40)(stubborn, x_BCHW, torch.zeros(3, dtype=torch.int64)).images_BCHW
    torch.testing.assert_close((images_BCHW - x_BCHW).abs(), torch.full_like(x_BCHW, 0.1))


def test_the_first_query_is_vertical_stripes() -> None:
    x_BCHW = mild_images(3)
    images_BCHW = Square(epsilon=0.1, queries=1)(stubborn, x_BCHW, torch.zeros(3, dtype=torch.int64)).images_BCHW
    sign_BCHW = (images_BCHW - x_BCHW).sign()
    assert torch.equal(sign_BCHW, sign_BCHW[:, :, :1].expand_as(sign_BCHW))
    assert len({tuple(row) for row in sign_BCHW[:, :, 0].flatten(0, 1).tolist()}) > 1


def test_each_image_has_a_square_and_colours_of_its_own() -> None:
    asked: list[Tensor] = []

    def watched(x_BCHW: Tensor) -> Tensor:
        asked.append(x_BCHW.clone())
        return stubborn(x_BCHW)

    same_BCHW = mild_images(1).expand(16, -1, -1, -1).contiguous()
    Square(epsilon=0.1, queries=400, scales_schedule=False)(watched, same_BCHW, torch.zeros(16, dtype=torch.int64))
    # From one query to the next an image shows its old square, kept or not, and its new one.
    changed = [(later != earlier).any(1) for earlier, later in itertools.pairwise(asked[1:])]
    late = torch.stack(changed[-100:])
    places = [len({tuple(place.flatten().tolist()) for place in of_a_query}) for of_a_query in late]
    assert max(places) > 6
    assert sum(places) / len(places) > 3


def test_squares_reach_every_pixel() -> None:
    attack, generator = Square(queries=1000), torch.Generator().manual_seed(0)
    covered = torch.zeros(4, 6, dtype=torch.bool)
    for _ in range(200):
        square = attack._squares(torch.zeros(1, 3, 4, 6), 999, generator)[0, 0]
        assert int(square.sum()) == 1
        covered |= square
    assert covered.all()


@pytest.mark.parametrize(
    ("query", "share"),
    [(1, 0.8), (10, 0.8), (11, 0.4), (51, 0.2), (201, 0.1), (2001, 0.8 / 64), (4001, 0.8 / 128), (8001, 0.8 / 512)],
)
def test_the_share_of_pixels_follows_the_papers_schedule(query: int, share: float) -> None:
    assert Square(queries=10_000).share(query) == pytest.approx(share)
    assert Square(queries=5_000, scales_schedule=False).share(query) == pytest.approx(share)


def test_fewer_queries_go_through_the_same_schedule() -> None:
    assert Square(queries=100).share(99) == pytest.approx(0.8 / 512)
    assert Square(queries=100, scales_schedule=False).share(99) == pytest.approx(0.8 / 4)


def test_more_restarts_never_save_an_image() -> None:
    model, x_BCHW = linear_model(), mild_images(32)
    y_B = model(x_BCHW).argmax(1)
    once, thrice = (Square(epsilon=0.08, queries=15, restarts=n)(model, x_BCHW, y_B).is_fooled_B for n in (1, 3))
    assert (once & ~thrice).sum() == 0
    assert thrice.sum() > once.sum()


def test_images_wrong_from_the_start_cost_one_query_and_stay() -> None:
    model, x_BCHW = linear_model(), mild_images(3)
    attacked = Square(epsilon=0.1)(model, x_BCHW, (model(x_BCHW).argmax(1) + 1) % NUM_CLASSES)
    assert torch.equal(attacked.images_BCHW, x_BCHW)
    assert attacked.queries_B.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "at least one query, got 0"),
        ({"restarts": 0}, "at least one start, got 0"),
        ({"p_init": 0.0}, r"expected p_init.* in \(0, 1\], got 0.0"),
        ({"p_init": 1.5}, r"expected p_init.* in \(0, 1\], got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Square(**options)  # type: ignore[arg-type]
