"""Text format as it is written; what a schema makes of it is in test_triton_repository.py."""

from __future__ import annotations

from capgan_export.triton.pbtxt import Symbol, pbtxt_from_message


def test_every_kind_of_field_has_its_form() -> None:
    message = {
        "text": 'a"b\\c\n',
        "kind": Symbol("KIND_GPU"),
        "is_on": True,
        "count": 3,
        "dims": [8, 3],
        "none": [],
        "inner": {"empty": {}, "items": [{"key": "a"}, {"key": "b"}]},
    }
    assert pbtxt_from_message(message) == (
        'text: "a\\"b\\\\c\\n"\nkind: KIND_GPU\nis_on: true\ncount: 3\ndims: 8\ndims: 3\n'
        'inner {\n  empty {\n  }\n  items {\n    key: "a"\n  }\n  items {\n    key: "b"\n  }\n}\n'
    )
