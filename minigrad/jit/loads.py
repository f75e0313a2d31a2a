"""The names that the code of a function loads: variables, attributes, modules, and methods that instructions call."""

from __future__ import annotations

import dis
import re
import types

# With these, attributes are read whose names the code does not show.
REFLECTION = {"__dict__", "__getattribute__", "asdict", "astuple", "attrgetter", "copy", "deepcopy", "delattr", "dir"}
REFLECTION |= {"fields", "getattr", "hasattr", "methodcaller", "replace", "setattr", "vars"}
WRITERS = {"add", "append", "appendleft", "clear", "extend", "insert", "update"}  # of containers; they return None

# Any instruction may call a special method. These are called only to create an object, to format one, or to compare it.
CONSTRUCTION = {"__init__", "__new__", "__post_init__", "__del__"}
FORMATTING = {"__repr__", "__str__", "__format__"}
COMPARISON = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"}
FORMATS = {"ascii", "format", "print", "repr", "str"}  # functions and methods that format
COMPARES = {"max", "min", "sort", "sorted"}
WORD = re.compile(r"\w+")


class Loads:
    """The names that code loads, and the functions inside it.

    variables    global and closure variables
    attributes   attributes, and special methods that its instructions call
    modules      modules that it imports
    written      names of containers that it writes to, as `history` in `history.append(x)`
    """

    def __init__(self, code: types.CodeType) -> None:
        self.variables: set[str] = set()
        self.attributes: set[str] = set()
        self.modules: set[str] = set()
        self.written: set[str] = set()
        instructions = [*dis.get_instructions(code)]
        for instruction, following in zip(instructions, [*instructions[1:], None]):
            is_write = following and following.opname in ("LOAD_ATTR", "LOAD_METHOD") and following.argval in WRITERS
            self.add(instruction, bool(is_write))
        self.add_methods(code)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                inner = Loads(constant)
                self.variables |= inner.variables
                self.attributes |= inner.attributes
                self.modules |= inner.modules
                self.written |= inner.written
        self.variables -= {*code.co_cellvars}

    def add(self, instruction: dis.Instruction, is_write: bool) -> None:
        """Add the names of one instruction."""
        name, operand = instruction.opname, instruction.argval
        if name == "IMPORT_NAME":
            self.modules.add(operand)
        elif name.endswith(("_ATTR", "_METHOD")) or name == "IMPORT_FROM":
            (self.written if is_write else self.attributes).add(operand)
        elif name.endswith(("_GLOBAL", "_GLOBALS", "_DEREF", "_NAME")):
            (self.written if is_write else self.variables).add(operand)
        elif name in ("COMPARE_OP", "CONTAINS_OP"):
            self.attributes |= COMPARISON
        elif name.startswith("FORMAT_") or name.endswith("_MODULO") or instruction.argrepr in ("%", "%="):
            self.attributes |= FORMATTING
        elif name == "MATCH_CLASS":
            self.attributes |= {"__dict__"}  # the names are elsewhere

    def add_methods(self, code: types.CodeType) -> None:
        """Add what the functions and methods that are called read in turn."""
        names = self.variables | self.attributes
        self.attributes |= COMPARISON if names & COMPARES else set()
        self.attributes |= FORMATTING if names & FORMATS else set()
        if names & (FORMATS | REFLECTION):  # names in getattr(x, "name") and "{0.name}".format(x)
            self.attributes |= {word for text in code.co_consts if isinstance(text, str) for word in WORD.findall(text)}
