"""The table of layers: who may import whom, and where each third-party library lives."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = {
    "cli": 7,
    "api": 6,
    "testing": 6,
    "run": 5,
    "engine": 4,
    "plan": 3,
    "graph": 2,
    **dict.fromkeys(("ops", "kernels", "spec", "weights", "formats"), 1),
    "": 0,  # the files of `volconv/` itself
}
# The command line speaks to the API alone; what is named here carries no work. Kernels stay unseen below the engine,
# all but their catalogue, so that planning never loads numba.
CLI_MAY = {"api", "errors", "error_codes", "settings", "_version", "run.events"}
CATALOG_ONLY = {"ops", "plan", "graph"}
HOMES = {
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "nibabel": {"formats"},
    "h5py": {"formats", "weights"},
    "zlib_ng": {"formats"},
    "onnx": {"weights", "api"},
    "cc3d": {"engine"},
    **{key: {"api"} for key in ("torch", "onnxruntime", "openvino", "scipy")},  # see RIVALS
    "google": {"weights"},  # protobuf, whose errors onnx raises
    "ruamel": {"spec"},
    "click": {"cli"},
    "rich": {"cli"},
    "pytest": {"testing"},
    "hypothesis": {"testing"},
    "ml_dtypes": set(LAYERS) - {"cli", "spec"},
    "numpy": set(LAYERS) - {"cli"},
}
# The libraries that `volconv bench` times beside the engine are loaded by processes of their own, from here alone.
RIVALS = ROOT / "volconv" / "api" / "bench" / "rivals"
SOURCES = sorted([*(ROOT / "volconv").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
ENTRIES = {ROOT / "volconv" / "__init__.py", ROOT / "volconv" / "__main__.py"}


def folder_of(path):
    """The layer's name: the first folder below `volconv`, or `cli`."""
    parts = path.relative_to(ROOT).parts
    return "cli" if parts[0] == "cli" else parts[1] if len(parts) > 2 else ""


def imported(path):
    """Yield every module that `path` names in an import, in full; ``from X import Y`` gives X and X.Y."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = (() if parts[0] == "volconv" else ("volconv",)) + parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def is_allowed(path, name):
    """Whether the file at `path` may import `name`, a dotted name that starts with ``volconv.``."""
    here = folder_of(path)
    inner = name.removeprefix("volconv.")
    there = inner.split(".")[0]
    if there not in LAYERS:
        there = ""
    if here == there:
        return True
    if here == "cli":
        return any(inner == may or inner.startswith(may + ".") for may in CLI_MAY)
    if there == "kernels" and here in CATALOG_ONLY:
        return inner.startswith("kernels.catalog")
    return LAYERS[there] < LAYERS[here]


def test_imports_point_down():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        if path not in ENTRIES
        for line, name in imported(path)
        if name.startswith("volconv.") and not is_allowed(path, name)
    ]
    assert not wrong


def test_libraries_stay_at_home():
    wrong = []
    for path in SOURCES:
        for line, name in imported(path):
            library = name.split(".")[0]
            if library in sys.stdlib_module_names or library in ("volconv", "__future__"):
                continue
            home = folder_of(path)
            is_rival = library in ("torch", "onnx", "onnxruntime", "openvino", "scipy") and home == "api"
            if home not in HOMES.get(library, ()) or (is_rival and RIVALS not in path.parents):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {library}")
    assert not wrong


def test_start_up_needs_no_numpy():
    files = [path for path in SOURCES if folder_of(path) == "cli"]
    files += [ROOT / "volconv" / name for name in ("__init__.py", "errors.py", "settings.py", "values.py")]
    wrong = [str(path) for path in files if any(name.startswith("numpy") for _, name in imported(path))]
    assert not wrong


def test_no_module_bears_a_name_of_the_standard_library():
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert not {name for name in names if name in sys.stdlib_module_names and not name.startswith("__")}


def test_files_stay_short():
    long = {str(path): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long
