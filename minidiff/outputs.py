"""What models, schedulers and pipelines return: a dataclass that other tools take for the dict that it also is."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import ClassVar

from torch.utils import _pytree as pytree


class Output(OrderedDict):
    """Base of results: `out.sample`, `out["sample"]` and `out[0]` are the same; iterating gives the names.

    A subclass is a `@dataclass(eq=False)` too. Fields that are None are no entries of the dict. A result that grew a
    field after people had begun to unpack its tuple names it in `beside_tuple`.

    It is a dict because other tools rebuild what a network returns from its entries: DataParallel's gather,
    accelerate's conversion to float32; and a pytree, which torch.compile and torch.export take apart.
    """

    beside_tuple: ClassVar[tuple] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        pytree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out)),
            lambda values, names: cls(**dict(zip(names, values))),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
            flatten_with_keys_fn=lambda out: ([(pytree.MappingKey(k), v) for k, v in out.items()], list(out)),
        )

    def __post_init__(self):
        names = [field.name for field in fields(self)]
        first = getattr(self, names[0])
        # DataParallel and accelerate make a new dict of this class from pairs, or from another dict.
        given = dict(first) if isinstance(first, Mapping | Iterator) else {name: getattr(self, name) for name in names}
        for name in names:
            self[name] = given.get(name)

    def __getitem__(self, key):
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in (names := [field.name for field in fields(self)]):
            raise KeyError(f"{type(self).__name__} has no field {key!r}, only {', '.join(names)}")
        return getattr(self, key)

    def __setitem__(self, key, value):
        """The entry and the attribute are one."""
        super().__setattr__(key, value)
        if value is not None:
            super().__setitem__(key, value)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in self:
            super().__setitem__(name, value)

    def __reduce__(self):
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def to_tuple(self):
        """tuple: the values of the fields that are not None, in order."""
        return tuple(value for name, value in self.items() if name not in self.beside_tuple)

    def as_asked(self, return_dict):
        """This object if `return_dict`, else the tuple: what a `return_dict` argument promises."""
        return self if return_dict else self.to_tuple()
