"""Keys, as a fixture."""

import pytest

from tests.random.keys import make_key


@pytest.fixture
def key():
    return make_key
