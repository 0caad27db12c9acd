"""The runner of DALI's graphs over planned batches, which goes on when a file breaks one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from sslfast.data.dali.graphs import Inputs, decoding_graph
from sslfast.data.dali.memory import release_memory
from sslfast.data.dali.turns import turn_arguments
from sslfast.data.draws.reference import ViewDraws
from sslfast.data.files import Decoder, Files, Shape
from sslfast.data.sources.images import UnreadableImage

NO_PIXELS = np.zeros((1, 1, 3), dtype=np.uint8)  # stands where DALI decodes
NO_FILE = np.zeros(0, dtype=np.uint8)  # stands where Pillow has decoded


@dataclass(frozen=True)
class Plan:
    """A batch before it is decoded."""

    step: int
    indices: NDArray[np.int64]  # (B,) positions in the source
    arguments: list[NDArray[Any]]  # of the graph, (B, ...) each
    draws: tuple[ViewDraws, ...] = ()  # for what follows the graph
    shapes: NDArray[Any] | None = None  # (B, 2) height and width to be decoded, where the graph only decodes


class Runner:
    """Runs a graph over planned batches, some ahead of the one that is taken.

    A file that cannot be decoded fails its whole batch, and the pipeline with it. It is then searched for and
    recorded in `files`, and a new pipeline goes on from the step that is due, with new plans. A plan depends on
    nothing but its step and the files it looks at: a run that knows of a bad file goes on as one that meets it.
    """

    def __init__(
        self,
        graph: Callable[..., Pipeline],
        files: Files,
        device: torch.device,
        *,
        batch_size: int,
        threads: int,
        prefetch: int,
    ) -> None:
        """
        Args:
            graph: one of `graphs.py`, with its own options given.
            files: of the source.
            device: where the outputs shall be.
            batch_size: samples of the largest plan.
            threads: on which DALI reads, decodes and, without a GPU, resizes.
            prefetch: batches decoded ahead.
        """
        self.graph = graph
        self.files = files
        self.device = device
        self.batch_size = batch_size
        self.threads = threads
        self.prefetch = prefetch

    def run(self, plan: Callable[[int], Plan], steps: range) -> Iterator[tuple[Plan, list[Any]]]:
        """Decodes a range of steps.

        Args:
            plan: makes the plan of a step; one without samples is passed over.
            steps: the steps to decode, upwards by one.

        Yields:
            The plan and the graph's outputs, step by step: tensors, or of images that were only decoded a list of
            one a sample. The outputs are DALI's memory, kept while they live.

        Raises:
            UsageError: too many files cannot be read.
            RuntimeError: DALI failed, but no file is to blame.
        """
        try:
            yield from self._run(plan, steps)
        finally:
            release_memory()

    def _run(self, plan: Callable[[int], Plan], steps: range) -> Iterator[tuple[Plan, list[Any]]]:
        due = steps.start
        while due < steps.stop:
            planned: deque[Plan] = deque()
            pipeline = self._build(
                self.graph,
                self._inputs(map(plan, range(due, steps.stop)), planned),
                batch_size=self.batch_size,
                prefetch_queue_depth=self.prefetch,
            )
            stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
            try:
                pipeline.schedule_run()  # the first time: as many batches as are prefetched
                while planned:
                    outputs = pipeline.outputs(stream)
                    tensors = [_tensors(output) for output in outputs]
                    _check_shapes(tensors[0], planned[0])
                    done = planned.popleft()
                    pipeline.schedule_run()  # one more, if there is one
                    yield done, tensors
                    due = done.step + 1
                return
            except UnreadableImage:
                continue  # `files` knows it now
            except RuntimeError:
                suspects = [p.indices for p in planned]
                if not suspects or not self.files.examine(np.concatenate(suspects), self._try_each):
                    raise

    def _build(self, graph: Callable[..., Pipeline], inputs: Inputs, **options: int) -> Pipeline:
        on_gpu = self.device.type == "cuda"
        return graph(
            inputs,
            device="gpu" if on_gpu else "cpu",
            device_id=torch.cuda.current_device() if on_gpu and self.device.index is None else self.device.index,
            num_threads=self.threads,
            in_archives=self.files.in_archives,
            **options,
        )

    def _inputs(self, plans: Iterator[Plan], planned: deque[Plan]) -> Inputs:
        """Yields the graph's inputs, batch by batch; the plan of each batch taken is appended to `planned`."""
        for plan in plans:
            if not len(plan.indices):
                continue
            by_pillow = self.files.decoder[plan.indices] == Decoder.PILLOW
            decoded = iter(self.files.pixels(plan.indices[by_pillow]))
            pixels = [next(decoded) if pillow else NO_PIXELS for pillow in by_pillow]
            by_dali = iter(self.files.for_dali([self.files.paths[i] for i in plan.indices[~by_pillow]]))
            files = [NO_FILE if pillow else next(by_dali) for pillow in by_pillow]
            turns = turn_arguments(self.files.orientation[plan.indices])
            planned.append(plan)
            yield files, by_pillow, pixels, plan.indices, *turns, *plan.arguments

    def _try_each(self, paths: list[Path]) -> list[Shape | None]:
        """Decodes files one by one with DALI; returns their shapes, None where it fails."""
        shapes: list[Shape | None] = []
        while len(shapes) < len(paths):
            rest = ((self.files.for_dali([path]),) for path in paths[len(shapes) :])
            pipeline = self._build(decoding_graph, rest)
            try:
                while len(shapes) < len(paths):
                    (images,) = pipeline.run()
                    height, width, _ = images[0].shape()
                    shapes.append((height, width))
            except RuntimeError:
                shapes.append(None)
        return shapes


def _tensors(output: Any) -> Tensor | list[Tensor]:
    if output.is_dense_tensor():
        return torch.from_dlpack(output.as_tensor())
    return [torch.from_dlpack(sample) for sample in output]


def _check_shapes(images: Tensor | list[Tensor], plan: Plan) -> None:
    """Refuses images of other shapes than their headers said, as DALI does a crop that leaves its image.

    Raises:
        RuntimeError: an image has another shape.
    """
    if plan.shapes is not None and [image.shape[:2] for image in images] != [tuple(s) for s in plan.shapes]:
        raise RuntimeError(f"step {plan.step}: images were decoded to other shapes than their headers say")
