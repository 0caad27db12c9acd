"""Images with annotated objects, boxes and outlines: in the forms of VOC, COCO and YOLO."""

from sslfast.data.annotations.images import AnnotatedImages
from sslfast.data.annotations.objects import Objects
from sslfast.data.annotations.opening import open_annotated

__all__ = ["AnnotatedImages", "Objects", "open_annotated"]
