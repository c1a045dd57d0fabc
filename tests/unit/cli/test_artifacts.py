# SPDX-License-Identifier: Apache-2.0
"""From an image to what a node stores: the right digests, and a packed form that is kept."""

from dataclasses import replace
from hashlib import sha256, shake_256
from pathlib import Path

import pytest
import zstandard

from fieldpost.cli.artifacts import measure_image, pack_image
from fieldpost.errors import Malformed
from fieldpost.records.device_class import ClassRecord, DeviceLimits, Encoding

CLASS = ClassRecord(
    epoch=0,
    previous=None,
    maker=bytes(16),
    name="bulb",
    family=None,
    channels=("stable",),
    support_end=2_000_000_000,
    least_interval_s=60,
    most_interval_s=86_400,
    limits=replace(DeviceLimits(), image_bytes=3_000_000),
    most_devices=10,
)
# Bytes that no compressor makes smaller.
NOISE = shake_256(b"noise").digest(1_500_000)
SPARSE = NOISE + bytes(1_500_000)


def test_an_image_is_measured_as_it_is(tmp_path: Path) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(SPARSE)
    plain = measure_image(image, CLASS)
    assert plain.artifact.digest == plain.artifact.image == sha256(SPARSE).digest()
    assert (plain.artifact.size, plain.artifact.encoding) == (3_000_000, Encoding.IDENTITY)
    assert plain.words() == "identity 3.0 MB"


@pytest.mark.parametrize("size", [0, 3_000_001])
def test_an_image_that_devices_cannot_hold_is_refused(tmp_path: Path, size: int) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(size))
    with pytest.raises(Malformed, match=r"image\.bin has .* hold 1…3000000"):
        measure_image(image, CLASS)


def test_a_packed_image_unpacks_to_the_image_and_states_its_size(tmp_path: Path) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(SPARSE)
    (packed,) = pack_image(measure_image(image, CLASS), tmp_path / "kept", as_json=True)
    data = packed.path.read_bytes()
    assert packed.artifact.digest == sha256(data).digest()
    assert packed.artifact.image == sha256(SPARSE).digest()
    assert packed.artifact.size == len(data) < 1_600_000
    assert zstandard.get_frame_parameters(data).content_size == len(SPARSE)
    assert zstandard.ZstdDecompressor().decompress(data) == SPARSE


def test_what_was_packed_is_kept_and_used_again(tmp_path: Path) -> None:
    """Another compressor may write other bytes; an upload goes on with those that were posted."""
    image = tmp_path / "image.bin"
    image.write_bytes(SPARSE)
    plain = measure_image(image, CLASS)
    (packed,) = pack_image(plain, tmp_path / "kept", as_json=True)
    other = zstandard.ZstdCompressor(level=3).compress(SPARSE)
    packed.path.write_bytes(other)
    (again,) = pack_image(plain, tmp_path / "kept", as_json=True)
    assert again.artifact.digest == sha256(other).digest()


def test_packing_that_was_interrupted_begins_anew(tmp_path: Path) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(SPARSE)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / f"{sha256(SPARSE).hexdigest()}.partial").write_bytes(b"half of it")
    (packed,) = pack_image(measure_image(image, CLASS), kept, as_json=True)
    assert zstandard.ZstdDecompressor().decompress(packed.path.read_bytes()) == SPARSE
    assert list(kept.iterdir()) == [packed.path]


def test_what_does_not_get_smaller_is_stored_once(tmp_path: Path) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(NOISE[:100_000])
    assert pack_image(measure_image(image, CLASS), tmp_path / "kept", as_json=True) == []
