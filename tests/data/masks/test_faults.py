"""What is wrong with masks is said in one sentence."""

import numpy as np
import pytest
from PIL import Image

from sslfast.data.masks import IGNORED, open_masked
from sslfast.data.masks.files import read_mask
from sslfast.data.sources.images import UnreadableImage
from sslfast.errors import UsageError
from tests.data.annotations.drawn import draw
from tests.data.annotations.drawn import write_voc as write_boxes
from tests.data.masks.drawn import mask_of, write_folders, write_voc

DRAWN = draw(2, seed=0)


@pytest.fixture
def root(tmp_path):
    return write_folders(tmp_path / "data", DRAWN)


def replaced(root, pixels, mode=None):
    """Opens the images, of which the first has another mask."""
    Image.fromarray(np.asarray(pixels, dtype=np.uint8), mode).save(root / "masks" / "000.png")
    return open_masked(str(root))


def test_a_mask_that_is_missing(root):
    (root / "masks" / "001.png").rename(root / "masks" / "001.jpg")
    with pytest.raises(
        UsageError, match=r"1 of 2 images have no mask in .*masks \(.png .*\), the first is .*001.png"
    ):
        open_masked(str(root))


def test_a_mask_without_an_image(root, caplog):
    (root / "images" / "001.png").unlink()
    assert len(open_masked(str(root))) == 1
    assert "1 masks have no image, the first is" in caplog.text


def test_images_of_one_name(root):
    DRAWN[0].image.save(root / "images" / "000.bmp")
    with pytest.raises(UsageError, match="another image has this name"):
        open_masked(str(root))


def test_a_mask_of_another_size(root):
    images = replaced(root, mask_of(DRAWN[0])[:40])
    with pytest.raises(UsageError, match="000.png: is of 64x40 pixels, and its image .*, upright, of 64x48; give"):
        images.pair(0)


def test_ids_of_no_class(root):
    mask = mask_of(DRAWN[0])
    mask[0, :4] = 3, 3, 9, IGNORED
    with pytest.raises(UsageError, match=r"000.png: has the ids 3, 9, and .* has 3 classes, ids 0 to 2 \(255"):
        replaced(root, mask).pair(0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_masks_of_colors(root, mode):
    Image.fromarray(mask_of(DRAWN[0])).convert(mode).save(root / "masks" / "000.png")
    with pytest.raises(UsageError, match=f"000.png: is a mask of mode {mode}, expected a gray or palette image"):
        open_masked(str(root)).pair(0)


def test_a_mask_that_is_no_image(root):
    (root / "masks" / "000.png").write_bytes(b"\x89PNG")
    with pytest.raises(UnreadableImage, match="mask .*000.png: cannot identify"):
        open_masked(str(root)).pair(0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_ids_are_as_they_are_in_the_file(bits, tmp_path):
    ids = np.arange(8, dtype=np.uint8).reshape(2, 4) % min(2**bits, 8)
    if bits in (1, 16):
        image = Image.fromarray(ids.astype(bool) if bits == 1 else ids.astype(np.uint16))
        image.save(tmp_path / "mask.png")
    else:
        (tmp_path / "mask.png").write_bytes(gray_png(ids, bits))
    assert np.array_equal(read_mask(tmp_path / "mask.png"), ids)


def gray_png(ids, bits):
    """Writes a gray PNG of so many bits a pixel, which Pillow does not write."""
    import struct
    import zlib

    def part(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    values = (ids[..., None] >> np.arange(bits)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "classes.txt: is missing; name the classes there, a line each"),
        (b"", "has no classes"),
        (b"background\n\nsquare\n", "classes.txt: line 2 is empty, and a line's number tells"),
        (b"a\nb\na\n", "has two classes named 'a'"),
        (b"\xff\xfe", "cannot be read as text"),
        (b"".join(b"%d\n" % n for n in range(256)), "has 256 classes, and a mask can hold 255 at most"),
    ],
)
def test_classes_that_cannot_serve(content, message, root):
    (root / "classes.txt").unlink()
    if content is not None:
        (root / "classes.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        open_masked(str(root))


def test_lists_that_cannot_serve(tmp_path):
    root = write_voc(tmp_path / "voc", DRAWN)
    file = root / "ImageSets" / "Segmentation" / "train.txt"
    file.write_text("train_000\nelsewhere\n")
    with pytest.raises(
        UsageError, match="1 of the 2 images that are listed are missing in .*, the first is elsewhere"
    ):
        open_masked(f"{root}:train")
    file.write_text("\n")
    with pytest.raises(UsageError, match="train.txt: lists no image"):
        open_masked(f"{root}:train")
    file.unlink()
    with pytest.raises(UsageError, match="voc has no splits; leave out :train"):
        open_masked(f"{root}:train")
    with pytest.raises(UsageError, match="voc has no splits$"):
        open_masked(str(root))


def test_what_is_no_data(tmp_path):
    with pytest.raises(UsageError, match="no data is named"):
        open_masked("")
    with pytest.raises(UsageError, match="no such file or folder"):
        open_masked(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="its objects have boxes only, and masks need their outlines"):
        open_masked(str(write_boxes(tmp_path / "boxes", DRAWN)))
    (tmp_path / "classes" / "cat").mkdir(parents=True)
    (tmp_path / "classes" / "dog").mkdir()
    with pytest.raises(UsageError, match="to segment also the folders images and masks, and found none of these"):
        open_masked(str(tmp_path / "classes"))
    write_folders(tmp_path / "empty", [])
    with pytest.raises(UsageError, match="has no images"):
        open_masked(str(tmp_path / "empty"))
