"""Reads pprof with Google's protobuf library, by the fields of its published ``profile.proto``."""

from typing import Any
from urllib.parse import parse_qsl

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_INT64, _UINT64, _BOOL, _STRING, _MESSAGE = 3, 4, 8, 9, 11
#: Message: field: (number, type, repeated, type name of messages).
_MESSAGES: "dict[str, dict[str, tuple[int, int, bool, str]]]" = {
    "Profile": {
        "sample_type": (1, _MESSAGE, True, "ValueType"),
        "sample": (2, _MESSAGE, True, "Sample"),
        "mapping": (3, _MESSAGE, True, "Mapping"),
        "location": (4, _MESSAGE, True, "Location"),
        "function": (5, _MESSAGE, True, "Function"),
        "string_table": (6, _STRING, True, ""),
        "time_nanos": (9, _INT64, False, ""),
        "duration_nanos": (10, _INT64, False, ""),
    },
    "ValueType": {"type": (1, _INT64, False, ""), "unit": (2, _INT64, False, "")},
    "Sample": {
        "location_id": (1, _UINT64, True, ""),
        "value": (2, _INT64, True, ""),
        "label": (3, _MESSAGE, True, "Label"),
    },
    "Label": {
        "key": (1, _INT64, False, ""),
        "str": (2, _INT64, False, ""),
        "num": (3, _INT64, False, ""),
        "num_unit": (4, _INT64, False, ""),
    },
    "Mapping": {
        "id": (1, _UINT64, False, ""),
        "filename": (5, _INT64, False, ""),
        "build_id": (6, _INT64, False, ""),
        "has_functions": (7, _BOOL, False, ""),
    },
    "Location": {
        "id": (1, _UINT64, False, ""),
        "mapping_id": (2, _UINT64, False, ""),
        "line": (4, _MESSAGE, True, "Line"),
    },
    "Line": {"function_id": (1, _UINT64, False, ""), "line": (2, _INT64, False, "")},
    "Function": {
        "id": (1, _UINT64, False, ""),
        "name": (2, _INT64, False, ""),
        "system_name": (3, _INT64, False, ""),
        "filename": (4, _INT64, False, ""),
    },
}


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated, type_name) in fields.items():
            added = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)
            if type_name:
                added.type_name = f".perftools.profiles.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


#: The message, for those who read what is not ours.
MESSAGE = _message_class()


class Frame:
    """A frame of a stack."""

    def __init__(self, function: str, file: str, line: int, library: str, in_app: bool) -> None:
        self.function = function
        self.file = file
        self.line = line
        self.library = library
        self.in_app = in_app


class Sample:
    """A sample: its frames, the innermost first, its values by type, its labels."""

    def __init__(self, frames: "list[Frame]", values: "dict[str, int]", labels: "dict[str, Any]") -> None:
        self.frames = frames
        self.values = values
        self.labels = labels

    @property
    def functions(self) -> "list[str]":
        return [frame.function for frame in self.frames]


class Profile:
    """A pprof, with the resource of the query it was posted with."""

    def __init__(self, body: bytes, query: str = "") -> None:
        read = MESSAGE.FromString(body)
        texts = read.string_table
        assert texts[0] == "", "the table of strings begins with an empty one"
        assert len(set(texts)) == len(texts), "a string is there twice"
        self.resource = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        self.time_ns: int = read.time_nanos
        self.duration_ns: int = read.duration_nanos
        self.types = [(texts[kind.type], texts[kind.unit]) for kind in read.sample_type]
        functions = {function.id: (texts[function.name], texts[function.filename]) for function in read.function}
        mappings = {mapping.id: (texts[mapping.filename], texts[mapping.build_id]) for mapping in read.mapping}
        frames: dict[int, Frame] = {}
        for location in read.location:
            assert location.id and len(location.line) == 1
            library, build_id = mappings[location.mapping_id]
            line = location.line[0]
            frames[location.id] = Frame(*functions[line.function_id], line.line, library, build_id.startswith("app"))
        self.samples: list[Sample] = []
        for sample in read.sample:
            assert len(sample.value) == len(self.types)
            values = {name: value for (name, _), value in zip(self.types, sample.value)}
            labels = {texts[label.key]: texts[label.str] if label.str else label.num for label in sample.label}
            self.samples.append(Sample([frames[id] for id in sample.location_id], values, labels))

    def total(self, kind: str, function: str = "") -> int:
        """The sum of a type over the samples that a function is part of, or all."""
        return sum(s.values.get(kind, 0) for s in self.samples if not function or function in s.functions)
