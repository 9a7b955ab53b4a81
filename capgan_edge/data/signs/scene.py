"""One photograph of one road sign: backdrop, post, worn sign, obstacle, light, lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs import lens
from capgan_edge.data.signs.backdrop import draw_backdrop
from capgan_edge.data.signs.catalogue import SIGN_CLASSES
from capgan_edge.data.signs.checks import LARGEST_PX, SMALLEST_PX, check_integer, check_share, require_pillow
from capgan_edge.data.signs.face import face_for
from capgan_edge.data.signs.fields import Picture
from capgan_edge.data.signs.light import cast_shadow, relight
from capgan_edge.data.signs.obstacles import draw_obstacle, draw_post
from capgan_edge.data.signs.pose import Pose, random_pose
from capgan_edge.data.signs.wear import wear
from capgan_edge.errors import ConfigError, InputError

if TYPE_CHECKING:
    from PIL import Image

_OVERSAMPLING = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """How far photographs of one sign differ; 1 is a drive on all days of a year, 0 is the studio."""

    fill: tuple[float, float] = (0.68, 0.93)
    """Smallest and largest width of a sign, as a share of the frame in (0, 1]."""
    tilt: float = 1.0
    """Scale of roll, yaw and pitch, in [0, 1]."""
    wear: float = 1.0
    """Scale of fading and dirt, in [0, 1]."""
    shadow_share: float = 0.3
    """Share of signs with a cast shadow, in [0, 1]."""
    obstacle_share: float = 0.25
    """Share of signs partly hidden by leaves, a bar or a sticker, in [0, 1]."""
    light: float = 1.0
    """Scale of exposure, contrast, colour cast, gradient and glare, in [0, 1]."""
    blur: float = 1.0
    """Scale of defocus and motion blur, in [0, 1]."""
    noise: float = 1.0
    """Scale of sensor noise, in [0, 1]."""

    def __post_init__(self) -> None:
        for name in ("tilt", "wear", "shadow_share", "obstacle_share", "light", "blur", "noise"):
            check_share(name, getattr(self, name))
        smallest, largest = self.fill
        if not 0 < smallest <= largest <= 1:
            raise ConfigError(
                f"expected fill to be two shares 0 < smallest <= largest <= 1, got {self.fill}; "
                "for signs of one size pass the same share twice"
            )


DAILY = Variation()
"""What `load_signs` uses."""
STUDIO = Variation(tilt=0, wear=0, shadow_share=0, obstacle_share=0, light=0, blur=0, noise=0)
"""A clean sign, straight on, before a random backdrop."""


def draw_sign(
    class_index: int,
    *,
    size_px: int,
    rng: np.random.Generator,
    variation: Variation = DAILY,
    backdrop_HWC: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Return a photograph of a sign of a class: RGB, uint8 [size_px, size_px, 3].

    The scene depends on `rng` and hardly on `size_px`: the same generator state gives the same picture, larger.

    Args:
        backdrop_HWC: RGB uint8 [size_px, size_px, 3] to put the sign before, e.g. a crop of a video; None draws one.

    Raises:
        ConfigError: `class_index` or `size_px` is out of range.
        InputError: `backdrop_HWC` is of another shape or type.
    """
    require_pillow()
    check_integer("class_index", class_index, 0, len(SIGN_CLASSES) - 1)
    check_integer("size_px", size_px, SMALLEST_PX, LARGEST_PX)
    backdrop_rng = np.random.default_rng(rng.integers(2**63))  # its own, so that the backdrop does not move the sign
    canvas_px = size_px * _OVERSAMPLING
    pose = random_pose(rng, fill=variation.fill, tilt=variation.tilt)
    if backdrop_HWC is None:
        picture = draw_backdrop(backdrop_rng, canvas_px)
    else:
        picture = _enlarged_backdrop(backdrop_HWC, size_px)
    picture = _put_up(rng, picture, class_index, pose, variation)
    picture = relight(rng, picture, variation.light)
    return _photograph(rng, picture, variation)


def _enlarged_backdrop(backdrop_HWC: NDArray[np.uint8], size_px: int) -> Picture:
    expected = (size_px, size_px, 3)
    if backdrop_HWC.dtype != np.uint8 or backdrop_HWC.shape != expected:
        raise InputError(
            f"expected a uint8 backdrop of shape {expected}, got {backdrop_HWC.dtype} {backdrop_HWC.shape}; "
            "crop or resize it first"
        )
    return _planes(backdrop_HWC.repeat(_OVERSAMPLING, axis=0).repeat(_OVERSAMPLING, axis=1))


def _put_up(
    rng: np.random.Generator, picture_CHW: Picture, class_index: int, pose: Pose, variation: Variation
) -> Picture:
    """Return the picture with the post, the sign in its shade, and perhaps an obstacle before it."""
    image = _image_from_picture(picture_CHW)
    draw_post(rng, image, pose)
    sign_4HW = _warped_face(class_index, pose, image.width)
    wear(rng, sign_4HW, variation.wear)
    shade = cast_shadow(rng, image.width, variation.shadow_share)
    picture: Picture = _picture_from_image(image) * (1 - sign_4HW[3]) + sign_4HW[:3] * shade
    if rng.random() < variation.obstacle_share:
        image = _image_from_picture(picture)
        draw_obstacle(rng, image, pose)
        picture = _picture_from_image(image)
    return picture


def _warped_face(class_index: int, pose: Pose, canvas_px: int) -> Picture:
    """Return the face as the camera sees it: premultiplied RGBA, float32 [4, H, W] in [0, 1]."""
    from PIL import Image

    face = face_for(class_index, pose.fill * canvas_px)
    warped = face.transform(
        (canvas_px, canvas_px),
        Image.Transform.PERSPECTIVE,
        pose.face_from_frame(canvas_px, face.width),
        Image.Resampling.BILINEAR,
    )
    return _picture_from_image(warped)


def _photograph(rng: np.random.Generator, picture_CHW: Picture, variation: Variation) -> NDArray[np.uint8]:
    sharp = _image_from_picture(picture_CHW)
    blurred = lens.blur(rng, sharp, variation.blur).reduce(_OVERSAMPLING)
    return lens.exposed(rng, _picture_from_image(blurred), variation.noise)


def _image_from_picture(picture_CHW: Picture) -> Image.Image:
    from PIL import Image

    levels = np.clip(picture_CHW, 0, 1) * 255 + np.float32(0.5)
    return Image.fromarray(np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0)))


def _picture_from_image(image: Image.Image) -> Picture:
    return _planes(np.asarray(image))


def _planes(pixels_HWC: NDArray[np.uint8]) -> Picture:
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1)) * np.float32(1 / 255)
