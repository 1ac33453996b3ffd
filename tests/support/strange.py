"""JSON as nobody of ours writes it: a real value with a part of it removed or replaced, and values of any shape."""

import copy

from hypothesis import strategies as st

DEEP = []
for _ in range(5000):
    DEEP = [DEEP]
ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    10**19,
    10**30,
    10**400,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    "x",
    "=1+1",
    "\ud800",
    "y" * 5000,
    [],
    [1],
    [[]],
    ["x", None],
    {},
    {"x": 1},
    {"any": None},
    {"": {}},
)
VALUES = st.recursive(
    st.sampled_from([each for each in ODD if not isinstance(each, list | dict)]) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    """The paths of all parts of a JSON value, its own, (), among them."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw, value, odd=ODD, most=3):
    """The value with up to `most` parts removed, or replaced by an odd one."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(list(places(value))))
        new = copy.deepcopy(draw(st.sampled_from(odd)))
        if not path:
            return new
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()):
            holder[path[-1]] = new
        else:
            del holder[path[-1]]
        if not isinstance(value, dict | list) or not value:
            return value
    return value
