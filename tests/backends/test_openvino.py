from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_signal_after_the_last_graph_is_handled(exported: Path) -> None:
    code = (
        "import gc, os, signal\n"
        "from pathlib import Path\n"
        "from foodvision.backends.runs import open_graph\n"
        f"graph = open_graph(Path({str(exported)!r}), 'openvino/float32', 2)\n"
        "del graph; gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
