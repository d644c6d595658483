"""C code in a Python process, written for the OneAgent SDK, traces among all other spans."""

import ctypes
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sink import tree

from pitviper import tracer

HEADERS = Path(__file__).resolve().parents[2] / "crates" / "pitviper-onesdk-library" / "include"

_SOURCE = """
#include <onesdk/onesdk.h>

/* Traces a service of its own, and calls back within it. */
int work(void (*inside)(void)) {
    onesdk_result_t const result = onesdk_initialize();
    if (result != ONESDK_SUCCESS)
        return result;
    onesdk_tracer_handle_t const tracer =
        onesdk_customservicetracer_create(onesdk_asciistr("pack"), onesdk_utf8str("Packing"));
    onesdk_tracer_start(tracer);
    onesdk_customrequestattribute_add_integer(onesdk_asciistr("boxes"), 2);
    inside();
    onesdk_tracer_end(tracer);
    return onesdk_shutdown();
}
"""

#: What takes the place of a library of the SDK's maker; nobody is to call it.
_THEIRS = "int onesdk_initialize(void) { return -1; }\n"


def compiled(folder: Path, name: str, source: str, *flags: str) -> Path:
    library = folder / f"lib{name}.so"
    (folder / f"{name}.c").write_text(source)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["cc", *strict, f"-I{HEADERS}", folder / f"{name}.c", "-o", library, *flags], check=True)
    return library


@pytest.mark.parametrize("linked", [False, True], ids=["linked with nothing", "linked with another library"])
def test_a_library_in_this_process(agent, tmp_path, linked):
    flags = []
    if linked:
        compiled(tmp_path, "onesdk_shared", _THEIRS)
        flags = [f"-L{tmp_path}", "-Wl,--no-as-needed", "-lonesdk_shared", f"-Wl,-rpath,{tmp_path}"]
    library = ctypes.CDLL(str(compiled(tmp_path, "packing", _SOURCE, *flags)))
    inside = ctypes.CFUNCTYPE(None)(lambda: sqlite3.connect(":memory:").execute("SELECT 1").close())
    with tracer.start_as_current_span("job"):
        assert library.work(inside) == 0
    spans = agent()
    assert tree(spans) == [["internal job", ["server pack", ["client SELECT"]]]]
    packed = {span.name: span for span in spans}["pack"]
    assert (packed.resource["service.name"], packed.attributes["boxes"]) == ("Packing", 2)


_DISABLED = """
import ctypes, sys
try:
    ctypes.CDLL(sys.argv[1])
except OSError as error:
    print("onesdk_" in str(error))
"""


def test_where_the_integration_is_off_nothing_is_offered(run, tmp_path):
    library = compiled(tmp_path, "packing", _SOURCE)
    result = run(_DISABLED, str(library), PITVIPER_INTEGRATIONS_DISABLED="oneagent")
    assert (result.stdout.split(), result.returncode) == (["True"], 0), (result.stderr, sys.version)
