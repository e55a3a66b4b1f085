from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_no_use_is_reported_and_a_signal_is_handled_after_a_thread_freed_the_last_graph(
    exported: Path,
) -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "from foodvision.backends.runs import open_graph\n"
        f"graphs = [open_graph(Path({str(exported)!r}), 'openvino/float32', 2)]\n"
        "assert not [name for name in sys.modules if 'telemetry' in name]\n"
        "thread = threading.Thread(target=graphs.clear)\n"
        "thread.start(); thread.join()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
