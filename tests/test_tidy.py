"""Style as a test: budgets, names, pure cores, one maker of Approved, and documents that tell the truth.

A checker takes a file's path (relative to the repository) and its text and returns complaints that name file and
line. ``test_every_checker_can_fail`` runs each on a made-up text that breaks its rule.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from quant_platform.kernel import KERNEL_SOURCES

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "quant_platform"
CODE = (PACKAGE, "tests", "benchmarks", "docs", "infra")
CORES = tuple(f"{PACKAGE}/{name}/" for name in ("domain", "indicators", "ports", "services"))
RISK = f"{PACKAGE}/services/strategy_runtime/risk.py"
EXCHANGE = f"{PACKAGE}/services/strategy_runtime/paper_exchange.py"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
BANNED_NAMES = ("utils", "util", "helpers", "helper", "common", "manager", "v2", "new", "fixed")

Checker = Callable[[str, str], list[str]]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


# Where the rules look.


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders or CODE for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    return [path for path in found if not path.stem.endswith("_pb2")]


def documents() -> list[Path]:
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "Makefile"]


def complaints(checker: Checker, paths: list[Path]) -> str:
    """All complaints about these files, one a line; empty when they are tidy."""
    assert paths, "there is nothing to check"
    found: list[str] = []
    for path in paths:
        name = path.relative_to(REPOSITORY).as_posix()
        try:
            found += checker(name, path.read_text("utf-8"))
        except SyntaxError as error:
            found.append(f"{name}:{error.lineno}: this is not Python")
    return "\n".join(found)


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


# The rules.


def file_too_long(path: str, text: str) -> list[str]:
    lines = text.count("\n")
    return [f"{path}:{lines}: {lines} lines, the budget is {MAX_FILE_LINES}"] if lines > MAX_FILE_LINES else []


def function_too_long(path: str, text: str) -> list[str]:
    found = []
    for node in ast.walk(parsed(text)):
        if isinstance(node, FUNCTION):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {lines} lines, the budget is {MAX_FUNCTION_LINES}")
    return found


def name_says_nothing(path: str, _: str) -> list[str]:
    words = re.split(r"[/_.]", path.removesuffix(".py"))
    return [f"{path}:1: a name with {word!r} does not say what is inside" for word in words if word in BANNED_NAMES]


def no_opening_line(path: str, text: str) -> list[str]:
    first_line = (ast.get_docstring(parsed(text)) or "").partition("\n")[0]
    return [] if first_line else [f"{path}:1: the module does not open with a line that says what it is for"]


def missing_init(path: str, _: str) -> list[str]:
    folder = PurePosixPath(path).parent
    present = (REPOSITORY / folder / "__init__.py").exists()
    return [] if present else [f"{path}:1: {folder} has no __init__.py"]


IMPURE_MODULES = {
    "asyncio", "concurrent", "fileinput", "glob", "http", "importlib", "io", "logging", "mmap", "multiprocessing",
    "os", "pathlib", "random", "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "breakpoint", "__import__", "hash", "id"}
IMPURE_CALLS = {
    # the clock
    "now", "utcnow", "today", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "sleep",
    # files
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "iterdir", "rglob", "touch",
    "tofile", "fromfile", "memmap", "loadtxt", "genfromtxt", "savetxt", "savez", "savez_compressed",
    # chance
    "default_rng", "uuid1", "uuid4", "token_hex", "token_bytes",
}  # fmt: skip


def _impurity(node: ast.AST) -> str:
    """What the node asks of the outside world; empty for a pure one."""
    match node:
        case ast.Import(names=names):
            return next((f"imports {a.name}" for a in names if a.name.partition(".")[0] in IMPURE_MODULES), "")
        case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in IMPURE_MODULES:
            return f"imports from {module}"
        case ast.Call(func=ast.Name(id=name)) if name in IMPURE_NAMES:
            return f"calls {name}()"
        case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_CALLS:
            return f"calls .{name}()"
        case ast.Call(func=ast.Attribute(attr="datetime64"), args=[ast.Constant(value="now" | "today")]):
            return "asks datetime64 for the time"
        case ast.Attribute(attr="random" | "environ" as name):
            return f"uses .{name}"
    return ""


def impure_core(path: str, text: str) -> list[str]:
    """Clock, files, chance, network and screen, which come to a core as data or not at all."""
    nodes = ast.walk(parsed(text))
    return [f"{path}:{node.lineno}: a core {what}" for node in nodes if (what := _impurity(node))]  # type: ignore[attr-defined]


def makes_approved(path: str, text: str) -> list[str]:
    """A call of Approved, or of its class methods, or a name that would hide one."""
    if path == RISK:
        return []
    found = []
    for node in ast.walk(parsed(text)):
        match node:
            case ast.Call(func=ast.Name(id="Approved") | ast.Attribute(attr="Approved")):
                found.append(f"{path}:{node.lineno}: only {RISK} makes an Approved")
            case ast.Attribute(value=ast.Name(id="Approved") | ast.Attribute(attr="Approved"), attr="_make"):
                found.append(f"{path}:{node.lineno}: only {RISK} makes an Approved")
            case ast.alias(name="Approved", asname=str(other)) if other != "Approved":
                found.append(f"{path}:{node.lineno}: Approved keeps its name; {other!r} would hide who makes one")
    return found


def exchange_takes_an_intent(path: str, text: str) -> list[str]:
    nodes = ast.walk(parsed(text))
    names = [
        n
        for n in nodes
        if isinstance(n, ast.alias | ast.Name) and "Intent" in (getattr(n, "id", ""), getattr(n, "name", ""))
    ]
    return [f"{path}:{node.lineno}: the exchange takes an Approved, never an Intent" for node in names]


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")


def unfinished(path: str, text: str) -> list[str]:
    if path == "tests/test_tidy.py":
        return []  # it spells the words it looks for
    lines = enumerate(text.splitlines(), start=1)
    return [
        f"{path}:{number}: {found[0]} is work left over" for number, line in lines if (found := UNFINISHED.search(line))
    ]


def _functions(
    node: ast.AST, in_protocol: bool = False
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function below the node, and whether it only declares (a Protocol's method)."""
    for child in ast.iter_child_nodes(node):
        declares = in_protocol
        if isinstance(child, ast.ClassDef):
            declares = any(getattr(base, "id", getattr(base, "attr", "")) == "Protocol" for base in child.bases)
        if isinstance(child, FUNCTION):
            yield child, in_protocol or bool(child.decorator_list and "overload" in ast.dump(child.decorator_list[0]))
        yield from _functions(child, declares)


def stub(path: str, text: str) -> list[str]:
    """A function without a body, outside of Protocols and overloads; one that says why it does nothing may."""
    found = []
    for function, declares in _functions(parsed(text)):
        only = function.body[0]
        nothing = isinstance(only, ast.Pass) or (isinstance(only, ast.Expr) and getattr(only.value, "value", "") is ...)
        if not declares and len(function.body) == 1 and nothing:
            found.append(f"{path}:{function.lineno}: {function.name} is a stub")
    return found


def imports_through_link(path: str, text: str) -> list[str]:
    found = []
    for node in ast.walk(parsed(text)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        if any(module.partition(".")[0] == "services" for module in modules):
            found.append(f"{path}:{node.lineno}: import {PACKAGE}.services, the link is for people")
    return found


def kernel_outside_the_key(path: str, text: str) -> list[str]:
    """A kernel where the cache's key does not look would silently be compiled anew by each process."""
    if path.startswith(tuple(f"{PACKAGE}/{name}/" for name in KERNEL_SOURCES)):
        return []
    functions = [node for node in ast.walk(parsed(text)) if isinstance(node, ast.FunctionDef)]
    return [
        f"{path}:{function.lineno}: kernels stand in {', '.join(KERNEL_SOURCES)}"
        for function in functions
        if any(isinstance(mark, ast.Name) and mark.id == "kernel" for mark in function.decorator_list)
    ]


def skipped_always(path: str, text: str) -> list[str]:
    nodes = ast.walk(parsed(text))
    marks = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "skip"]
    return [
        f"{path}:{node.lineno}: a test that never runs proves nothing"
        for node in marks
        if isinstance(node.value, ast.Attribute) and node.value.attr == "mark"
    ]


FILE_NAME = re.compile(r"(?<![\w/.:{-])((?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|lock|sh|proto|svg|png|ini))(?![\w/*{])")
MODULE_NAME = re.compile(rf"-m ({PACKAGE}[\w.]*)")
MAKE_TARGET = re.compile(r"`make ([a-z]+)")
PLACEHOLDERS = ("path/to/", "user_data/", "my_", "own_")


def _exists(path: str, named: str) -> bool:
    """A path is looked for from the root, from the document, in the package; a bare name anywhere in the code."""
    bases = (REPOSITORY, REPOSITORY / PurePosixPath(path).parent, REPOSITORY / PACKAGE)
    if any((base / named).exists() for base in bases):
        return True
    return "/" not in named and any(next((REPOSITORY / folder).rglob(named), None) for folder in CODE)


def mentions_what_is_not_there(path: str, text: str) -> list[str]:
    found = []
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    for number, line in enumerate(text.splitlines(), start=1):
        local = re.sub(r"https?://\S+", "", line)
        wrong = [n for n in FILE_NAME.findall(local) if not n.startswith(PLACEHOLDERS) and not _exists(path, n)]
        for module in MODULE_NAME.findall(local):
            file = REPOSITORY / module.replace(".", "/")
            wrong += [] if file.with_suffix(".py").exists() or (file / "__main__.py").exists() else [module]
        wrong += [f"make {target}" for target in MAKE_TARGET.findall(local) if target not in targets]
        found += [f"{path}:{number}: {name} is mentioned but does not exist" for name in wrong]
    return found


# The repository against the rules.


def test_files_stay_within_their_budget_of_lines() -> None:
    assert not (found := complaints(file_too_long, python_files())), found


def test_functions_stay_within_their_budget_of_lines() -> None:
    assert not (found := complaints(function_too_long, python_files())), found


def test_file_names_say_what_is_inside() -> None:
    assert not (found := complaints(name_says_nothing, python_files())), found


def test_every_module_opens_with_a_line_that_says_what_it_is_for() -> None:
    assert not (found := complaints(no_opening_line, python_files())), found


def test_every_folder_of_the_package_is_a_package() -> None:
    assert not (found := complaints(missing_init, python_files(PACKAGE))), found


def test_cores_use_no_clock_file_network_or_chance() -> None:
    assert not (found := complaints(impure_core, python_files(*CORES))), found


def test_only_risk_makes_an_approved_order() -> None:
    assert not (found := complaints(makes_approved, python_files(PACKAGE))), found
    assert (REPOSITORY / RISK).exists()


def test_the_exchange_takes_nothing_but_approved_orders() -> None:
    assert not (found := complaints(exchange_takes_an_intent, [REPOSITORY / EXCHANGE])), found


def test_nothing_is_left_unfinished() -> None:
    assert not (found := complaints(unfinished, [*python_files(), *documents()])), found
    assert not (found := complaints(stub, python_files(PACKAGE))), found


def test_nothing_imports_through_the_services_link() -> None:
    assert not (found := complaints(imports_through_link, python_files())), found
    assert (REPOSITORY / "services").resolve() == REPOSITORY / PACKAGE / "services"


def test_kernels_stand_where_the_key_of_their_cache_looks() -> None:
    assert not (found := complaints(kernel_outside_the_key, python_files(PACKAGE))), found


def test_no_test_is_always_skipped() -> None:
    assert not (found := complaints(skipped_always, python_files("tests"))), found


def test_documents_and_makefile_mention_only_what_exists() -> None:
    assert not (found := complaints(mentions_what_is_not_there, documents())), found


LONG_FUNCTION = "def long():\n" + "    x = 1\n" * MAX_FUNCTION_LINES

IMPURE = (
    "datetime.now() | date.today() | import time | from os import path | import numpy, os.path | Path.read_text() | "
    "def f():\n import random | open('x') | path.open() | np.random.rand() | from random import choice | hash('x') | "
    "os.environ['X'] | print(1) | np.datetime64('now') | uuid.uuid4() | np.fromfile('x') | __import__('os') | "
    "import socket | from asyncio import run"
)
APPROVING = "Approved(1) | orders.Approved(1) | Approved._make(row) | from x import Approved as Granted"

BREACHES: list[tuple[Checker, str, str]] = [
    (file_too_long, "a.py", "x = 1\n" * (MAX_FILE_LINES + 1)),
    (function_too_long, "a.py", LONG_FUNCTION),
    (function_too_long, "a.py", f"async {LONG_FUNCTION}"),
    *[(name_says_nothing, f"{PACKAGE}/{name}.py", "") for name in ("utils", "order_manager", "common/x", "risk_v2")],
    (no_opening_line, "a.py", "import math\n"),
    (missing_init, "nowhere/a.py", ""),
    *[(impure_core, "a.py", source) for source in IMPURE.split(" | ")],
    *[(makes_approved, "a.py", source) for source in APPROVING.split(" | ")],
    (exchange_takes_an_intent, EXCHANGE, "def place(order: Intent): ..."),
    (exchange_takes_an_intent, EXCHANGE, "from x import Intent"),
    *[(unfinished, "a.py", word) for word in ("# TODO later", "# FIXME", "raise NotImplementedError")],
    (stub, "a.py", "def f(): ..."),
    (stub, "a.py", "class A:\n    async def f(self): pass"),
    (imports_through_link, "a.py", "from services.ingestion import x"),
    (imports_through_link, "a.py", "import services"),
    (kernel_outside_the_key, f"{PACKAGE}/hosts/a.py", "@kernel\ndef f(): return 1"),
    (skipped_always, "a.py", "@pytest.mark.skip\ndef test_x(): ..."),
    (skipped_always, "a.py", "@pytest.mark.skip(reason='')\ndef test_x(): ..."),
    *[
        (mentions_what_is_not_there, "README.md", line)
        for line in ("see `quant_platform/nowhere.py`", "[a](docs/nowhere.md)", "nowhere.py", "`make nothing`")
    ],
    (mentions_what_is_not_there, "Makefile", f"python -m {PACKAGE}.nowhere"),
]


@pytest.mark.parametrize(("checker", "path", "text"), BREACHES)
def test_every_checker_can_fail(checker: Checker, path: str, text: str) -> None:
    found = checker(path, text)
    assert found
    assert all(re.match(rf"{re.escape(path)}:\d+: ", line) for line in found)


SOUND: list[tuple[Checker, str, str]] = [
    (impure_core, "a.py", "from datetime import time\nstart = time(9, 15)\nvalue = clock.now_ns\n"),
    (makes_approved, RISK, "Approved(1)"),
    (makes_approved, "a.py", "def fill(order: Approved) -> int: return order.quantity"),
    (stub, "a.py", "class Clock(Protocol):\n    def now(self) -> int: ..."),
    (imports_through_link, "a.py", "from quant_platform.services import x\nfrom .services import y"),
    (kernel_outside_the_key, f"{PACKAGE}/indicators/a.py", "@kernel\ndef f(): return 1"),
    (skipped_always, "a.py", "@pytest.mark.skipif(windows, reason='')\ndef test_x(): ..."),
    (
        mentions_what_is_not_there,
        "README.md",
        "`make test` runs tests/test_tidy.py; https://x.org/a.md `path/to/file.py`",
    ),
]


@pytest.mark.parametrize(("checker", "path", "text"), SOUND)
def test_checkers_let_sound_code_pass(checker: Checker, path: str, text: str) -> None:
    assert checker(path, text) == []
