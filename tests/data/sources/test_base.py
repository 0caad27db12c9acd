"""A source and its subsets."""

from sslfast.data import open_source


def test_subset_keeps_order_labels_and_record(make_folder):
    source = open_source(str(make_folder()))
    part = source.subset([6, 1])
    assert part.paths == [source.paths[6], source.paths[1]]
    assert part.labels.tolist() == [1, 0]
    assert part.classes == source.classes
    assert part.bad is source.bad
