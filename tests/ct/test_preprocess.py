"""Letterboxing never stretches, windows are linear in HU, pictures are flattened on black."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brainct.ct.preprocess import Pixels, apply_windows, letterbox, render_image, thumbnail
from brainct.ct.read.image import read_image
from brainct.ct.split import near_duplicates
from brainct.errors import Refused
from tests.support.forged import grey, head


def test_a_window_runs_from_level_minus_half_to_level_plus_half_its_width() -> None:
    hu = torch.tensor([-1000.0, 0.0, 20.0, 40.0, 80.0, 900.0])
    assert apply_windows(hu, [(40, 80)])[0].tolist() == [0, 0, 0.25, 0.5, 1, 1]


def test_a_wide_picture_is_padded_above_and_below_and_not_stretched() -> None:
    boxed = letterbox(torch.ones(20, 40), 40, fill=-7.0)
    assert boxed.shape == (40, 40)
    assert (boxed[10:30] == 1).all()
    assert (boxed[:10] == -7).all()
    assert (boxed[30:] == -7).all()


def test_pixel_spacing_gives_the_proportions_in_mm() -> None:
    boxed = letterbox(torch.ones(20, 20), 40, fill=0.0, spacing=(1.0, 2.0))
    assert boxed.sum() == 20 * 40


def test_a_field_of_view_cuts_and_pads_around_the_centre() -> None:
    values = torch.zeros(8, 8)
    values[2:6, 2:6] = 1
    assert (letterbox(values, 4, 0.0, (1.0, 1.0), fov_mm=4) == 1).all()
    small = letterbox(values, 16, 5.0, (1.0, 1.0), fov_mm=16)
    assert torch.equal(small[4:12, 4:12], values)
    assert (small[:4] == 5).all()


def test_a_volume_becomes_a_cube_in_mm() -> None:
    boxed = letterbox(torch.ones(10, 10, 4), 20, fill=0.0, spacing=(1.0, 1.0, 1.25))
    assert boxed.shape == (20, 20, 20)
    assert boxed.sum() == 20 * 20 * 10
    assert (boxed[:, :, 5:15] == 1).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(4, 48))
def test_letterboxing_keeps_a_flat_picture_flat(height: int, width: int, size: int) -> None:
    boxed = letterbox(torch.full((height, width), 3.0), size, fill=0.0)
    longer = max(height, width)
    inked = max(1, round(height * size / longer)) * max(1, round(width * size / longer))
    assert boxed.shape == (size, size)
    torch.testing.assert_close(boxed.sum(), torch.tensor(3.0 * inked))


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(32, 16)
    assert (letterbox(stripes, 8, 0.0)[:, 2:-2] - 0.5).abs().max() < 0.05


def test_the_border_of_a_scan_in_hu_is_air() -> None:
    channels = render_image(Pixels(np.full((4, 8), 40, np.float32), hu=True), 8, [(40, 80), (-950, 200)])
    assert channels.shape == (2, 8, 8)
    assert channels[:, 0, 0].tolist() == [0.0, 0.25]
    assert channels[:, 4, 4].tolist() == [0.5, 1.0]


def test_a_grey_image_repeats_in_every_channel() -> None:
    channels = render_image(Pixels(np.full((8, 8), 51, np.float32), hu=False), 8, [(40, 80), (80, 200), (40, 380)])
    assert channels.shape == (3, 8, 8)
    torch.testing.assert_close(channels, torch.full((3, 8, 8), 0.2))


def test_the_digest_depends_on_shape_and_pixels() -> None:
    values = np.arange(6, dtype=np.float32)
    digests = {Pixels(each, hu=True).digest() for each in (values.reshape(2, 3), values.reshape(3, 2), -values)}
    assert len(digests) == 3


def test_the_thumbnail_does_not_depend_on_borders_around_the_head() -> None:
    large = np.kron(head(1), np.ones((8, 8), np.float32))
    framed = np.pad(large, ((60, 20), (10, 50)), constant_values=-1000)
    one, other = (thumbnail(Pixels(hu, hu=True)) for hu in (large, framed))
    assert near_duplicates(np.stack([one, other])) == [(0, 1)]
    assert near_duplicates(np.stack([one, thumbnail(Pixels(head(2), hu=True))]), alike=0.5) == []


def test_a_volume_gives_three_thumbnails() -> None:
    volume = np.stack([head(at) for at in range(8)], axis=2)
    small = thumbnail(Pixels(volume, hu=True))
    assert small.shape == (3, 32, 32)
    assert np.array_equal(small[1], thumbnail(Pixels(head(4), hu=True)))


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    colours = np.full((4, 4, 4), 200, np.uint8)
    colours[:2, :, 3] = 0
    colours[2:, :, 3] = 255
    Image.fromarray(colours).save(tmp_path / "a.png")
    values = read_image(tmp_path / "a.png", "a.png").values
    assert (values[:2] == 0).all()
    assert (values[2:] == 200).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_stays_the_same_grey_in_every_mode(mode: str, tmp_path: Path) -> None:
    Image.fromarray(grey(3)).convert(mode).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png", "a.png")
    assert not read.hu
    assert np.abs(read.values - grey(3)).max() <= 1


def test_a_jpeg_is_read_like_a_png(tmp_path: Path) -> None:
    Image.fromarray(grey(3, 80, 64)).save(tmp_path / "a.jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpeg", "a.jpeg").values - grey(3, 80, 64)).mean() < 5


def test_a_truncated_image_is_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(grey(1, 200, 200)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match=r"ward/a.png: unreadable or truncated image \(OSError\): copy it again"):
        read_image(tmp_path / "a.png", "ward/a.png")


def test_a_text_called_png_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(Refused, match="a.png: unreadable or truncated image"):
        read_image(tmp_path / "a.png", "a.png")


def test_another_format_called_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(grey(1)).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(Refused, match="a.png: unreadable or truncated image"):
        read_image(tmp_path / "a.png", "a.png")


def test_sixteen_bits_are_refused_because_their_window_is_unknown(tmp_path: Path) -> None:
    Image.fromarray(head(1).astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(Refused, match="a.png: 16-bit pixels, wanted 8-bit grey or colour"):
        read_image(tmp_path / "a.png", "a.png")
