"""EXIF and XMP that state an orientation, well and badly."""

from __future__ import annotations

import struct
from collections.abc import Sequence

ORIENTATION, MAKE = 0x0112, 0x010F
BYTE, ASCII, SHORT, LONG, SIGNED_SHORT = 1, 2, 3, 4, 8
FORMS = {BYTE: "B", SHORT: "H", LONG: "I", SIGNED_SHORT: "h"}

Entry = tuple[int, int, Sequence[int]]  # tag, type, values


def exif(entries: Sequence[Entry], order: str = "<") -> bytes:
    """Writes EXIF of these entries in the byte order "<" or ">", without the `Exif` that JPEG puts before it."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, values in entries:
        value = struct.pack(order + FORMS[kind] * len(values), *values)
        content += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return content + bytes(4)


def oriented(orientation: int) -> bytes:
    return exif([(ORIENTATION, SHORT, [orientation])])


ODD = {
    "big-endian": exif([(ORIENTATION, SHORT, [6])], ">"),
    "big-endian-long": exif([(ORIENTATION, LONG, [8])], ">"),
    "long": exif([(ORIENTATION, LONG, [5])]),
    "signed": exif([(ORIENTATION, SIGNED_SHORT, [7])]),
    "byte": exif([(ORIENTATION, BYTE, [6])]),
    "doubled": exif([(ORIENTATION, SHORT, [6]), (ORIENTATION, SHORT, [1])]),
    "doubled-otherwise": exif([(ORIENTATION, SHORT, [1]), (ORIENTATION, SHORT, [6])]),
    "zero": exif([(ORIENTATION, SHORT, [0])]),
    "nine": exif([(ORIENTATION, SHORT, [9])]),
    "other-tag": exif([(MAKE, BYTE, [65])]),
    "empty": exif([]),
}


def xmp(orientation: int, *, as_element: bool = False) -> bytes:
    """Writes XMP that states an orientation, as an attribute or as an element."""
    value = f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
    if as_element:
        element = f"<tiff:Orientation>{orientation}</tiff:Orientation>"
        value = f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/">{element}</rdf:Description>'
    syntax = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {syntax}>{value}</rdf:RDF></x:xmpmeta>'.encode()
