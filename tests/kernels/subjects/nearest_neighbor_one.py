from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject
from tests.kernels.subjects.nearest_neighbor import inputs


def call(query: Tensor, queue: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    return K.nearest_neighbor(query, queue, impl=impl)


SUBJECT = Subject("nearest_neighbor", inputs, call, name="nearest_neighbor_one")
