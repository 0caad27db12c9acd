"""Files that cannot be read, of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.data.photographs import cut


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)


BAD_KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "truncated JPEG": ("jpg", cut),
    "truncated PNG": ("png", cut),
    "truncated WebP": ("webp", cut),
    "truncated BMP": ("bmp", cut),
    "truncated TIFF": ("tif", cut),
    "truncated GIF, which Pillow decodes": ("gif", cut),
    "corrupt PNG": ("png", spoil),
    "empty": ("jpg", lambda path: path.write_bytes(b"")),
    "header only": ("jpg", lambda path: path.write_bytes(path.read_bytes()[:30])),
    "text": ("jpg", lambda path: path.write_text("no image\n" * 30)),
    "vanished": ("jpg", Path.unlink),
}
