"""What models, schedulers and pipelines return: a dataclass that is a tuple where one is asked for."""

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass
class Output:
    """Base of results: `out.sample`, `out["sample"]` and `out[0]` are the same; `sample, = out` unpacks.

    A subclass is a dataclass too. Fields that are None do not count as members of the tuple; nor do those named in
    `beside_tuple`, for results that grew a field after people had begun to unpack them.
    """

    beside_tuple: ClassVar[tuple] = ()

    def to_tuple(self):
        """tuple: the values of the fields that are not None, in order."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return tuple(value for name, value in values if value is not None and name not in self.beside_tuple)

    def as_asked(self, return_dict):
        """This object if `return_dict`, else the tuple: what a `return_dict` argument promises."""
        return self if return_dict else self.to_tuple()

    def __getitem__(self, key):
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in (names := [field.name for field in fields(self)]):
            raise KeyError(f"{type(self).__name__} has no field {key!r}, only {', '.join(names)}")
        return getattr(self, key)

    def __iter__(self):
        return iter(self.to_tuple())

    def __len__(self):
        return len(self.to_tuple())
