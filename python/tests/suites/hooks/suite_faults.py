"""Makes the agent's own code fail at random, while the agent is as it is.

The modules of integrations are rewritten as they are imported. Two kinds of places fail:

- each statement that runs while a guarded block does, which is a ``try`` whose ``except Exception`` calls
  ``internal_error``: in the block itself and in all that it calls of ours;
- each call of a native function that may raise, guarded or not.

So a function of ours that should be guarded and is not fails in the application's face, and that is what
the suites look for. What is left out: putting integrations in place, which has tests of its own.
"""

import ast
import importlib.abc
import importlib.machinery
import random
import sys
import threading

PACKAGES = ("pitviper.integrations.", "pitviper.runtime", "pitviper.logs")
#: What the native half promises never to raise from, whatever it is given: each of these is shielded.
TOTAL = frozenset(
    ("activate", "begin_work", "current_span", "deactivate", "end_work", "fail_work", "finish_leaf", "now")
)

_ENTER, _LEAVE, _FAULT, _CALL = "_suite_enter", "_suite_leave", "_suite_fault", "_suite_call"


class _State(threading.local):
    depth = 0


class Faults:
    """Decides what fails."""

    def __init__(self, seed, probability):
        self._random = random.Random(seed).random
        self._choice = random.Random(seed).choice
        self._probability = probability
        self._state = _State()
        self.raised = 0

    def enter(self):
        """A guarded block begins."""
        self._state.depth += 1

    def leave(self):
        """A guarded block ends."""
        self._state.depth -= 1

    def fault(self):
        """A statement is about to run."""
        if self._state.depth and self._random() < self._probability:
            self._fail()

    def call(self, function):
        """A native function is about to be called."""
        if self._random() < self._probability:
            self._fail()
        return function

    def _fail(self):
        self.raised += 1
        raise self._choice(_KINDS)("injected by the suites")


def _kind(base):
    # Code that is prepared for one of these must not take ours for that.
    return type(f"Injected{base.__name__}", (base,), {"pitviper_injected": True})


_KINDS = [_kind(base) for base in (RuntimeError, TypeError, ValueError, AttributeError, KeyError, OSError)]


class Rewriter(ast.NodeTransformer):
    """Puts faults into the functions of a module."""

    def __init__(self):
        self._functions = 0
        self._native = set()

    def visit_ImportFrom(self, node):
        """Remembers names of native functions."""
        if node.module == "pitviper._native":
            self._native |= {name.asname or name.name for name in node.names if name.name[0].islower()} - TOTAL
        return node

    def visit_FunctionDef(self, node):
        """Only functions fail, not the making of modules and classes."""
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def generic_visit(self, node):
        """Puts a fault before each statement of each list of statements."""
        super().generic_visit(node)
        if self._functions:
            for field in ("body", "orelse", "finalbody"):
                statements = getattr(node, field, None)
                if isinstance(statements, list) and statements and isinstance(statements[0], ast.stmt):
                    setattr(node, field, _with_faults(statements))
        return node

    def visit_Try(self, node):
        """A guarded block says so while it runs."""
        guarded = any(_is_guard(handler) for handler in node.handlers)
        self.generic_visit(node)
        if guarded and self._functions:
            if any(isinstance(inner, (ast.Await, ast.Yield, ast.YieldFrom)) for inner in _own(node.body)):
                raise SyntaxError(f"line {node.lineno}: a guarded block lets the application run")
            node.body = [
                _say(_ENTER),
                ast.Try(body=node.body, handlers=[], orelse=[], finalbody=[_say(_LEAVE)]),
            ]
        return node

    def visit_Call(self, node):
        """A native function that may raise does."""
        self.generic_visit(node)
        function = node.func
        name = None
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            name = function.attr if function.value.id == "_native" and function.attr not in TOTAL else None
        elif isinstance(function, ast.Name) and function.id in self._native:
            name = function.id
        # A class of the native half is made where a database is seen first; that is guarded, or is not.
        if name is not None and self._functions:
            node.func = ast.Call(func=ast.Name(id=_CALL, ctx=ast.Load()), args=[function], keywords=[])
        return node


def _own(statements):
    """All nodes of statements, those of functions defined in them left out."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _is_guard(handler):
    return any(isinstance(node, ast.Name) and node.id == "internal_error" for node in ast.walk(handler)) and (
        isinstance(handler.type, ast.Name) and handler.type.id == "Exception"
    )


def _with_faults(statements):
    mixed = []
    for statement in statements:
        # Not before what only the compiler reads.
        if not isinstance(statement, (ast.Global, ast.Nonlocal)):
            mixed.append(_say(_FAULT))
        mixed.append(statement)
    return mixed


def _say(name):
    return ast.Expr(ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=[], keywords=[]))


def rewrite(source, path):
    """The code of a module with faults in it."""
    tree = ast.fix_missing_locations(Rewriter().visit(ast.parse(source, path)))
    return compile(tree, path, "exec", dont_inherit=True)


def names(faults):
    """What rewritten code calls."""
    return {_ENTER: faults.enter, _LEAVE: faults.leave, _FAULT: faults.fault, _CALL: faults.call}


class _Loader(importlib.machinery.SourceFileLoader):
    faults = None

    def get_code(self, fullname):
        return rewrite(self.get_data(self.path), self.path)

    def exec_module(self, module):
        module.__dict__.update(names(self.faults))
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, faults):
        self._faults = faults

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith(PACKAGES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            spec.loader.faults = self._faults
        return spec


def install(seed, probability):
    """Has the agent's code fail from now on. Nothing of it may have been imported before."""
    sys.meta_path.insert(0, _Finder(Faults(seed, probability)))
